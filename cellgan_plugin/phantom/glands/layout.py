"""Where the glands of an image lie: outlines in micrometres, and maps of what is where.

The maps have 1 um per pixel whatever the image will be painted at, so that everything that is
placed by them is the same at all sizes.
"""

import dataclasses
from typing import List, Optional, Tuple

import cv2
import numpy as np

from ..raster import FRACTION_BITS, fixed_point
from ..shapes import radial_outline, radial_profile
from .grades import GlandTraits

# What the shorter side of an image shows, whatever its size in pixels: 512 px of GlaS (0.62 um/px).
FIELD_UM = 320.0
MARGIN_UM = 96  # glands beyond the image's edges that reach into it
_TRIES = 200
_SHRINK = (1.0, 0.82, 0.66)  # a gland that finds no room is tried smaller
_OVERLAP = 0.12  # part of a touching gland that its neighbours may cut off


@dataclasses.dataclass(frozen=True)
class GlandLayout:
    """The glands of an image. Lengths in um; points are (x, y) from the image's upper left corner.

    Attributes:
        outlines (list[np.ndarray]): (POINTS, 2) of every gland; where two overlap the former wins.
        thickness (np.ndarray): (n,) height of the epithelium of each; very large for a nest
            without lumen.
        holes (list[np.ndarray]): Outlines (POINTS, 2) of the small lumina of cribriform glands.
        ids (np.ndarray): int32 map (1 um/px, margin all around): number of the gland from 1, 0 in
            the stroma.
        depth (np.ndarray): float32 map: distance from the edge of the gland, 0 in the stroma.
        reach (np.ndarray): float32 map: distance from the nearest gland, 0 within.
        lumen (np.ndarray): float32 map: signed distance from the edge of a lumen, positive inside.
    """

    outlines: List[np.ndarray]
    thickness: np.ndarray
    holes: List[np.ndarray]
    ids: np.ndarray
    depth: np.ndarray
    reach: np.ndarray
    lumen: np.ndarray


def look_up(plane: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of a map at points (..., 2) in um; points outside get the nearest edge's."""
    x, y = np.moveaxis(points + MARGIN_UM, -1, 0)
    rows = np.clip(y.astype(np.int64), 0, plane.shape[0] - 1)
    return plane[rows, np.clip(x.astype(np.int64), 0, plane.shape[1] - 1)]


def fill(plane: np.ndarray, outline: np.ndarray, value: int, scale: float, margin: float) -> None:
    """Fill a closed outline (n, 2) um in a map with ``scale`` px per um."""
    cv2.fillPoly(plane, [fixed_point(outline + margin, scale)], value, cv2.LINE_8, FRACTION_BITS)


def _candidates(
    rng: np.random.Generator, traits: GlandTraits, size: float, field: Tuple[float, float]
) -> np.ndarray:
    """Centres (n, 2) to try, in the order of trying."""
    height, width = field
    low, high = -MARGIN_UM + 20, np.array([width, height]) + MARGIN_UM - 20
    if rng.random() >= traits.regular:
        tries = int(_TRIES * max(1.0, height * width / FIELD_UM**2))
        return rng.uniform((low, low), high, (tries, 2))
    # Crypts stand in rows like test tubes: a hexagonal lattice at any angle, a little jittered.
    pitch = 2.1 * np.mean(traits.radius) * size + np.mean(traits.gap)
    count = int(np.ceil(np.hypot(width, height) / pitch)) + 3
    across, along = np.meshgrid(np.arange(-count, count + 1), np.arange(-count, count + 1))
    points = np.stack([(across + 0.5 * (along % 2)).ravel(), 0.9 * along.ravel()], axis=1) * pitch
    angle = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = points @ turn.T + np.array([width, height]) * rng.uniform(0.3, 0.7, 2)
    points = points + rng.normal(0, 0.05 * pitch, points.shape)
    inside = ((points > low) & (points < high)).all(axis=1)
    return rng.permutation(points[inside])


def make_layout(
    rng: np.random.Generator, traits: GlandTraits, size: float, field: Tuple[float, float]
) -> GlandLayout:
    """Place glands one by one where there is room; at least one has its centre in the image.

    ``size`` is a factor of all lengths, ``field`` (height, width) of the image, um.
    """
    height, width = field
    shape = tuple(int(np.ceil(side)) + 2 * MARGIN_UM for side in field)
    ids = np.zeros(shape, np.int32)
    taken = np.zeros(shape, np.uint8)
    wanted = rng.uniform(*traits.coverage) * shape[0] * shape[1]
    # Glands of one image lean the same way.
    lean = rng.uniform(0, np.pi)
    outlines: List[np.ndarray] = []
    area = 0
    centres = _candidates(rng, traits, size, field)
    # The first is tried in the image itself: no image is without a gland.
    centres = np.concatenate([rng.uniform(0.3, 0.7, (1, 2)) * (width, height), centres])
    for centre in centres:
        if area >= wanted:
            break
        column, row = (centre + MARGIN_UM).astype(int)
        if taken[row, column]:
            continue
        radius = rng.uniform(*traits.radius) * size
        touching = rng.random() < traits.touching
        gap = 0.0 if touching else rng.uniform(*traits.gap)
        profile = np.sqrt(np.pi) * radial_profile(
            rng,
            rng.uniform(*traits.irregularity),
            traits.lobes,
            rng.uniform(*traits.aspect),
            lean + rng.normal(0, 0.35),
        )
        for smaller in _SHRINK:
            outline = radial_outline(profile * radius * smaller, centre)
            found = _room_for(outline, profile * radius * smaller + gap, centre, taken)
            if found is None:
                break
            window, drawn, near = found
            clash = int((near & taken[window]).sum())
            if clash <= (_OVERLAP * int(drawn.sum()) if touching else 0):
                free = (drawn > 0) & (taken[window] == 0)
                taken[window] |= drawn
                outlines.append(outline)
                ids[window][free] = len(outlines)
                area += int(free.sum())
                break
    count = len(outlines)
    depth, reach = _distances(ids)
    thickness = rng.uniform(*traits.epithelium, count) * size
    kind = rng.random(count)
    solid = kind < traits.solid
    cribriform = ~solid & (kind < traits.solid + traits.cribriform)
    holes = [
        hole
        for number in np.flatnonzero(cribriform)
        for hole in _small_lumina(rng, ids, depth, number + 1, size)
    ]
    thickness[solid | cribriform] = 1e6
    # Lumina do not follow the outline exactly: coarse noise, smoothly enlarged.
    coarse = rng.standard_normal([side // 9 + 1 for side in shape]).astype(np.float32)
    wobble = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    wobble *= 1.6 + 10 * traits.irregularity[1]
    limit = np.concatenate([[1e6], thickness]).astype(np.float32)[ids]
    inside = (depth > limit + wobble).astype(np.uint8)
    drawn = np.zeros(shape, np.uint8)
    for hole in holes:
        fill(drawn, hole, 1, 1.0, MARGIN_UM)
    inside |= drawn & (ids > 0)
    # A speck of lumen is noise, not a lumen.
    inside = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    lumen = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    lumen -= cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    return GlandLayout(outlines, thickness, holes, ids, depth, reach, cv2.blur(lumen, (3, 3)))


def _room_for(
    outline: np.ndarray, wider: np.ndarray, centre: np.ndarray, taken: np.ndarray
) -> Optional[Tuple[Tuple[slice, slice], np.ndarray, np.ndarray]]:
    """The part of the map around an outline, the outline filled, and so with its gap around it."""
    around = radial_outline(wider, centre)
    low = np.maximum(np.floor(around.min(axis=0)).astype(int) + MARGIN_UM - 1, 0)
    high = np.ceil(around.max(axis=0)).astype(int) + MARGIN_UM + 1
    high = np.minimum(high, taken.shape[::-1])
    if (low >= high).any():
        return None
    shape = int(high[1] - low[1]), int(high[0] - low[0])
    drawn, near = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    fill(drawn, outline - low + MARGIN_UM, 1, 1.0, 0.0)
    fill(near, around - low + MARGIN_UM, 1, 1.0, 0.0)
    return (slice(low[1], high[1]), slice(low[0], high[0])), drawn, near | drawn


def _distances(ids: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Depth in the glands (edges between touching ones count) and distance from them."""
    inside = (ids > 0).astype(np.uint8)
    inside[:, 1:][ids[:, 1:] != ids[:, :-1]] = 0
    inside[1:][ids[1:] != ids[:-1]] = 0
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    reach = cv2.distanceTransform((ids == 0).astype(np.uint8), cv2.DIST_L2, 5)
    return depth, reach


def _small_lumina(
    rng: np.random.Generator, ids: np.ndarray, depth: np.ndarray, number: int, size: float
) -> List[np.ndarray]:
    """Punched-out lumina of a cribriform gland, apart from each other and from the edge."""
    rows, columns = np.nonzero((ids == number) & (depth > 13 * size))
    holes: List[np.ndarray] = []
    centres: List[Tuple[np.ndarray, float]] = []
    if not len(rows):
        return holes
    for place in rng.integers(0, len(rows), 24):
        centre = np.array([columns[place], rows[place]]) - MARGIN_UM + 0.5
        radius = min(rng.uniform(5, 13) * size, depth[rows[place], columns[place]] - 8 * size)
        profile = radial_profile(rng, 0.08, 4, rng.uniform(1, 1.5), rng.uniform(0, np.pi))
        if radius < 4 * size or any(
            np.hypot(*(centre - other)) < radius + reach + 9 * size for other, reach in centres
        ):
            continue
        centres.append((centre, radius))
        holes.append(radial_outline(profile * np.sqrt(np.pi) * radius, centre))
    return holes
