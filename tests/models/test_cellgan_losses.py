import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cellgan_plugin.models import (
    CellGANDiscriminator,
    HingeGANLoss,
    R1Penalty,
    ReconstructionLoss,
    RelativisticLoss,
)
from cellgan_plugin.randomness import generator_for


def numbers(*shape, purpose='x'):
    return torch.randn(shape, generator=generator_for(0, purpose), dtype=torch.float64)


@pytest.mark.parametrize('shape', [(1,), (4, 1), (2, 1, 8, 8)])
@pytest.mark.parametrize('spread', [0.1, 1.0, 5.0])
def test_hinge(shape, spread):
    real, fake = spread * numbers(*shape, purpose='real'), spread * numbers(*shape, purpose='fake')
    losses = HingeGANLoss().discriminator(real, fake)
    count = real.numel()
    assert losses['loss_disc_real'].item() == pytest.approx(
        sum(max(0.0, 1 - x) for x in real.flatten().tolist()) / count
    )
    assert losses['loss_disc_fake'].item() == pytest.approx(
        sum(max(0.0, 1 + x) for x in fake.flatten().tolist()) / count
    )
    assert HingeGANLoss().generator(fake).item() == pytest.approx(
        -sum(fake.flatten().tolist()) / count
    )


@pytest.mark.parametrize('shape', [(1,), (4, 1), (2, 2, 8, 8)])
def test_relativistic_pairs(shape):
    real, fake = numbers(*shape, purpose='real'), numbers(*shape, purpose='fake')
    pairs = list(zip(real.flatten().tolist(), fake.flatten().tolist(), strict=True))
    loss = RelativisticLoss()
    expected = sum(math.log1p(math.exp(f - r)) for r, f in pairs) / len(pairs)
    assert loss.discriminator(real, fake)['loss_disc'].item() == pytest.approx(expected)
    expected = sum(math.log1p(math.exp(r - f)) for r, f in pairs) / len(pairs)
    assert loss.generator(fake, real).item() == pytest.approx(expected)
    # What all logits have in common does not count.
    shifted = loss.discriminator(real + 7, fake + 7)['loss_disc']
    torch.testing.assert_close(shifted, loss.discriminator(real, fake)['loss_disc'])
    assert loss.generator(fake.bfloat16(), real.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize('offset', [(0, 0), (8, 8), (1, 6)])
@pytest.mark.parametrize('weight', [1.0, 0.3])
def test_reconstruction_against_loops(offset, weight):
    side = 32
    net = CellGANDiscriminator(in_size=side, base_channels=1, decoder_channels=(2,))
    img = numbers(2, 3, side, side, purpose='img')
    crop, half = numbers(2, 3, 16, 16, purpose='crop'), numbers(2, 3, 16, 16, purpose='half')
    rows, columns = net.crop_box(offset)
    loss = ReconstructionLoss(weight)(crop, half, img[:, :, rows, columns], img)
    of_crop = of_half = 0.0
    for row in range(16):
        for column in range(16):
            # a position of the 16x16 map is 2 pixels wide here
            target = img[:, :, 2 * offset[0] + row, 2 * offset[1] + column]
            of_crop += (crop[:, :, row, column] - target).abs().sum().item()
            of_half += (half[:, :, row, column] - img[:, :, 2 * row, 2 * column]).abs().sum().item()
    assert loss.item() == pytest.approx(weight * (of_crop + of_half) / crop.numel())


def test_losses_are_float32_from_half_precision():
    x = numbers(2, 3, 8, 8).bfloat16()
    assert HingeGANLoss().generator(x).dtype == torch.float32
    big = F.interpolate(x, scale_factor=2)
    assert ReconstructionLoss()(x, x, x, big).dtype == torch.float32


def test_r1_of_a_linear_map_in_closed_form():
    img, weight = numbers(3, 3, 4, 4, purpose='img'), numbers(3, 4, 4, purpose='w')
    penalty = R1Penalty(loss_weight=0.5)(lambda x: (x * weight).sum((1, 2, 3)), img)
    assert penalty.item() == pytest.approx(0.5 * weight.square().sum().item())


def test_r1_of_a_quadratic_map_in_closed_form():
    img = numbers(4, 1, 2, 2, purpose='img')
    penalty = R1Penalty(loss_weight=1.0)(lambda x: x.square().sum((1, 2, 3)) / 2, img)
    # gradient of |x|^2 / 2 is x itself
    assert penalty.item() == pytest.approx(img.square().sum().item() / 4)


@pytest.mark.parametrize('head', ['patch', 'global'])
def test_r1_against_one_gradient_per_image(head):
    torch.manual_seed(0)
    net = CellGANDiscriminator(32, base_channels=1, head=head, decoder_channels=None)
    net = net.eval().double()
    img, label = numbers(3, 3, 32, 32, purpose='img'), torch.tensor([0, 3, 1])
    penalty = R1Penalty(loss_weight=0.01)(lambda x: net(x, label), img)
    squares = []
    for i in range(3):
        gradient = torch.zeros(3, 32, 32, dtype=torch.float64)
        positions = net(img[i : i + 1], label[i : i + 1]).numel()
        for position in range(positions):
            x = img[i : i + 1].clone().requires_grad_()
            logit = net(x, label[i : i + 1]).flatten()[position]
            gradient += torch.autograd.grad(logit, x)[0][0]
        squares.append(gradient.square().sum().item())
    assert penalty.item() == pytest.approx(0.01 * sum(squares) / 3)


def test_gradient_of_r1_against_finite_differences():
    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    img = numbers(2, 1, 3, 3, purpose='img')

    def penalty(s):
        return R1Penalty(1.0)(lambda x: (s * x.square()).sum((1, 2, 3)).sin(), img)

    assert torch.autograd.gradcheck(penalty, (scale,))


def test_r1_is_float32_under_autocast():
    layer = nn.Conv2d(3, 4, 3, padding=1)
    img = numbers(2, 3, 8, 8).float()
    seen = []

    def logits(x):
        out = layer(x)
        seen.append(out.dtype)
        return out.square()

    plain = R1Penalty()(logits, img)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert layer(img).dtype == torch.bfloat16
        under = R1Penalty()(logits, img)
    assert seen == [torch.float32, torch.float32]
    assert torch.equal(plain, under)


def test_r1_leaves_the_images_alone():
    img = numbers(2, 1, 2, 2)
    before = img.clone()
    R1Penalty()(lambda x: x.square().sum((1, 2, 3)), img)
    assert torch.equal(img, before) and not img.requires_grad and img.grad is None
