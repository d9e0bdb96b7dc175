"""Which cells lie where in an image of epithelium: geometry in micrometres, no pixel in sight."""

import dataclasses
from typing import Dict, List, Optional, Tuple

import numpy as np
from scipy.spatial import Voronoi, cKDTree

from cellgan_plugin.randomness import rng_for

from .grades import GRADE_TRAITS, profile
from .patients import Patient, patient_of

# What an image shows from top to bottom, whatever its size in pixels: a thin epithelium whole, with
# a rim of stroma. A basal nucleus then is 9 px long at the paper's 256 px.
FIELD_HEIGHT_UM = 160.0
_MARGIN_UM = 14.0  # cells beyond the image's sides that reach into it
_VERTICES = 20  # of a nuclear outline, 5 to 9 um long
_LAYER_UM = 10.0  # height of a layer in the coordinates in which cells are laid out
KINDS = ('epithelial', 'koilocyte', 'mitosis', 'fibroblast', 'lymphocyte')
EPITHELIAL, KOILOCYTE, MITOSIS, FIBROBLAST, LYMPHOCYTE = range(len(KINDS))


@dataclasses.dataclass(frozen=True)
class Border:
    """A gently waving line across the image: its height at every place.

    Attributes:
        level (float): Mean y, um.
        slope (float): Rise per um of width.
        waves (np.ndarray): (n, 3) amplitude in um, wavelength in um, phase.
    """

    level: float
    slope: float
    waves: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Height of the line (y in um, downwards) at places ``x`` (um)."""
        y = self.level + self.slope * x
        for amplitude, wavelength, phase in self.waves:
            y = y + amplitude * np.sin(2 * np.pi * x / wavelength + phase)
        return y


@dataclasses.dataclass(frozen=True)
class TissueScene:
    """An image before it is painted. Lengths in um, (x, y) from its upper left corner, y down.

    Arrays over nuclei have n rows: first those of the epithelium, then those of the stroma.

    Attributes:
        patient (Patient): Stain and section.
        width (float): Of the field; its height is :data:`FIELD_HEIGHT_UM`.
        base, surface (Border): Basement membrane and surface of the epithelium.
        reach (float): Part of the thickness that dysplasia takes on average, 0 to 1.
        kind (np.ndarray): (n,) index into :data:`KINDS`.
        dysplastic (np.ndarray): (n,) bool.
        centre (np.ndarray): (n, 2) of the nuclei.
        height (np.ndarray): (n,) above the base relative to the thickness; NaN in the stroma.
        outline (np.ndarray): (n, v, 2) of the nuclei.
        nucleus_um2 (np.ndarray): (n,) area within the outline.
        aspect, angle (np.ndarray): (n,) length over width; degrees of the long axis, 0 along x.
        cells (list[np.ndarray]): (k, 2) outlines of the epithelial cells, in the order of their
            nuclei.
        density, chromatin (np.ndarray): (n,) of the nuclear stain, and how grainy it is.
        blue, pink, cleared (np.ndarray): (n,) haematoxylin and eosin of the cytoplasm, and the
            share of it that is cleared around the nucleus.
        halo (np.ndarray): (n,) width of that clearing relative to the nucleus, 0 for none.
        offset (np.ndarray): (4, 2) places in the texture fields, 0 to 1.
    """

    patient: Patient
    width: float
    base: Border
    surface: Border
    reach: float
    kind: np.ndarray
    dysplastic: np.ndarray
    centre: np.ndarray
    height: np.ndarray
    outline: np.ndarray
    nucleus_um2: np.ndarray
    aspect: np.ndarray
    angle: np.ndarray
    cells: List[np.ndarray]
    density: np.ndarray
    chromatin: np.ndarray
    blue: np.ndarray
    pink: np.ndarray
    cleared: np.ndarray
    halo: np.ndarray
    offset: np.ndarray


@dataclasses.dataclass(frozen=True)
class Extent:
    """How high dysplasia and the basal zone reach.

    Attributes:
        reach (float): Of dysplasia, relative to the thickness.
        softness (float): Of its upper limit, relative to the thickness.
        basal (float): Thickness of the basal zone relative to the average.
    """

    reach: float
    softness: float
    basal: float

    def dysplasia(self, height: np.ndarray) -> np.ndarray:
        """How far cells are from maturing: 1 below the reach of dysplasia, 0 above it."""
        if self.reach <= 0:
            return np.zeros_like(height)
        return 1 / (1 + np.exp(np.clip((height - self.reach) / self.softness, -30, 30)))

    def profile(
        self, height: np.ndarray, dysplastic: Optional[np.ndarray] = None
    ) -> Dict[str, np.ndarray]:
        """:func:`~.grades.profile` at a height; None for the mixture that is usual there."""
        if dysplastic is None:
            dysplastic = self.dysplasia(height)
        return profile(height**self.basal, dysplastic)


def _outlines(rng, area, aspect, angle, irregularity) -> np.ndarray:
    """Closed outlines (n, v, 2) around the origin with the given areas."""
    theta = np.linspace(0, 2 * np.pi, _VERTICES, endpoint=False)
    harmonic = np.arange(2, 6)
    wave = rng.normal(0, 1, (2, len(area), len(harmonic))) / harmonic
    wobble = wave[0] @ np.cos(np.outer(harmonic, theta)) + wave[1] @ np.sin(
        np.outer(harmonic, theta)
    )
    radius = np.exp(irregularity[:, None] * wobble)
    stretch = np.sqrt(aspect)[:, None]
    x, y = radius * np.cos(theta) * stretch, radius * np.sin(theta) / stretch
    turn = np.radians(angle)[:, None]
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    scale = np.sqrt(area / polygon_areas(np.stack([x, y], axis=-1)))[:, None]
    return np.stack([x * scale, y * scale], axis=-1)


def polygon_areas(outlines: np.ndarray) -> np.ndarray:
    """Areas (n,) within closed outlines (n, v, 2)."""
    x, y = outlines[..., 0], outlines[..., 1]
    return np.abs(np.sum(x * np.roll(y, -1, -1) - y * np.roll(x, -1, -1), axis=-1)) / 2


def _layers(thickness: float, extent: Extent, scale: float) -> np.ndarray:
    """Heights of the layers' limits above the base, um, from 0 to ``thickness``."""
    limits = [0.0]
    while limits[-1] < thickness:
        height = np.array(limits[-1] / thickness)
        limits.append(limits[-1] + scale * float(extent.profile(height)['cell_height']))
    return np.array(limits) * (thickness / limits[-1])


def _lay_cells(
    rng: np.random.Generator, limits: np.ndarray, extent: Extent, width: float, scale: float
) -> Tuple[np.ndarray, np.ndarray]:
    """Places of cells, row by row: x (n,) and height above the base (n,), um."""
    thickness = limits[-1]
    places = []
    for low, high in zip(limits[:-1], limits[1:], strict=True):
        height = np.array((low + high) / 2 / thickness)
        traits = extent.profile(height)
        step = scale * float(traits['cell_width'])
        count = int(np.ceil((width + 2 * _MARGIN_UM) / step)) + 1
        x = (np.arange(count) + rng.random()) * step - _MARGIN_UM - step / 2
        jitter = float(traits['disorder'])
        x = x + step * jitter * rng.normal(0, 1, count)
        t = (low + high) / 2 + (high - low) * 0.8 * jitter * rng.normal(0, 1, count)
        places.append((x, t))
    return tuple(np.concatenate(part) for part in zip(*places, strict=True))


def _push_apart(x: np.ndarray, t: np.ndarray, radius: np.ndarray, thickness: float) -> None:
    """Move nuclei that lie one upon another apart, in place; a little overlap stays."""
    for _ in range(4):
        points = np.stack([x, t], axis=1)
        pairs = cKDTree(points).query_pairs(2 * float(radius.max()), output_type='ndarray')
        first, second = pairs[:, 0], pairs[:, 1]
        gap = points[second] - points[first]
        distance = np.maximum(np.hypot(*gap.T), 1e-6)
        lack = np.maximum(0.92 * (radius[first] + radius[second]) - distance, 0)
        move = (0.4 * lack / distance)[:, None] * gap
        for axis, place in enumerate((x, t)):
            place += np.bincount(second, move[:, axis], len(x))
            place -= np.bincount(first, move[:, axis], len(x))
        np.clip(t, radius * 0.8, thickness - 0.8 * radius, out=t)


def _cell_outlines(x: np.ndarray, t: np.ndarray, limits: np.ndarray) -> List[np.ndarray]:
    """Outlines (k, 2) of cells in (x, height above the base): who is nearest, layer by layer."""
    layer = np.interp(t, limits, np.arange(len(limits)) * _LAYER_UM)
    top = (len(limits) - 1) * _LAYER_UM
    left, right = x.min() - 1, x.max() + 1
    points = np.stack([x, layer], axis=1)
    # Mirror images beyond the borders make the cells end there.
    ghosts = [points]
    for axis, limit in ((1, 0.0), (1, top), (0, left), (0, right)):
        near = points[np.abs(points[:, axis] - limit) < 3 * _LAYER_UM].copy()
        near[:, axis] = 2 * limit - near[:, axis]
        ghosts.append(near)
    voronoi = Voronoi(np.concatenate(ghosts))
    vertices = voronoi.vertices.copy()
    vertices[:, 1] = np.interp(vertices[:, 1], np.arange(len(limits)) * _LAYER_UM, limits)
    return [
        vertices[voronoi.regions[region]] for region in voronoi.point_region[: len(points)].tolist()
    ]


def _waves(rng: np.random.Generator, amplitude: float) -> np.ndarray:
    return np.column_stack(
        [
            amplitude * rng.uniform(0.3, 1.0, 3),
            rng.uniform((90, 45, 22), (160, 75, 40)),
            rng.uniform(0, 2 * np.pi, 3),
        ]
    ) * ((1, 1, 1), (0.6, 1, 1), (0.3, 1, 1))


def _stroma(rng: np.random.Generator, patient: Patient, base: Border, width: float):
    """Kind and place of the nuclei below the basement membrane."""
    area = width * max(FIELD_HEIGHT_UM - base.level, 0.0)
    counts = rng.poisson((area / 210, area / 1000 * patient.inflammation * rng.gamma(2.0, 0.5)))
    counts = np.minimum(counts, int(area / 60))  # a stroma full of lymphocytes
    kind = np.repeat((FIBROBLAST, LYMPHOCYTE), counts)
    x = rng.uniform(-4, width + 4, len(kind))
    top = base(x) + 4.5
    y = top + rng.random(len(kind)) * np.maximum(FIELD_HEIGHT_UM + 3 - top, 0)
    keep = y > base(x) + 4.0
    return kind[keep], np.stack([x, y], axis=1)[keep]


def make_tissue_scene(
    label: str, seed: int, split: str, index: int, aspect_ratio: float = 0.5
) -> TissueScene:
    """Compose the image of a key; the same for the same key, at whatever size it is painted.

    ``aspect_ratio`` is width over height.
    """
    grade = GRADE_TRAITS[label]
    patient = patient_of(seed, split, index)
    rng = rng_for(seed, 'tissue-phantom/scene', split, label, index)
    width = FIELD_HEIGHT_UM * aspect_ratio
    slope = rng.normal(0, 0.03)
    base = Border(
        rng.uniform(0.82, 0.93) * FIELD_HEIGHT_UM - slope * width / 2, slope, _waves(rng, 3.0)
    )
    top_slope = 0.6 * slope + rng.normal(0, 0.015)
    surface = Border(
        rng.uniform(0.02, 0.085) * FIELD_HEIGHT_UM - top_slope * width / 2,
        top_slope,
        _waves(rng, 1.3),
    )
    thickness = float(base(np.array(width / 2)) - surface(np.array(width / 2)))
    reach = float(rng.uniform(*grade.reach))
    # Reactive epithelium has a thick basal zone without being dysplastic.
    extent = Extent(reach, rng.uniform(0.025, 0.075), float(np.exp(rng.normal(0, 0.25))))
    scale = patient.cell_scale
    limits = _layers(thickness, extent, scale)
    x, t = _lay_cells(rng, limits, extent, width, scale)
    n = len(x)

    # The upper limit of dysplasia rises and falls along the epithelium.
    swell = rng.uniform(0.01, 0.07) * np.sin(
        2 * np.pi * x / rng.uniform(60, 130) + rng.uniform(0, 2 * np.pi)
    )
    dysplastic = rng.random(n) < extent.dysplasia(t / thickness - swell)
    traits = extent.profile(np.clip(t / thickness, 0, 1), dysplastic.astype(float))
    kind = np.full(n, EPITHELIAL)
    upper = ~dysplastic & (t / thickness > max(0.35, reach + 0.06)) & (t / thickness < 0.93)
    kind[upper & (rng.random(n) < grade.koilocytes)] = KOILOCYTE
    kind[dysplastic & (rng.random(n) < grade.mitoses)] = MITOSIS
    koilocyte, mitosis = kind == KOILOCYTE, kind == MITOSIS

    atypia = grade.atypia * rng.uniform(0.85, 1.15)
    size_sd = np.where(dysplastic, 0.26 * atypia, 0.13)
    area = traits['nucleus_um2'] * np.exp(size_sd * np.clip(rng.normal(0, 1, n), -2.2, 2.2))
    area *= np.where(dysplastic, atypia, 1.0) * scale**2
    area *= np.where(koilocyte, 1.7, 1.0) * np.where(mitosis, 0.8, 1.0)
    aspect = 1 + (traits['aspect'] - 1) * rng.uniform(0.6, 1.4, n)
    aspect = np.where(mitosis, rng.uniform(2.0, 3.2, n), aspect)
    angle = traits['tilt'] + traits['tilt_sd'] * rng.normal(0, 1, n)
    irregularity = np.where(dysplastic, 0.10 * atypia, 0.03)
    irregularity = np.where(koilocyte, 0.12, np.where(mitosis, 0.2, irregularity))
    density = traits['density'] * np.exp(np.where(dysplastic, 0.2, 0.1) * rng.normal(0, 1, n))
    density *= np.where(dysplastic, rng.uniform(0.85, 1.15), 1.0)
    density = np.where(koilocyte, 1.05, np.where(mitosis, 1.75, density))

    _push_apart(x, t, np.sqrt(area / np.pi), thickness)
    outlines = _cell_outlines(x, t, limits)

    def to_field(points_x, points_t):
        low = base(points_x)
        return low - points_t / thickness * (low - surface(points_x))

    cells = [np.stack([cell[:, 0], to_field(*cell.T)], axis=1) for cell in outlines]
    centre = np.stack([x, to_field(x, t)], axis=1)

    other_kind, other_centre = _stroma(rng, patient, base, width)
    m = len(other_kind)
    fibroblast = other_kind == FIBROBLAST
    other_area = np.where(fibroblast, 17.0, 25.0) * np.exp(0.2 * rng.normal(0, 1, m))
    other_aspect = np.where(fibroblast, rng.uniform(2.5, 4.5, m), rng.uniform(1.0, 1.2, m))
    other_angle = np.where(fibroblast, rng.normal(0, 22, m), rng.uniform(0, 180, m))
    other_density = np.where(fibroblast, 0.85, 1.4) * np.exp(0.12 * rng.normal(0, 1, m))
    cleared = np.clip(traits['glycogen'] * patient.glycogen * rng.uniform(0.6, 1.3, n), 0, 0.92)
    cleared = np.where(koilocyte, 0.9, np.where(mitosis, 0.55, cleared))
    halo = np.where(cleared > 0.15, rng.uniform(1.5, 2.0, n), 0.0)
    halo = np.where(koilocyte, rng.uniform(1.7, 2.2, n), np.where(mitosis, 1.6, halo))
    blank = np.zeros(m)

    def both(mine, others):
        return np.concatenate([mine, others])

    area, aspect = both(area, other_area), both(aspect, other_aspect)
    # Polygons run from -90 to 90 degrees: a long axis has no head.
    angle = (both(angle, other_angle) + 90) % 180 - 90
    centre = both(centre, other_centre)
    shapes = _outlines(rng, area, aspect, angle, both(irregularity, np.full(m, 0.04)))
    return TissueScene(
        patient=patient,
        width=width,
        base=base,
        surface=surface,
        reach=min(reach, 1.0),
        kind=both(kind, other_kind),
        dysplastic=both(dysplastic, blank.astype(bool)),
        centre=centre,
        height=both(t / thickness, np.full(m, np.nan)),
        outline=shapes + centre[:, None],
        nucleus_um2=area,
        aspect=aspect,
        angle=angle,
        cells=cells,
        density=both(density, other_density),
        chromatin=both(np.where(dysplastic, 0.5, 0.35), np.full(m, 0.25)),
        blue=both(traits['blue'] * np.exp(0.15 * rng.normal(0, 1, n)), blank),
        pink=both(traits['pink'] * np.exp(0.12 * rng.normal(0, 1, n)), blank),
        cleared=both(cleared, blank),
        halo=both(halo, blank),
        offset=rng.random((4, 2)),
    )
