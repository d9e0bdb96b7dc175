"""What a cell of each Bethesda class looks like: sizes, N/C ratio, chromatin, cytoplasm.

Areas and ratios follow The Bethesda System for Reporting Cervical Cytology (Nayar and Wilbur,
3rd ed., 2015): nucleus of a normal intermediate cell about 35 um2; ASC-US 2.5 to 3 times that;
LSIL more than 3 times, often binucleate, often with a perinuclear halo; ASC-H and HSIL small cells
of the size of metaplastic ones with a high N/C ratio, above one half in HSIL, whose nuclei are
hyperchromatic, irregular in outline and coarse in chromatin. Where the book gives no number
(cytoplasm areas, spreads), the value was chosen by eye against CRIC Cervix patches.
"""

import dataclasses
import functools
import math
from typing import Mapping, Optional, Tuple

import numpy as np

from .shapes import (
    fold_over,
    polygon_area,
    polygonal_outline,
    radial_outline,
    radial_profile,
)
from .slides import Slide


@dataclasses.dataclass(frozen=True)
class Traits:
    """Distribution of one class. Pairs are (mean, standard deviation).

    Attributes:
        nucleus_um2: Area of one nucleus, log-normal spread relative to the mean.
        cell_um2: Area of the whole cell, likewise; None where ``nc_ratio`` rules.
        nc_ratio: Nucleus over whole cell, for small cells that wrap their nucleus.
        binucleate: Probability of two nuclei.
        halo: Probability of a koilocyte's perinuclear halo.
        density: Optical density of the nucleus in units of the slide's haematoxylin.
        chromatin: Relative amplitude of chromatin texture.
        coarse: Share of coarse clumps, against fine grains, in that texture.
        membrane: Extra density of the nuclear membrane.
        irregularity: Relative wobble of the nuclear outline.
        lobes: Highest harmonic of that wobble.
        thickness: Optical thickness of the cytoplasm relative to a flat mature cell.
        superficial: Probability of the superficial type (pyknotic nucleus, pink or orange).
    """

    nucleus_um2: Tuple[float, float]
    cell_um2: Optional[Tuple[float, float]] = None
    nc_ratio: Optional[Tuple[float, float]] = None
    binucleate: float = 0.0
    halo: float = 0.0
    density: Tuple[float, float] = (0.72, 0.15)
    chromatin: float = 0.22
    coarse: float = 0.0
    membrane: float = 0.35
    irregularity: float = 0.02
    lobes: int = 3
    thickness: float = 1.0
    superficial: float = 0.0


TRAITS: Mapping[str, Traits] = {
    'NILM': Traits((38, 0.14), (1850, 0.22), superficial=0.3),
    'ASC-US': Traits(
        (97, 0.10), (1500, 0.20), binucleate=0.05, density=(0.75, 0.14), chromatin=0.3,
        coarse=0.15, irregularity=0.03,
    ),
    'LSIL': Traits(
        (150, 0.14), (1250, 0.18), binucleate=0.4, halo=0.6, density=(0.85, 0.16), chromatin=0.42,
        coarse=0.5, membrane=0.45, irregularity=0.05, lobes=4, thickness=1.15,
    ),
    'ASC-H': Traits(
        (80, 0.18), nc_ratio=(0.43, 0.045), density=(1.0, 0.15), chromatin=0.32, coarse=0.4,
        membrane=0.4, irregularity=0.045, lobes=4, thickness=1.35,
    ),
    'HSIL': Traits(
        (92, 0.26), nc_ratio=(0.62, 0.06), density=(1.2, 0.18), chromatin=0.5, coarse=0.75,
        membrane=0.5, irregularity=0.085, lobes=6, thickness=1.35,
    ),
}  # fmt: skip

_BINUCLEATE_SHRINK = 0.85  # area of each of two nuclei relative to a single one
_GAP_UM = 0.4  # thinnest cytoplasm between nucleus and cell membrane


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell ready to be placed and painted. Lengths in um, (x, y) in patch coordinates.

    Attributes:
        label (str): Bethesda class of this cell.
        outline (np.ndarray): (n, 2) cell membrane, after folding.
        nuclei (tuple[np.ndarray, ...]): One or two outlines (n, 2).
        centre (np.ndarray): (2,) where the nuclei are centred.
        flap (np.ndarray | None): (m, 2) part of the cell that lies double.
        halo (np.ndarray | None): (n, 2) cleared zone around the nuclei.
        colours (np.ndarray): (1 or 2, 3) optical densities that the cytoplasm is mixed from.
        colour_bias (float): Where the mix leans, about -1 to 1.
        two_tone (float): How much the first colour gathers around the nucleus.
        thickness (float): Optical thickness of the cytoplasm.
        clearing (float): Share of the thickness that is missing in the halo.
        grain, wrinkles, mottle (float): Relative amplitudes of cytoplasm textures.
        pleated (bool): Whether the wrinkles run in one direction.
        rim (float): Extra thickness along the membrane.
        endoplasm (float): Extra thickness around the nucleus.
        creases (tuple[np.ndarray, ...]): Polylines (k, 2) of wrinkles.
        granules (np.ndarray): (k, 3) x, y, radius of keratohyalin granules.
        nuclear_stain (np.ndarray): (3,) optical density of the nuclei.
        chromatin, coarse, membrane (float): See :class:`Traits`.
        offset (np.ndarray): (2,) position in the texture fields, [0, 1).
        turned (bool): Whether the texture fields are read turned by a right angle.
        defocus (float): Blur of this cell, um.
    """

    label: str
    outline: np.ndarray
    nuclei: Tuple[np.ndarray, ...]
    centre: np.ndarray
    flap: Optional[np.ndarray]
    halo: Optional[np.ndarray]
    colours: np.ndarray
    colour_bias: float
    two_tone: float
    thickness: float
    clearing: float
    grain: float
    wrinkles: float
    pleated: bool
    mottle: float
    rim: float
    endoplasm: float
    creases: Tuple[np.ndarray, ...]
    granules: np.ndarray
    nuclear_stain: np.ndarray
    chromatin: float
    coarse: float
    membrane: float
    offset: np.ndarray
    turned: bool
    defocus: float

    @functools.cached_property
    def nucleus_um2(self) -> float:
        """True area of all nuclei of the cell together, um2."""
        return sum(polygon_area(nucleus) for nucleus in self.nuclei)

    @functools.cached_property
    def cell_um2(self) -> float:
        """True area of the whole cell, nuclei included, um2."""
        return polygon_area(self.outline)

    @functools.cached_property
    def radius(self) -> float:
        """Radius of the disc with the cell's area, um."""
        return math.sqrt(self.cell_um2 / math.pi)


def _spread(rng: np.random.Generator, mean_and_sd: Tuple[float, float]) -> float:
    """Log-normal number with a given mean and relative standard deviation, within 2.5 of it."""
    mean, sd = mean_and_sd
    return mean * math.exp(sd * float(np.clip(rng.standard_normal(), -2.5, 2.5)) - sd**2 / 2)


def _make_nuclei(rng, traits, superficial, angle):
    """Outlines of one or two nuclei around the origin."""
    area = _spread(rng, traits.nucleus_um2)
    if superficial:
        area *= 0.72  # pyknotic
    irregularity = traits.irregularity * rng.uniform(0.6, 1.3)
    aspect = 1.0 + rng.gamma(2.0, 0.12)
    angle = angle + rng.normal(0, 0.4)
    if rng.random() >= traits.binucleate:
        shape = radial_profile(rng, irregularity, traits.lobes, aspect, angle)
        return (radial_outline(shape * math.sqrt(area), (0, 0)),)
    area *= _BINUCLEATE_SHRINK
    # The pair lies side by side across its long axis, touching or a little apart.
    shapes = [
        radial_profile(rng, irregularity, traits.lobes, aspect, angle) * math.sqrt(part)
        for part in (area, area * rng.uniform(0.85, 1.1))
    ]
    across = np.array([-math.sin(angle), math.cos(angle)])
    reach = sum(
        float((radial_outline(shape, (0, 0)) @ (across * side)).max())
        for shape, side in zip(shapes, (1, -1), strict=True)
    )
    half = (reach + rng.uniform(0.1, 1.5)) / 2
    return tuple(
        radial_outline(shape, tuple(-side * half * across))
        for shape, side in zip(shapes, (1, -1), strict=True)
    )


def _enclosing_scale(outline: np.ndarray, inner: np.ndarray) -> float:
    """How much an outline must grow about the origin to enclose points (n, 2), mostly 1."""
    angle = np.arctan2(outline[:, 1], outline[:, 0])
    reach = np.interp(
        np.arctan2(inner[:, 1], inner[:, 0]), angle, np.hypot(*outline.T), period=2 * math.pi
    )
    return max(1.0, float(((np.hypot(*inner.T) + 2 * _GAP_UM) / reach).max()))


def _mature_outline(rng, traits, nuclei, angle):
    """A flat polygonal cell around its nuclei, sometimes with a margin folded over."""
    aspect = 1.0 + rng.gamma(1.6, 0.25)
    outline = polygonal_outline(
        rng, _spread(rng, traits.cell_um2), aspect, angle, rng.uniform(0.006, 0.022)
    )
    extent = np.abs(outline).max(axis=0)
    outline = outline - rng.uniform(-0.12, 0.12, 2) * extent
    outline = outline * _enclosing_scale(outline, np.concatenate(nuclei))
    flap = None
    if rng.random() < 0.4:
        nuclear_reach = max(float(np.hypot(*part.T).max()) for part in nuclei)
        crease_angle = rng.uniform(0, 2 * math.pi)
        direction = np.array([math.cos(crease_angle), math.sin(crease_angle)])
        furthest = float((outline @ direction).max())
        distance = max(furthest * rng.uniform(0.62, 0.92), nuclear_reach + 2)
        outline, flap = fold_over(outline, crease_angle, distance)
    return outline, flap


def _small_outline(rng, traits, nuclei, angle):
    """A rounded cell that wraps its nucleus, with the class's N/C ratio."""
    ratio = float(np.clip(rng.normal(*traits.nc_ratio), 0.3, 0.82))
    if traits.nc_ratio[0] > 0.5:
        ratio = max(ratio, 0.53)
    nuclear = nuclei[0]
    area = polygon_area(nuclear) / ratio
    shape = radial_profile(rng, rng.uniform(0.02, 0.09), 6, 1.0 + rng.gamma(1.6, 0.2), angle)
    lean = rng.uniform(0, 0.5) * (1 - ratio)
    theta = np.linspace(0, 2 * math.pi, len(shape), endpoint=False)
    shape = shape * (1 + lean * np.cos(theta - rng.uniform(0, 2 * math.pi)))
    nuclear_radius = np.hypot(*nuclear.T)
    # Both outlines are star-shaped about the same point: the larger radius contains both. The
    # scale is then adjusted so that the ratio survives the bulges.
    scale = math.sqrt(area)
    for _ in range(4):
        radius = np.maximum(shape * scale, nuclear_radius + _GAP_UM)
        outline = radial_outline(radius, (0, 0))
        scale *= math.sqrt(area / polygon_area(outline))
    return outline


def _creases(rng, outline):
    """Wrinkles: shallow arcs across the cell."""
    arcs = []
    for _ in range(rng.poisson(0.9)):
        start, end = outline[rng.integers(len(outline), size=2)]
        span = end - start
        bow = rng.uniform(-0.25, 0.25) * np.array([-span[1], span[0]])
        t = np.linspace(rng.uniform(0, 0.35), rng.uniform(0.6, 1.0), 12)[:, None]
        arcs.append(start + t * span + 4 * t * (1 - t) * bow)
    return tuple(arcs)


def choose_stains(
    rng: np.random.Generator, slide: Slide, superficial: bool = False
) -> Tuple[int, ...]:
    """Indices into ``slide.stains``: one for most cells, two for the others."""
    weights = slide.stain_weights
    if superficial:
        weights = weights * (0.3, 2.5, 2.5, 0.3)
    edges = np.cumsum(weights)
    first, second = np.searchsorted(edges, rng.random(2) * edges[-1]).tolist()
    return (first,) if rng.random() < 0.55 else (first, second)


def make_cell(
    rng: np.random.Generator, label: str, slide: Slide, stains: Optional[Tuple[int, ...]] = None
) -> Cell:
    """Draw one cell of a Bethesda class, its nuclei centred on the origin; see :func:`move_cell`.

    ``stains`` are those of the cytoplasm, as of :func:`choose_stains`; None: drawn here.
    """
    traits = TRAITS[label]
    mature = traits.cell_um2 is not None
    superficial = rng.random() < traits.superficial
    angle = rng.uniform(0, 2 * math.pi)
    nuclei = _make_nuclei(rng, traits, superficial, angle)
    flap = halo = None
    if mature:
        outline, flap = _mature_outline(rng, traits, nuclei, angle)
    else:
        outline = _small_outline(rng, traits, nuclei, angle)
    if rng.random() < traits.halo:
        reach = np.mean([np.hypot(*part.T).max() for part in nuclei]) * rng.uniform(1.35, 1.7)
        shape = radial_profile(rng, 0.11, 6, rng.uniform(1.05, 1.5), angle)
        halo = radial_outline(shape * reach * math.sqrt(math.pi), tuple(rng.normal(0, 1.3, 2)))
    if stains is None:
        stains = choose_stains(rng, slide, superficial)
    colours = slide.stains[list(stains)] * np.exp(rng.normal(0, 0.09, (len(stains), 3)))
    granules = np.empty((0, 3))
    if mature and rng.random() < 0.3:
        count = int(rng.integers(4, 22))
        granules = np.column_stack([rng.normal(0, 7, (count, 2)), rng.uniform(0.2, 0.55, count)])
    density = _spread(rng, traits.density) * (1.6 if superficial else 1.0)
    return Cell(
        label=label,
        outline=outline,
        nuclei=nuclei,
        centre=np.zeros(2),
        flap=flap,
        halo=halo,
        colours=colours,
        colour_bias=float(rng.normal(0.2, 0.7)),
        two_tone=float(rng.uniform(0, 1.3)),
        thickness=traits.thickness * slide.strength * math.exp(rng.normal(-0.1, 0.33)),
        clearing=float(rng.uniform(0.45, 0.85)),
        grain=float(rng.uniform(0.05, 0.2)),
        wrinkles=float(rng.gamma(1.5, 0.06)) if mature else 0.03,
        pleated=bool(rng.random() < 0.4),
        mottle=float(rng.uniform(0.08, 0.22)),
        rim=float(rng.uniform(0.1, 0.75)),
        endoplasm=float(rng.uniform(0, 0.5)),
        creases=_creases(rng, outline) if mature else (),
        granules=granules,
        nuclear_stain=slide.haematoxylin * density * np.exp(rng.normal(0, 0.05, 3)),
        chromatin=traits.chromatin * float(rng.uniform(0.7, 1.3)) * (0.5 if superficial else 1.0),
        coarse=traits.coarse,
        membrane=traits.membrane,
        offset=rng.random(2),
        turned=bool(rng.random() < 0.5),
        defocus=float(rng.gamma(1.3, 0.08)),
    )


def move_cell(cell: Cell, to: np.ndarray) -> Cell:
    """The same cell with its nuclei centred on ``to`` (x, y), um."""

    def moved(outline):
        return None if outline is None else outline + to

    granules = cell.granules.copy()
    granules[:, :2] += to
    return dataclasses.replace(
        cell,
        outline=cell.outline + to,
        nuclei=tuple(map(moved, cell.nuclei)),
        centre=cell.centre + to,
        flap=moved(cell.flap),
        halo=moved(cell.halo),
        creases=tuple(map(moved, cell.creases)),
        granules=granules,
    )
