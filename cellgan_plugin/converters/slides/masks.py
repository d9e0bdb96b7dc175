"""Polygons to instance masks beside the tiles, for generation from masks and for segmenters."""

from collections import Counter
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from cellgan_plugin.converters.slides.annotation import Annotation, usable
from cellgan_plugin.converters.slides.plan import SlidePlan, at_corner, covered, grid
from cellgan_plugin.converters.slides.readers import SlideInfo, need
from cellgan_plugin.converters.slides.settings import POLYGON_COVERAGE, Field, PatchSettings

OBJECT_COVERAGE = 0.2  # least share of objects in a tile where no region says what is annotated
_SUPERSAMPLE = 4  # samples per pixel and axis: the border is that of most of the pixel
_BITS = 4  # cv2 takes fixed-point coordinates with this many fractional bits
_MOST_OBJECTS = 65535  # of a tile, in 16 bits


class Rings(NamedTuple):
    """One object of a tile.

    Attributes:
        rings (tuple[np.ndarray, ...]): (n, 2) x, y each, px of the tile; the even-odd rule makes
            holes of inner rings.
    """

    rings: Tuple[np.ndarray, ...]


def plan_masks(
    annotations: Sequence[Annotation], info: SlideInfo, of: Field, settings: PatchSettings
) -> Tuple[SlidePlan, List[Tuple[Rings, ...]]]:
    """Tiles on the slide's grid with the objects in each.

    With ``settings.region`` the polygons of that class say what was annotated: tiles inside them
    are kept, whatever they hold. Without, tiles of which objects cover enough. A tile's label is
    the class that covers most of it; where there is no object, the region's.

    Args:
        annotations (Sequence[Annotation]): In level-0 px; points have no area and are passed over.
        info (SlideInfo): The slide.
        of (Field): What a tile shows.
        settings (PatchSettings): Grid, coverage, region.

    Returns:
        tuple[SlidePlan, list[tuple[Rings, ...]]]: The tiles, and their objects bottom to top.
    """
    shapely = need('shapely', 'masks')
    plan = SlidePlan()
    regions, objects = [], []
    for annotation in annotations:
        if annotation.shape.geom_type == 'Point':
            plan.counts['points, without area for a mask'] += 1
            continue
        is_region = settings.region and annotation.label == settings.region
        (regions if is_region else objects).append(annotation)
    plan.counts['objects'] += len(objects)
    shapes = np.array([usable(annotation.shape) for annotation in objects], object)
    where = regions if settings.region else objects
    if not where:
        return plan, []
    tiled = shapely.union_all([usable(annotation.shape) for annotation in where])
    least = settings.coverage or (POLYGON_COVERAGE if settings.region else OBJECT_COVERAGE)
    tree = shapely.STRtree(shapes)
    masks: List[Tuple[Rings, ...]] = []
    for corners in grid(tiled.bounds, info, of, settings):
        for corner in corners[covered(tiled, corners, of) >= least - 1e-9].tolist():
            patch = at_corner('', corner, of, '')
            box = shapely.box(patch.left, patch.top, patch.left + of.width, patch.top + of.height)
            inside = np.sort(tree.query(box, predicate='intersects'))
            parts = shapely.intersection(shapes[inside], box)
            found = [
                (objects[index], part)
                for index, part in zip(inside, parts, strict=True)
                if part.area > 0
            ][:_MOST_OBJECTS]
            label = _label(found, settings.region)
            plan.patches.append(patch._replace(label=label))
            masks.append(
                tuple(_rings(part, (patch.left, patch.top), of, settings) for _, part in found)
            )
    return plan, masks


def _label(found: Sequence[Tuple[Annotation, Any]], region: str) -> str:
    areas: Dict[str, float] = Counter()
    for annotation, part in found:
        areas[annotation.label] += part.area
    return max(areas, key=areas.get) if areas else region


def _rings(shape: Any, corner: Tuple[int, int], of: Field, settings: PatchSettings) -> Rings:
    """Outlines of a polygon or several, px of the tile."""
    height, width = settings.area
    scale = np.array((width / of.width, height / of.height))
    polygons = [part for part in getattr(shape, 'geoms', [shape]) if part.geom_type == 'Polygon']
    return Rings(
        tuple(
            ((np.asarray(ring.coords)[:, :2] - corner) * scale).astype(np.float32)
            for polygon in polygons
            for ring in (polygon.exterior, *polygon.interiors)
        )
    )


def draw_mask(objects: Sequence[Rings], area: Tuple[int, int]) -> np.ndarray:
    """Instance mask of a tile, uint16 (height, width): 0 background, k object k.

    The objects are given bottom to top.
    """
    mask = np.zeros(area, np.uint16)
    for number, one in enumerate(objects, 1):
        points = np.concatenate(one.rings)
        left, top = np.floor(points.min(axis=0)).astype(int).clip(0)
        right, bottom = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 1, area[::-1])
        if right <= left or bottom <= top:
            continue
        drawn = np.zeros(((bottom - top) * _SUPERSAMPLE, (right - left) * _SUPERSAMPLE), np.uint8)
        fixed = [
            # Centres of samples are whole numbers to cv2.
            np.rint(((ring - (left, top)) * _SUPERSAMPLE - 0.5) * (1 << _BITS)).astype(np.int32)
            for ring in one.rings
        ]
        cv2.fillPoly(drawn, fixed, 255, cv2.LINE_8, _BITS)
        share = cv2.resize(drawn, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        mask[top:bottom, left:right][share >= 128] = number
    return mask
