import time

import numpy as np
import pytest
import torch
from cell_images import pixels

from cellgan_plugin.datasets import FitCellPatch, PackCellInputs, RandomCellFlip
from cellgan_plugin.datasets.transforms import PackTissueInputs


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


def test_small_images_are_enlarged_by_cubic_convolution():
    """Keys 1981, Eq. (4), with OpenCV's a = -0.75, at a distance x from four pixels."""

    def weight(x, a=-0.75):
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a

    row = np.array([40, 40, 40, 200, 60, 60, 60, 60])
    image = np.repeat(np.repeat(row[None, :, None], 8, 0), 3, 2).astype(np.uint8)
    expected = []
    for column in range(4, 12):  # where no border is in reach
        centre = (column + 0.5) / 2 - 0.5
        around = range(int(centre) - 1, int(centre) + 3)
        expected.append(sum(row[i] * weight(centre - i) for i in around))
    out = fit(image, out_size=16)
    assert np.ptp(out, axis=0).max() == 0
    np.testing.assert_allclose(out[0, 4:12, 0], expected, atol=1)  # rounded, in fixed point


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


@pytest.mark.parametrize('image', [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8)])
@pytest.mark.parametrize('pack', [PackCellInputs, PackTissueInputs])
def test_what_a_transform_has_made_of_an_image_is_checked(image, pack):
    with pytest.raises(
        ValueError, match=r"img'\] is .* of shape \(4, 4.*uint8 \(H, W, C\) expected"
    ):
        pack()(dict(img=image, gt_label=2))


def test_diagonal_flips_give_all_eight_views_alike():
    count = 4000
    seen = [flipped(position, diagonal=0.5) for position in range(count)]
    square = np.arange(4).reshape(2, 2)
    views = [np.rot90(view, turn) for view in (square, square.T) for turn in range(4)]
    counts = [seen.count(tuple(view.ravel().tolist())) for view in views]
    assert sum(counts) == count
    # Five standard deviations of a binomial with p = 1/8.
    assert all(abs(n - count / 8) < 5 * np.sqrt(count * 7 / 64) for n in counts)


def test_diagonal_leaves_the_other_two_flips_as_they_were():
    plain = [flipped(position) for position in range(64)]
    for position, expected in enumerate(plain):
        exchanged = tuple(np.reshape(expected, (2, 2)).T.ravel().tolist())
        assert flipped(position, diagonal=1) == exchanged


def test_a_batch_is_flipped_at_the_diagonal_as_its_images_are():
    flip = RandomCellFlip(diagonal=0.5)
    images = [pixels(number, 6) for number in range(16)]
    rows = dict(sample_seed=[3] * 16, sample_position=list(range(16)))
    batch = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
    out = flip.transform_batch(dict(img=batch, **rows))['img'].permute(0, 2, 3, 1).numpy()
    for position, image in enumerate(images):
        alone = flip(dict(img=image, sample_position=position, sample_seed=3))['img']
        np.testing.assert_array_equal(out[position], alone)


def test_diagonal_flips_are_for_squares():
    flip = RandomCellFlip(diagonal=1)
    with pytest.raises(ValueError, match='square.*4x6'):
        flip(dict(img=np.zeros((6, 4, 3), np.uint8), sample_position=0))
    batch = dict(img=torch.zeros(1, 3, 6, 4, dtype=torch.uint8), sample_seed=[0])
    with pytest.raises(ValueError, match='square.*4x6'):
        flip.transform_batch(dict(batch, sample_position=[0]))
    with pytest.raises(ValueError, match='diagonal'):
        RandomCellFlip(diagonal=-0.1)
