"""The kinds of phantom a folder can hold: what the writer must know of each, and no more."""

import dataclasses
from types import MappingProxyType
from typing import Any, Callable, Dict, List, Mapping, Tuple, Union

import numpy as np

from cellgan_plugin.datasets.classes import BETHESDA_CLASSES

from .patch import CellRecord, PhantomPatch, check_label, check_size, generate_phantom
from .slides import slide_of
from .tissue import NucleusRecord, TissuePatch, TissueRecord, generate_tissue_phantom
from .tissue.grades import GRADES, check_grade
from .tissue.patch import check_tissue_size
from .tissue.patients import patient_of

Size = Union[int, Tuple[int, int]]
TruthRow = Dict[str, object]


@dataclasses.dataclass(frozen=True)
class PhantomKind:
    """One kind of phantom.

    Attributes:
        generator (str): Name and version; raised whenever the same key gives other pixels than
            before, so that a folder is never filled by two.
        classes (tuple[str, ...]): Class names, in order.
        default_size (int | tuple[int, int]): Size of an image where none is asked for.
        sheet (tuple[int, int]): Images per class, and their largest side in px, on a sheet.
        tables (Mapping[str, tuple[str, ...]]): Truth tables and their columns; the first is
            ``file``.
        check_label (Callable): The class that a spelling means; ValueError for none.
        check_size (Callable): The size as JSON records it; ValueError when it cannot be made.
        group_of (Callable): (seed, split, index) -> the slide or patient that an image is cut from.
        generate (Callable): (label, size, seed, split, index) -> picture and truth, with ``image``,
            ``instance_mask`` and ``nucleus_mask``.
        rows (Callable): (what was generated, its file) -> rows of the image by table.
    """

    generator: str
    classes: Tuple[str, ...]
    default_size: Size
    sheet: Tuple[int, int]
    tables: Mapping[str, Tuple[str, ...]]
    check_label: Callable[[str], str]
    check_size: Callable[[Size], Union[int, List[int]]]
    group_of: Callable[[int, str, int], str]
    generate: Callable[[str, Size, int, str, int], Any]
    rows: Callable[[Any, str], Dict[str, List[TruthRow]]]


def _names(record: type) -> Tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(record))


def _row(record, **first: object) -> TruthRow:
    """A record as a row of text: floats to four places, truth values as 0 and 1."""
    row = {**first, **dataclasses.asdict(record)}
    for key, value in row.items():
        if isinstance(value, float):
            row[key] = '' if np.isnan(value) else f'{value:.4f}'
        elif isinstance(value, bool):
            row[key] = int(value)
    return row


def _cytology_rows(made: PhantomPatch, file: str) -> Dict[str, List[TruthRow]]:
    rows = [_row(cell, file=file, patch_label=made.label) for cell in made.cells]
    return {'cells.csv': rows}


def _tissue_rows(made: TissuePatch, file: str) -> Dict[str, List[TruthRow]]:
    same = {'file': file, 'grade': made.label}
    return {
        'images.csv': [_row(made.record, **same)],
        'nuclei.csv': [_row(nucleus, **same) for nucleus in made.nuclei],
    }


PHANTOM_KINDS: Mapping[str, PhantomKind] = MappingProxyType(
    {
        'cytology': PhantomKind(
            generator='phantom cytology 1',
            classes=BETHESDA_CLASSES,
            default_size=256,
            sheet=(5, 96),
            tables={'cells.csv': ('file', 'patch_label', *_names(CellRecord))},
            check_label=check_label,
            check_size=check_size,
            group_of=lambda *key: slide_of(*key).name,
            generate=generate_phantom,
            rows=_cytology_rows,
        ),
        'tissue': PhantomKind(
            generator='phantom tissue 1',
            classes=GRADES,
            default_size=(256, 128),
            sheet=(6, 192),
            tables={
                'images.csv': ('file', 'grade', *_names(TissueRecord)),
                'nuclei.csv': ('file', 'grade', *_names(NucleusRecord)),
            },
            check_label=check_grade,
            check_size=lambda size: list(check_tissue_size(size)),
            group_of=lambda *key: patient_of(*key).name,
            generate=generate_tissue_phantom,
            rows=_tissue_rows,
        ),
    }
)
