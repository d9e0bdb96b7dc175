"""A CSV of cells: ``slide,x,y[,width,height],label``."""

from pathlib import Path
from typing import Dict, List

from cellgan_plugin.converters.common import ConverterError, finite_number, read_table
from cellgan_plugin.converters.slides.annotation import Annotation, AnnotationFile
from cellgan_plugin.converters.slides.readers import need

UNITS = ('px', 'um')


def read_cell_table(path: Path, unit: str = 'px') -> AnnotationFile:
    """Read a table of points or boxes.

    Args:
        path (Path): A CSV in UTF-8. Without ``width`` and ``height``, ``x, y`` is the centre of a
            cell; with them, the upper left corner of a box. An empty or zero width and height
            means a centre, too. ``id`` is kept where it is there.
        unit (str): ``'px'`` of level 0, or ``'um'`` from the slide's upper left corner.

    Returns:
        AnnotationFile: By slide.

    Raises:
        ConverterError: A column is missing, or a cell is no number; with the row.
    """
    if unit not in UNITS:
        raise ConverterError(f'unit is {unit!r}; expected one of {", ".join(UNITS)}')
    shapely = need('shapely', 'annotations')
    found: Dict[str, List[Annotation]] = {}
    for where, row in read_table(path, ('slide', 'x', 'y', 'label')):
        place = f'{path}, {where}'
        x, y = (finite_number(row[name], f'{place}: {name}') for name in 'xy')
        sides = [
            finite_number((row.get(name) or '').strip() or '0', f'{place}: {name}')
            for name in ('width', 'height')
        ]
        if min(sides) < 0 or (min(sides) == 0) != (max(sides) == 0):
            raise ConverterError(
                f'{place}: width {sides[0]:g}, height {sides[1]:g}; expected both above 0, or '
                'neither for a point'
            )
        if not row['slide'].strip():
            raise ConverterError(f'{place}: slide is empty')
        shape = shapely.Point(x, y)
        if max(sides) > 0:
            shape = shapely.box(x, y, x + sides[0], y + sides[1])
        name = (row.get('id') or '').strip() or where.replace('row ', '')
        annotation = Annotation(name, row['label'].strip(), shape, place, unit == 'um')
        found.setdefault(row['slide'].strip(), []).append(annotation)
    if not found:
        raise ConverterError(f'{path}: no row below the header')
    return AnnotationFile(found, {})
