import copy

import pytest
import torch
from mmagic.registry import MODELS
from torch import nn
from torch.nn.utils import parametrizations, parametrize, spectral_norm

from cellgan_plugin.models import CellGANGenerator
from cellgan_plugin.models.fusing import fuse_for_sampling
from cellgan_plugin.models.layers import sn_conv, sn_linear, with_spectral_norm
from cellgan_plugin.models.layers.fuse import fuse_spectral_norm
from cellgan_plugin.randomness import generator_for


def normal(*shape, purpose='x'):
    return torch.randn(shape, generator=generator_for(0, purpose))


def mmagic_layer(kind, *arguments):
    from mmagic.models.editors.biggan import biggan_snmodule

    return getattr(biggan_snmodule, kind)(*arguments)


IMAGE, VECTOR = (2, 4, 6, 6), (2, 5)
LAYERS = {
    'our conv': (lambda: sn_conv(4, 7, 3), IMAGE, 1),
    'our linear': (lambda: sn_linear(5, 9), VECTOR, 1),
    'our transposed conv': (
        lambda: with_spectral_norm(nn.ConvTranspose2d(4, 3, 4, bias=False)),
        IMAGE,
        1,
    ),
    'torch parametrization': (
        lambda: parametrizations.spectral_norm(nn.Conv2d(4, 7, 3)),
        IMAGE,
        1,
    ),
    'torch hook': (lambda: spectral_norm(nn.Conv2d(4, 7, 3)), IMAGE, 1),
    'MMagic conv': (lambda: mmagic_layer('SNConv2d', 4, 7, 3), IMAGE, 1),
    'MMagic linear': (lambda: mmagic_layer('SNLinear', 5, 9), VECTOR, 1),
    'plain': (lambda: nn.Conv2d(4, 7, 3), IMAGE, 0),
}


@pytest.mark.parametrize('kind', LAYERS)
def test_fused_layers_compute_the_same_and_are_plain(kind):
    build, shape, number = LAYERS[kind]
    layer = build().train()
    x = normal(*shape)
    for _ in range(3):  # vectors of a layer that has been trained a little
        layer(x)
    layer.eval()
    with torch.no_grad():
        expected = layer(x)
    assert fuse_spectral_norm(layer) == number
    found = layer(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert type(layer).__module__.startswith('torch.nn.modules')
    assert not parametrize.is_parametrized(layer)
    assert set(layer.state_dict()) <= {'weight', 'bias'}
    layer.train()
    torch.testing.assert_close(layer(x), found, rtol=0, atol=0)  # no power iteration left
    assert fuse_spectral_norm(layer) == 0


def test_a_copy_is_folded_without_touching_the_original():
    # MMagic's moving average is a deep copy, and copies share the class that torch made.
    original = nn.Sequential(sn_conv(4, 7, 3), sn_conv(7, 2, 1)).eval()
    twin = copy.deepcopy(original)
    x = normal(*IMAGE)
    with torch.no_grad():
        expected = original(x)
    assert fuse_spectral_norm(twin) == 2
    assert torch.equal(original(x).detach(), expected)
    torch.testing.assert_close(twin(x), expected, rtol=0, atol=1e-6)
    assert fuse_spectral_norm(original) == 2
    torch.testing.assert_close(original(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('count', [1, 3])
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(sgc_fusion='modulate'),
        dict(skip_type='sle', out_size=64),
        dict(skip_type=None, out_channels=1, mapping_depth=0),
    ],
)
def test_fused_cellgan_makes_the_same_images(options, count):
    network = CellGANGenerator(**{'out_size': 128, 'base_channels': 2, 'init_gain': 1.0, **options})
    network.train()(normal(2, 128), label=torch.tensor([0, 1]))
    network.eval().double()
    noise, label = normal(count, 128).double(), torch.arange(count)
    with torch.no_grad():
        expected = network(noise, label=label)
    fused = fuse_for_sampling(copy.deepcopy(network))
    found = fused(noise, label=label)
    left = [size for size, block in fused.up_blocks.items() if hasattr(block.conv, 'merged')]
    assert left == ['8']  # there the weights would take longer than the map
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    single = fuse_for_sampling(network.float())(noise.float(), label=label)
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=2e-5)
    assert not any(p.requires_grad for p in fused.parameters())


@pytest.mark.parametrize('style', ['torch', 'ajbrock'])
def test_fused_biggan_makes_the_same_images(mmagic_scope, style):
    config = dict(
        type='BigGANGenerator',
        output_scale=32,
        noise_size=20,
        num_classes=3,
        base_channels=4,
        sn_style=style,
        auto_sync_bn=False,
    )
    network = MODELS.build(config)
    noise, label = normal(4, 20), torch.tensor([0, 1, 2, 1])
    network.train()(noise, label=label)
    network.eval()
    statistics = {k: v.clone() for k, v in network.named_buffers() if 'running' in k}
    with torch.no_grad():
        expected = network(noise, label=label)
    fuse_for_sampling(network)
    found = network(noise, label=label)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert not any(key.endswith(('_u', '_orig', '.u0')) for key in network.state_dict())
    buffers = dict(network.named_buffers())
    assert statistics and all(torch.equal(buffers[k], v) for k, v in statistics.items())
