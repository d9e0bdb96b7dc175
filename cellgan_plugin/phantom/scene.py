"""Which cells and which dirt lie where in a patch."""

import bisect
import dataclasses
import math
from typing import List, Tuple

import numpy as np

from cellgan_plugin.randomness import rng_for

from .morphology import Cell, choose_stains, make_cell, move_cell
from .slides import Slide, slide_of
from .textures import FIELD_UM


@dataclasses.dataclass(frozen=True)
class Scene:
    """A patch before it is painted. Lengths in um.

    Attributes:
        slide (Slide): The slide the patch is cut from.
        cells (tuple[Cell, ...]): Bottom to top.
        lobes (np.ndarray): (n, 6) lobes of neutrophil nuclei: x, y, half axes, angle in degrees,
            density.
        bodies (np.ndarray): (n, 3) neutrophil cytoplasm: x, y, radius.
        red_cells (np.ndarray): (n, 6) like ``lobes``.
        bacteria (np.ndarray): (n, 4) rods: x, y of both ends.
        specks (np.ndarray): (n, 3) pigment and dust: x, y, radius.
        film (float): Optical thickness of mucus and protein film.
        film_colour (np.ndarray): (3,) its optical density.
        offset (np.ndarray): (2, 2) positions of film and bacteria in the texture fields.
        tilt (np.ndarray): (2,) relative fall of light from left to right and from top to bottom.
        defocus (float): Blur of the whole patch, um.
    """

    slide: Slide
    cells: Tuple[Cell, ...]
    lobes: np.ndarray
    bodies: np.ndarray
    red_cells: np.ndarray
    bacteria: np.ndarray
    specks: np.ndarray
    film: float
    film_colour: np.ndarray
    offset: np.ndarray
    tilt: np.ndarray
    defocus: float


def _scatter(
    rng: np.random.Generator, taken: List[np.ndarray], apart: float, margin: float
) -> np.ndarray:
    """A spot at least ``apart`` um from the taken ones, if ten tries find one."""
    best, best_gap = None, -1.0
    for _ in range(10):
        spot = rng.uniform(-margin, FIELD_UM + margin, 2)
        gap = min((float(np.hypot(*(spot - other))) for other in taken), default=math.inf)
        if gap >= apart:
            return spot
        if gap > best_gap:
            best, best_gap = spot, gap
    return best


def _cluster(
    rng: np.random.Generator, cells: List[Cell], start: np.ndarray, tightness: float
) -> List[Cell]:
    """Place small cells one against another around ``start``."""
    spots = np.array([start])
    radii = np.array([cell.radius for cell in cells])
    kept = [0]
    for number in range(1, len(cells)):
        # All tries at once: try k leans on an already placed cell at a random angle.
        anchor = rng.integers(len(kept), size=12)
        reach = radii[kept][anchor] + radii[number]
        angle = rng.uniform(0, 2 * math.pi, 12)
        step = reach * rng.uniform(tightness, tightness + 0.15, 12)
        tries = spots[anchor] + step[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        apart = np.hypot(*(tries[:, None] - spots).T).T
        clear = (apart > 0.95 * tightness * (radii[kept] + radii[number])).all(axis=1)
        clear &= (tries.min(axis=1) > -5) & (tries.max(axis=1) < FIELD_UM + 5)
        if clear.any():
            spots = np.concatenate([spots, tries[[clear.argmax()]]])
            kept.append(number)
    placed = [move_cell(cells[number], spot) for number, spot in zip(kept, spots, strict=True)]
    return placed


def _middle(rng: np.random.Generator) -> np.ndarray:
    return FIELD_UM / 2 + np.clip(rng.normal(0, 4, 2), -10, 10)


def _place_cells(rng: np.random.Generator, label: str, slide: Slide) -> List[Cell]:
    """Cells bottom to top; the last one carries the patch's class and is seen whole or nearly."""
    if label in ('ASC-H', 'HSIL'):
        crowded = label == 'HSIL'
        count = 1 + rng.poisson(6.0) if crowded else 1 + rng.poisson(1.8)
        if crowded:
            count = max(count, 3)
        # Cells that grew together stain alike.
        stains = choose_stains(rng, slide)
        small = [make_cell(rng, label, slide, stains) for _ in range(count)]
        small = _cluster(rng, small, _middle(rng), rng.uniform(0.62, 0.92) if crowded else 0.95)
        small.reverse()  # the first, central one ends on top
        flat_count = bisect.bisect((0.12, 0.35, 0.6, 0.8, 0.92), rng.random())
        lesser = ('NILM', 'NILM', 'NILM', 'ASC-US', 'LSIL')
    else:
        count = {'NILM': 1, 'ASC-US': 1, 'LSIL': 1 + rng.binomial(2, 0.4)}[label]
        small = []
        taken: List[np.ndarray] = []
        for _ in range(count):
            spot = _scatter(rng, taken, 20, 0) if taken else _middle(rng)
            taken.append(spot)
            small.append(move_cell(make_cell(rng, label, slide), spot))
        small.reverse()
        sheet = rng.random() < 0.45
        flat_count = int(rng.integers(3, 8) if sheet else rng.integers(0, 4))
        lesser = ('NILM',) if label != 'LSIL' else ('NILM', 'NILM', 'NILM', 'ASC-US')
    taken = [cell.centre for cell in small]
    flat = []
    for _ in range(flat_count):
        spot = _scatter(rng, taken, 17, 12)
        taken.append(spot)
        flat.append(move_cell(make_cell(rng, lesser[rng.integers(len(lesser))], slide), spot))
    return flat + small


def _neutrophils(rng: np.random.Generator, expected: float) -> Tuple[np.ndarray, np.ndarray]:
    """Lobes and bodies of neutrophils, alone and in heaps."""
    count = min(int(rng.poisson(expected)), 45)
    lobes, bodies = [], []
    heaps = rng.uniform(-4, FIELD_UM + 4, (1 + count // 5, 2))
    for _ in range(count):
        if rng.random() < 0.6:
            spot = heaps[rng.integers(len(heaps))] + rng.normal(0, 6, 2)
        else:
            spot = rng.uniform(-3, FIELD_UM + 3, 2)
        bodies.append((*spot, rng.uniform(3.2, 4.6)))
        number = 1 + bisect.bisect((0.15, 0.5, 0.85), rng.random())
        density = rng.uniform(0.9, 1.5)
        turn = rng.uniform(0, 2 * math.pi)
        spread = 0.0 if number == 1 else rng.uniform(1.3, 1.9)
        for k in range(number):
            at = turn + 2 * math.pi * k / max(number, 2.5) + rng.normal(0, 0.25)
            x = spot[0] + spread * math.cos(at)
            y = spot[1] + spread * math.sin(at)
            a = rng.uniform(1.25, 1.8) if number > 1 else rng.uniform(1.9, 2.6)
            b = a * rng.uniform(0.7, 1.0)
            lobes.append((x, y, a, b, math.degrees(at) + 90, density))
    return np.array(lobes).reshape(-1, 6), np.array(bodies).reshape(-1, 3)


def _red_cells(rng: np.random.Generator, expected: float) -> np.ndarray:
    """Red blood cells in streams, squeezed into ovals."""
    count = min(int(rng.poisson(expected)), 40)
    if not count:
        return np.empty((0, 6))
    heaps = rng.uniform(0, FIELD_UM, (2, 2))
    at = heaps[rng.integers(2, size=count)] + rng.normal(0, 11, (count, 2))
    a = rng.uniform(2.6, 3.7, count)
    b = a * rng.uniform(0.5, 0.95, count)
    angle = rng.normal(rng.uniform(0, 180), 30, count)
    return np.column_stack([at, a, b, angle, rng.uniform(0.6, 1.2, count)])


def _bacteria(rng: np.random.Generator, expected: float) -> np.ndarray:
    """Short rods, half of them in a cloud."""
    count = min(int(rng.poisson(expected)), 250)
    cloud = rng.uniform(0, FIELD_UM, 2)
    spot = np.where(
        rng.random((count, 1)) < 0.5,
        cloud + rng.normal(0, 12, (count, 2)),
        rng.uniform(0, FIELD_UM, (count, 2)),
    )
    angle = rng.uniform(0, math.pi, count)
    half = rng.uniform(0.1, 0.5, count)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.concatenate([spot - half, spot + half], axis=1)


def make_scene(label: str, seed: int, split: str, index: int) -> Scene:
    """Compose the patch of a key; the same for the same key, at whatever size it is painted."""
    slide = slide_of(seed, split, index)
    rng = rng_for(seed, 'phantom/scene', split, label, index)
    cells = _place_cells(rng, label, slide)
    lobes, bodies = _neutrophils(rng, slide.inflammation * rng.gamma(2.0, 0.5))
    red_cells = _red_cells(rng, slide.bleeding * rng.gamma(1.0, 1.0))
    bacteria = _bacteria(rng, slide.bacteria * rng.gamma(1.0, 1.0))
    specks = np.empty((0, 3))
    if rng.random() < 0.08:
        count = int(rng.integers(1, 5))
        specks = np.column_stack(
            [rng.uniform(0, FIELD_UM, (count, 2)), rng.uniform(0.3, 1.0, count)]
        )
    film_colour = slide.stains[[0, 3]].T @ rng.dirichlet((2, 2))
    return Scene(
        slide=slide,
        cells=tuple(cells),
        lobes=lobes,
        bodies=bodies,
        red_cells=red_cells,
        bacteria=bacteria,
        specks=specks,
        film=float(slide.mucus * rng.gamma(2.0, 0.5)),
        film_colour=film_colour,
        offset=rng.random((2, 2)),
        tilt=rng.uniform(-1, 1, 2) * slide.vignette,
        defocus=float(rng.gamma(2.0, 0.05)),
    )
