import math

import pytest
import torch
from mmengine.registry import init_default_scope

from cellgan_plugin.models import draw_noise, sample_pixels, truncate_noise
from cellgan_plugin.models.cellgan import CellGAN


def cellgan(**kwargs):
    init_default_scope('mmagic')
    torch.manual_seed(0)
    return CellGAN(
        generator=dict(type='CellGANGenerator', out_size=32, base_channels=1, num_classes=3),
        noise_size=128,
        num_classes=3,
        **kwargs,
    )


def mmagic_biggan(data_preprocessor):
    from mmagic.models.editors.biggan import BigGAN

    init_default_scope('mmagic')
    torch.manual_seed(0)
    return BigGAN(
        generator=dict(
            type='BigGANGenerator', output_scale=32, noise_size=12, num_classes=3, base_channels=4
        ),
        noise_size=12,
        num_classes=3,
        data_preprocessor=data_preprocessor,
    )


def test_a_row_of_noise_depends_on_its_own_indices_only():
    rows = [(0, 0), (0, 1), (2, 7)]
    noise = draw_noise(16, 3, 'evaluate', rows)
    assert noise.shape == (3, 16)
    assert torch.equal(draw_noise(16, 3, 'evaluate', rows[::-1]), noise.flip(0))
    assert torch.equal(draw_noise(16, 3, 'evaluate', rows[2:]), noise[2:])
    for other in (draw_noise(16, 4, 'evaluate', rows), draw_noise(16, 3, 'synthesize', rows)):
        assert not torch.isclose(other, noise).any()
    assert draw_noise(16, 0, 'x', []).shape == (0, 16)


def test_truncated_noise_has_the_truncated_normal_distribution():
    threshold = 0.8
    noise = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    found = truncate_noise(noise, threshold)
    assert found.abs().max() <= threshold
    assert (found[noise.argsort()].diff() >= 0).all()
    # Variance of N(0, 1) truncated to [-a, a]: 1 - 2 a phi(a) / (2 Phi(a) - 1).
    density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * threshold * density / math.erf(threshold / math.sqrt(2))
    assert found.var().item() == pytest.approx(variance, rel=0.01)
    assert found.mean().item() == pytest.approx(0, abs=0.005)


def test_a_wide_truncation_changes_nothing_and_extremes_stay_finite():
    noise = torch.tensor([-30.0, -5.5, -1.0, 0.0, 0.3, 5.5, 30.0])
    assert torch.allclose(truncate_noise(noise[1:6], 20.0), noise[1:6], atol=1e-6)
    tight = truncate_noise(noise, 0.5)
    assert torch.isfinite(tight).all() and tight[0] == -0.5 and tight[-1] == 0.5


@pytest.mark.parametrize('threshold', [0, -1.0, float('nan')])
def test_a_truncation_that_is_not_positive_is_refused(threshold):
    with pytest.raises(ValueError, match='must be positive'):
        truncate_noise(torch.zeros(1), threshold)


def test_pixels_are_the_rgb_image_rounded_and_the_mode_is_left_alone():
    model = cellgan().train()
    noise, labels = draw_noise(128, 0, 'x', [(0,), (1,)]), torch.tensor([2, 0])
    pixels = sample_pixels(model, noise, labels)
    assert model.training and pixels.dtype == torch.uint8 and pixels.shape == (2, 3, 32, 32)
    model.eval()
    with torch.no_grad():
        images = model.generator(noise, label=labels)
    assert torch.equal(pixels, ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
    assert torch.equal(sample_pixels(model, noise, torch.eye(3)[labels]), pixels)


@pytest.mark.parametrize(
    'preprocessor',
    [
        dict(type='CellDataPreprocessor'),
        dict(type='DataPreprocessor'),
        dict(type='DataPreprocessor', output_channel_order='RGB'),
    ],
)
def test_mmagics_own_gan_gives_rgb_by_whatever_preprocessor(preprocessor):
    model = mmagic_biggan(preprocessor)
    noise, labels = draw_noise(12, 0, 'x', [(0,), (1,)]), torch.tensor([2, 0])
    model.eval()
    with torch.no_grad():
        images = model.generator(noise, label=labels)
    expected = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    assert (sample_pixels(model, noise, labels).int() - expected.int()).abs().max() <= 1


def test_a_diverged_generator_is_an_error():
    model = cellgan()
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.fill_(float('nan'))
    with pytest.raises(FloatingPointError, match='diverged'):
        sample_pixels(model, torch.zeros(1, 128), torch.tensor([0]))
