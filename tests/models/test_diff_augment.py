import pytest
import torch

from cellgan_plugin.models import DiffAugment
from cellgan_plugin.models.losses.diff_augment import adjust_color, cutout, translate
from cellgan_plugin.randomness import generator_for

POLICIES = [(), ('color',), ('translation',), ('cutout',), ('color', 'translation', 'cutout')]


def pictures(n=4, c=3, h=16, w=16):
    return torch.rand(n, c, h, w, generator=generator_for(0, 'img')) * 2 - 1


def numbers(n, k, purpose='numbers'):
    return torch.rand(n, k, generator=generator_for(0, purpose))


def test_middle_numbers_change_no_color():
    img = pictures()
    torch.testing.assert_close(adjust_color(img, torch.full((4, 3), 0.5)), img)


@pytest.mark.parametrize('channels', [1, 3])
def test_color_against_a_loop(channels):
    img, drawn = pictures(c=channels), numbers(4, 3)
    expected = img.clone()
    for i in range(4):
        brightness, saturation, contrast = drawn[i].tolist()
        one = img[i] + brightness - 0.5
        for row in range(16):
            for column in range(16):
                grey = one[:, row, column].mean()
                one[:, row, column] = grey + 2 * saturation * (one[:, row, column] - grey)
        expected[i] = one.mean() + (contrast + 0.5) * (one - one.mean())
    torch.testing.assert_close(adjust_color(img, drawn), expected)


@pytest.mark.parametrize('height, width', [(16, 16), (8, 24)])
@pytest.mark.parametrize('ratio', [0.125, 0.4])
def test_translation_against_a_loop(height, width, ratio):
    img, drawn = pictures(6, 3, height, width), numbers(6, 2)
    drawn[0], drawn[1] = 0.0, 1 - 1e-6
    reach = [int(height * ratio + 0.5), int(width * ratio + 0.5)]
    expected = torch.zeros_like(img)
    shifts = set()
    for i in range(6):
        down, right = (
            int(x * (2 * r + 1)) - r for x, r in zip(drawn[i].tolist(), reach, strict=True)
        )
        shifts.add((down, right))
        for row in range(height):
            for column in range(width):
                if 0 <= row + down < height and 0 <= column + right < width:
                    expected[i, :, row, column] = img[i, :, row + down, column + right]
    assert (-reach[0], -reach[1]) in shifts and (reach[0], reach[1]) in shifts
    assert torch.equal(translate(img, drawn, ratio), expected)


@pytest.mark.parametrize('height, width', [(16, 16), (9, 12)])
@pytest.mark.parametrize('ratio', [0.5, 0.25])
def test_cutout_against_a_loop(height, width, ratio):
    img, drawn = pictures(6, 3, height, width), numbers(6, 2)
    drawn[0], drawn[1] = 0.0, 1 - 1e-6
    expected = img.clone()
    for i in range(6):
        spans = []
        for length, number in zip((height, width), drawn[i].tolist(), strict=True):
            side = int(length * ratio + 0.5)
            centre = int(number * (length + 1 - side % 2))
            spans.append(range(centre - side // 2, centre - side // 2 + side))
        for row in range(height):
            for column in range(width):
                if row in spans[0] and column in spans[1]:
                    expected[i, :, row, column] = 0
    assert torch.equal(cutout(img, drawn, ratio), expected)


@pytest.mark.parametrize('policy', POLICIES, ids=str)
def test_each_image_has_its_own_numbers(policy):
    augment = DiffAugment(policy)
    img, drawn = pictures(), numbers(4, augment.num_numbers)
    together = augment(img, drawn)
    assert together.shape == img.shape
    assert torch.equal(together, augment(img, drawn))
    for i in range(4):
        alone = augment(img[i : i + 1], drawn[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)
    if policy:
        other = augment(img, numbers(4, augment.num_numbers, 'others'))
        assert (together != other).flatten(1).any(dim=1).all()


@pytest.mark.parametrize('policy', POLICIES, ids=str)
def test_gradient_flows(policy):
    augment = DiffAugment(policy)
    img = pictures(2, 3, 6, 6).double().requires_grad_()
    drawn = numbers(2, augment.num_numbers).double()
    assert torch.autograd.gradcheck(lambda x: augment(x, drawn), (img,))
    (gradient,) = torch.autograd.grad(augment(img, drawn).square().sum(), img)
    assert (gradient != 0).flatten(1).any(dim=1).all()


@pytest.mark.parametrize('policy', ['color', ['colour'], ['color', None]])
def test_unknown_policy_is_named(policy):
    with pytest.raises(ValueError, match='^policy'):
        DiffAugment(policy)


def test_numbers_needed():
    assert [DiffAugment(p).num_numbers for p in POLICIES] == [0, 3, 2, 2, 7]
