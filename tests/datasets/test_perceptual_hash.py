"""Copies are known again flipped, turned, as JPEG and resized; other images are not."""

import cv2
import numpy as np
import pytest
import torch

from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.perceptual_hash import (
    BITS,
    NEAR,
    PERCEPTUAL_BYTES,
    nearest_by_hash,
    perceptual_hash,
)
from cellgan_plugin.datasets.views import ALL_VIEWS, apply_view
from cellgan_plugin.phantom import write_phantom_dataset


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp('phantoms')
    write_phantom_dataset(root, size=64, splits=dict(train=dict(NILM=30, HSIL=30)), seed=0)
    return [load_image(str(p)) for p in sorted(root.glob('[NH]*/*.png'))]


def hashed(images):
    return np.stack([np.frombuffer(perceptual_hash(image), np.uint8) for image in images])


def viewed(image, view):
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    return apply_view(pixels, view).permute(1, 2, 0).contiguous().numpy()


def jpeg(image):
    return cv2.imdecode(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1)


def test_the_hash_of_a_view_follows_from_the_hash(images):
    hashes = hashed(images)
    for view in ALL_VIEWS:
        turned = hashed([viewed(image, view) for image in images])
        index, bits = nearest_by_hash(turned, hashes, [view])
        assert np.array_equal(index, np.arange(60))
        assert bits.max() <= 2  # a frequency may be zero but for rounding
        assert nearest_by_hash(turned, hashes)[1].max() <= 2  # among all eight
        if view != 'identity':
            assert np.median(nearest_by_hash(turned, hashes, ['identity'])[1]) > NEAR


def test_copies_are_near_and_others_are_not(images):
    hashes = hashed(images)
    assert hashes.shape == (60, PERCEPTUAL_BYTES)
    for change in (
        jpeg,
        lambda i: cv2.resize(i, None, fx=0.5, fy=0.5),
        lambda i: jpeg(i) // 2 + 40,
    ):
        copies = [viewed(change(image), ALL_VIEWS[i % 8]) for i, image in enumerate(images)]
        index, bits = nearest_by_hash(hashed(copies), hashes)
        assert np.array_equal(index, np.arange(60)) and bits.max() <= NEAR
    index, bits = nearest_by_hash(hashes[:30], hashes[30:])  # other cells
    assert bits.min() > NEAR


def test_an_image_of_one_colour_is_near_nothing(images):
    blank = hashed([np.full((64, 64, 3), 200, np.uint8), np.zeros((20, 20, 3), np.uint8)])
    assert nearest_by_hash(blank, blank)[1].tolist() == [BITS, BITS]
    assert nearest_by_hash(blank, hashed(images[:3]))[1].tolist() == [BITS, BITS]
    assert nearest_by_hash(hashed(images[:1]), np.concatenate([blank, hashed(images[:1])]))[
        0
    ].tolist() == [2]
