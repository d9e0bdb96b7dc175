"""Cover an image of any size with tiles, and put results of tiles together again.

Sec. 4.1.3 of the pyramid paper: images are cut into overlapping squares without any scaling. Only
arrays are handled here, so that models may use it too.
"""

import math
from typing import Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

Size = Union[int, Sequence[int]]
Array = Union[np.ndarray, Tensor]
WINDOWS = ('flat', 'hann')


def tile_size(tile: Size) -> Tuple[int, int]:
    """Height and width of a tile given as one side or as both; ValueError unless positive ints."""
    sides = (tile, tile) if isinstance(tile, (int, np.integer)) else tuple(tile)
    whole = all(
        isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in sides
    )
    if len(sides) != 2 or not whole or min(sides) < 1:
        raise ValueError(f'tile must be a positive int or (height, width), got {tile!r}')
    return int(sides[0]), int(sides[1])


def _starts(length: int, tile: int, min_overlap: int) -> np.ndarray:
    if length <= tile:
        return np.zeros(1, dtype=np.int64)
    count = math.ceil((length - min_overlap) / (tile - min_overlap))
    # Evenly spread with the last one flush with the edge: integers, so no tile is off by rounding.
    return np.arange(count) * (length - tile) // (count - 1)


def tile_grid(height: int, width: int, tile: Size, min_overlap: Size = 0) -> np.ndarray:
    """Where the tiles of an image lie: as few as cover it, evenly spread, flush with all edges.

    A side that is not longer than the tile gets one tile, which starts at 0 and may reach beyond.

    Args:
        height (int): Of the image, px.
        width (int): Of the image, px.
        tile (int | Sequence[int]): Side of the square tile, or (height, width), px.
        min_overlap (int | Sequence[int]): What neighbours share at least, px; less than the tile.
            Half a tile cuts 85 GlaS images into about the 500 tiles of Sec. 4.1.3. Defaults to 0.

    Returns:
        np.ndarray: int64 (T, 2): (y, x) of the upper left corners, row by row.
    """
    tile = tile_size(tile)
    overlap = (
        (min_overlap,) * 2 if isinstance(min_overlap, (int, np.integer)) else tuple(min_overlap)
    )
    if min(height, width) < 1:
        raise ValueError(f'an image of {width}x{height} px cannot be tiled')
    if len(overlap) != 2 or not all(0 <= o < t for o, t in zip(overlap, tile, strict=True)):
        raise ValueError(
            f'min_overlap must be at least 0 and less than the tile {tile}, got {min_overlap!r}'
        )
    rows = _starts(height, tile[0], overlap[0])
    columns = _starts(width, tile[1], overlap[1])
    return np.stack(np.meshgrid(rows, columns, indexing='ij'), axis=-1).reshape(-1, 2)


def cut_tile(image: np.ndarray, y: int, x: int, height: int, width: int) -> np.ndarray:
    """Cut the tile (height, width) whose upper left corner is (y, x) from (H, W) or (H, W, C).

    Where it reaches beyond the image, the image is mirrored at its edge; else it is a view. Image
    and mask are mirrored alike, so they stay a true pair.
    """
    tile = image[y : y + height, x : x + width]
    missing = height - tile.shape[0], width - tile.shape[1]
    if missing == (0, 0):
        return tile
    pad = [(0, missing[0]), (0, missing[1]), *[(0, 0)] * (image.ndim - 2)]
    return np.pad(tile, pad, mode='symmetric')


def blending_window(tile: Size, window: str = 'hann') -> Tensor:
    """Weight of every pixel of a tile when tiles are stitched: float32 (height, width), positive.

    ``'flat'``: all weigh the same. ``'hann'``: the centre counts most and the rim, where a network
    sees least context, nearly nothing.
    """
    if window not in WINDOWS:
        raise ValueError(f'window must be one of {WINDOWS}, got {window!r}')
    height, width = tile_size(tile)
    if window == 'flat':
        return torch.ones(height, width)
    # Without its two zeros: a pixel that only one tile covers must not be divided by nothing.
    sides = [torch.hann_window(n + 2, periodic=False)[1:-1] for n in (height, width)]
    return torch.outer(*sides).clamp_min_(1e-4)


class Stitcher:
    """Weighted mean of overlapping tiles, one tile at a time.

    Args:
        size (Sequence[int]): (H, W) of the image.
        window (Tensor | str): Weights (h, w) of a tile, or the name of one for
            :func:`blending_window`. Defaults to 'hann'.
    """

    def __init__(self, size: Sequence[int], window: Union[Tensor, str] = 'hann'):
        self.size = tile_size(size)
        self.window = window
        self._sum = None
        self._weight = None

    def add(self, tile: Tensor, y: int, x: int) -> None:
        """Add one tile.

        Args:
            tile (Tensor): (..., h, w) float; what reaches beyond the image is dropped.
            y (int): Upper edge in the image.
            x (int): Left edge in the image.
        """
        y, x = int(y), int(x)
        if self._sum is None:
            self._sum = tile.new_zeros(*tile.shape[:-2], *self.size)
            self._weight = tile.new_zeros(self.size)
        window = self.window
        if isinstance(window, str):
            window = blending_window(tile.shape[-2:], window)
        self.window = window = window.to(tile)
        bottom, right = min(y + tile.shape[-2], self.size[0]), min(x + tile.shape[-1], self.size[1])
        if y < 0 or x < 0 or y >= bottom or x >= right:
            raise ValueError(f'a tile at y={y}, x={x} lies outside an image of {self.size}')
        window = window[: bottom - y, : right - x]
        self._sum[..., y:bottom, x:right] += tile[..., : bottom - y, : right - x] * window
        self._weight[y:bottom, x:right] += window

    def result(self) -> Tensor:
        """The mean, (..., H, W); ValueError when a pixel was covered by no tile."""
        if self._sum is None or not (self._weight > 0).all():
            raise ValueError('the tiles do not cover the image; use the positions of tile_grid')
        return self._sum / self._weight


def stitch(
    tiles: Array, positions: Array, size: Sequence[int], window: Union[Tensor, str] = 'hann'
) -> Array:
    """Put tiles together by weighted means, e.g. class probabilities of overlapping tiles.

    Args:
        tiles (Tensor | np.ndarray): Float (T, ..., h, w).
        positions (np.ndarray | Tensor): (T, 2), (y, x) of each, see :func:`tile_grid`.
        size (Sequence[int]): (H, W) of the image.
        window (Tensor | str): See :class:`Stitcher`. Defaults to 'hann'.

    Returns:
        Tensor | np.ndarray: (..., H, W), of the kind and type of ``tiles``.
    """
    if isinstance(tiles, np.ndarray):
        return stitch(torch.from_numpy(tiles), positions, size, window).numpy()
    if not tiles.is_floating_point():
        raise ValueError(f'means of {tiles.dtype} tiles are not defined; give probabilities')
    if len(tiles) != len(positions):
        raise ValueError(f'{len(tiles)} tiles, but {len(positions)} positions')
    stitcher = Stitcher(size, window)
    for tile, (y, x) in zip(tiles, positions, strict=True):
        stitcher.add(tile, y, x)
    return stitcher.result()
