import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from cellgan_plugin.models import CellGANDiscriminator, CellGANGenerator
from cellgan_plugin.models.layers import SpectralNorm, sn_conv, sn_linear, with_spectral_norm
from cellgan_plugin.randomness import generator_for

LAYERS = {
    'linear': lambda: sn_linear(6, 9),
    'linear without bias': lambda: sn_linear(5, 3, bias=False),
    'conv 3x3': lambda: sn_conv(4, 7, 3),
    'conv 3x3 stride 2': lambda: sn_conv(4, 7, 3, stride=2),
    'conv 1x1 to one channel': lambda: sn_conv(8, 1, 1),
    'transposed conv': lambda: with_spectral_norm(nn.ConvTranspose2d(6, 5, 4, bias=False)),
}


def matrix_of(layer, weight):
    dim = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    return weight.movedim(dim, 0).flatten(1)


def norm_of(layer):
    return layer.parametrizations.weight[0]


@pytest.mark.parametrize('kind', LAYERS)
def test_estimate_converges_to_the_largest_singular_value(kind):
    layer = LAYERS[kind]().train()
    for _ in range(300):
        weight = layer.weight
    largest = torch.linalg.matrix_norm(matrix_of(layer, weight.detach()), ord=2)
    torch.testing.assert_close(largest, torch.tensor(1.0), rtol=1e-3, atol=0)


@pytest.mark.parametrize('kind', LAYERS)
@pytest.mark.parametrize('training', [True, False])
def test_equal_to_torch_with_the_same_vectors(kind, training):
    ours = LAYERS[kind]()
    dim = 1 if isinstance(ours, nn.ConvTranspose2d) else 0
    eps = norm_of(ours).eps
    arguments = dict(bias=ours.bias is not None)
    if isinstance(ours, nn.Linear):
        theirs = nn.Linear(ours.in_features, ours.out_features, **arguments)
    else:
        kind = nn.ConvTranspose2d if dim == 1 else nn.Conv2d
        theirs = kind(ours.in_channels, ours.out_channels, ours.kernel_size, **arguments)
    spectral_norm(theirs, eps=eps, dim=dim)
    theirs.parametrizations.weight.original.data.copy_(ours.parametrizations.weight.original)
    norm_of(theirs)._u.copy_(norm_of(ours).u)
    norm_of(theirs)._v.copy_(norm_of(ours).v)
    ours.train(training), theirs.train(training)
    for _ in range(3):
        weights = ours.weight, theirs.weight
        torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-7)
    for layer, weight in zip((ours, theirs), weights, strict=True):
        weight.square().sum().backward()
        layer.gradient = layer.parametrizations.weight.original.grad
    torch.testing.assert_close(ours.gradient, theirs.gradient, rtol=1e-3, atol=1e-3)


def test_evaluation_leaves_the_vectors_and_training_moves_them():
    layer = sn_conv(4, 7, 3)
    with torch.no_grad():
        layer.parametrizations.weight.original.normal_(generator=generator_for(0, 'weight'))
    before = {k: v.clone() for k, v in layer.named_buffers()}
    layer.eval()
    first, second = layer.weight, layer.weight
    assert torch.equal(first, second)
    assert all(torch.equal(before[k], v) for k, v in layer.named_buffers())
    layer.train()
    assert not torch.equal(layer.weight, first)
    assert not any(torch.equal(before[k], v) for k, v in layer.named_buffers())


def test_two_forwards_before_one_backward():
    layer = sn_conv(2, 3, 3).train()
    x = torch.randn(1, 2, 5, 5, generator=generator_for(0, 'x'))
    (layer(x).sum() + layer(x).sum()).backward()
    assert layer.parametrizations.weight.original.grad.isfinite().all()


@pytest.mark.parametrize('training', [True, False])
def test_float32_under_autocast(training):
    layers = [sn_linear(64, 64, bias=False) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    for layer in layers:
        layer.train(training)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        under = layers[0].weight
        assert layers[0](torch.ones(1, 64)).dtype == torch.bfloat16
    assert under.dtype == norm_of(layers[0]).u.dtype == torch.float32
    assert torch.equal(under, layers[1].weight)


def test_scale_of_the_weight_does_not_matter():
    weight = torch.randn(5, 4, generator=generator_for(0, 'w'))
    norm = SpectralNorm(weight).eval()
    torch.testing.assert_close(norm(weight), norm(7.0 * weight))


def test_a_new_layer_starts_from_the_largest_singular_value():
    # Singular values 1, 0.8, 0.8, ...: 15 iterations leave 0.8 ** 60 = 2e-6 of the others' share.
    turn, _ = torch.linalg.qr(torch.randn(16, 16, generator=generator_for(0, 'turn')))
    weight = turn @ torch.diag(torch.tensor([1.0] + [0.8] * 15)) @ turn.T
    for seed in range(5):
        torch.manual_seed(seed)
        first = SpectralNorm(weight).eval()(weight)
        torch.testing.assert_close(first, weight, rtol=0, atol=1e-3)


def test_initialisation():
    for net in (CellGANGenerator(32, base_channels=1), CellGANDiscriminator(32, base_channels=16)):
        for name, layer in net.named_modules():
            if not hasattr(layer, 'parametrizations'):
                continue
            original = layer.parametrizations.weight.original
            if original.numel() > 10000:
                fans = torch.nn.init._calculate_fan_in_and_fan_out(original)
                xavier = (2 / sum(fans)) ** 0.5
                assert original.std().item() == pytest.approx(0.02 * xavier, rel=0.05), name
            assert layer.bias is None or torch.count_nonzero(layer.bias) == 0


@pytest.mark.parametrize('kernel, stride, expected', [(1, 1, 8), (3, 1, 8), (3, 2, 4)])
def test_padding_keeps_the_size(kernel, stride, expected):
    layer = sn_conv(2, 3, kernel, stride)
    x = torch.randn(1, 2, 8, 8, generator=generator_for(0, 'x'))
    assert layer.bias is None
    assert layer(x).shape == (1, 3, expected, expected)
    torch.testing.assert_close(
        layer.eval()(x), F.conv2d(x, layer.weight, None, stride, kernel // 2)
    )
