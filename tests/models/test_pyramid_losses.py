"""Every term of the pyramid GAN against a reference written out by hand, in numpy."""

import numpy as np
import pytest
import torch

from cellgan_plugin.models.losses.pyramid_losses import (
    FeatureMatchingLoss,
    ImageReconstructionLoss,
    PatchAdversarialLoss,
    mask_cross_entropy,
    one_hot_masks,
)
from cellgan_plugin.models.pyramid_gan.discriminator import PyramidDiscriminator


def feature_maps(seed, count=2):
    """Two discriminators with two stages of features and logits of different sizes."""
    numbers = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(count, *shape, generator=numbers)

    return [
        [normal(3, 4, 4), normal(5, 2, 2), normal(1, 3, 3)],
        [normal(3, 2, 2), normal(5, 1, 1), normal(1, 2, 2)],
    ]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


REFERENCES = {
    'vanilla': (
        lambda x: -np.log(sigmoid(x)),
        lambda x: -np.log(1 - sigmoid(x)),
        lambda x: -np.log(sigmoid(x)),
    ),
    'lsgan': (lambda x: (x - 1) ** 2, lambda x: x**2, lambda x: (x - 1) ** 2),
    'hinge': (
        lambda x: np.maximum(0, 1 - x),
        lambda x: np.maximum(0, 1 + x),
        lambda x: -x,
    ),
}


@pytest.mark.parametrize('mode', REFERENCES)
def test_adversarial_loss(mode):
    maps = feature_maps(0)
    logits = [stages[-1].double().numpy() for stages in maps]
    of_real, of_fake, of_generator = REFERENCES[mode]
    loss = PatchAdversarialLoss(mode)
    for value, reference in (
        (loss.discriminator(maps, True), of_real),
        (loss.discriminator(maps, False), of_fake),
        (loss.generator(maps), of_generator),
    ):
        expected = sum(reference(x).mean() for x in logits)
        assert value.item() == pytest.approx(expected, rel=1e-5)


def test_relativistic_loss_is_of_differences():
    loss, one, other = PatchAdversarialLoss('relativistic'), feature_maps(0), feature_maps(1)
    differences = [
        (a[-1].double() - b[-1].double()).numpy() for a, b in zip(one, other, strict=True)
    ]
    expected = sum(np.log1p(np.exp(x)).mean() for x in differences)
    assert loss.between(one, other).item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match='call between'):
        loss.discriminator(one, True)


@pytest.mark.parametrize('mode', ['vanilla', 'lsgan', 'hinge'])
def test_the_segmenters_term_does_not_grow_with_the_discriminators(mode):
    loss = PatchAdversarialLoss(mode)
    one = [[torch.full((2, 1, 3, 3), 0.7)]]
    assert torch.allclose(loss.segmenter(3 * one), loss.generator(one))
    assert torch.allclose(loss.generator(3 * one), 3 * loss.generator(one))


def test_adversarial_loss_takes_weights_of_pairs():
    maps = feature_maps(1, count=3)
    weights = torch.tensor([0.5, 0.3, 0.2])
    expected = 0.0
    for stages in maps:
        per_pair = [np.log1p(np.exp(-x)).mean() for x in stages[-1].double().numpy()]
        expected += np.dot(weights, per_pair)
    value = PatchAdversarialLoss().discriminator(maps, True, weights)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_feature_matching_loss():
    fake, real = feature_maps(2), feature_maps(3)
    for stages in fake + real:
        for x in stages:
            x.requires_grad_()
    expected = 0.0
    for of_fake, of_real in zip(fake, real, strict=True):
        for a, b in zip(of_fake[:2], of_real[:2], strict=True):  # the logits are no features
            expected += 4 / 2 * np.abs((a - b).detach().numpy()).mean()
    value = FeatureMatchingLoss(loss_weight=10)(fake, real)
    assert value.item() == pytest.approx(10 * expected / 2, rel=1e-5)
    value.backward()
    assert fake[0][0].grad is not None and real[0][0].grad is None


def test_feature_matching_weighs_stages_as_pix2pixhd_does():
    """Its 3 layers have 4 stages of features and weights 4 / (3 + 1)."""
    discriminator = PyramidDiscriminator(2, base_channels=2, num_layers=3, num_discriminators=1)
    maps = discriminator(torch.zeros(1, 3, 32, 32), torch.zeros(1, 2, 32, 32))
    fake = [[x.detach() + 1 for x in maps[0]]]
    assert FeatureMatchingLoss(loss_weight=10)(fake, maps).item() == pytest.approx(10 * 4)


def test_reconstruction_loss():
    numbers = np.random.default_rng(0)
    a, b = numbers.normal(size=(2, 2, 3, 4, 4))
    fake, real = torch.from_numpy(a), torch.from_numpy(b)
    mean = ImageReconstructionLoss()(fake, real).item()
    assert mean == pytest.approx(0.001 * ((a - b) ** 2).mean())
    norm = ImageReconstructionLoss(reduction='sum')(fake, real).item()
    assert norm == pytest.approx(0.001 * ((a - b) ** 2).sum(axis=(1, 2, 3)).mean())
    absolute = ImageReconstructionLoss(loss_weight=100, order=1)(fake, real).item()
    assert absolute == pytest.approx(100 * np.abs(a - b).mean())


def test_cross_entropy_leaves_out_pixels_without_a_class():
    numbers = np.random.default_rng(1)
    logits = numbers.normal(size=(2, 3, 4, 4))
    masks = numbers.integers(0, 3, (2, 4, 4))
    masks[0, :2] = 255
    total, count = 0.0, 0
    for n, y, x in np.ndindex(2, 4, 4):
        if masks[n, y, x] != 255:
            e = np.exp(logits[n, :, y, x])
            total -= np.log(e[masks[n, y, x]] / e.sum())
            count += 1
    value = mask_cross_entropy(torch.from_numpy(logits), torch.from_numpy(masks), 255)
    assert value.item() == pytest.approx(total / count)
    nothing = torch.full((2, 4, 4), 255)
    assert mask_cross_entropy(torch.from_numpy(logits), nothing, 255).item() == 0


def test_one_hot_masks():
    masks = torch.tensor([[[0, 2], [255, 1]]], dtype=torch.uint8)
    found = one_hot_masks(masks, 3)
    assert found.shape == (1, 3, 2, 2)
    assert found[0, :, 0, 1].tolist() == [0, 0, 1]
    assert found[0, :, 1, 0].tolist() == [0, 0, 0], 'no class, so no channel'
    assert found.sum() == 3
