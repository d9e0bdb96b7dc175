"""Know an image again by what it shows: flipped, turned, saved as JPEG, or resized.

The hash is the signs of the low frequencies of the image's discrete cosine transform, as pHash
and PDQ take them (Zauner 2010, "Implementation and benchmarking of perceptual image hash
functions"). Flips and transpositions change signs and exchange rows and columns of these
frequencies, so the hashes of all eight views of an image follow from one.
``tools/benchmarks/near_duplicates.py`` measures how often copies are missed and different images
taken for copies.
"""

from typing import Sequence, Tuple

import cv2
import numpy as np

from cellgan_plugin.datasets.views import ALL_VIEWS, VIEWS

_SIDE = 32  # pixels that the image is averaged to
_FREQUENCIES = 16  # of each axis
PERCEPTUAL_BYTES = _FREQUENCIES**2 // 8
BITS = _FREQUENCIES**2 - 1
# Bits that two images may differ in and still show the same. Measured (docs/benchmark.md): copies
# differ in up to 22, different images in 75 or more.
NEAR = 40
# Grey levels of contrast below which an image shows nothing that could be known again.
_BLANK = 2.0
_BLOCK = 4096  # images compared at a time


def perceptual_hash(pixels: np.ndarray) -> bytes:
    """Hash of one image.

    Args:
        pixels (np.ndarray): uint8 RGB (H, W, 3), as
            :func:`~cellgan_plugin.datasets.image_io.load_image` gives it.

    Returns:
        bytes: 32 bytes: the first bit is 1, and the others are signs of frequencies; all zero for
        an image of hardly any contrast.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    how = cv2.INTER_AREA if min(grey.shape) >= _SIDE else cv2.INTER_LINEAR
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=how)
    if small.std() < _BLANK:
        return bytes(PERCEPTUAL_BYTES)
    signs = cv2.dct(small)[:_FREQUENCIES, :_FREQUENCIES] > 0
    signs[0, 0] = True  # the brightness is no pattern
    return np.packbits(signs).tobytes()


def _signs(hashes: np.ndarray) -> np.ndarray:
    """Hashes (N, 32) as +1 and -1, float32 (N, 16, 16); 0 for images without contrast."""
    bits = np.unpackbits(hashes, axis=1).reshape(-1, _FREQUENCIES, _FREQUENCIES)
    signs = bits.astype(np.float32) * 2 - 1
    signs[bits[:, 0, 0] == 0] = 0
    signs[:, 0, 0] = 0
    return signs


def _viewed(signs: np.ndarray, view: str) -> np.ndarray:
    """The signs that a view of the image has: odd frequencies of a flipped axis change sign."""
    transposed, vertical, horizontal = VIEWS[view]
    signs = (signs.swapaxes(1, 2) if transposed else signs).copy()
    if vertical:
        signs[:, 1::2] *= -1
    if horizontal:
        signs[:, :, 1::2] *= -1
    return signs


def nearest_by_hash(
    queries: np.ndarray, images: np.ndarray, views: Sequence[str] = ALL_VIEWS
) -> Tuple[np.ndarray, np.ndarray]:
    """The image that is nearest to each query in any view.

    Args:
        queries (np.ndarray): Hashes, uint8 (N, 32).
        images (np.ndarray): Hashes, uint8 (M, 32), M >= 1.
        views (Sequence[str]): Of the images. Defaults to all eight.

    Returns:
        tuple: Index of the nearest image, int64 (N,), and the bits that it differs in, int64 (N,),
        0 to 255; 255 where query or image shows nothing.
    """
    asked = _signs(queries).reshape(len(queries), -1)
    signs = _signs(images)
    best = np.full(len(queries), -BITS, np.float32)
    index = np.zeros(len(queries), np.int64)
    for view in views:
        shown = _viewed(signs, view).reshape(len(images), -1)
        for start in range(0, len(queries), _BLOCK):
            rows = slice(start, start + _BLOCK)
            for first in range(0, len(images), _BLOCK):
                alike = asked[rows] @ shown[first : first + _BLOCK].T
                found = alike.argmax(axis=1)
                value = alike[np.arange(len(found)), found]
                value[value == 0] = -BITS  # without contrast; 255 bits are odd
                better = value > best[rows]
                best[rows][better] = value[better]
                index[rows][better] = found[better] + first
    return index, ((BITS - best) / 2).astype(np.int64)
