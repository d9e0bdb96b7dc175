"""Stain augmentation and normalisation: closed forms, and what a stain is."""

import pickle

import cv2
import numpy as np
import pytest
from mmagic.registry import TRANSFORMS
from PIL import Image

from cellgan_plugin.datasets.transforms import NormalizeStain, RandomStain
from cellgan_plugin.datasets.transforms.stain_transforms import STAINS, is_stained, stain_matrix


def stained(amounts, stain='he'):
    """The pixel that amounts (h, w, 3) of three stains give; the reference of the arithmetic."""
    light = 256 * np.exp(-np.asarray(amounts, float) @ stain_matrix(stain)) - 1
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def tissue(seed=0, size=64, first=0.8, second=0.5):
    """Clumps of the first stain on a ground of the second."""
    rng = np.random.default_rng(seed)
    amounts = np.zeros((size, size, 3))
    amounts[..., 1] = second * rng.uniform(0.6, 1.2, (size, size))
    amounts[..., 0] = first * (rng.random((size // 8, size // 8)) < 0.3).repeat(8, 0).repeat(8, 1)
    return amounts


@pytest.mark.parametrize('stain', STAINS)
def test_factors_and_offsets_act_on_each_stain(stain):
    amounts = tissue() * (0.5, 0.5, 0) + (0.1, 0.1, 0.1)
    transform = RandomStain(stain)
    factors, offsets = (1.3, 0.8, 1.1), (0.05, -0.04, 0.02)
    made = transform.apply(stained(amounts, stain), factors, offsets)
    expected = stained(amounts * factors + offsets, stain)
    # Pixels are whole numbers before and after: one step of a dark pixel is some of its density.
    assert np.abs(made.astype(int) - expected).max() <= 3
    assert np.array_equal(transform.apply(made, (1, 1, 1), (0, 0, 0)), made)


def test_no_strength_changes_nothing_and_white_stays_white_without_offset():
    image = stained(tissue())
    results = dict(img=image, sample_position=3)
    assert np.array_equal(RandomStain(strength=0).transform(dict(results))['img'], image)
    white = dict(img=np.full((8, 8, 3), 255, np.uint8), sample_position=5)
    assert (RandomStain(strength=0.5, offset=0).transform(white)['img'] == 255).all()


def test_what_is_drawn_follows_from_seed_and_position():
    image = stained(tissue())

    def made(position, **options):
        results = dict(img=image, sample_position=position, sample_seed=1)
        return RandomStain(strength=0.2, **options).transform(results)['img']

    assert np.array_equal(made(1), made(1)) and not np.array_equal(made(1), made(2))
    assert not np.array_equal(made(1), made(1, seed=9))
    mean = np.mean([made(k).mean(axis=(0, 1)) for k in range(200)], axis=0)
    assert np.abs(mean - image.mean(axis=(0, 1))).max() < 6


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(stain='giemsa'), "stain 'giemsa': choose one of he, papanicolaou"),
        (dict(stain=[[1, 0, 0], [2, 0, 0], [0, 0, 1]]), 'not three different stains'),
        (dict(stain=[[1, 0, 0]]), 'expected three rows'),
        (dict(strength=2), r'strength must be in \[0, 1\]'),
        (dict(offset=-1), r'offset must be in \[0, 1\]'),
    ],
)
def test_bad_stains(options, message):
    with pytest.raises(ValueError, match=message):
        RandomStain(**options)


def test_grey_images_are_refused():
    with pytest.raises(ValueError, match='needs RGB images'):
        RandomStain().transform(dict(img=np.zeros((4, 4, 1), np.uint8), sample_position=0))


@pytest.mark.parametrize('method', ['macenko', 'reinhard'])
def test_two_scanners_come_nearer(tmp_path, method):
    pytest.importorskip('torch_staintools')  # with torch before 2.8 there is none
    target = stained(tissue(1, first=1.0, second=0.4))
    Image.fromarray(target).save(tmp_path / 'target.png')
    transform = TRANSFORMS.build(
        dict(type='mmagic.NormalizeStain', target=str(tmp_path / 'target.png'), method=method)
    )
    amounts = tissue(2, first=1.0, second=0.4)
    there = stained(amounts * (0.6, 1.5, 1))
    made = transform.transform(dict(img=there))['img']
    assert made.shape == there.shape and made.dtype == np.uint8

    def off(image):
        """How far mean colours are from the target's, in L*a*b*."""
        means = [
            cv2.cvtColor(np.float32(x) / 255, cv2.COLOR_RGB2LAB).mean(axis=(0, 1))
            for x in (image, target)
        ]
        return np.abs(means[0] - means[1]).max()

    assert off(made) < 0.8 * off(there)
    same = transform.transform(dict(img=target))['img']
    assert np.abs(same.astype(int) - target).mean() < 4
    assert np.array_equal(pickle.loads(pickle.dumps(transform)).transform(dict(img=there))['img'],
                          made)  # fmt: skip
    blank = np.full((16, 16, 3), 250, np.uint8)
    assert transform.transform(dict(img=blank))['img'] is blank and not is_stained(blank)


def test_a_target_that_is_none(tmp_path):
    pytest.importorskip('torch_staintools')  # with torch before 2.8 there is none
    with pytest.raises(ValueError, match='no such file'):
        NormalizeStain(str(tmp_path / 'none.png'))
    with pytest.raises(ValueError, match="method 'vahadane'"):
        NormalizeStain('x', 'vahadane')
    Image.new('RGB', (32, 32), 'white').save(tmp_path / 'white.png')
    with pytest.raises(ValueError, match='shows no stain'):
        NormalizeStain(str(tmp_path / 'white.png')).transform(dict(img=stained(tissue())))


def test_without_the_library_the_way_is_said(tmp_path, monkeypatch):
    import sys

    Image.fromarray(stained(tissue())).save(tmp_path / 't.png')
    monkeypatch.setitem(sys.modules, 'torch_staintools.normalizer', None)
    with pytest.raises(ImportError, match=r"pip install 'cellgan_plugin\[stain\]'"):
        NormalizeStain(str(tmp_path / 't.png')).transform(dict(img=stained(tissue())))
