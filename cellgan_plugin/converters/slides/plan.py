"""Which patches a slide gives: around cells, on a grid inside polygons, on a grid over tissue."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.converters.slides.annotation import Annotation, usable
from cellgan_plugin.converters.slides.readers import SlideInfo, SlideReader, need
from cellgan_plugin.converters.slides.settings import (
    POLYGON_COVERAGE,
    TISSUE_COVERAGE,
    Field,
    PatchSettings,
)
from cellgan_plugin.converters.slides.tissue import TissueMap, is_ink, map_tissue

_TILES_AT_ONCE = 4096  # of a polygon, so that a whole slide's grid is never held


class PlannedPatch(NamedTuple):
    """One patch to cut.

    Attributes:
        label (str): Its class.
        x, y (int): Upper left corner, px of the level that is read.
        left, top (int): The same, level-0 px.
        annotation (str): Id of the annotation, '' of tissue.
    """

    label: str
    x: int
    y: int
    left: int
    top: int
    annotation: str


@dataclass
class SlidePlan:
    """What a slide gives.

    Attributes:
        patches (list[PlannedPatch]): In reading order.
        counts (Counter): What became of annotations and tiles.
        faults (list[str]): Annotations that contradict each other.
        ink (list[tuple[int, int]]): Corners of tiles under ink, level-0 px.
        tissue (TissueMap | None): Where it was looked for.
    """

    patches: List[PlannedPatch] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    faults: List[str] = field(default_factory=list)
    ink: List[Tuple[int, int]] = field(default_factory=list)
    tissue: Optional[TissueMap] = None


def at_corner(label: str, corner: Sequence[float], of: Field, annotation: str) -> PlannedPatch:
    """The patch whose upper left corner is nearest to a level-0 position."""
    nearest = (round(value / of.downsample) for value in corner)
    x, y = (min(max(place, 0), last) for place, last in zip(nearest, of.last, strict=True))
    return PlannedPatch(label, x, y, round(x * of.downsample), round(y * of.downsample), annotation)


def plan_annotations(
    annotations: Sequence[Annotation], info: SlideInfo, of: Field, settings: PatchSettings
) -> SlidePlan:
    """Patches of annotated cells and regions.

    A point, and whatever fits into a patch, is a cell: its patch is centred on it and moved as far
    as needed to stay on the slide. A larger polygon is tiled.

    Args:
        annotations (Sequence[Annotation]): In level-0 px, with the names of classes as labels.
        info (SlideInfo): The slide.
        of (Field): What a patch shows.
        settings (PatchSettings): Stride and coverage.

    Returns:
        SlidePlan: Its patches; one place has one class.
    """
    plan = SlidePlan()
    if info.width < of.width or info.height < of.height:
        plan.counts['slides smaller than a patch'] += 1
        return plan
    cells, regions = [], []
    for annotation in annotations:
        left, top, right, bottom = annotation.shape.bounds
        fits = right - left <= of.width and bottom - top <= of.height
        (cells if fits else regions).append(annotation)
    patches = _around_cells(cells, info, of, plan.counts)
    for annotation in regions:
        found = list(_inside(annotation, info, of, settings))
        plan.counts['polygons too small or thin for a tile'] += not found
        patches += found
    plan.counts['cells'] += len(cells)
    plan.counts['polygons tiled'] += len(regions)
    plan.patches = one_of_each_place(patches, plan)
    return plan


def _around_cells(
    cells: Sequence[Annotation], info: SlideInfo, of: Field, counts: Counter
) -> List[PlannedPatch]:
    if not cells:
        return []
    bounds = np.array([cell.shape.bounds for cell in cells])
    centres = (bounds[:, :2] + bounds[:, 2:]) / 2
    size = np.array((of.width, of.height))
    corners = centres - size / 2
    inside = np.clip(corners, 0, np.array((info.width, info.height)) - size)
    counts['cells at the edge, patch moved onto the slide'] += int(
        (np.abs(inside - corners) > of.downsample).any(axis=1).sum()
    )
    _count_neighbours(cells, centres, inside, size, counts)
    return [
        at_corner(cell.label, corner, of, cell.id)
        for cell, corner in zip(cells, inside.tolist(), strict=True)
    ]


def _count_neighbours(
    cells: Sequence[Annotation],
    centres: np.ndarray,
    corners: np.ndarray,
    size: np.ndarray,
    counts: Counter,
) -> None:
    """Count patches that show an annotated cell of another class, too."""
    shapely = need('shapely', 'annotations')
    labels = np.array([cell.label for cell in cells])
    tree = shapely.STRtree(shapely.points(centres))
    boxes = shapely.box(*corners.T, *(corners + size).T)
    patch, cell = tree.query(boxes, predicate='intersects')
    mixed = np.unique(patch[labels[patch] != labels[cell]])
    counts['patches that show an annotated cell of another class, too'] += len(mixed)


def grid(
    bounds: Sequence[float], info: SlideInfo, of: Field, settings: PatchSettings
) -> Iterator[np.ndarray]:
    """Upper left corners of the slide's grid that touch a rectangle and lie on the slide.

    The grid begins at the slide's corner: neighbouring polygons share it.

    Yields:
        np.ndarray: (n, 2) x, y in level-0 px, row by row, some thousands at a time.
    """
    height, width = settings.area
    across = of.width * settings.stride[1] / width
    down = of.height * settings.stride[0] / height
    left, top, right, bottom = bounds
    columns = np.arange(
        max(0, math.floor((left - of.width) / across)),
        min(math.floor((info.width - of.width) / across), math.floor(right / across)) + 1,
    )
    rows = np.arange(
        max(0, math.floor((top - of.height) / down)),
        min(math.floor((info.height - of.height) / down), math.floor(bottom / down)) + 1,
    )
    if not len(columns):
        return
    at_once = max(1, _TILES_AT_ONCE // len(columns))
    for start in range(0, len(rows), at_once):
        y, x = np.meshgrid(rows[start : start + at_once] * down, columns * across, indexing='ij')
        yield np.column_stack([x.ravel(), y.ravel()])


def covered(shape: Any, corners: np.ndarray, of: Field) -> np.ndarray:
    """Share of each tile that lies inside a polygon, 0 to 1."""
    shapely = need('shapely', 'annotations')
    tiles = shapely.box(*corners.T, *(corners + (of.width, of.height)).T)
    shares = np.zeros(len(tiles))
    shapely.prepare(shape)
    whole = shapely.contains_properly(shape, tiles)
    shares[whole] = 1
    part = np.flatnonzero(~whole & shapely.intersects(shape, tiles))
    shares[part] = shapely.area(shapely.intersection(shape, tiles[part])) / (of.width * of.height)
    return shares


def _inside(
    annotation: Annotation, info: SlideInfo, of: Field, settings: PatchSettings
) -> Iterator[PlannedPatch]:
    shape = usable(annotation.shape)
    least = settings.coverage or POLYGON_COVERAGE
    for corners in grid(shape.bounds, info, of, settings):
        # Rounding must not lose a tile that a rectangle covers exactly.
        for corner in corners[covered(shape, corners, of) >= least - 1e-9].tolist():
            yield at_corner(annotation.label, corner, of, annotation.id)


def one_of_each_place(patches: Sequence[PlannedPatch], plan: SlidePlan) -> List[PlannedPatch]:
    """Patches in reading order, each place once; two classes of one place are a fault."""
    first: Dict[Tuple[int, int], PlannedPatch] = {}
    torn = set()
    for patch in patches:
        other = first.setdefault((patch.y, patch.x), patch)
        if other is patch:
            continue
        if other.label == patch.label:
            plan.counts['patches at the place of another, of the same class'] += 1
        else:
            torn.add((patch.y, patch.x))
            plan.faults.append(
                f'x {patch.left}, y {patch.top}: {other.label} ({other.annotation}) and '
                f'{patch.label} ({patch.annotation})'
            )
    return [first[place] for place in sorted(set(first) - torn)]


def plan_tissue(reader: SlideReader, label: str, of: Field, settings: PatchSettings) -> SlidePlan:
    """Patches on a grid over tissue; blank tiles and tiles under ink are left out and counted."""
    info = reader.info
    plan = SlidePlan(tissue=map_tissue(reader, of))
    least = settings.coverage or TISSUE_COVERAGE
    # All at once: each call of shares() sums up the whole map.
    parts = grid((0, 0, info.width, info.height), info, of, settings)
    corners = np.concatenate([np.empty((0, 2)), *parts])
    tissue, ink = plan.tissue.shares(corners, of)
    inked = is_ink(ink)
    taken = ~inked & (tissue >= least)
    plan.counts['tiles'] += len(corners)
    plan.counts['blank tiles, left out'] += int((~inked & ~taken).sum())
    plan.counts['tiles under ink, left out'] += int(inked.sum())
    plan.ink = [tuple(corner) for corner in np.rint(corners[inked]).astype(int).tolist()]
    plan.patches = [at_corner(label, corner, of, '') for corner in corners[taken].tolist()]
    return plan
