"""The cells of an image of glands: nuclei, goblet cells, cell borders, vessels, debris."""

import dataclasses
from typing import List, Tuple

import numpy as np
from scipy.spatial import cKDTree

from .grades import GlandTraits
from .layout import MARGIN_UM, GlandLayout, look_up
from .patients import GlandPatient

EPITHELIAL, FIBROBLAST, LYMPHOCYTE, ENDOTHELIAL = range(4)


@dataclasses.dataclass(frozen=True)
class Nuclei:
    """Nuclei as ellipses; arrays have one row each, lengths in um.

    Attributes:
        centre (np.ndarray): (n, 2).
        length, width (np.ndarray): (n,) axes.
        angle (np.ndarray): (n,) direction of the long axis, radians.
        density (np.ndarray): (n,) haematoxylin.
        kind (np.ndarray): (n,) int.
    """

    centre: np.ndarray
    length: np.ndarray
    width: np.ndarray
    angle: np.ndarray
    density: np.ndarray
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.centre)

    def chosen(self, keep: np.ndarray) -> 'Nuclei':
        """Those that ``keep`` (mask or indices) chooses."""
        return Nuclei(*(getattr(self, f.name)[keep] for f in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class Vessel:
    """A small vessel: outline centre, radius, and its red cells (k, 2)."""

    centre: np.ndarray
    radius: float
    red_cells: np.ndarray


@dataclasses.dataclass(frozen=True)
class GlandCells:
    """Everything that is painted upon a layout. Lengths in um.

    Attributes:
        nuclei (Nuclei): All of them.
        goblets (np.ndarray): (k, 6): x, y, half length, half width, angle, fullness.
        walls (np.ndarray): (w, 2, 2) lines between columnar cells.
        vessels (list[Vessel]): In the stroma.
        debris (np.ndarray): (d, 4): x, y, radius, blueness of specks in the lumina.
    """

    nuclei: Nuclei
    goblets: np.ndarray
    walls: np.ndarray
    vessels: List[Vessel]
    debris: np.ndarray


def join(parts: List[Nuclei]) -> Nuclei:
    """Several sets of nuclei as one."""
    names = [f.name for f in dataclasses.fields(Nuclei)]
    return Nuclei(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _walk(outline: np.ndarray, spacing: float, rng: np.random.Generator) -> Tuple:
    """Points (m, 2) along a closed outline at a spacing, and unit normals to its inside."""
    closed = np.concatenate([outline, outline[:1]])
    steps = np.hypot(*np.diff(closed, axis=0).T)
    ends = np.concatenate([[0], np.cumsum(steps)])
    count = max(4, int(ends[-1] / spacing))
    places = (np.arange(count) + rng.uniform(0, 1) + rng.normal(0, 0.13, count)) * ends[-1] / count
    places %= ends[-1]
    points = np.stack([np.interp(places, ends, closed[:, i]) for i in (0, 1)], axis=1)
    ahead, behind = (
        np.stack(
            [np.interp((places + step) % ends[-1], ends, closed[:, i]) for i in (0, 1)], axis=1
        )
        for step in (2.0, -2.0)
    )
    tangent = ahead - behind
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)  # outlines run with the clock here
    x, y = closed[:-1].T
    nx, ny = closed[1:].T
    return points, normal if (x * ny - y * nx).sum() > 0 else -normal


def _epithelium(
    rng: np.random.Generator, traits: GlandTraits, patient: GlandPatient, layout: GlandLayout
) -> Tuple[Nuclei, np.ndarray, np.ndarray]:
    """Nuclei, goblet cells and cell borders of all glands."""
    length, width, sd = traits.nucleus
    size = patient.size
    parts, goblets, walls = [], [], []
    for number, outline in enumerate(layout.outlines, start=1):
        points, normal = _walk(outline, traits.spacing * size, rng)
        count = len(points)
        height = min(layout.thickness[number - 1], 34 * size)
        share = rng.uniform(*traits.goblet)
        is_goblet = rng.random(count) < share
        radius = rng.uniform(*traits.goblet_radius, count) * size
        # A goblet needs the room of about two cells: the neighbour that follows gives way.
        is_goblet[1:] &= ~is_goblet[:-1] | (rng.random(count - 1) < 0.25)
        at = points + normal * (height * rng.uniform(0.48, 0.7, count))[:, None]
        angle = np.arctan2(normal[:, 1], normal[:, 0])
        made = np.column_stack([
            at, radius * rng.uniform(1.15, 1.6, count), radius, angle, rng.uniform(0.75, 1, count)
        ])[is_goblet]  # fmt: skip
        goblets.append(made)
        here = look_up(layout.ids, at[is_goblet]) == number
        goblets[-1] = made[here & (look_up(layout.lumen, at[is_goblet]) < 1)]
        inner = points + normal * (0.95 * height)
        walls.append(np.stack([points + normal * 1.5, inner], axis=1))

        # Nuclei: a basal row, and further ones above it where the epithelium is stratified.
        rows = max(1, int(traits.rows + rng.random()))
        for row in range(rows):
            part = np.ones(count, bool) if row == 0 else rng.random(count) < traits.rows / rows
            low = (0.5 * length + 1.2) * size + row * 0.62 * length * size
            level = low + np.abs(rng.normal(0, 0.16 * length * (1 + traits.rows), count)) * size
            level = np.where(is_goblet & (row == 0), 0.42 * length * size, level)
            centre = points + normal * level[:, None] + rng.normal(0, 0.5, (count, 2))
            parts.append(
                _nuclei(
                    rng, centre[part], angle[part], traits, size, flat=is_goblet[part] & (row == 0)
                )
            )
    if traits.disorder > 0.6 or traits.solid or traits.cribriform:
        parts.append(_scattered(rng, traits, patient, layout))
    nuclei = join(parts)
    inside = look_up(layout.ids, nuclei.centre) > 0
    edge = look_up(layout.depth, nuclei.centre) > 0.33 * nuclei.width
    free = look_up(layout.lumen, nuclei.centre) < -0.3 * nuclei.width
    nuclei = _thinned(nuclei.chosen(inside & edge & free))
    return nuclei, np.concatenate(goblets), np.concatenate(walls)


def _thinned(nuclei: Nuclei) -> Nuclei:
    """Without those that lie upon another: a section is about as thick as one nucleus."""
    nearest = 0.8 * float(np.median(nuclei.width)) if len(nuclei) else 1.0
    keep = np.ones(len(nuclei), bool)
    # Pairs in the order of the nuclei, so that the result does not depend on the tree.
    for first, second in sorted(cKDTree(nuclei.centre).query_pairs(nearest)):
        keep[second] &= not keep[first]
    return nuclei.chosen(keep)


def _nuclei(rng, centre, upright, traits, size, flat) -> Nuclei:
    count = len(centre)
    length, width, sd = traits.nucleus
    grow = np.exp(rng.normal(0, sd, count))
    angle = upright + rng.normal(0, traits.disorder, count)
    # Beneath a goblet the nucleus is pressed flat against the base.
    angle = np.where(flat, upright + np.pi / 2, angle)
    return Nuclei(
        centre=centre,
        length=np.where(flat, 0.85, 1.0) * length * grow * size,
        width=np.where(flat, 0.7, 1.0) * width * np.exp(rng.normal(0, 0.6 * sd, count)) * size,
        angle=angle,
        density=rng.uniform(*traits.density, count),
        kind=np.full(count, EPITHELIAL),
    )


def _scattered(rng, traits, patient, layout) -> Nuclei:
    """Nuclei anywhere in solid and cribriform epithelium, beyond the basal rows."""
    length, width, _ = traits.nucleus
    points = _jittered(rng, layout.ids.shape, 1.05 * (length + width) / 2 * patient.size)
    deep = look_up(layout.depth, points) > (0.9 * length + 2) * patient.size
    tall = np.concatenate([[0], layout.thickness])[look_up(layout.ids, points)] > 1e5
    keep = deep & (tall | (rng.random(len(points)) < 0.3 * min(traits.disorder, 1)))
    points = points[keep]
    angle = rng.uniform(0, np.pi, len(points))
    return _nuclei(rng, points, angle, traits, patient.size, np.zeros(len(points), bool))


def _jittered(rng: np.random.Generator, shape: Tuple[int, int], spacing: float) -> np.ndarray:
    """Points of a jittered hexagonal lattice over a map, um from the image's corner."""
    rows = np.arange(0, shape[0], 0.87 * spacing)
    columns = np.arange(0, shape[1], spacing)
    x, y = np.meshgrid(columns, rows)
    x = x + 0.5 * spacing * (np.arange(len(rows)) % 2)[:, None]
    points = np.stack([x.ravel(), y.ravel()], axis=1) - MARGIN_UM
    return points + rng.normal(0, 0.2 * spacing, points.shape)


def _vessels(rng, traits, patient, layout, field) -> List[Vessel]:
    count = rng.poisson(traits.vessels * field[0] * field[1] / 320**2)
    tries = rng.uniform(-10, np.array(field[::-1]) + 10, (60, 2))
    vessels: List[Vessel] = []
    for centre in tries:
        room = float(look_up(layout.reach, centre))
        radius = min(rng.uniform(4.5, 11) * patient.size, room - 3)
        apart = all(np.hypot(*(v.centre - centre)) > v.radius + radius + 8 for v in vessels)
        if len(vessels) < count and radius > 4 and apart:
            number = rng.poisson(0.75 * (radius / 3.2) ** 2)
            angle, distance = rng.uniform(0, 2 * np.pi, number), np.sqrt(rng.random(number))
            around = np.stack([np.cos(angle), np.sin(angle)], axis=1) * distance[:, None]
            vessels.append(Vessel(centre, radius, centre + around * max(radius - 2.6, 0.5)))
    return vessels


def _stroma(rng, traits, patient, layout, vessels) -> Nuclei:
    """Fibroblasts along the glands, lymphocytes between them, endothelium around vessels."""
    parts = []
    size = patient.size
    # The slope of the distance from the glands says which way the fibres run.
    slope_y, slope_x = np.gradient(layout.reach)
    for kind, rate in (
        (FIBROBLAST, traits.fibroblasts),
        (LYMPHOCYTE, traits.lymphocytes * patient.inflammation),
    ):
        points = _jittered(rng, layout.ids.shape, 5.2 * size)
        area = 5.2 * 5.2 * 0.87 * size**2
        clump = 0.6 + 0.4 * np.sin(points @ rng.normal(0, 0.02, 2) + rng.uniform(0, 6))
        room = look_up(layout.reach, points)
        keep = (rng.random(len(points)) < rate / 1000 * area * 1.6 * clump) & (room > 2.6)
        points = points[keep]
        count = len(points)
        along = np.arctan2(look_up(slope_y, points), look_up(slope_x, points)) + np.pi / 2
        along = along + rng.normal(0, 0.35, count)
        if kind == FIBROBLAST:
            length, width = rng.uniform(9, 15, count), rng.uniform(2.2, 3.4, count)
            density = rng.uniform(0.65, 1.0, count)
        else:
            length = rng.uniform(5.0, 6.6, count)
            width, density = length * rng.uniform(0.85, 1, count), rng.uniform(0.95, 1.35, count)
        parts.append(
            Nuclei(points, length * size, width * size, along, density, np.full(count, kind))
        )
    for vessel in vessels:
        count = max(3, int(vessel.radius * 0.75))
        angle = rng.uniform(0, 2 * np.pi) + np.arange(count) * 2 * np.pi / count
        angle = angle + rng.normal(0, 0.2, count)
        around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        parts.append(
            Nuclei(
                vessel.centre + around * vessel.radius,
                rng.uniform(6, 9, count) * size,
                rng.uniform(1.8, 2.6, count) * size,
                angle + np.pi / 2,
                rng.uniform(0.7, 1.0, count),
                np.full(count, ENDOTHELIAL),
            )  # fmt: skip
        )
    nuclei = join(parts)
    return nuclei.chosen(look_up(layout.reach, nuclei.centre) > 0.45 * nuclei.width)


def _debris(rng, traits, layout) -> np.ndarray:
    """Specks of dead cells in the lumina."""
    if traits.debris <= 0:
        return np.zeros((0, 4))
    points = _jittered(rng, layout.ids.shape, 5.0)
    patchy = 0.5 + 0.5 * np.sin(points @ rng.normal(0, 0.03, 2) + rng.uniform(0, 6))
    keep = rng.random(len(points)) < traits.debris * patchy * rng.uniform(0.2, 1.0)
    points = points[keep & (look_up(layout.lumen, points) > 2.5)]
    count = len(points)
    return np.column_stack([points, rng.uniform(0.7, 2.6, count), rng.random(count) ** 2])


def make_cells(
    rng: np.random.Generator,
    traits: GlandTraits,
    patient: GlandPatient,
    layout: GlandLayout,
    field: Tuple[float, float],
) -> GlandCells:
    """Fill a layout with cells; ``field`` is (height, width) of the image, um."""
    epithelial, goblets, walls = _epithelium(rng, traits, patient, layout)
    vessels = _vessels(rng, traits, patient, layout, field)
    stromal = _stroma(rng, traits, patient, layout, vessels)
    nuclei = join([epithelial, stromal])
    reach = 12.0
    visible = ((nuclei.centre > -reach) & (nuclei.centre < np.array(field[::-1]) + reach)).all(1)
    return GlandCells(nuclei.chosen(visible), goblets, walls, vessels, _debris(rng, traits, layout))
