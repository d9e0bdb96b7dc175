"""ASAP's XML: dots, rectangles, polygons and splines with the group that gives their class."""

from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple
from xml.parsers import expat

import numpy as np

from cellgan_plugin.converters.common import ConverterError
from cellgan_plugin.converters.slides.annotation import Annotation, AnnotationFile, polygon_of
from cellgan_plugin.converters.slides.readers import need

_AREAS = ('polygon', 'rectangle', 'spline')
_POINTS = ('dot', 'pointset')


class _Mark:
    """One ``<Annotation>`` while it is read."""

    def __init__(self, attributes: Dict[str, str], line: int):
        self.name = attributes.get('Name', '')
        self.kind = attributes.get('Type', '')
        self.group = attributes.get('PartOfGroup', '')
        self.line = line
        self.points: List[Tuple[int, float, float]] = []


def read_asap(path: Path) -> AnnotationFile:
    """Read a file of ASAP, of one slide.

    The class is ``PartOfGroup``; of the group ``None``, no class. A spline is read as the polygon
    of its points. The parser takes no document type, so no entity is expanded and nothing is
    fetched.

    Raises:
        ConverterError: The file is no XML of ASAP, holds a document type, or a mark in it has no
            usable coordinates.
    """
    marks: List[_Mark] = []
    seen: Dict[str, bool] = {}
    current: Optional[_Mark] = None
    parser = expat.ParserCreate()

    def fail(message: str) -> None:
        raise ConverterError(f'{path}, line {parser.CurrentLineNumber}: {message}')

    def on_doctype(*_: Any) -> None:
        fail('holds a document type (<!DOCTYPE ...>), which ASAP never writes: it is not read')

    def on_start(tag: str, attributes: Dict[str, str]) -> None:
        nonlocal current
        seen.setdefault(tag, True)
        if tag == 'Annotation':
            current = _Mark(attributes, parser.CurrentLineNumber)
            marks.append(current)
        elif tag == 'Coordinate' and current is not None:
            try:
                order = int(attributes.get('Order') or len(current.points))
                x, y = (float(attributes[axis].replace(',', '.')) for axis in 'XY')
            except (KeyError, ValueError) as error:
                fail(f'a coordinate is not readable ({error}); expected Order, X and Y')
            if not np.isfinite((x, y)).all():
                fail('a coordinate is no finite number')
            current.points.append((order, x, y))

    def on_end(tag: str) -> None:
        nonlocal current
        if tag == 'Annotation':
            current = None

    parser.StartDoctypeDeclHandler = on_doctype
    parser.StartElementHandler = on_start
    parser.EndElementHandler = on_end
    try:
        with open(path, 'rb') as file:
            parser.ParseFile(file)
    except OSError as error:
        raise ConverterError(f'{path}: cannot be read ({error.strerror})') from error
    except expat.ExpatError as error:
        raise ConverterError(f'{path}: not readable as XML ({error})') from error
    if 'ASAP_Annotations' not in seen:
        raise ConverterError(f'{path}: is no XML of ASAP: <ASAP_Annotations> is missing')
    left_out: Counter = Counter()
    annotations = [made for mark in marks for made in _read(mark, path, left_out)]
    return AnnotationFile({'': annotations}, dict(left_out))


def _read(mark: _Mark, path: Path, left_out: Counter) -> List[Annotation]:
    shapely = need('shapely', 'annotations')
    where = f'{path}, line {mark.line} ({mark.name or "without name"})'
    label = '' if mark.group == 'None' else mark.group
    points = np.array([point[1:] for point in sorted(mark.points)]).reshape(-1, 2)
    kind = mark.kind.casefold()
    if kind not in (*_AREAS, *_POINTS):
        left_out[f'marks of type {mark.kind or "(none)"}, passed over'] += 1
        return []
    name = mark.name or str(mark.line)
    if kind in _POINTS:
        if not len(points):
            raise ConverterError(f'{where}: has no coordinate')
        return [
            Annotation(name if len(points) == 1 else f'{name}#{k}', label, shapely.Point(p), where)
            for k, p in enumerate(points, 1)
        ]
    if len(points) < 3:
        raise ConverterError(f'{where}: a {kind} of {len(points)} points; expected 3 or more')
    return [Annotation(name, label, polygon_of([points]), where)]
