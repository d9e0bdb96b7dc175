import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from cellgan_plugin.models import HistoGAN, HistoGANGenerator
from cellgan_plugin.models.cellgan import CellGAN
from cellgan_plugin.synthesis.attention import (
    AttentionMaps,
    attention_maps,
    draw_attention,
    overlay,
    received_attention,
)


def model(**kwargs):
    init_default_scope('mmagic')
    torch.manual_seed(0)
    net = HistoGAN(HistoGANGenerator((64, 32), 2, 3, 8, base_channels=4, **kwargs))
    with torch.no_grad():
        net.generator.first.attention.gamma.fill_(0.25)
    return net


def test_received_attention_is_in_equal_shares():
    alpha = torch.zeros(2, 6, 6)  # a map of 2x3
    alpha[0] = 1 / 6
    alpha[1, :, 4] = 1.0  # everybody looks at the middle of the lower row
    found = received_attention(alpha, 2, 3)
    torch.testing.assert_close(found[0], torch.ones(2, 3))
    assert found[1].tolist() == [[0, 0, 0], [0, 6, 0]]
    pooled = received_attention(torch.full((1, 32, 8), 1 / 8), 4, 8)
    torch.testing.assert_close(pooled, torch.ones(1, 2, 4))


@pytest.mark.parametrize('pool', [1, 2])
def test_maps_belong_to_label_and_seed_alone(pool):
    net = model(attention_pool=pool).train()
    maps = attention_maps(net, [0, 0, 2], [5, 6, 5])
    assert net.training and maps.gamma == 0.25
    assert maps.images.shape == (3, 64, 32, 3) and maps.images.dtype == np.uint8
    assert maps.attention.shape == (3, 32 // pool, 16 // pool)
    np.testing.assert_allclose(maps.attention.mean(axis=(1, 2)), 1, rtol=1e-5)
    alone = attention_maps(net, [2], [5], batch_size=1)
    np.testing.assert_allclose(alone.attention[0], maps.attention[2], rtol=1e-4)
    assert not np.array_equal(maps.attention[0], maps.attention[2])


def test_an_overlay_shows_where_the_map_is_high():
    image = np.full((8, 4, 3), 100, np.uint8)
    attention = np.zeros((2, 1), np.float32)
    attention[1] = 3.0
    found = overlay(image, attention)
    assert found.shape == image.shape and found.dtype == np.uint8
    red, blue = found[..., 0].astype(int), found[..., 2].astype(int)
    assert (red[-1] > blue[-1]).all() and (red[0] < blue[0]).all()
    # Equal shares are of the middle colour, not of the highest.
    equal = overlay(image, np.ones((2, 1), np.float32))[0, 0].astype(int)
    assert equal[1] > equal[0] and equal[1] > equal[2]


def test_two_rows_per_class_and_a_column_per_seed():
    maps = AttentionMaps(
        np.zeros((4, 64, 32, 3), np.uint8),
        np.ones((4, 8, 4), np.float32),
        np.array([2, 2, 0, 0]),
        np.array([7, 8, 7, 8]),
        0.1,
    )
    sheet = draw_attention(maps, ['a', 'b', 'c'])
    assert sheet.shape[0] > 4 * 64 and sheet.shape[1] > 2 * 32


def test_a_model_without_attention_is_named():
    init_default_scope('mmagic')
    net = CellGAN(
        generator=dict(type='CellGANGenerator', out_size=32, base_channels=1),
        noise_size=8,
        num_classes=3,
    )
    with pytest.raises(ValueError, match='CellGANGenerator shows no attention map'):
        attention_maps(net, [0], [0])
