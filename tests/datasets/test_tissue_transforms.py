"""Transforms of pairs: geometry to all parts alike, colour to the image alone."""

import cv2
import numpy as np
import pytest
import torch
from mmagic.registry import TRANSFORMS
from torchvision.transforms import functional as reference

from cellgan_plugin.datasets import (
    FitTissue,
    PackTissueInputs,
    RandomTissueColor,
    RandomTissueFlip,
)


def pair(height=40, width=40, position=0, seed=0, **more):
    rng = np.random.default_rng(seed)
    ids = np.kron(rng.integers(0, 4, (height // 4, width // 4)), np.ones((4, 4))).astype(np.uint16)
    return dict(
        img=cv2.blur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (3, 3)),
        mask=(ids > 0).astype(np.uint8),
        instances=ids,
        labelled=True,
        sample_position=position,
        sample_seed=5,
        **more,
    )


@pytest.mark.parametrize('size', [(10, 10), (20, 40), (17, 13), (80, 80)])
def test_masks_keep_their_values_and_images_their_means(size):
    results = FitTissue(out_size=size)(pair())
    assert results['img'].shape == (*size, 3)
    assert results['mask'].shape == results['instances'].shape == size
    assert results['mask'].dtype == np.uint8 and results['instances'].dtype == np.uint16
    assert set(np.unique(results['instances'])) <= set(range(4))
    assert ((results['instances'] > 0) == results['mask']).all()
    assert abs(results['img'].mean() - pair()['img'].mean()) < 3
    if 40 % size[0] == 40 % size[1] == 0 and size[0] <= 40:  # an area mean, and the middle's id
        steps = 40 // size[0], 40 // size[1]
        blocks = pair()['img'].reshape(size[0], steps[0], size[1], steps[1], 3).mean(axis=(1, 3))
        assert np.abs(results['img'] - blocks).max() <= 0.51


def test_a_scale_fits_whole_images_and_flipped_views():
    assert FitTissue(scale=0.25).output_shape(522, 775) == (130, 194)
    turned = RandomTissueFlip(1, 1, 1)(pair())
    assert not turned['img'].flags['C_CONTIGUOUS']
    assert FitTissue(scale=0.5)(turned)['img'].shape == (20, 20, 3)
    same = pair()
    assert FitTissue(out_size=40)(same)['img'] is same['img']
    for arguments in (dict(), dict(out_size=4, scale=1.0), dict(scale=0), dict(out_size=0)):
        with pytest.raises(ValueError):
            FitTissue(**arguments)


def test_turns_are_those_of_numpy_and_need_a_square():
    for flips, expected in (
        ((1, 0, 0), lambda x: x[:, ::-1]),
        ((0, 1, 0), lambda x: x[::-1]),
        ((0, 0, 1), lambda x: x.swapaxes(0, 1)),
        ((1, 0, 1), lambda x: np.rot90(x)),
        ((0, 0, 0), lambda x: x),
    ):
        results = RandomTissueFlip(*flips)(pair())
        for key in ('img', 'mask', 'instances'):
            assert (results[key] == expected(pair()[key])).all(), (flips, key)
    oblong = RandomTissueFlip(0, 0, 1)(pair(20, 40))
    assert oblong['img'].shape == (20, 40, 3)


def test_what_happens_follows_from_seed_and_position_alone():
    flip, colour = RandomTissueFlip(), RandomTissueColor(0.3, 0.3, 0.3, 0.1)
    seen = {}
    for position in range(12):
        for _ in range(2):
            results = colour(flip(pair(position=position)))
            seen.setdefault(position, []).append(results['img'].tobytes())
    assert all(first == second for first, second in seen.values())
    assert len({images[0] for images in seen.values()}) == 12
    other = colour(flip({**pair(position=0), 'sample_seed': 6}))['img'].tobytes()
    assert other != seen[0][0]
    share = np.mean([(flip(pair(position=p))['mask'] != pair()['mask']).any() for p in range(200)])
    assert 0.75 < share < 0.97  # seven of the eight symmetries change it


def test_colour_is_that_of_torchvision_and_leaves_masks_alone():
    before = pair()
    image = torch.from_numpy(before['img']).permute(2, 0, 1)
    mean = before['img'].reshape(-1, 3).mean(axis=0)
    colour = RandomTissueColor()
    for factors, by_reference in (
        ((1.2, 1, 1, 0), reference.adjust_brightness(image, 1.2)),
        ((1, 0.8, 1, 0), reference.adjust_contrast(image, 0.8)),
        ((1, 1, 1.3, 0), reference.adjust_saturation(image, 1.3)),
        ((1, 1, 1, 0), image),
    ):
        found = cv2.transform(before['img'], colour.matrix(factors, mean))
        difference = np.abs(found.astype(int) - by_reference.permute(1, 2, 0).numpy())
        assert difference.max() <= 2, factors  # theirs truncates
    # A turn of the hue keeps the luma and comes back after a full circle.
    luma = np.array([0.299, 0.587, 0.114])
    matrix = colour.matrix((1, 1, 1, 0.07), mean)
    assert np.allclose(luma @ matrix[:, :3], luma, atol=2e-3) and np.allclose(matrix[:, 3], 0)
    assert np.allclose(colour.matrix((1, 1, 1, 1.0), mean)[:, :3], np.eye(3))
    results = RandomTissueColor(1, 1, 1, 0.5)(pair())
    assert (results['mask'] == before['mask']).all()
    assert (results['instances'] == before['instances']).all()
    assert (results['img'] != before['img']).any()
    identity = RandomTissueColor(0, 0, 0, 0)(pair())
    assert (identity['img'] == before['img']).all()
    for arguments in (dict(brightness=-1), dict(contrast=2), dict(hue=0.6)):
        with pytest.raises(ValueError, match='must be in'):
            RandomTissueColor(**arguments)


def test_packing_copies_what_is_read_only(mmagic_scope):
    results = pair(tile=(0, 0, 40, 40), image_size=(40, 40), img_path='a.png')
    for key in ('img', 'mask', 'instances'):
        results[key].flags.writeable = False
    packed = TRANSFORMS.build(dict(type='PackTissueInputs'))(RandomTissueFlip(1, 0, 0)(results))
    inputs = packed['inputs']
    inputs['img'].add_(1)
    inputs['mask'].fill_(0)
    assert inputs['instances'].dtype == torch.int32 and inputs['labelled'].dtype == torch.bool
    assert packed['data_samples'].tile == (0, 0, 40, 40)
    without = PackTissueInputs(meta_keys=())({**pair(), 'labelled': False})
    assert not without['inputs']['labelled'] and 'tile' not in without['data_samples']
