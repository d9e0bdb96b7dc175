import numpy as np
import pytest
import torch
from evaluation_helpers import TinyFeatures

from cellgan_plugin.evaluation.frechet import frechet_distance
from cellgan_plugin.evaluation.mask_generation import evaluate_generated, image_seed
from cellgan_plugin.evaluation.segmentation import ms_ssim
from cellgan_plugin.models.data_preprocessor import to_uint8
from cellgan_plugin.randomness import generator_for

SIDE = 48


class Painter:
    """Grey where the mask is, and noise of the seed."""

    def __init__(self, noise=0.2):
        self.noise = noise
        self.largest_batch = 0

    def generate(self, masks, seeds):
        self.largest_batch = max(self.largest_batch, len(masks))
        assert masks.dtype == torch.int64 and len(masks) == len(seeds)
        noise = [torch.randn(3, SIDE, SIDE, generator=generator_for(s, 'n')) for s in seeds]
        return (masks[:, None].float() - 0.5 + self.noise * torch.stack(noise)).clamp(-1, 1)


def pairs(count=9):
    found = []
    for index in range(count):
        rough = torch.rand(1, 1, 6, 6, generator=generator_for(index, 'mask'))
        smooth = torch.nn.functional.interpolate(rough, (SIDE, SIDE), mode='bilinear')[0, 0]
        image = (255 * smooth).round().to(torch.uint8).expand(3, -1, -1)
        found.append((image, (smooth > 0.5).to(torch.uint8)))
    return found


def test_scores_by_hand():
    data, extractor = pairs(), TinyFeatures()
    scores, images = evaluate_generated(
        Painter(), data, extractor, similarity_masks=3, similarity_samples=4, batch_size=4, keep=5
    )
    made = [to_uint8(Painter().generate(m[None].long(), [image_seed(0, i, 0)]))[0]
            for i, (_, m) in enumerate(data)]  # fmt: skip
    assert len(images) == 5 and all(torch.equal(a, b) for a, b in zip(images, made, strict=False))
    real, fake = (extractor.of_images(own).numpy() for own in ([i for i, _ in data], made))
    assert scores.fd == pytest.approx(frechet_distance(real, fake), rel=1e-4)
    assert scores.images == 9 and scores.masks == 3 and scores.samples == 4 and scores.scales == 3
    assert 0 < scores.fd_originals and scores.distance == extractor.frechet_name
    seeds = [image_seed(0, 3, sample) for sample in range(4)]
    samples = to_uint8(Painter().generate(data[3][1].long().expand(4, -1, -1), seeds))
    to_original = ms_ssim(samples, data[3][0].expand(4, -1, -1, -1)).mean()
    one, _ = evaluate_generated(
        Painter(), [data[3], *data[4:]], extractor, similarity_masks=1, similarity_samples=1
    )
    assert 0 < float(to_original) < 1 and 0 < one.to_original < 1 and np.isnan(one.among)


def test_neither_batches_nor_memory_decide():
    data, painter = pairs(), Painter()
    expected, _ = evaluate_generated(painter, data, TinyFeatures(), 2, 3, batch_size=9)
    small = Painter()
    found, _ = evaluate_generated(small, data, TinyFeatures(), 2, 3, batch_size=2)
    assert small.largest_batch == 2 and painter.largest_batch == 9
    assert found.fd == pytest.approx(expected.fd, rel=1e-4)
    assert found.among == pytest.approx(expected.among, abs=1e-6)
    still, _ = evaluate_generated(Painter(0.0), data, TinyFeatures(), 2, 3)
    assert still.among == pytest.approx(1, abs=1e-5) and expected.among < 0.99
    with pytest.raises(ValueError, match='at least 4'):
        evaluate_generated(Painter(), data[:3], TinyFeatures())
