"""Tiles cover every size, and come together again."""

import numpy as np
import pytest
import torch

from cellgan_plugin.datasets.tiling import (
    Stitcher,
    blending_window,
    cut_tile,
    stitch,
    tile_grid,
)

SIZES = [(1, 1), (7, 5), (64, 64), (65, 64), (63, 129), (101, 257), (522, 775)]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('tile, overlap', [(1, 0), (16, 0), (16, 5), (64, 63), ((32, 48), (8, 0))])
def test_tiles_cover_the_image_with_the_overlap_that_was_asked_for(size, tile, overlap):
    if np.prod(size) > 10_000 and (tile == 1 or overlap == 63):
        size = (50, 91)
    grid = tile_grid(*size, tile, overlap)
    tiles = (tile, tile) if isinstance(tile, int) else tile
    overlaps = (overlap, overlap) if isinstance(overlap, int) else overlap
    for axis in (0, 1):
        starts = np.unique(grid[:, axis])
        length, side, least = size[axis], tiles[axis], overlaps[axis]
        assert starts[0] == 0
        assert starts[-1] == max(0, length - side)  # flush with the far edge, never beyond it
        assert (starts[:-1] + side - starts[1:] >= least).all()
        # One tile fewer could not do it.
        assert len(starts) == 1 or length > (len(starts) - 1) * (side - least) + least
    assert (
        len(np.unique(grid, axis=0))
        == len(grid)
        == np.prod([len(np.unique(grid[:, axis])) for axis in (0, 1)])
    )


def test_glas_makes_about_the_500_tiles_of_the_paper():
    assert len(tile_grid(522, 775, 512, 256)) * 85 == 510
    assert tile_grid(522, 775, 512, 256)[:4].tolist() == [[0, 0], [0, 131], [0, 263], [10, 0]]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('window', ['flat', 'hann'])
@pytest.mark.parametrize('channels', [(), (3,)])
def test_cutting_and_stitching_gives_the_image_back(size, window, channels):
    image = np.random.default_rng(0).integers(0, 256, (*size, *channels), dtype=np.uint8)
    grid = tile_grid(*size, 48, 17)
    tiles = np.stack([cut_tile(image, y, x, 48, 48) for y, x in grid]).astype(np.float32)
    tiles = np.moveaxis(tiles, -1, 1) if channels else tiles
    found = stitch(tiles, grid, size, window)
    assert found.dtype == np.float32
    expected = np.moveaxis(image, -1, 0) if channels else image
    assert (found.round() == expected).all()
    assert np.abs(found - expected).max() < 1e-3


def test_stitching_is_the_weighted_mean():
    tiles = torch.tensor([[[1.0, 2.0]], [[4.0, 8.0]]])
    window = torch.tensor([[1.0, 3.0]])
    found = stitch(tiles, np.array([[0, 0], [0, 1]]), (1, 3), window)
    assert found.tolist() == [[1.0, (3 * 2 + 1 * 4) / 4, 8.0]]
    assert torch.equal(blending_window((3, 3), 'flat'), torch.ones(3, 3))
    hann = blending_window(5)
    assert hann.min() > 0 and hann.max() == hann[2, 2] and torch.equal(hann, hann.T)


def test_a_tile_beyond_the_image_is_its_mirror():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    expected = np.array([[0, 1, 2, 2, 1], [3, 4, 5, 5, 4], [3, 4, 5, 5, 4]])
    assert (cut_tile(image, 0, 0, 3, 5) == expected).all()
    assert cut_tile(image, 0, 1, 2, 2).base is not None  # nothing is copied without need


def test_mistakes_are_named():
    with pytest.raises(ValueError, match='at least 0 and less than the tile'):
        tile_grid(10, 10, 4, 4)
    with pytest.raises(ValueError, match=r'positive int or \(height, width\), got 0'):
        tile_grid(10, 10, 0)
    with pytest.raises(ValueError, match='do not cover'):
        stitch(torch.zeros(1, 4, 4), [(0, 0)], (4, 5))
    with pytest.raises(ValueError, match='lies outside'):
        Stitcher((4, 4)).add(torch.zeros(2, 2), 4, 0)
    with pytest.raises(ValueError, match='give probabilities'):
        stitch(torch.zeros(1, 4, 4, dtype=torch.int64), [(0, 0)], (4, 4))
    with pytest.raises(ValueError, match='window must be one of'):
        blending_window(4, 'box')
