"""Know an image again by what it shows: flipped, turned, saved as JPEG, or resized.

The hash is the signs of the low frequencies of the image's discrete cosine transform, as pHash
and PDQ take them (Zauner 2010, "Implementation and benchmarking of perceptual image hash
functions"). Flips and transpositions change signs and exchange rows and columns of these
frequencies, so the hashes of all eight views of an image follow from one.
``tools/benchmarks/near_duplicates.py`` measures how often copies are missed and different images
taken for copies.
"""

from functools import lru_cache
from typing import Iterator, Sequence, Tuple

import cv2
import numpy as np
import torch

from cellgan_plugin.datasets.views import ALL_VIEWS, VIEWS
from cellgan_plugin.randomness import rng_for

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
_UNSURE = 60  # bits; different images of data that the hash tells apart differ in more
_LOOKED_AT = 2000  # images that say how alike different images of a data set are


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


def perceptual_hashes(images: Sequence[torch.Tensor]) -> np.ndarray:
    """:func:`perceptual_hash` of uint8 images (C, H, W), RGB or grey, at hand: uint8 (N, 32)."""
    found = []
    for image in images:
        pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().cpu().numpy()
        found.append(perceptual_hash(pixels))
    return np.frombuffer(b''.join(found), np.uint8).reshape(-1, PERCEPTUAL_BYTES)


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


def _blocks_of_pairs(hashes: np.ndarray) -> Iterator[Tuple[int, int, np.ndarray]]:
    """Bits between images, block by block: first row, first column, bits with 255 for i >= j."""
    signs = _signs(hashes)
    shown = np.stack([_viewed(signs, view).reshape(len(signs), -1) for view in ALL_VIEWS])
    for start in range(0, len(hashes), _BLOCK):
        rows = shown[0, start : start + _BLOCK]
        blank = ~rows.any(axis=1)
        for first in range(start, len(hashes), _BLOCK):
            alike = np.full((len(rows), min(_BLOCK, len(hashes) - first)), -BITS, np.float32)
            for view in shown:
                np.maximum(alike, rows @ view[first : first + _BLOCK].T, out=alike)
            bits = (BITS - alike) / 2
            bits[blank] = BITS
            bits[:, ~shown[0, first : first + _BLOCK].any(axis=1)] = BITS
            if first == start:
                bits[np.tril_indices(len(rows))] = BITS
            yield start, first, bits


def near_limit(hashes: np.ndarray) -> int:
    """The bits up to which two images of a data set are near copies.

    Different images of most data sets differ in more than 60 bits, and copies in at most 40
    (:data:`NEAR`). Where images resemble each other, as single cells in the middle of an empty
    background do, many pairs lie around that limit; then it is half of what the nearest pairs
    differ in (all but one for each twenty images, which may be copies), so that few different
    images are taken for copies, and some copies are missed.

    Args:
        hashes (np.ndarray): Of the data set's images without exact copies, uint8 (N, 32). 2,000 of
            them by lot are compared.

    Returns:
        int: 4 to 40; a view of an image differs in up to 2 by rounding.
    """
    if len(hashes) > _LOOKED_AT:
        chosen = rng_for(0, 'near_limit').permutation(len(hashes))[:_LOOKED_AT]
        hashes = hashes[np.sort(chosen)]
    return _near_limit(np.ascontiguousarray(hashes, np.uint8).tobytes())


@lru_cache(maxsize=8)
def _near_limit(packed: bytes) -> int:
    """Once for a data set: every generator of a benchmark, and every fold, asks for it."""
    hashes = np.frombuffer(packed, np.uint8).reshape(-1, PERCEPTUAL_BYTES)
    pairs = np.zeros(BITS + 1, np.int64)  # by the bits that they differ in
    for _, _, bits in _blocks_of_pairs(hashes):
        pairs += np.bincount(bits.astype(np.int64).ravel(), minlength=BITS + 1)
    copies = len(hashes) / 20
    upto = pairs.cumsum()
    if upto[_UNSURE] - upto[NEAR] <= upto[NEAR] + copies:
        return NEAR
    return max(4, min(NEAR, int(np.argmax(upto > copies)) // 2))


def near_components(hashes: np.ndarray, limit: int = NEAR) -> np.ndarray:
    """Which images are near copies of each other, directly or through others.

    ``limit`` is in bits, see :func:`near_limit`.

    Returns:
        np.ndarray: int64 (N,), the number of the first image that each one belongs to.
    """
    # Not with this module, which every program imports.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    component = np.arange(len(hashes))
    for start, first, bits in _blocks_of_pairs(hashes):
        i, j = np.nonzero(bits <= limit)
        if not len(i):
            continue
        edges = np.concatenate([[i + start, j + first], [component, np.arange(len(hashes))]], 1)
        graph = coo_matrix((np.ones(edges.shape[1], bool), tuple(edges)), (len(hashes),) * 2)
        _, label = connected_components(graph, directed=False)
        _, member = np.unique(label, return_index=True)
        component = member[label]
    return component
