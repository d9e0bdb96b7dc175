"""What a folder of labelled images says of itself: classes, list, splits, groups, image size."""

import os
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import List, NoReturn, Optional, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.datasets.classes import BETHESDA_CLASSES, check_class_names, resolve_class
from cellgan_plugin.datasets.file_names import PassedOver, list_folder, walk_images
from cellgan_plugin.datasets.image_io import ImageFileError
from cellgan_plugin.datasets.inspection import Reader, in_threads
from cellgan_plugin.datasets.manifest import (
    MANIFEST_NAME,
    REQUIRED_COLUMNS,
    ManifestError,
    iter_manifest,
    manifest_classes,
    manifest_header,
)
from cellgan_plugin.datasets.problems import ERROR, DatasetError, Problem
from cellgan_plugin.datasets.sources import HOW_TO_GET_DATA

# Sizes of networks: powers of two from what the smallest of them makes to CellGAN's (Sec. 3.1).
LEAST_SIZE, MOST_SIZE = 32, 256
MAX_PIXELS = 1 << 28  # of a header; training has a bound of its own
_LOOKED_AT = 1000  # headers, evenly spaced over the files
_SPLIT_FOLDERS = frozenset(
    'train training val valid validation test testing fold1 fold2 fold3 fold4 fold5'.split()
)

_PAIR_FOLDERS = ({'images', 'masks'}, {'image', 'mask'}, {'images', 'labels'})


def _refuse(kind: str, where: Union[str, Path], message: str) -> NoReturn:
    raise DatasetError([Problem(ERROR, kind, str(where), message)])


@dataclass(frozen=True)
class DataFolder:
    """A folder of labelled images. Made by :func:`read_data_folder`.

    Attributes:
        root (str): Absolute path.
        classes (tuple[str]): Class names; their order gives the labels.
        order (str): Where this order comes from, in words.
        ann_file (str): ``'manifest.csv'``, or ``''`` for class folders.
        splits (dict[str, int]): Images by split of the manifest, '' where a row names none.
        groups (int): Number of groups (slides, fields, patients); 0 where none is known.
        counts (dict[str, int]): Images by class.
        files (tuple[str]): Up to a thousand files, evenly spaced, relative to ``root``.
        notes (tuple[str]): What a user has to know.
    """

    root: str
    classes: Tuple[str, ...]
    order: str
    ann_file: str
    splits: dict
    groups: int
    counts: dict
    files: Tuple[str, ...]
    notes: Tuple[str, ...] = ()

    @cached_property
    def median_side(self) -> float:
        """Median of the longer side of the images, in pixels.

        Raises:
            DatasetError: No header can be read.
        """
        reader = Reader(self.root, '', 3, MAX_PIXELS)

        def side(file: str) -> Optional[int]:
            try:
                header = reader.header(file)
            except ImageFileError:  # the data set names it, with the others
                return None
            return max(header.width, header.height)

        sides = [found for found in in_threads(side, self.files) if found is not None]
        if not sides:
            _refuse('unreadable', self.root, 'no image can be read, so that its size is not known')
        return float(np.median(sides))

    @property
    def image_size(self) -> int:
        """Side that ``out_size='auto'`` stands for: see :func:`fitting_size`."""
        return fitting_size(self.median_side)

    def split_for(self, part: str) -> Optional[str]:
        """Which split of the manifest a part of a run reads; None: all images.

        Args:
            part (str): 'train', 'val' or 'test'. A split that is missing is replaced by the one
                that is nearest to training: nothing is chosen by test images.
        """
        wanted = dict(train=('train',), val=('val', 'train'), test=('test', 'val', 'train'))[part]
        return next((split for split in wanted if self.splits.get(split)), None)

    def describe(self) -> str:
        """One line for logs."""
        images = sum(self.counts.values())
        said = f'{len(self.classes)} classes ({", ".join(self.classes)}), {self.order}'
        if self.ann_file:
            splits = ', '.join(f'{name or "no split"} {n}' for name, n in self.splits.items())
            source = f'{images} images of {self.ann_file} ({splits})'
            source += f', {self.groups} groups' if self.groups else ', no groups'
        else:
            source = f'{images} images in class folders, no groups'
        return f'{self.root}: {said}; {source}'


def fitting_size(side: float) -> int:
    """The power of two at or above a side in pixels, at least 32 and at most 256.

    >>> fitting_size(70), fitting_size(64), fitting_size(1000)
    (128, 64, 256)
    """
    return int(min(MOST_SIZE, max(LEAST_SIZE, 2 ** int(np.ceil(np.log2(max(side, 1)))))))


def read_data_folder(root: Union[str, Path]) -> DataFolder:
    """Read the classes, the list, the splits and the groups of a folder.

    A ``manifest.csv`` is read where there is one, also where class folders lie beside it, unless it
    is another program's, without the columns ``file`` and ``label``. Classes stand in the order of
    the manifest's first line (``# classes: NAME, NAME``), Bethesda classes in the order of their
    severity, all others alphabetically.

    Args:
        root (str | Path): ``<root>/manifest.csv``, or ``<root>/<class>/**/<image>``.

    Raises:
        DatasetError: There is no such folder, nothing in it, or a manifest that cannot be used.
        ValueError: A name that cannot be a class, or two that differ by case and separators alone.
    """
    path = Path(root).expanduser()
    if not path.is_dir():
        message = f'the data folder does not exist (looked from {os.getcwd()}). {HOW_TO_GET_DATA}'
        _refuse('missing folder', root, message)
    folder = os.path.abspath(path)
    header = manifest_header(os.path.join(folder, MANIFEST_NAME))
    if header is None:
        return _of_folders(folder)
    foreign = [name for name in REQUIRED_COLUMNS if name not in header]
    if foreign and _image_folders(folder):
        note = (
            f'{MANIFEST_NAME} is not read, it has no column {" and ".join(foreign)} (it has '
            f'{", ".join(header)}): class folders are, without splits and groups'
        )
        return replace(_of_folders(folder), notes=(note,))
    return _of_manifest(folder)


def ordered_classes(names: Sequence[str]) -> Tuple[Tuple[str, ...], str]:
    """Class names in order, and how they are ordered.

    >>> ordered_classes(['HSIL', 'NILM'])[0], ordered_classes(['b', 'a'])[0]
    (('NILM', 'HSIL'), ('a', 'b'))
    """
    meant = [resolve_class(name) for name in names]
    if None not in meant and len(set(meant)) == len(meant):
        order = [name for name in BETHESDA_CLASSES if name in meant]
        return tuple(order), 'in the order of the Bethesda system'
    return check_class_names(sorted(names)), 'in alphabetical order'


def _of_manifest(root: str) -> DataFolder:
    path = os.path.join(root, MANIFEST_NAME)
    counts, splits, groups, files = Counter(), Counter(), set(), []
    try:
        for _, row in iter_manifest(path):
            counts[row['label'].strip()] += 1
            splits[row.get('split', '').strip()] += 1
            groups.add(row.get('group', '').strip())
            files.append(row['file'])
        named = manifest_classes(path)
    except ManifestError as error:
        _refuse('manifest', path, str(error).partition(': ')[2])
    if named is not None:
        classes, order = check_class_names(named), f'in the order of {MANIFEST_NAME}'
        strange = [name for name in counts if resolve_class(name, classes) is None]
        if strange:
            _refuse(
                'manifest', path,
                f'its first line names the classes {list(classes)}, but {counts[strange[0]]} rows '
                f'have the label {strange[0]!r}: add it there, or correct the rows',
            )  # fmt: skip
    else:
        classes, order = ordered_classes(list(counts))
    notes = []
    beside = [name for name in _image_folders(root) if _resolves(name, classes)]
    if beside:
        notes.append(
            f'{MANIFEST_NAME} is read, not the class folders beside it ({", ".join(beside[:4])}'
            f'{", ..." if len(beside) > 4 else ""}): an image that it does not list is left out'
        )
    return _folder(root, classes, order, MANIFEST_NAME, splits, groups - {''}, counts, files, notes)


def _resolves(name: str, classes: Sequence[str]) -> bool:
    return resolve_class(name, classes) is not None


def _image_folders(root: str) -> List[str]:
    """Folders that hold an image, sorted; linked ones are left to the data set to refuse."""
    passed = PassedOver()
    folders = [e for e in list_folder(root, passed) if e.is_dir() and not e.is_symlink()]
    return [e.name for e in folders if next(walk_images(e.path, passed), None) is not None]


def _of_folders(root: str) -> DataFolder:
    names = _image_folders(root)
    if not names:
        _refuse(
            'missing folder', root,
            f'holds no class folder with images; expected {root}/<class>/<image>, or a '
            f'{MANIFEST_NAME}. {HOW_TO_GET_DATA}',
        )  # fmt: skip
    if {name.lower() for name in names} in _PAIR_FOLDERS:
        _refuse(
            'missing folder', root,
            f'holds images and masks ({", ".join(names)}), no classes: configs of '
            'configs/pyramid_gan read such pairs, by train_dataloader.dataset.data_root',
        )  # fmt: skip
    if {name.lower() for name in names} <= _SPLIT_FOLDERS:
        _refuse(
            'missing folder', root,
            f'its folders are splits ({", ".join(names)}), not classes: bring them into one '
            'folder with a manifest that says the split (python '
            'tools/dataset_converters/folders.py --help), or give one of them',
        )  # fmt: skip
    classes, order = ordered_classes(names)
    counts, files = Counter(), []
    for name in names:
        found = [f'{name}/{file}' for file in walk_images(os.path.join(root, name), PassedOver())]
        counts[name] += len(found)
        files += found
    folders = [e.name for e in list_folder(root, PassedOver()) if e.is_dir() and not e.is_symlink()]
    empty = [name for name in folders if name not in names]
    notes = [f'{", ".join(empty)}: no image in there, and so no class'] if empty else []
    return _folder(root, classes, order, '', Counter(), set(), counts, files, notes)


def _folder(root, classes, order, ann_file, splits, groups, counts, files, notes) -> DataFolder:
    by_class: Counter = Counter()
    for name, count in counts.items():
        by_class[resolve_class(name, classes) or name] += count
    chosen = np.linspace(0, len(files) - 1, min(_LOOKED_AT, len(files))).round().astype(int)
    return DataFolder(
        root=root,
        classes=tuple(classes),
        order=order,
        ann_file=ann_file,
        splits=dict(splits),
        groups=len(groups),
        counts={name: by_class[name] for name in classes},
        files=tuple(files[index] for index in chosen),
        notes=tuple(notes),
    )
