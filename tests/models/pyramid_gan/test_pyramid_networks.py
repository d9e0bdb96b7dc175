import copy

import pytest
import torch
import torch.nn.functional as F

from cellgan_plugin.models import MaskUNetGenerator, PyramidDiscriminator, PyramidGenerator


def generator(**kwargs):
    torch.manual_seed(0)
    return PyramidGenerator(**{**dict(num_classes=3, base_channels=4, num_blocks=1), **kwargs})


def test_residual_of_eq_1():
    network = generator()
    mask, noise, coarser = (
        torch.rand(2, 3, 16, 16),
        torch.randn(2, 3, 16, 16),
        torch.rand(2, 3, 16, 16),
    )
    x = torch.cat([mask, noise + coarser], dim=1)
    for stage in network.stages:
        x = stage(x)
    expected = coarser + torch.tanh(network.last(x))
    assert torch.equal(network(mask, noise, coarser), expected)
    coarsest = network(mask, noise)
    assert coarsest.abs().max() <= 1 and coarsest.shape == (2, 3, 16, 16)


def test_a_generator_that_begins_as_identity_gives_the_coarser_image_and_learns():
    network = generator()
    network.begin_as_identity()
    mask, noise, coarser = (
        torch.rand(1, 3, 16, 16),
        torch.randn(1, 3, 16, 16),
        torch.rand(1, 3, 16, 16),
    )
    image = network(mask, noise, coarser)
    assert torch.equal(image, coarser)
    image.sum().backward()
    assert network.last.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('part', ['generator', 'discriminator'])
def test_checkpointing_changes_no_gradient(part):
    if part == 'generator':
        plain = generator()
        inputs = torch.rand(1, 3, 16, 16), torch.randn(1, 3, 16, 16), None
    else:
        plain = PyramidDiscriminator(3, base_channels=4, num_layers=2)
        inputs = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    saving = copy.deepcopy(plain)
    saving.checkpoint = True
    for network in (plain, saving):
        out = network(*inputs)
        out = out if part == 'generator' else sum(stages[-1].mean() for stages in out)
        out.square().mean().backward()
    for (name, a), b in zip(plain.named_parameters(), saving.named_parameters(), strict=True):
        assert torch.equal(a.grad, b[1].grad), name


def test_the_discriminators_see_the_pair_at_factors_1_2_4():
    network = PyramidDiscriminator(2, base_channels=4, num_layers=2, num_discriminators=3)
    img, mask = torch.rand(2, 3, 32, 32), torch.rand(2, 2, 32, 32)
    maps = network(img, mask)
    assert [len(stages) for stages in maps] == [4, 4, 4]
    pair = torch.cat([img, mask], dim=1)
    for stages, discriminator in zip(maps, network.discriminators, strict=True):
        x = pair
        for stage in discriminator:
            x = stage(x)
        assert torch.equal(stages[-1], x)
        pair = F.avg_pool2d(pair, 3, 2, padding=1, count_include_pad=False)
    shapes = [tuple(p.shape) for p in network.discriminators[0].parameters()]
    for other in network.discriminators[1:]:
        assert [tuple(p.shape) for p in other.parameters()] == shapes


def test_the_factors_take_images_as_small_as_the_phantoms():
    network = PyramidDiscriminator(2, base_channels=4)
    assert len(network(torch.rand(1, 3, 16, 16), torch.rand(1, 2, 16, 16))) == 3


def test_pix2pix_is_mmagics_unet(mmagic_scope):
    network = MaskUNetGenerator(2, num_down=5, base_channels=4)
    assert type(network.unet).__name__ == 'UnetGenerator'
    mask, noise = torch.rand(2, 2, 32, 32), torch.randn(2, 3, 32, 32)
    assert network(mask, noise).shape == (2, 3, 32, 32)
    with pytest.raises(ValueError, match='one scale'):
        network(mask, noise, torch.rand(2, 3, 32, 32))
