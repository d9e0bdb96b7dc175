"""What squamous epithelium looks like between its base and its surface, healthy and dysplastic.

Healthy squamous epithelium matures upwards: a row of small, dark, upright basal nuclei; larger,
round, pale nuclei in wide glycogen-rich cells; thin flat cells with shrunken nuclei. In cervical
intraepithelial neoplasia (CIN) crowded, dark, irregular nuclei without common direction take the
place of that order from the base upwards: the lower third in CIN1, two thirds in CIN2, more in CIN3
(WHO Classification of Female Genital Tumours, 5th ed., 2020). Cells above dysplasia mature, some as
koilocytes. Sizes that the book does not give were chosen by eye.
"""

import dataclasses
from typing import Dict, Mapping, Tuple

import numpy as np

from cellgan_plugin.datasets.classes import resolve_class

GRADES: Tuple[str, ...] = ('Normal', 'CIN1', 'CIN2', 'CIN3')


@dataclasses.dataclass(frozen=True)
class Grade:
    """What sets one grade apart.

    Attributes:
        reach (tuple[float, float]): Smallest and largest part of the thickness, from the base,
            that dysplasia takes; the number of an image is drawn between them.
        koilocytes (float): Share of koilocytes among the maturing cells of the upper layers.
        mitoses (float): Share of dividing cells among the dysplastic.
        atypia (float): Size and irregularity of dysplastic nuclei, 1 in CIN2.
    """

    reach: Tuple[float, float]
    koilocytes: float = 0.0
    mitoses: float = 0.0
    atypia: float = 1.0


# Reaches nearly touch at the limits of the thirds, where graders disagree too.
GRADE_TRAITS: Mapping[str, Grade] = {
    'Normal': Grade((0.0, 0.0)),
    'CIN1': Grade((0.16, 0.35), koilocytes=0.22, mitoses=0.02, atypia=0.85),
    'CIN2': Grade((0.39, 0.66), koilocytes=0.14, mitoses=0.025),
    'CIN3': Grade((0.71, 1.05), koilocytes=0.05, mitoses=0.03, atypia=1.1),
}

# Height above the base relative to the thickness, and what cells of that height are like.
_HEIGHTS = (0.0, 0.07, 0.16, 0.30, 0.55, 0.80, 0.93, 1.0)
_MATURE: Mapping[str, Tuple[float, ...]] = {
    'cell_height': (8.5, 8.0, 8.5, 10.0, 11.5, 8.0, 4.6, 3.6),  # um
    'cell_width': (6.0, 7.0, 9.0, 12.5, 17.0, 21.0, 25.0, 26.0),  # um
    'nucleus_um2': (25, 29, 34, 38, 36, 28, 17, 12),
    'aspect': (1.75, 1.5, 1.2, 1.15, 1.2, 1.6, 2.5, 3.0),  # length over width
    'tilt': (90, 90, 75, 30, 0, 0, 0, 0),  # degrees of the long axis from the surface
    'tilt_sd': (9, 14, 35, 60, 40, 18, 9, 7),
    'density': (1.12, 1.02, 0.86, 0.68, 0.6, 0.74, 1.0, 1.1),  # of the nucleus
    'blue': (0.34, 0.27, 0.17, 0.08, 0.04, 0.03, 0.02, 0.02),  # of the cytoplasm: haematoxylin
    'pink': (0.45, 0.5, 0.55, 0.52, 0.46, 0.62, 0.95, 1.1),  # of the cytoplasm: eosin
    'glycogen': (0.0, 0.0, 0.1, 0.45, 0.8, 0.55, 0.05, 0.0),  # share of the cell that is cleared
    'disorder': (0.10, 0.14, 0.18, 0.2, 0.2, 0.2, 0.2, 0.2),  # of places, cell sizes
}
_DYSPLASTIC: Mapping[str, Tuple[float, ...]] = {
    'cell_height': (7.8, 7.8, 7.8, 7.8, 7.8, 7.6, 6.6, 5.2),
    'cell_width': (7.2, 7.5, 7.8, 8.0, 8.0, 8.4, 9.8, 11.5),
    'nucleus_um2': (34, 36, 38, 38, 38, 36, 30, 24),
    'aspect': (1.6, 1.55, 1.5, 1.45, 1.45, 1.5, 1.8, 2.1),
    'tilt': (90, 90, 90, 90, 90, 80, 30, 0),
    'tilt_sd': (38, 50, 55, 60, 60, 60, 45, 25),
    'density': (1.12, 1.1, 1.06, 1.04, 1.04, 1.04, 1.1, 1.15),
    'blue': (0.28, 0.26, 0.25, 0.24, 0.24, 0.22, 0.2, 0.18),
    'pink': (0.42, 0.42, 0.42, 0.42, 0.42, 0.45, 0.55, 0.65),
    'glycogen': (0.0,) * 8,
    'disorder': (0.4,) * 8,
}
PROPERTIES: Tuple[str, ...] = tuple(_MATURE)


def check_grade(label: str) -> str:
    """The grade that ``label`` means; ValueError when it means none of the four."""
    known = resolve_class(label, GRADES) if isinstance(label, str) else None
    if known is None:
        raise ValueError(
            f'no tissue phantom for class {label!r}: choose one of {", ".join(GRADES)}'
        )
    return known


def profile(height: np.ndarray, dysplastic: np.ndarray) -> Dict[str, np.ndarray]:
    """Properties of cells by where they lie and how far they are from maturing.

    Args:
        height (np.ndarray): Above the base relative to the thickness, 0 to 1.
        dysplastic (np.ndarray): Of the same shape: 0 for maturing cells, 1 for dysplastic ones,
            between them a mixture.

    Returns:
        dict[str, np.ndarray]: One array of that shape per name in :data:`PROPERTIES`.
    """
    return {
        name: (1 - dysplastic) * np.interp(height, _HEIGHTS, _MATURE[name])
        + dysplastic * np.interp(height, _HEIGHTS, _DYSPLASTIC[name])
        for name in PROPERTIES
    }
