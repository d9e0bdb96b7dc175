"""Where tissue is on a slide, and which tiles of it are worth a patch."""

import math
from typing import NamedTuple, Tuple

import cv2
import numpy as np

from cellgan_plugin.converters.slides.readers import SlideReader
from cellgan_plugin.converters.slides.settings import Field

TILE_PX = 16  # px of the map that a patch spans
_BLOCK = 2048  # px of the level read at a time
_BAND = 512  # rows of the map looked at at a time
_MOST_PX = 10_000_000  # of the map: of a huge slide a small patch spans fewer px of it
# Otsu's threshold on a slide without background, or without tissue, parts noise: it is held where
# stain begins: pale cytoplasm of smears has 35 to 50 of 255, cream-coloured ground up to 15.
_SATURATION = (15, 35)
_DARK = 50  # value below which nothing is told apart: black ink, the border of a scan
# Ink of green and blue markers is more saturated than cyan cytoplasm, wider, and fills a tile.
_INK_SATURATION, _INK_HUE, _INK_SHARE = 150, (35, 125), 0.5
_INK_WIDTH = 7  # px of the map; a cell is smaller


class TissueMap(NamedTuple):
    """A slide at a low scale.

    Attributes:
        image (np.ndarray): uint8 (h, w, 3), RGB.
        tissue (np.ndarray): bool (h, w).
        ink (np.ndarray): bool (h, w): marker, or black.
        step (tuple[float, float]): Level-0 px per px of the map, across and down.
    """

    image: np.ndarray
    tissue: np.ndarray
    ink: np.ndarray
    step: Tuple[float, float]

    def shares(self, corners: np.ndarray, field: Field) -> Tuple[np.ndarray, np.ndarray]:
        """Share of tissue and of ink in tiles, (n,) each, 0 to 1.

        ``corners`` are (n, 2) x, y of upper left corners, level-0 px.
        """
        limit = np.array(self.tissue.shape[::-1])
        first = np.clip(np.rint(corners / self.step), 0, limit - 1).astype(int)
        last = np.rint((corners + (field.width, field.height)) / self.step).astype(int)
        last = np.clip(np.maximum(last, first + 1), 1, limit)
        area = (last - first).prod(axis=1)
        return tuple(_sums(mask, first, last) / area for mask in (self.tissue, self.ink))


def _sums(mask: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    total = cv2.integral(mask.view(np.uint8))
    (left, top), (right, bottom) = first.T, last.T
    return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]


def map_tissue(reader: SlideReader, field: Field) -> TissueMap:
    """Read a slide at a low level, block by block, and tell tissue by Otsu on its saturation.

    A patch spans :data:`TILE_PX` px of the map, or fewer.
    """
    image, step = _read_map(reader, field)
    smooth, dark, inked = _colours(image)
    stroke = np.ones((_INK_WIDTH, _INK_WIDTH), np.uint8)
    ink = cv2.morphologyEx(inked.view(np.uint8), cv2.MORPH_OPEN, stroke).view(bool)
    smooth = cv2.medianBlur(smooth, 3)
    # Ink would pull the threshold above the stains.
    rest = smooth[~ink] if not ink.all() else smooth.ravel()
    found, _ = cv2.threshold(rest, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    threshold = min(max(found, _SATURATION[0]), _SATURATION[1])
    return TissueMap(image, (smooth > threshold) & ~ink & ~dark, ink, step)


def _colours(image: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Saturation, what is dark, and what has the colour of ink; by bands, for memory."""
    saturation = np.empty(image.shape[:2], np.uint8)
    dark, inked = np.empty((2, *saturation.shape), bool)
    for top in range(0, len(image), _BAND):
        band = slice(top, top + _BAND)
        hue, saturation[band], value = cv2.split(cv2.cvtColor(image[band], cv2.COLOR_RGB2HSV))
        dark[band] = value < _DARK
        coloured = (hue >= _INK_HUE[0]) & (hue <= _INK_HUE[1])
        inked[band] = dark[band] | (coloured & (saturation[band] >= _INK_SATURATION))
    return saturation, dark, inked


def _read_map(reader: SlideReader, field: Field) -> Tuple[np.ndarray, Tuple[float, float]]:
    info = reader.info
    least = max(1.0, math.sqrt(info.width * info.height / _MOST_PX))
    step = (max(least, field.width / TILE_PX), max(least, field.height / TILE_PX))
    fine = [n for n, downsample in enumerate(info.downsamples) if downsample <= min(step)]
    level = max(fine, key=lambda n: info.downsamples[n], default=0)
    downsample = info.downsamples[level]
    width, height = math.ceil(info.width / step[0]), math.ceil(info.height / step[1])
    image = np.full((height, width, 3), 255, np.uint8)
    per_block = [max(1, int(_BLOCK * downsample / side)) for side in step]
    level_width, level_height = info.levels[level]
    for top in range(0, height, per_block[1]):
        bottom = min(top + per_block[1], height)
        rows = _span(top, bottom, step[1] / downsample, level_height)
        for left in range(0, width, per_block[0]):
            right = min(left + per_block[0], width)
            columns = _span(left, right, step[0] / downsample, level_width)
            if rows[1] <= rows[0] or columns[1] <= columns[0]:
                continue
            block = reader.read(
                level, columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0]
            )
            image[top:bottom, left:right] = cv2.resize(
                block, (right - left, bottom - top), interpolation=cv2.INTER_AREA
            )
    return image, step


def _span(first: int, last: int, scale: float, limit: int) -> Tuple[int, int]:
    return round(first * scale), min(round(last * scale), limit)


def is_ink(share: np.ndarray) -> np.ndarray:
    """Whether tiles with this share of ink lie under a marker's stroke."""
    return share >= _INK_SHARE


def sharpness(image: np.ndarray) -> float:
    """How sharp a uint8 RGB patch is: contrast of 1 to 2 px over that of 2 to 4 px.

    The ratio hardly depends on stain, density or contrast, since both bands share them. Sharp
    smears and sections lie above 0.55; blurred by a Gaussian of 2 px or more, and compressed as
    JPEG, below 0.5. An image of one colour has 0.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    one, two, four = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (1.0, 2.0, 4.0))
    coarse = float((two - four).std())
    return float((one - two).std()) / coarse if coarse > 0 else 0.0
