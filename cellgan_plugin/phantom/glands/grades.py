"""What glands of each grade look like: size, shape, crowding, lumen, goblet cells, nuclei.

The categories are those of GlaS (Sirinukunwattana et al. 2017). Sizes follow histology of the colon
(crypts 50 to 90 um wide, columnar cells 20 to 30 um high); what a text gives in words alone was
chosen by eye against GlaS images.
"""

import dataclasses
from types import MappingProxyType
from typing import Mapping, Tuple

from cellgan_plugin.datasets.classes import resolve_class

Span = Tuple[float, float]


@dataclasses.dataclass(frozen=True)
class GlandTraits:
    """Distributions of one category. Pairs are (lowest, highest) unless said otherwise; lengths um.

    Attributes:
        grade (str): ``'benign'`` or ``'malignant'``.
        radius: Of the disc with the gland's area.
        aspect: Length over width.
        irregularity: Wobble of the outline relative to its radius.
        lobes (int): Highest harmonic of that wobble.
        regular (float): Probability that an image shows crypts in regular rows.
        gap: Least stroma between neighbours.
        touching (float): Probability that a gland abuts on its neighbours instead.
        coverage: Part of the image that glands take, if they find room.
        epithelium: Height of the epithelium.
        solid (float): Probability of a nest without lumen.
        cribriform (float): Probability of several small lumina in place of one.
        goblet: Part of the cells that are goblet cells.
        goblet_radius: Of a mucin vacuole.
        spacing (float): Between nuclei along the base.
        rows (float): Mean number of rows of nuclei, 1 for a single basal one.
        nucleus: (length, width, relative standard deviation).
        density: Optical density in units of the patient's haematoxylin.
        disorder (float): Spread of nuclear directions around upright, radians.
        cytoplasm (float): Eosin in the cytoplasm.
        basophilia (float): Haematoxylin in the cytoplasm.
        debris (float): Necrosis in the lumina, 0 to 1.
        lymphocytes (float): Per 1000 um2 of stroma.
        fibroblasts (float): Per 1000 um2 of stroma.
        collagen: Density of the stroma.
        vessels (float): Mean number in an image of 320 x 320 um.
    """

    grade: str
    radius: Span
    aspect: Span
    irregularity: Span
    lobes: int
    regular: float
    gap: Span
    touching: float
    coverage: Span
    epithelium: Span
    solid: float
    cribriform: float
    goblet: Span
    goblet_radius: Span
    spacing: float
    rows: float
    nucleus: Tuple[float, float, float]
    density: Span
    disorder: float
    cytoplasm: float
    basophilia: float
    debris: float
    lymphocytes: float
    fibroblasts: float
    collagen: Span
    vessels: float


GLAND_TRAITS: Mapping[str, GlandTraits] = MappingProxyType({
    'healthy': GlandTraits(
        'benign', (34, 46), (1.0, 1.4), (0.012, 0.035), 3, 0.75, (7, 15), 0.04, (0.6, 0.75),
        (21, 28), 0.0, 0.0, (0.5, 0.95), (4.8, 6.8), 5.6, 1.0, (7.2, 4.6, 0.12), (0.6, 0.85),
        0.15, 0.34, 0.08, 0.0, 6.0, 1.6, (0.3, 0.5), 1.0,
    ),
    'adenomatous': GlandTraits(
        'benign', (36, 54), (1.2, 2.6), (0.03, 0.07), 4, 0.2, (5, 12), 0.1, (0.6, 0.72),
        (24, 33), 0.0, 0.0, (0.05, 0.28), (3.8, 5.4), 4.8, 2.0, (10.5, 4.0, 0.15), (0.62, 0.85),
        0.2, 0.40, 0.22, 0.05, 5.0, 1.6, (0.3, 0.5), 1.2,
    ),
    'moderately differentiated': GlandTraits(
        'malignant', (34, 66), (1.1, 2.4), (0.08, 0.15), 6, 0.0, (5, 18), 0.2, (0.52, 0.68),
        (20, 30), 0.02, 0.22, (0.0, 0.05), (3.4, 4.6), 5.2, 1.8, (9.5, 4.8, 0.2), (0.55, 0.8),
        0.35, 0.42, 0.22, 0.6, 2.2, 3.2, (0.5, 0.85), 1.8,
    ),
    'moderately-to-poorly differentiated': GlandTraits(
        'malignant', (26, 56), (1.1, 2.3), (0.11, 0.19), 7, 0.0, (3, 13), 0.4, (0.54, 0.7),
        (18, 27), 0.1, 0.42, (0.0, 0.02), (3.2, 4.2), 6.0, 1.7, (9.2, 5.6, 0.24), (0.5, 0.78),
        0.7, 0.40, 0.2, 0.5, 2.0, 3.2, (0.5, 0.85), 1.8,
    ),
    'poorly differentiated': GlandTraits(
        'malignant', (16, 44), (1.1, 2.6), (0.15, 0.26), 9, 0.0, (2, 11), 0.5, (0.52, 0.68),
        (16, 24), 0.4, 0.32, (0.0, 0.01), (3.0, 4.0), 7.4, 1.5, (9.4, 7.0, 0.28), (0.45, 0.75),
        1.6, 0.38, 0.16, 0.4, 2.2, 3.8, (0.5, 0.9), 1.8,
    ),
})  # fmt: skip

GLAND_CATEGORIES: Tuple[str, ...] = tuple(GLAND_TRAITS)


def check_category(category: str) -> str:
    """The category that a spelling means; ValueError when it means none of the five."""
    known = resolve_class(category, GLAND_CATEGORIES) if isinstance(category, str) else None
    if known is None:
        raise ValueError(
            f'no gland phantom for {category!r}: choose one of {", ".join(GLAND_CATEGORIES)}'
        )
    return known
