"""Expected calibration error and log-likelihood against closed forms and a literal loop."""

import math

import numpy as np
import pytest
import torch

from cellgan_plugin.evaluation.segmentation import calibration_of
from cellgan_plugin.models.calibration import calibration_sums


def binary(values):
    one = torch.tensor(values, dtype=torch.float32).view(1, -1)
    return torch.stack([1 - one, one])


def test_a_confidence_that_is_right_as_often_as_it_says_costs_nothing():
    # Ten pixels at 0.8, eight of them right.
    masks = torch.tensor([[1] * 8 + [0] * 2])
    found = calibration_of(calibration_sums(binary([0.8] * 10), masks).numpy())
    assert found.ece == pytest.approx(0, abs=1e-6)
    assert found.confidence == pytest.approx(0.8) and found.accuracy == pytest.approx(0.8)
    assert found.nll == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))


def test_over_confidence_is_the_difference():
    masks = torch.tensor([[1, 1, 1, 0]])
    found = calibration_of(calibration_sums(binary([0.95] * 4), masks).numpy())
    assert found.ece == pytest.approx(0.95 - 0.75)


def literal(probabilities, masks, bins=15):
    """Guo et al., Eq. (3), pixel by pixel."""
    groups = [[] for _ in range(bins)]
    logs = []
    for y in range(masks.shape[0]):
        for x in range(masks.shape[1]):
            if masks[y, x] == 255:
                continue
            p = probabilities[:, y, x]
            confidence = float(p.max())
            for b in range(bins):
                if b / bins < confidence <= (b + 1) / bins:
                    groups[b].append((confidence, float(p.argmax() == masks[y, x])))
            logs.append(-math.log(float(p[int(masks[y, x])])))
    count = len(logs)
    ece = sum(
        len(g) / count * abs(np.mean([h for _, h in g]) - np.mean([c for c, _ in g]))
        for g in groups if g
    )  # fmt: skip
    return ece, sum(logs) / count


def test_against_a_literal_loop_and_images_add_up():
    numbers = torch.Generator().manual_seed(0)
    sums, images = 0, []
    for _ in range(2):
        probabilities = torch.randn(3, 11, 7, generator=numbers).mul(2).softmax(dim=0)
        masks = torch.randint(0, 3, (11, 7), generator=numbers).to(torch.uint8)
        masks[0, :3] = 255
        images.append((probabilities, masks))
        one = calibration_sums(probabilities, masks)
        found = calibration_of(one.numpy())
        assert (found.ece, found.nll) == pytest.approx(literal(probabilities, masks), rel=1e-5)
        sums = sums + one
    both = [torch.cat(parts, dim=-1) for parts in zip(*images, strict=True)]
    found = calibration_of(sums.numpy())
    assert (found.ece, found.nll) == pytest.approx(literal(*both), rel=1e-5)


def test_nothing_labelled_is_no_number():
    sums = calibration_sums(binary([0.5]), torch.tensor([[255]]))
    assert math.isnan(calibration_of(sums.numpy()).ece)
    with pytest.raises(ValueError, match='shape'):
        calibration_of(np.zeros(4))
