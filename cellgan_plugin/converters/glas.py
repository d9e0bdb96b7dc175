"""Read GlaS, the gland segmentation challenge of MICCAI 2015 (Warwick-QU), as it is found on disk.

Sirinukunwattana et al. 2017, Med. Image Anal. 35:489-502: 85 training images and two test sets, A
(60) and B (20), of 16 patients who are in *both*: :func:`read_glas` tells the patient of every
image, so that a split by patient can be made.
"""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

from cellgan_plugin.converters.common import (
    ConverterError,
    PathLike,
    read_table,
    some_of,
)
from cellgan_plugin.datasets.file_names import is_image_name
from cellgan_plugin.files import is_hidden

GLAS_SUBSETS: Tuple[str, ...] = ('train', 'testA', 'testB')
# The challenge's two classes.
GLAS_GRADES: Tuple[str, ...] = ('benign', 'malignant')
# The five gland types of the second grade column; with stroma they make the six categories of
# Sec. 4.4 of the pyramid paper.
GLAS_CATEGORIES: Tuple[str, ...] = (
    'healthy',
    'adenomatous',
    'moderately differentiated',
    'moderately-to-poorly differentiated',
    'poorly differentiated',
)
GRADE_FILE = 'Grade.csv'

_NAME, _PATIENT = 'name', 'patient id'
_GRADE, _CATEGORY = 'grade (glas)', 'grade (sirinukunwattana et al. 2015)'
_BENIGN = ('healthy', 'adenomatous')


class GlasImage(NamedTuple):
    """One image of GlaS.

    Attributes:
        name (str): ``'train_1'``, ``'testA_60'``, ...
        image (Path): RGB image, H&E at 0.62 um/px, most of them 775 x 522.
        mask (Path): Instance ids, 0 = background; one gland may have several parts.
        patient (str): Number of the patient. Train and test sets share patients.
        grade (str): ``'benign'`` or ``'malignant'``.
        category (str): One of :data:`GLAS_CATEGORIES`, of all glands of the image.
        split (str): ``'train'``, ``'testA'`` or ``'testB'`` as published.
    """

    name: str
    image: Path
    mask: Path
    patient: str
    grade: str
    category: str
    split: str


def read_glas(root: PathLike, subsets: Sequence[str] = GLAS_SUBSETS) -> List[GlasImage]:
    """List the images of GlaS with what ``Grade.csv`` says of them; no image is opened.

    Two layouts: the archive as published (``train_1.bmp``, ``train_1_anno.bmp`` beside
    ``Grade.csv``, perhaps in the archive's one folder), and ``images/train_1.jpg`` with
    ``masks/train_1.png`` below ``Grade.csv`` (any image format). Spaces around names and values,
    which the published table has, and the spelling 'differentated' are understood.

    Args:
        root (str | Path): The folder with ``Grade.csv``, or the one that holds just that folder.
        subsets (Sequence[str]): Which of ``'train'``, ``'testA'``, ``'testB'``. Of the three, one
            that has no image at all is left out. Defaults to all.

    Returns:
        list[GlasImage]: By subset, then by number.

    Raises:
        ConverterError: On a missing or damaged table, a value that is unknown, an image of the
            subsets without a row, a row without image or mask in a subset that has others.
    """
    unknown = [name for name in subsets if name not in GLAS_SUBSETS]
    if unknown or not subsets or isinstance(subsets, str):
        raise ConverterError(
            f'subsets are {subsets!r}; expected one or more of {", ".join(GLAS_SUBSETS)}'
        )
    table = _find_table(Path(root))
    rows = _read_rows(table)
    images, masks = _find_files(table.parent)
    found = []
    problems = []
    present = {_subset_of(name) for name in images}
    for name, (where, row) in rows.items():
        subset = _subset_of(name)
        if subset not in subsets or subset not in present:
            continue
        for kind, files in (('image', images), ('mask', masks)):
            if name not in files:
                problems.append(
                    f'{where}: {name} has no {kind} ({_expected(table.parent, name, kind)})'
                )
        if name in images and name in masks:
            found.append(GlasImage(name, images[name], masks[name], *row, subset))
    strangers = [name for name in images if name not in rows and _subset_of(name) in subsets]
    if strangers:
        problems.append(f'no row for image {some_of(sorted(strangers), 3)}')
    if problems:
        raise ConverterError(
            f'{table}: does not fit the files beside it ({len(problems)} problem(s)): '
            f'{some_of(problems, 3)}. Copy the missing files again, or name other subsets'
        )
    missing = [name for name in subsets if name not in present]
    if missing and (not found or tuple(subsets) != GLAS_SUBSETS):
        raise ConverterError(
            f'{table.parent}: no image of {" or ".join(missing)}; there are images of '
            f'{", ".join(sorted(filter(None, present))) or "no subset"}. Expected '
            f'{_expected(table.parent, f"{missing[0]}_1", "image")}'
        )
    return sorted(found, key=lambda item: (GLAS_SUBSETS.index(item.split), _number(item.name)))


def _subset_of(name: str) -> str:
    """The subset that a name tells, '' for a file of something else."""
    match = re.fullmatch(r'(train|testA|testB)_\d+', name)
    return match[1] if match else ''


def _number(name: str) -> int:
    return int(name.rpartition('_')[2])


def _find_table(root: Path) -> Path:
    if not root.is_dir():
        raise ConverterError(f'{root}: no such folder; give the one with {GRADE_FILE}')
    if (root / GRADE_FILE).is_file():
        return root / GRADE_FILE
    inner = sorted(root.glob(f'*/{GRADE_FILE}'))
    if len(inner) == 1:
        return inner[0]
    raise ConverterError(
        f'{root}: {"no" if not inner else "more than one folder with"} {GRADE_FILE} in it; give '
        f'the folder of the GlaS archive that holds {GRADE_FILE} itself'
    )


def _read_rows(table: Path) -> Dict[str, Tuple[str, Tuple[str, str, str]]]:
    """Name -> (where it stands, (patient, grade, category))."""
    rows: Dict[str, Tuple[str, Tuple[str, str, str]]] = {}
    problems = []
    for where, raw in read_table(table, ()):
        row = {_squeeze(key).lower(): _squeeze(value) for key, value in raw.items()}
        absent = [key for key in (_NAME, _PATIENT, _GRADE, _CATEGORY) if key not in row]
        if absent:
            raise ConverterError(
                f'{table}: column {some_of(absent)} is missing; the header is {some_of(list(raw))}'
            )
        name = row[_NAME]
        try:
            values = _parse(row)
        except ValueError as error:
            problems.append(f'{where}: {error}')
            continue
        other = rows.setdefault(name, (where, values))
        if other[0] is not where:
            problems.append(f'{where}: {name} was already in {other[0]}')
    if problems:
        raise ConverterError(
            f'{table}: {len(problems)} row(s) cannot be used: {some_of(problems, 3)}'
        )
    if not rows:
        raise ConverterError(f'{table}: no row below the header')
    return rows


def _squeeze(text: str) -> str:
    return ' '.join((text or '').split())


def _parse(row: Dict[str, str]) -> Tuple[str, str, str]:
    if not _subset_of(row[_NAME]):
        raise ValueError(f'name {row[_NAME]!r} is none of train_N, testA_N, testB_N')
    if not row[_PATIENT].isdecimal():
        raise ValueError(f'patient ID {row[_PATIENT]!r} is no number')
    grade = row[_GRADE].lower()
    if grade not in GLAS_GRADES:
        raise ValueError(f'grade (GlaS) {row[_GRADE]!r} is none of {", ".join(GLAS_GRADES)}')
    category = row[_CATEGORY].lower().replace('differentated', 'differentiated')
    category = re.sub(r'^moderate\b', 'moderately', category)
    category = re.sub(r'\bmoderate(ly)?[- ]to[- ]poor(ly)?\b', 'moderately-to-poorly', category)
    if category not in GLAS_CATEGORIES:
        raise ValueError(
            f'grade {row[_CATEGORY]!r} of the last column is none of {", ".join(GLAS_CATEGORIES)}'
        )
    if (grade == 'benign') != (category in _BENIGN):
        raise ValueError(f'{row[_NAME]} is {grade} in one column and {category} in the other')
    return row[_PATIENT], grade, category


def _find_files(folder: Path) -> Tuple[Dict[str, Path], Dict[str, Path]]:
    """Images and masks by name of the image."""
    apart = (folder / 'images').is_dir()
    images: Dict[str, Path] = {}
    masks: Dict[str, Path] = {}
    for place in (folder / 'images', folder / 'masks') if apart else (folder,):
        names = sorted(os.listdir(place)) if place.is_dir() else ()
        for file in map(Path, names):
            if is_hidden(file.name) or not is_image_name(file.name):
                continue
            is_mask = place.name == 'masks' if apart else file.stem.endswith('_anno')
            name = file.stem.removesuffix('_anno') if is_mask else file.stem
            if not _subset_of(name):
                continue
            files = masks if is_mask else images
            if name in files:
                raise ConverterError(
                    f'{place}: {files[name].name} and {file.name} are one image twice; remove one'
                )
            files[name] = place / file
    return images, masks


def _expected(folder: Path, name: str, kind: str) -> str:
    if (folder / 'images').is_dir():
        return f'expected {kind}s/{name}.png or another format'
    return f'expected {name}{"_anno" if kind == "mask" else ""}.bmp'


def count_patients(images: Sequence[GlasImage]) -> Tuple[int, int]:
    """Number of patients, and of those who are in the training set and in a test set."""
    sides: Dict[str, Counter] = {}
    for item in images:
        sides.setdefault(item.patient, Counter())[item.split == 'train'] += 1
    return len(sides), sum(len(both) == 2 for both in sides.values())
