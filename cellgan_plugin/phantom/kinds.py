"""The kinds of phantom a folder can hold: what the writer must know of each, and no more."""

import dataclasses
from types import MappingProxyType
from typing import Dict, List, Mapping, Protocol, Tuple, Union

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


class PhantomKind(Protocol):
    """One kind of phantom.

    Attributes:
        generator (str): Name and version; raised whenever the same key gives other pixels than
            before, so that a folder is never filled by two.
        classes (tuple[str, ...]): Class names, in order.
        default_size (int | tuple[int, int]): Size of an image where none is asked for.
        sheet (tuple[int, int]): Images per class, and their largest side in px, on a sheet.
        tables (Mapping[str, tuple[str, ...]]): Truth tables and their columns; the first is
            ``file``.
    """

    generator: str
    classes: Tuple[str, ...]
    default_size: Size
    sheet: Tuple[int, int]
    tables: Mapping[str, Tuple[str, ...]]

    def check_label(self, label: str) -> str:
        """The class that a spelling means; ValueError for none."""

    def check_size(self, size: Size) -> Size:
        """The size as it is recorded; ValueError when it cannot be made."""

    def group_of(self, seed: int, split: str, index: int) -> str:
        """The slide or patient that an image is cut from."""

    def generate(self, label: str, size: Size, seed: int, split: str, index: int):
        """Picture and truth, with ``image``, ``instance_mask`` and ``nucleus_mask``."""

    def rows(self, made, file: str) -> Dict[str, List[TruthRow]]:
        """Rows of an image by table."""


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


class CytologyPhantoms:
    """Cells of the five Bethesda classes, square."""

    generator = 'phantom cytology 1'
    classes = BETHESDA_CLASSES
    default_size = 256
    sheet = (5, 96)
    tables = MappingProxyType({'cells.csv': ('file', 'patch_label', *_names(CellRecord))})

    def check_label(self, label: str) -> str:
        """One of the five classes."""
        return check_label(label)

    def check_size(self, size: Size) -> Size:
        """A side in px."""
        return check_size(size)

    def group_of(self, seed: int, split: str, index: int) -> str:
        """The pseudo slide."""
        return slide_of(seed, split, index).name

    def generate(self, label: str, size: Size, seed: int, split: str, index: int) -> PhantomPatch:
        """See :func:`generate_phantom`."""
        return generate_phantom(label, size, seed, split, index)

    def rows(self, made: PhantomPatch, file: str) -> Dict[str, List[TruthRow]]:
        """One row per cell."""
        rows = [_row(cell, file=file, patch_label=made.label) for cell in made.cells]
        return {'cells.csv': rows}


class TissuePhantoms:
    """Squamous epithelium of four grades, 256x128 (height x width)."""

    generator = 'phantom tissue 1'
    classes = GRADES
    default_size = (256, 128)
    sheet = (6, 192)
    tables = MappingProxyType(
        {
            'images.csv': ('file', 'grade', *_names(TissueRecord)),
            'nuclei.csv': ('file', 'grade', *_names(NucleusRecord)),
        }
    )

    def check_label(self, label: str) -> str:
        """One of the four grades."""
        return check_grade(label)

    def check_size(self, size: Size) -> Size:
        """Height and width in px, as a list: the same after a way through JSON."""
        return list(check_tissue_size(size))

    def group_of(self, seed: int, split: str, index: int) -> str:
        """The pseudo patient."""
        return patient_of(seed, split, index).name

    def generate(self, label: str, size: Size, seed: int, split: str, index: int) -> TissuePatch:
        """See :func:`generate_tissue_phantom`."""
        return generate_tissue_phantom(label, size, seed, split, index)

    def rows(self, made: TissuePatch, file: str) -> Dict[str, List[TruthRow]]:
        """One row of the image, and one per nucleus."""
        same = {'file': file, 'grade': made.label}
        return {
            'images.csv': [_row(made.record, **same)],
            'nuclei.csv': [_row(nucleus, **same) for nucleus in made.nuclei],
        }


PHANTOM_KINDS: Mapping[str, PhantomKind] = MappingProxyType(
    {'cytology': CytologyPhantoms(), 'tissue': TissuePhantoms()}
)
