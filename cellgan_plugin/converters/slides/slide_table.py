"""What is known of slides beside their files: patient, label, split, scale."""

from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional

from cellgan_plugin.converters.common import (
    ConverterError,
    PathLike,
    finite_number,
    read_table,
    some_of,
)
from cellgan_plugin.converters.fitting import check_mpp
from cellgan_plugin.converters.published_split import split_of_name
from cellgan_plugin.converters.slides.annotation_files import slide_named
from cellgan_plugin.datasets.sources import SPLITS

_GROUPS = ('patient', 'group')


class SlideTable(NamedTuple):
    """Columns of a table, by slide.

    Attributes:
        groups (dict[str, str] | None): Patients; None without the column.
        labels (dict[str, str] | None): Classes as the table spells them.
        splits (dict[str, str] | None): ``'train'``, ``'val'`` or ``'test'``.
        mpp (dict[str, float]): Microns per level-0 pixel, where the table says it.
    """

    groups: Optional[Dict[str, str]] = None
    labels: Optional[Dict[str, str]] = None
    splits: Optional[Dict[str, str]] = None
    mpp: Mapping[str, float] = {}


def read_slide_table(
    path: PathLike, slides: Mapping[str, Path], notes: List[str], need_label: bool = False
) -> SlideTable:
    """Read a CSV with ``slide`` and any of ``patient``, ``group``, ``label``, ``split``, ``mpp``.

    Args:
        path (str | Path): The CSV. Slides are named with or without their extension.
        slides (Mapping[str, Path]): The slides; each must have a row.
        notes (list[str]): Rows of other slides are said here.
        need_label (bool): Whether ``label`` must be there. Defaults to False.

    Raises:
        ConverterError: A column is missing, a slide has no row or two, a cell is empty or no value.
    """
    rows: Dict[str, Dict[str, str]] = {}
    strangers: List[str] = []
    for where, row in read_table(path, ('slide', 'label') if need_label else ('slide',)):
        name = slide_named(row['slide'], slides)
        if name is None:
            strangers.append(row['slide'].strip())
            continue
        if name in rows:
            raise ConverterError(f'{path}, {where}: slide {name} was named before; keep one row')
        for column in (*_GROUPS, 'label', 'split'):
            if column in row and not row[column].strip():
                raise ConverterError(f'{path}, {where}: {column} is empty')
        if 'split' in row and split_of_name(row['split']) is None:
            raise ConverterError(
                f'{path}, {where}: split {row["split"]!r}; expected one of {", ".join(SPLITS)}'
            )
        rows[name] = row
    lost = [name for name in slides if name not in rows]
    if lost:
        raise ConverterError(f'{path}: {len(lost)} slide(s) have no row: {some_of(lost, 3)}')
    if strangers:
        notes.append(f'{path}: {len(strangers)} rows of slides that are not here')
    header = next(iter(rows.values()))
    group = next((name for name in _GROUPS if name in header), None)

    def column(name: Optional[str]) -> Optional[Dict[str, str]]:
        if name not in header:
            return None
        return {slide: row[name].strip() for slide, row in rows.items()}

    splits = column('split')
    return SlideTable(
        column(group),
        column('label'),
        splits and {slide: split_of_name(text) for slide, text in splits.items()},
        _scales(path, rows),
    )


def _scales(path: PathLike, rows: Mapping[str, Mapping[str, str]]) -> Dict[str, float]:
    scales = {}
    for slide, row in rows.items():
        text = (row.get('mpp') or '').strip()
        if text:
            name = f'{path}: mpp of {slide}'
            scales[slide] = check_mpp(finite_number(text, name), name)
    return scales
