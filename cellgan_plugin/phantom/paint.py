"""Paint a scene: each thing adds stain, light is absorbed by the sum (Beer-Lambert).

``RGB = floor + (light - floor) * exp(-optical density)``: overlapping translucent cells darken
each other and mix their colours as they do under a microscope.
"""

from typing import List, Tuple

import cv2
import numpy as np

from .camera import develop
from .morphology import Cell
from .raster import Window, coverage, ellipses, soften, spread, strokes, window_around
from .scene import Scene
from .textures import FIELD_UM, TextureBank, texture_bank

FLOOR = (16.0, 13.0, 20.0)  # darkest RGB that CRIC patches reach
EDGE_UM = 0.4  # radius of the scanner's unsharp mask
_LEAST = 0.05  # no texture thins a cell below this share of its thickness


def _bump(window: Window, centre: np.ndarray, sigma_um: float) -> np.ndarray:
    """A Gaussian hill of height 1, float32 of the window's shape."""
    y = (np.arange(window.rows.start, window.rows.stop) + 0.5) / window.scale - centre[1]
    x = (np.arange(window.columns.start, window.columns.stop) + 0.5) / window.scale - centre[0]
    hill_y = np.exp(-0.5 * (y / sigma_um) ** 2).astype(np.float32)
    hill_x = np.exp(-0.5 * (x / sigma_um) ** 2).astype(np.float32)
    return hill_y[:, None] * hill_x


def _add(density: np.ndarray, window: Window, thickness: np.ndarray, stain: np.ndarray) -> None:
    """Add a thickness (h, w) of one stain (3,) to the optical density (3, n, n)."""
    # Plane by plane: several times faster than broadcasting over a last axis of three.
    for plane, absorbed in zip(density, stain.tolist(), strict=True):
        plane[window.rows, window.columns] += thickness * np.float32(absorbed)


def _supersample(size: int) -> int:
    return 4 if size <= 160 else 2


def _cytoplasm(
    cell: Cell, window: Window, covered: np.ndarray, bank: TextureBank
) -> List[np.ndarray]:
    """Optical thickness of the cytoplasm, one array (h, w) per colour."""
    scale = window.scale
    tick = "'" if cell.turned else ''

    def texture(name):
        return bank.window(name + tick, window.rows, window.columns, cell.offset)

    cloud = texture('cloud')
    relief = 1 + 0.13 * cloud
    relief += cell.mottle * texture('mottle')
    relief += cell.grain * texture('grain')
    if cell.wrinkles > 0.03:
        relief += cell.wrinkles * texture('pleats' if cell.pleated else 'web')
    hill = _bump(window, cell.centre, 0.6 * cell.radius)
    relief += cell.endoplasm * hill
    rim = np.maximum(covered - spread(covered, 1.3 * scale), 0)
    relief += (2 * cell.rim) * rim * np.maximum(0.9 + 0.8 * cloud, 0.1)
    if cell.flap is not None:
        flap = coverage([cell.flap], window, 2)
        relief += flap * (0.75 + 0.2 * texture('mottle'))
        relief += 0.5 * np.maximum(flap - spread(flap, 1.2 * scale), 0)
    if cell.creases:
        relief += 0.4 * soften(strokes(cell.creases, window, 1.0), 0.45 * scale)
    if cell.halo is not None:
        cleared = coverage([cell.halo], window, 2)
        edge = spread(cleared, 1.6 * scale) * (1 - cleared)
        relief += 1.1 * edge * np.maximum(0.7 + 0.6 * cloud, 0)
        relief *= 1 - cell.clearing * soften(cleared, 0.7 * scale)
    if len(cell.granules):
        relief += 1.1 * _dots(cell.granules, window)
    thickness = np.maximum(relief, _LEAST) * (cell.thickness * covered)
    if len(cell.colours) == 1:
        return [thickness]
    share = 0.5 + 0.3 * cell.colour_bias + 0.12 * cloud + cell.two_tone * (hill - 0.45)
    inner = thickness * np.minimum(np.maximum(share, 0), 1)
    return [inner, thickness - inner]


def _dots(dots: np.ndarray, window: Window) -> np.ndarray:
    """Small discs (n, 3) x, y, radius in um, as float32 coverage of the window."""
    drawn = np.zeros(window.shape, np.uint8)
    for (x, y), radius in zip(window.to_pixels(dots[:, :2], 1).tolist(), dots[:, 2], strict=True):
        # A dot smaller than a pixel is drawn one pixel wide and paler.
        width = 2 * radius * window.scale
        level = round(255 * min(1.0, width**2))
        radius_px = max(0.5, radius * window.scale)
        cv2.circle(drawn, (x, y), int(radius_px * 16), level, -1, cv2.LINE_AA, 4)
    return drawn.astype(np.float32) * np.float32(1 / 255)


def _nuclei(cell: Cell, window: Window, covered: np.ndarray, bank: TextureBank) -> np.ndarray:
    """Optical thickness of nuclear stain."""
    tick = "'" if cell.turned else ''
    rows, columns = window.rows, window.columns
    fine = bank.window('grain' + tick, rows, columns, cell.offset[::-1])
    clumps = bank.window('clump' + tick, rows, columns, cell.offset[::-1])
    relief = 1 + cell.chromatin * ((1 - cell.coarse) * 0.7 * fine + cell.coarse * clumps)
    relief += 0.08 * bank.window('mottle', rows, columns, cell.offset)
    rim = covered - spread(covered, 0.55 * window.scale)
    relief += (2 * cell.membrane) * np.maximum(rim, 0)
    return np.maximum(relief, 0.25) * covered


def paint_cell(
    density: np.ndarray, truth: np.ndarray, number: int, cell: Cell, bank: TextureBank
) -> None:
    """Add one cell to the optical density (3, n, n) and its pixels to the truth (2, n, n)."""
    size = bank.size
    scale = size / FIELD_UM
    window = window_around([cell.outline], size, scale, 2 * cell.defocus + 0.5)
    if window is None:
        return
    rows, columns = window.rows, window.columns
    covered = coverage([cell.outline], window, 2)
    truth[0, rows, columns][covered >= 0.5] = number
    for thickness, colour in zip(
        _cytoplasm(cell, window, covered, bank), cell.colours, strict=True
    ):
        _add(density, window, soften(thickness, cell.defocus * scale), colour)
    window = window_around(cell.nuclei, size, scale, 2 * cell.defocus + 0.5)
    if window is None:
        return
    rows, columns = window.rows, window.columns
    covered = coverage(cell.nuclei, window, _supersample(size))
    truth[1, rows, columns][covered >= 0.5] = number
    stained = soften(_nuclei(cell, window, covered, bank), cell.defocus * scale)
    _add(density, window, stained, cell.nuclear_stain)


def paint_dirt(density: np.ndarray, scene: Scene, bank: TextureBank) -> None:
    """Add mucus, bacteria, red cells, neutrophils and pigment to the optical density (3, n, n)."""
    size = bank.size
    scale = size / FIELD_UM
    whole = Window(slice(0, size), slice(0, size), scale)
    rows, columns = whole.rows, whole.columns
    if scene.film > 0.05:
        drift = bank.window('drift', rows, columns, scene.offset[0])
        cloud = bank.window('cloud', rows, columns, scene.offset[1])
        mottle = bank.window('mottle', rows, columns, scene.offset[0])
        strands = bank.window('pleats', rows, columns, scene.offset[0])
        film = scene.slide.veil + drift + 0.5 * cloud + 0.3 * mottle
        film = np.maximum(film, 0) * np.maximum(1 + 0.25 * strands, 0.3)
        film *= 1 + 0.35 * bank.window('grain', rows, columns, scene.offset[1])
        colour = 0.45 * scene.film * scene.film_colour
        _add(density, whole, film, colour)
    nuclear = None
    if len(scene.bacteria):
        nuclear = 0.45 * strokes(scene.bacteria.reshape(-1, 2, 2), whole, 0.35)
    if len(scene.lobes):
        bodies = np.column_stack(
            [scene.bodies[:, [0, 1, 2, 2]], np.zeros(len(scene.bodies)), np.ones(len(scene.bodies))]
        )
        body = soften(ellipses(bodies, size, scale, 1.0, 1), 0.3 * scale)
        mottle = bank.window('mottle', rows, columns, scene.offset[1])
        body *= np.maximum(0.25 + 0.2 * mottle, 0)
        _add(density, whole, body, scene.film_colour)
        lobes = ellipses(scene.lobes, size, scale, 2.5)
        lobes = soften(lobes, 0.22 * scale)
        lobes *= 1 + 0.15 * bank.window('clump', rows, columns, scene.offset[1])
        nuclear = lobes if nuclear is None else nuclear + lobes
    if nuclear is not None:
        _add(density, whole, nuclear, scene.slide.haematoxylin)
    if len(scene.red_cells):
        red = ellipses(scene.red_cells, size, scale, 1.3)
        # Thinner in the middle: the difference to its own blur is largest at the margin.
        red = soften(red, 0.2 * scale) * 1.5 - 0.7 * spread(red, 1.4 * scale)
        _add(density, whole, np.maximum(red, 0), scene.slide.red_cells)
    if len(scene.specks):
        density += 2.2 * _dots(scene.specks, whole)


def paint(scene: Scene, size: int) -> Tuple[np.ndarray, np.ndarray]:
    """Paint a scene without sensor noise.

    Args:
        scene (Scene): What to paint.
        size (int): Side of the picture, pixels.

    Returns:
        tuple[np.ndarray, np.ndarray]: RGB (size, size, 3) float32, 0 to 255, and the truth
            (2, size, size) uint16: top-most cell, and top-most nucleus, 1-based in the order of
            ``scene.cells``, 0 where there is none.
    """
    bank = texture_bank(size)
    scale = size / FIELD_UM
    density = np.zeros((3, size, size), np.float32)
    truth = np.zeros((2, size, size), np.uint16)
    for number, cell in enumerate(scene.cells, start=1):
        paint_cell(density, truth, number, cell, bank)
    paint_dirt(density, scene, bank)
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    tilt_x, tilt_y = scene.tilt.astype(np.float32)
    light = 1 + tilt_x * ramp + (tilt_y * ramp)[:, None] - abs(tilt_x) / 2 - abs(tilt_y) / 2
    rgb = develop(density, scene.slide, FLOOR, scene.defocus * scale, EDGE_UM * scale, light)
    return rgb, truth
