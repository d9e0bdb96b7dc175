"""A phantom slide: fields of cytology on one glass, with the place and class of every cell."""

import dataclasses
from typing import List, Tuple

import numpy as np

from cellgan_plugin.datasets.classes import BETHESDA_CLASSES
from cellgan_plugin.randomness import rng_for

from .camera import develop, with_sensor_noise
from .morphology import Cell, move_cell
from .paint import EDGE_UM, FLOOR, paint_cell, paint_dirt
from .scene import make_scene
from .slides import SLIDES_PER_SPLIT, slide_of
from .textures import FIELD_UM, texture_bank

SLIDE_MPP = 0.25  # a 40x scan
FIELD_PX = round(FIELD_UM / SLIDE_MPP)
_STEP_UM = 66.0  # between fields: a patch as wide as a field shows one of them
_JITTER_UM = 5.0
_DEFOCUS_UM = 0.1
_BLANK = 0.15  # share of fields with nothing on them
_FADE_UM = 8.0  # over which film and dirt of a field end


@dataclasses.dataclass(frozen=True)
class SlideCell:
    """Ground truth of one cell.

    Attributes:
        x (float): Where its nuclei are centred, level-0 px from the slide's left edge.
        y (float): Likewise, from its upper edge.
        label (str): Bethesda class.
        marked (bool): Whether it is the cell that its field was drawn for: that one is annotated.
        nucleus_um2 (float): True area of its nuclei.
        cell_um2 (float): True area of the whole cell.
        outline (np.ndarray): (n, 2) x, y, level-0 px.
    """

    x: float
    y: float
    label: str
    marked: bool
    nucleus_um2: float
    cell_um2: float
    outline: np.ndarray


@dataclasses.dataclass(frozen=True)
class PhantomSlide:
    """A drawn slide.

    Attributes:
        image (np.ndarray): uint8 (side, side, 3), RGB, at :data:`SLIDE_MPP`.
        cells (tuple[SlideCell, ...]): Every cell of a class; each is whole.
    """

    image: np.ndarray
    cells: Tuple[SlideCell, ...]


def draw_slide(number: int, side: int, seed: int = 0) -> PhantomSlide:
    """Draw the slide of a key.

    Stain, light and scanner are the slide's; each field has one cell for whose class it was drawn,
    in its middle, among lesser cells. All classes are alike frequent on every slide.

    Args:
        number (int): Of the slide, from 0.
        side (int): Width and height, px.
        seed (int): Base seed. Defaults to 0.

    Returns:
        PhantomSlide: Picture and truth, the same for the same key.

    Raises:
        ValueError: The slide has no room for a field.
    """
    if side < FIELD_PX:
        raise ValueError(f'a phantom slide has at least {FIELD_PX} px, got {side}')
    name = f'slide{number}'
    slide = slide_of(seed, name, 0)
    rng = rng_for(seed, 'phantom/whole slide', name)
    density = np.zeros((3, side, side), np.float32)
    cells: List[SlideCell] = []
    fade = _fade()
    count = 1 + int((side - FIELD_PX) * SLIDE_MPP // _STEP_UM)
    margin = (side * SLIDE_MPP - FIELD_UM - (count - 1) * _STEP_UM) / 2
    for field in range(count**2):
        spot = margin + _STEP_UM * np.array(divmod(field, count)[::-1], float)
        spot += rng.uniform(-1, 1, 2) * min(_JITTER_UM, margin)
        label = BETHESDA_CLASSES[rng.integers(len(BETHESDA_CLASSES))]
        if rng.random() < _BLANK:
            continue
        corner = np.rint(spot / SLIDE_MPP).astype(int)
        # Numbers that are multiples of this are patches of one and the same slide.
        cells += _draw_field(density, corner, label, seed, name, field * SLIDES_PER_SPLIT, fade)
    rgb = develop(density, slide, FLOOR, _DEFOCUS_UM / SLIDE_MPP, EDGE_UM / SLIDE_MPP)
    return PhantomSlide(with_sensor_noise(rgb, slide.noise, rng), tuple(cells))


def _draw_field(
    density: np.ndarray,
    corner: np.ndarray,
    label: str,
    seed: int,
    name: str,
    index: int,
    fade: np.ndarray,
) -> List[SlideCell]:
    """Add one field to the slide's optical density; its cells."""
    scene = make_scene(label, seed, name, index)
    to_middle = FIELD_UM / 2 - scene.cells[-1].centre
    moved = [move_cell(cell, to_middle) for cell in scene.cells]
    if not _whole(moved[-1]):
        return []
    kept = [cell for cell in moved if _whole(cell)]
    bank = texture_bank(FIELD_PX)
    cell_density = np.zeros((3, FIELD_PX, FIELD_PX), np.float32)
    dirt = np.zeros_like(cell_density)
    truth = np.zeros((2, FIELD_PX, FIELD_PX), np.uint16)
    for cell_number, cell in enumerate(kept, 1):
        paint_cell(cell_density, truth, cell_number, cell, bank)
    paint_dirt(dirt, scene, bank)
    x, y = corner.tolist()
    density[:, y : y + FIELD_PX, x : x + FIELD_PX] += cell_density + dirt * fade
    return [
        SlideCell(
            *(cell.centre / SLIDE_MPP + corner).tolist(),
            cell.label,
            cell is kept[-1],
            cell.nucleus_um2,
            cell.cell_um2,
            cell.outline / SLIDE_MPP + corner,
        )
        for cell in kept
    ]


def _whole(cell: Cell) -> bool:
    return bool(cell.outline.min() >= 0 and cell.outline.max() <= FIELD_UM)


def _fade() -> np.ndarray:
    """1 in the middle of a field, 0 at its border."""
    place = (np.arange(FIELD_PX) + 0.5) * SLIDE_MPP
    edge = np.clip(np.minimum(place, FIELD_UM - place) / _FADE_UM, 0, 1)
    ramp = (0.5 - 0.5 * np.cos(np.pi * edge)).astype(np.float32)
    return ramp[:, None] * ramp
