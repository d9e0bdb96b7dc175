import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils import parametrize

from cellgan_plugin.models import CellGANDiscriminator, CellGANGlobalDiscriminator
from cellgan_plugin.models.layers import MinibatchDeviation
from cellgan_plugin.randomness import generator_for


def build(kind=CellGANGlobalDiscriminator, **kwargs):
    torch.manual_seed(0)
    return kind(**{**dict(in_size=32, base_channels=2, decoder_channels=None), **kwargs})


def numbers(*shape):
    return torch.randn(shape, generator=generator_for(0, 'x'))


@pytest.mark.parametrize('count, group', [(1, 1), (2, 2), (4, 4), (6, 3), (7, 1), (8, 4)])
def test_deviation_against_loops(count, group):
    x = numbers(count, 3, 2, 5).double()
    out = MinibatchDeviation(4)(x)
    torch.testing.assert_close(out[:, :3], x)
    for i in range(count):
        members = x[i % (count // group) :: count // group]
        assert len(members) == group
        expected = (members.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(out[i, 3], expected.expand(2, 5))


def test_deviation_of_equal_images_is_almost_nothing():
    out = MinibatchDeviation(4)(numbers(1, 3, 2, 2).expand(4, 3, 2, 2))
    assert out[:, 3].max() < 1e-3
    with pytest.raises(ValueError, match='^group_size'):
        MinibatchDeviation(0)


@pytest.mark.parametrize('spectral_norm', [True, False])
@pytest.mark.parametrize('size', [32, 64])
def test_forward_and_backward(spectral_norm, size):
    net = build(in_size=size, spectral_norm=spectral_norm)
    logits = net(numbers(4, 3, size, size), torch.arange(4))
    assert logits.shape == (4, 2, 8, 8)
    whole = logits[:, 1]
    torch.testing.assert_close(whole, whole[:, :1, :1].expand_as(whole))
    logits.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_patch_logits_are_those_of_the_plain_discriminator():
    net, plain = build().eval(), build(CellGANDiscriminator).eval()
    state = {k: v for k, v in net.state_dict().items() if not k.startswith('global_head.')}
    plain.load_state_dict(state)
    img, label = numbers(3, 3, 32, 32), torch.tensor([0, 4, 2])
    torch.testing.assert_close(net(img, label)[:, :1], plain(img, label))


def test_class_and_other_images_change_the_global_logit():
    net = build().eval()
    img = numbers(4, 3, 32, 32)
    first = net(img, torch.tensor([0, 1, 2, 3]))[:, 1, 0, 0]
    other_class = net(img, torch.tensor([4, 1, 2, 3]))[:, 1, 0, 0]
    assert first[0] != other_class[0] and torch.equal(first[1:], other_class[1:])
    other_image = net(torch.cat([-img[:1], img[1:]]), torch.tensor([0, 1, 2, 3]))
    assert (first[1:] != other_image[1:, 1, 0, 0]).all()
    assert torch.equal(net(img, torch.tensor([0, 1, 2, 3]))[1:, 0], other_image[1:, 0])


def test_plain_layers_keep_the_size_of_a_signal():
    net = build(in_size=64, base_channels=8, spectral_norm=False)
    assert not any(parametrize.is_parametrized(module) for module in net.modules())
    with torch.no_grad():
        before = numbers(8, 32, 32, 32)
        # He et al. 2015: LeakyReLU and convolution together leave the variance as it is.
        after = net.down_blocks['32'].conv1(F.leaky_relu(before, 0.2))
        assert 0.7 < after.square().mean() / before.square().mean() < 1.3
        logits = net(numbers(8, 3, 64, 64), torch.arange(8) % 5)
    assert 0.1 < logits.std() < 10


@pytest.mark.parametrize('kwargs', [dict(head='global'), dict(group_size=0), dict(init_gain=0)])
def test_wrong_argument_is_named(kwargs):
    with pytest.raises(ValueError, match=f'^{next(iter(kwargs))}'):
        build(**kwargs)
