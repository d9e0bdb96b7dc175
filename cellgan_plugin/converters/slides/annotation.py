"""Annotations of a slide, whoever drew them."""

from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple

import numpy as np

from cellgan_plugin.converters.slides.readers import SlideInfo, need

# What cannot be guessed from a polygon whose border crosses itself.
_CROSSES = 'Self-intersection'


@dataclass(frozen=True)
class Annotation:
    """One object that somebody marked.

    Attributes:
        id (str): As its file has it, else its number there.
        label (str): Class as its file spells it, '' without one.
        shape (shapely.Geometry): Point, Polygon or MultiPolygon; level-0 px, or micrometres.
        where (str): File and place in it, for messages.
        micrometres (bool): Unit of ``shape``. Defaults to False.
        from_origin (bool): ``shape`` counts from :attr:`SlideInfo.origin`, as QuPath does, not from
            the corner of level 0. Defaults to False.
    """

    id: str
    label: str
    shape: Any
    where: str
    micrometres: bool = False
    from_origin: bool = False


class AnnotationFile(NamedTuple):
    """What a file holds.

    Attributes:
        annotations (dict[str, list[Annotation]]): By name of the slide; the key is '' in a file of
            one slide, which its name tells.
        left_out (dict[str, int]): What was passed over.
    """

    annotations: Dict[str, List[Annotation]]
    left_out: Dict[str, int]


def fault_of(annotation: Annotation, info: SlideInfo) -> str:
    """Why an annotation (in level-0 px) cannot be used on a slide, '' where it can."""
    shapely = need('shapely', 'annotations')
    shape = annotation.shape
    left, top, right, bottom = shape.bounds
    outside = right < 0 or bottom < 0 or left >= info.width or top >= info.height
    if shape.geom_type == 'Point' and (left < 0 or top < 0):
        outside = True
    if outside:
        return (
            f'lies outside the slide: x {left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f}; '
            f'the slide has {info.width}x{info.height} px. Coordinates are px of level 0 (of a CSV '
            'also micrometres: --unit um)'
        )
    if shape.geom_type == 'Point':
        return ''
    if not shape.is_valid:
        reason = shapely.is_valid_reason(shape)
        if reason.startswith(_CROSSES):
            place = reason.partition('[')[2].rstrip(']')
            return (
                f'is a polygon whose border crosses itself (at x, y {place}): what is inside it '
                'cannot be known. Mend it where it was drawn'
            )
    if usable(shape).area <= 0:
        return 'is a polygon without area; mend or delete it where it was drawn'
    return ''


def usable(shape: Any) -> Any:
    """A polygon with touching rings, as brushes leave them, made valid; others as they are."""
    if shape.geom_type == 'Point' or shape.is_valid:
        return shape
    return need('shapely', 'annotations').make_valid(shape)


def polygon_of(rings: List[np.ndarray]) -> Any:
    """Polygon of an outer ring and holes, (n, 2) x, y each; ValueError when it is none."""
    return need('shapely', 'annotations').Polygon(rings[0], rings[1:])
