"""Epithelium upright: patches along a polygon, turned so that its basal layer is below.

HistoGAN (Sec. 4.1) cuts cervical epithelium into vertical patches of 256x128 px. Here the medial
axis of the annotated epithelium says where they stand and how they are turned, and the stain on
either side which side is basal: stroma and crowded basal nuclei are dense, the lumen is empty.
"""

import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from cellgan_plugin.converters.slides.annotation import Annotation, usable
from cellgan_plugin.converters.slides.plan import PlannedPatch, SlidePlan, one_of_each_place
from cellgan_plugin.converters.slides.readers import SlideReader, need
from cellgan_plugin.converters.slides.settings import Field, PatchSettings
from cellgan_plugin.converters.slides.tissue import TissueMap, map_tissue

_SAMPLES = 8  # of the border per patch width, for the medial axis
# Two places of the border face each other where the way along it is so much longer than the way
# across; around a right corner it is 1.41 times as long, and the axis has no branch into it.
_FACING = 1.5
_BANDS = np.linspace(0.05, 0.3, 6)  # of the thickness, beside the border, inside and outside
_LEAST_DIFFERENCE = 0.05  # of mean optical density, to tell basal from surface


class Turn(NamedTuple):
    """Where a turned patch lies on the slide.

    Attributes:
        x (float): Its upper left corner, level-0 px.
        y (float): Likewise.
        angle (float): Degrees by which its right points below the slide's right.
    """

    x: float
    y: float
    angle: float

    def axes(self) -> np.ndarray:
        """Unit vectors to its right and down, (2, 2), x and y each."""
        angle = math.radians(self.angle)
        return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def medial_path(polygon: Any, spacing: float) -> np.ndarray:
    """The longest path along the medial axis of a polygon.

    The axis is that of the Voronoi diagram of points on the border (holes are passed over), without
    the edges between points that do not face each other.

    Args:
        polygon (shapely.Polygon): The epithelium.
        spacing (float): Between points on the border.

    Returns:
        np.ndarray: (n, 2) x, y; empty where the polygon has no two sides that face each other.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra
    from scipy.spatial import Voronoi

    shapely = need('shapely', 'oriented patches')
    ring = polygon.exterior
    count = max(16, math.ceil(ring.length / spacing))
    along = np.arange(count) * ring.length / count
    points = shapely.get_coordinates(shapely.line_interpolate_point(ring, along))
    diagram = Voronoi(points)
    pairs, edges = np.array(diagram.ridge_points), np.array(diagram.ridge_vertices)
    inside = shapely.contains_xy(shapely.Polygon(ring), diagram.vertices)
    way = np.abs(along[pairs[:, 0]] - along[pairs[:, 1]])
    way = np.minimum(way, ring.length - way)
    across = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
    kept = (edges >= 0).all(axis=1) & (way > _FACING * across)
    kept[kept] = inside[edges[kept]].all(axis=1)
    edges = edges[kept]
    if not len(edges):
        return np.empty((0, 2))
    length = np.hypot(*(diagram.vertices[edges[:, 0]] - diagram.vertices[edges[:, 1]]).T)
    size = len(diagram.vertices)
    graph = csr_array((np.maximum(length, 1e-9), (edges[:, 0], edges[:, 1])), shape=(size, size))
    # SciPy before 1.15 searches graphs with 32-bit indices alone.
    graph.indices, graph.indptr = graph.indices.astype(np.int32), graph.indptr.astype(np.int32)
    # Two sweeps find the longest path of a tree: from anywhere to the farthest, and from there.
    best: Tuple[float, np.ndarray] = (0.0, np.empty(0, int))
    left = set(edges.ravel().tolist())
    while left:
        start = min(left)
        reached = dijkstra(graph, directed=False, indices=start)
        part = np.flatnonzero(np.isfinite(reached))
        left -= set(part.tolist())
        first = part[reached[part].argmax()]
        far, before = dijkstra(graph, directed=False, indices=first, return_predecessors=True)
        last = part[far[part].argmax()]
        if far[last] > best[0]:
            path = [last]
            while path[-1] != first:
                path.append(before[path[-1]])
            best = (float(far[last]), np.array(path))
    return diagram.vertices[best[1]]


def plan_oriented(
    reader: SlideReader,
    annotations: Sequence[Annotation],
    of: Field,
    settings: PatchSettings,
) -> Tuple[SlidePlan, List[Turn]]:
    """Upright patches along annotated epithelium, and how each is turned.

    The polygons are in level-0 px; the second of ``settings.stride`` is the step along them.
    """
    plan = SlidePlan()
    turns: Dict[PlannedPatch, Turn] = {}
    tissue: Optional[TissueMap] = None
    for annotation in annotations:
        shape = usable(annotation.shape)
        parts = [p for p in getattr(shape, 'geoms', [shape]) if p.geom_type == 'Polygon']
        plan.counts['marks that are no polygon, passed over'] += not parts
        for polygon in parts:
            if tissue is None:
                tissue = map_tissue(reader, of)
            found = _along(polygon, tissue, of, settings, plan)
            on_slide = [turn for turn in found if _is_on(turn, reader, of)]
            plan.counts['patches beyond the slide, left out'] += len(found) - len(on_slide)
            for turn in on_slide:
                patch = PlannedPatch(
                    annotation.label, round(turn.x / of.downsample),
                    round(turn.y / of.downsample), round(turn.x), round(turn.y), annotation.id,
                )  # fmt: skip
                plan.patches.append(patch)
                turns.setdefault(patch, turn)
    plan.patches = one_of_each_place(plan.patches, plan)
    return plan, [turns[patch] for patch in plan.patches]


def _along(
    polygon: Any, tissue: TissueMap, of: Field, settings: PatchSettings, plan: SlidePlan
) -> List[Turn]:
    """Patches of one polygon."""
    from scipy.ndimage import gaussian_filter1d

    path = medial_path(polygon, of.width / _SAMPLES)
    steps = np.hypot(*np.diff(path, axis=0).T) if len(path) > 1 else np.zeros(0)
    total = float(steps.sum())
    step = of.width * settings.stride[1] / settings.area[1]
    if total < of.width:
        plan.counts['polygons without a middle as long as a patch is wide'] += 1
        return []
    # Equal steps, an eighth of a patch each, smoothed over the width of a patch.
    place = np.concatenate([[0], np.cumsum(steps)])
    fine = np.linspace(0, total, max(8, math.ceil(total / (of.width / _SAMPLES))))
    smooth = np.column_stack([np.interp(fine, place, path[:, axis]) for axis in (0, 1)])
    smooth = gaussian_filter1d(smooth, _SAMPLES / 2, axis=0, mode='nearest')
    tangents = np.gradient(smooth, axis=0)
    count = max(1, int((total - of.width) // step) + 1)
    spare = total - of.width - (count - 1) * step
    at = (of.width / 2 + spare / 2 + step * np.arange(count)) / total * (len(fine) - 1)
    index = np.clip(np.rint(at).astype(int), 0, len(fine) - 1)
    centres, tangents = smooth[index], tangents[index]
    normals = np.column_stack([-tangents[:, 1], tangents[:, 0]])
    normals /= np.maximum(np.hypot(*normals.T), 1e-9)[:, None]
    reach = np.array([_reach(polygon, c, n) for c, n in zip(centres, normals, strict=True)])
    difference = _basal_side(tissue, centres, normals, reach)
    if abs(difference) < _LEAST_DIFFERENCE:
        plan.counts['polygons whose basal side cannot be told'] += 1
        return []
    plan.counts['polygons of epithelium'] += 1
    down = normals if difference > 0 else -normals
    middle = centres + normals * ((reach[:, 0] - reach[:, 1]) / 2)[:, None]
    right = np.column_stack([down[:, 1], -down[:, 0]])
    corners = middle - right * of.width / 2 - down * of.height / 2
    angles = np.degrees(np.arctan2(right[:, 1], right[:, 0]))
    too_thick = int((reach.sum(axis=1) > of.height).sum())
    plan.counts['patches of epithelium thicker than a patch is high'] += too_thick
    return [Turn(*corner, angle) for corner, angle in zip(corners.tolist(), angles, strict=True)]


def _reach(polygon: Any, centre: np.ndarray, normal: np.ndarray) -> Tuple[float, float]:
    """Distance to the border along the normal, and against it."""
    shapely = need('shapely', 'oriented patches')
    far = math.hypot(polygon.bounds[2] - polygon.bounds[0], polygon.bounds[3] - polygon.bounds[1])
    found = []
    for sign in (1, -1):
        ray = shapely.LineString([centre, centre + sign * far * normal])
        hits = shapely.get_coordinates(ray.intersection(polygon.exterior))
        found.append(float(np.hypot(*(hits - centre).T).min()) if len(hits) else 0.0)
    return tuple(found)


def _basal_side(
    tissue: TissueMap, centres: np.ndarray, normals: np.ndarray, reach: np.ndarray
) -> float:
    """How much denser the stain is at the border along the normals than at the other border."""
    limit = np.array(tissue.image.shape[1::-1]) - 1
    thickness = reach.sum(axis=1)
    sides = []
    for sign, distance in ((1, reach[:, 0]), (-1, reach[:, 1])):
        # Just inside and just outside of the border.
        for band in (-_BANDS, _BANDS):
            places = distance[:, None] + band * thickness[:, None]
            points = centres[:, None] + sign * places[..., None] * normals[:, None]
            pixels = np.clip((points / tissue.step).astype(int), 0, limit)
            light = tissue.image[pixels[..., 1], pixels[..., 0]].astype(np.float32).mean(axis=-1)
            sides.append(float(-np.log((light + 1) / 256).mean()))
    return sum(sides[:2]) - sum(sides[2:])


def _outline(turn: Turn, of: Field) -> np.ndarray:
    """The four corners of a patch, level-0 px."""
    units = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (of.width, of.height)
    return (turn.x, turn.y) + units @ turn.axes()


def _is_on(turn: Turn, reader: SlideReader, of: Field) -> bool:
    corners = _outline(turn, of)
    return bool(corners.min() >= 0 and (corners <= (reader.info.width, reader.info.height)).all())


def read_turned(reader: SlideReader, of: Field, area: Tuple[int, int], turn: Turn) -> np.ndarray:
    """A turned patch at the asked scale, uint8 RGB of ``area`` (height, width)."""
    corners = _outline(turn, of) / of.downsample
    limit = np.array(reader.info.levels[of.level])
    first = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, limit - 1)
    last = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2, first + 1, limit)
    region = reader.read(of.level, *first.tolist(), *(last - first).tolist())
    size = np.array(region.shape[1::-1])
    shrunk = np.maximum(1, np.rint(size * min(1.0, of.factor)).astype(int))
    if (shrunk != size).any():
        # First to the scale of the patch by area means: a turn by lines alone would alias.
        region = cv2.resize(region, shrunk.tolist(), interpolation=cv2.INTER_AREA)
    scale = shrunk / size
    height, width = area
    # From the centre of a pixel of the patch to px of the region.
    per_pixel = turn.axes() * np.array([[of.width / width], [of.height / height]]) / of.downsample
    start = (np.array((turn.x, turn.y)) / of.downsample - first + per_pixel.sum(axis=0) / 2) * scale
    matrix = np.column_stack([(per_pixel * scale).T, start - 0.5])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        region, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
