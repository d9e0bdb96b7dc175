import time

import numpy as np
import pytest
from cell_images import pixels

from cellgan_plugin.datasets import FitCellPatch, PackCellInputs, RandomCellFlip
from cellgan_plugin.datasets.transforms import RandomCellColorJitter


def fit(image, **kwargs):
    return FitCellPatch(**kwargs)(dict(img=image, img_path='x.png'))['img']


def test_right_size_is_left_alone():
    image = pixels(0, 32)
    for policy in ('resize', 'crop'):
        np.testing.assert_array_equal(fit(image, out_size=32, policy=policy), image)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('shape', [(16, 16), (64, 64), (33, 70), (70, 33), (31, 20), (257, 32)])
def test_resize_gives_the_size_for_every_shape(shape, channels):
    image = np.zeros((*shape, channels), np.uint8)
    assert fit(image, out_size=32).shape == (32, 32, channels)


def test_resize_averages_down_and_keeps_proportions():
    image = np.zeros((64, 128, 3), np.uint8)
    image[::2] = 200
    out = fit(image, out_size=32)
    np.testing.assert_array_equal(out, 100)
    image = np.zeros((64, 128, 3), np.uint8)
    image[:, 32:96] = 255  # the centre square
    np.testing.assert_array_equal(fit(image, out_size=32), 255)


def test_crop_takes_the_centre():
    image = pixels(1, 40)
    np.testing.assert_array_equal(fit(image, out_size=32, policy='crop'), image[4:36, 4:36])
    with pytest.raises(ValueError, match='x.png: is 40x40, smaller than the crop of 48x48'):
        fit(image, out_size=48, policy='crop')


@pytest.mark.parametrize('shape', [(64, 32), (128, 64), (32, 32), (100, 20), (31, 200)])
def test_height_and_width_of_their_own(shape):
    image = np.zeros((*shape, 3), np.uint8)
    assert fit(image, out_size=(64, 32)).shape == (64, 32, 3)
    assert FitCellPatch((64, 32)).output_shape(*shape) == (64, 32)


def test_a_tall_size_keeps_proportions_and_the_centre():
    image = np.zeros((128, 128, 3), np.uint8)
    image[:, 32:96] = 255  # the centre of twice the size
    np.testing.assert_array_equal(fit(image, out_size=(64, 32)), 255)
    image = pixels(1, 40)
    np.testing.assert_array_equal(fit(image, out_size=[32, 16], policy='crop'), image[4:36, 12:28])
    with pytest.raises(ValueError, match='x.png: is 40x40, smaller than the crop of 16x48'):
        fit(image, out_size=(48, 16), policy='crop')


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(out_size=0),
        dict(out_size=(8, 0)),
        dict(out_size=(8, 8, 8)),
        dict(out_size=(8, 4.5)),
        dict(out_size='8'),
        dict(out_size=8, policy='stretch'),
    ],
    ids=str,
)
def test_fit_arguments(kwargs):
    with pytest.raises(ValueError, match='FitCellPatch'):
        FitCellPatch(**kwargs)


def flipped(position, **kwargs):
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    out = RandomCellFlip(**kwargs)(dict(img=image, sample_position=position))['img']
    return tuple(out.ravel().tolist())


def test_flips_are_fair_and_independent():
    count = 4000
    seen = [flipped(position) for position in range(count)]
    kinds = [(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)]
    counts = [seen.count(kind) for kind in kinds]
    assert sum(counts) == count
    # Five standard deviations of a binomial with p = 1/4.
    assert all(abs(n - count / 4) < 5 * np.sqrt(count * 3 / 16) for n in counts)


def test_flips_follow_seed_and_position_only():
    first = [flipped(position, seed=1) for position in range(64)]
    assert first == [flipped(position, seed=1) for position in range(64)]
    assert first != [flipped(position, seed=2) for position in range(64)]


def test_flips_follow_the_seed_of_the_run():
    def of_run(run_seed, **kwargs):
        image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
        flip = RandomCellFlip(**kwargs)
        samples = [dict(img=image, sample_position=p, sample_seed=run_seed) for p in range(64)]
        return [tuple(flip(sample)['img'].ravel().tolist()) for sample in samples]

    assert of_run(7) == [flipped(position, seed=7) for position in range(64)]
    assert of_run(7, seed=1) == [flipped(position, seed=1) for position in range(64)]
    assert of_run(0) == [flipped(position) for position in range(64)]


def test_flip_probabilities():
    assert {flipped(p, horizontal=0, vertical=0) for p in range(50)} == {(0, 1, 2, 3)}
    assert {flipped(p, horizontal=1, vertical=0) for p in range(50)} == {(1, 0, 3, 2)}
    assert {flipped(p, horizontal=0, vertical=1) for p in range(50)} == {(2, 3, 0, 1)}
    with pytest.raises(ValueError, match='vertical'):
        RandomCellFlip(vertical=1.5)


def test_flip_is_cheap():
    transform, image = RandomCellFlip(), pixels(0, 256)
    start = time.perf_counter()
    for position in range(2000):
        transform(dict(img=image, sample_position=position))
    assert (time.perf_counter() - start) / 2000 < 200e-6  # a few microseconds on a quiet core


def test_pack_copies_a_view():
    image = pixels(2, 8)[::-1, ::-1]
    packed = PackCellInputs()(dict(img=image, gt_label=2))
    np.testing.assert_array_equal(packed['inputs']['img'].permute(1, 2, 0).numpy(), image)
    assert packed['data_samples'].gt_label.label.tolist() == [2]


def jittered(image, position=0, **strength):
    none = dict.fromkeys(('brightness', 'contrast', 'saturation', 'hue'), 0)
    transform = RandomCellColorJitter(**{**none, **strength})
    return transform(dict(img=image, sample_position=position))['img']


def test_jitter_follows_seed_and_position_only_and_leaves_its_input_alone():
    image = pixels(0, 32)
    before = image.copy()
    strength = dict(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02)
    first = [jittered(image, position, **strength) for position in range(6)]
    again = [jittered(image, position, **strength) for position in range(5, -1, -1)][::-1]
    np.testing.assert_array_equal(first, again)
    assert all((a != b).any() for a, b in zip(first, first[1:], strict=False))
    other = [jittered(image, position, seed=1, **strength) for position in range(6)]
    assert (np.array(first) != np.array(other)).any()
    np.testing.assert_array_equal(image, before)
    assert first[0].dtype == np.uint8 and first[0].shape == image.shape
    np.testing.assert_array_equal(jittered(image), image)


def test_jitter_of_brightness_is_a_factor_within_its_bounds():
    image = np.full((4, 4, 3), 100, np.uint8)
    found = np.array([jittered(image, p, brightness=0.2).mean() for p in range(400)])
    assert 79 <= found.min() < 84 and 116 < found.max() <= 120
    # The mean of a uniform factor: five standard errors of 40 / sqrt(12).
    assert abs(found.mean() - 100) < 5 * 40 / np.sqrt(12 * 400) + 0.5  # whole grey levels


def test_jitter_of_grey_and_of_colour():
    grey = np.full((4, 4, 1), 100, np.uint8)
    assert jittered(grey, brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5).shape == (4, 4, 1)
    # Without colour, saturation and hue have nothing to change.
    flat = np.full((4, 4, 3), 100, np.uint8)
    np.testing.assert_array_equal(jittered(flat, saturation=0.9, hue=0.5), flat)


@pytest.mark.parametrize('strength', [dict(hue=0.6), dict(contrast=-0.1), dict(brightness=1.1)])
def test_jitter_arguments(strength):
    with pytest.raises(ValueError, match='must be in'):
        RandomCellColorJitter(**strength)
