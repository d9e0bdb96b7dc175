"""Folders of a selection: the trees it reads, and the one it writes."""

import errno
import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.logging import print_log

from cellgan_plugin.apis.synthesis_folder import explained_output_errors
from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.datasets.content_hash import TRAINING_IMAGES
from cellgan_plugin.datasets.image_io import DEFAULT_MAX_PIXELS, resolve_inside
from cellgan_plugin.datasets.inspection import Reader
from cellgan_plugin.datasets.manifest import (
    MANIFEST_NAME,
    ManifestError,
    iter_manifest,
    write_manifest,
)
from cellgan_plugin.datasets.problems import ERROR, DatasetError
from cellgan_plugin.datasets.sources import list_patches
from cellgan_plugin.files import atomic_write
from cellgan_plugin.selection.table import SelectionTable

RECORD_NAME = 'selection.json'
SCORES_NAME = 'scores.csv'
LINKS = ('hard', 'symbolic')
_OWN_COLUMNS = ('source', 'entropy', 'distance', 'confidence')


class SelectionError(ValueError):
    """What was asked for cannot be selected. The message says what to change."""


@dataclass
class ImageTree:
    """The images of a tree of class folders or of a manifest.

    Attributes:
        root (Path): The folder.
        files (list[str]): POSIX paths relative to it.
        labels (np.ndarray): int64 (n,), in the order of the classifier's classes.
        rows (dict[str, dict]): Rows of the manifest by file; empty for class folders.
        split (str | None): Which split of the manifest.
    """

    root: Path
    files: List[str]
    labels: np.ndarray
    rows: Dict[str, Dict[str, str]]
    split: Optional[str] = None

    @property
    def reader(self) -> Reader:
        """How its files are read; links that leave the folder are refused."""
        return Reader(str(self.root), os.path.realpath(self.root), 3, DEFAULT_MAX_PIXELS)

    def counts(self, num_classes: int) -> List[int]:
        """Images per class."""
        return np.bincount(self.labels, minlength=num_classes).tolist()

    def listing(self) -> List[Tuple[str, int, int, int]]:
        """File, label, size and time of change of every image: what saved scores are known by."""
        found = []
        for file, label in zip(self.files, self.labels.tolist(), strict=True):
            stat = os.stat(self.root / file)
            found.append((file, label, stat.st_size, stat.st_mtime_ns))
        return found


def _manifest_rows(root: Path) -> Dict[str, Dict[str, str]]:
    """Rows of a manifest of this project, by file; none where there is none, or a foreign one."""
    path = root / MANIFEST_NAME
    if not path.is_file():
        return {}
    with open(path, encoding='utf-8-sig', errors='replace', newline='') as file:
        header = file.readline(65536).strip().split(',')
    if not {'file', 'label'} <= set(header):
        return {}
    try:
        return {row['file']: row for _, row in iter_manifest(path)}
    except ManifestError as error:
        raise SelectionError(str(error)) from error


def read_tree(
    folder: Union[str, Path], classes: Sequence[str], what: str, need_split: bool = False
) -> ImageTree:
    """Read class folders, or the manifest that lies in the folder.

    Args:
        folder (str | Path): ``DIR``, or ``DIR:SPLIT`` for one split of its manifest.
        classes (Sequence[str]): Of the classifier.
        what (str): 'candidates' or 'real images', for messages.
        need_split (bool): Whether a manifest of several splits needs one named. Defaults to False.

    Raises:
        FileNotFoundError: No such folder.
        SelectionError: Unknown classes, no images, or a split that has to be named.
        DatasetError: The list has other errors.
    """
    text, split = str(folder), None
    if not Path(text).expanduser().is_dir() and ':' in text:
        text, _, split = text.rpartition(':')
    root = Path(text).expanduser().resolve()
    if not root.is_dir():
        raise FileNotFoundError(f'{what}: {folder} is no folder')
    rows = _manifest_rows(root)
    if split is not None and not rows:
        raise SelectionError(
            f'{what}: {folder} names a split, and {root} has no {MANIFEST_NAME} with file, label '
            'and split'
        )
    splits = Counter(row.get('split', '') for row in rows.values())
    if need_split and split is None and len(splits) > 1:
        raise SelectionError(
            f'{what}: {root} has the splits {dict(splits)}; say which one the classifier and the '
            f'generator were trained on, e.g. {root}:train. Test images must not choose what is '
            'trained on'
        )
    listing = list_patches(
        str(root),
        classes,
        str(root / MANIFEST_NAME) if rows else '',
        split,
        need_every_class=False,
    )
    errors = [problem for problem in listing.problems if problem.severity == ERROR]
    unknown = [problem for problem in errors if problem.kind == 'unknown class']
    if unknown:
        raise SelectionError(
            f'{what}: {root} has classes that the classifier does not know:\n'
            + '\n'.join(f'  {problem.message.partition(". Add it")[0]}' for problem in unknown)
            + '\nClassifier, generator and real images must share their classes: give the '
            'classifier of these images, or rename the folders'
        )
    if errors:
        raise DatasetError(errors, f'{what}: {root} cannot be used')
    if not listing.patches:
        raise SelectionError(f'{what}: {folder} holds no image; expected {root}/<class>/<image>')
    missing = [p.file for p in listing.patches if not (root / p.file).is_file()]
    if missing:
        raise SelectionError(
            f'{what}: {len(missing)} files of {root / MANIFEST_NAME} do not exist ({missing[0]}, '
            '...): copy them again, or take the rows out'
        )
    files = [patch.file for patch in listing.patches]
    labels = np.array([patch.label for patch in listing.patches], dtype=np.int64)
    return ImageTree(root, files, labels, rows, split)


def output_names(files: Sequence[str], labels: np.ndarray, classes: Sequence[str]) -> List[str]:
    """``<class>/<name>`` of every candidate in the output folder.

    Below a class folder the path stays; of other layouts folders become part of the name.

    Raises:
        SelectionError: Two candidates would have one name.
    """
    names = []
    for file, label in zip(files, labels.tolist(), strict=True):
        first, *rest = PurePosixPath(file).parts
        in_folder = rest and resolve_class(first, classes) == classes[label]
        names.append('/'.join([classes[label], *rest]) if in_folder else
                     f'{classes[label]}/{file.replace("/", "__")}')  # fmt: skip
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        both = [file for file, name in zip(files, names, strict=True) if name == twice[0]]
        raise SelectionError(f'{both[0]} and {both[1]} would both be {twice[0]}: rename one')
    return names


class SelectionFolder:
    """Writes one output folder.

    Args:
        root (str | Path): The folder; need not exist.
    """

    def __init__(self, root: Union[str, Path]):
        self.root = Path(root).expanduser().resolve()
        self.record_path = self.root / RECORD_NAME

    def check(self, candidates: ImageTree) -> None:
        """SelectionError for a folder that is not ours or of other candidates; before any work."""
        if self.root == candidates.root or candidates.root in self.root.parents:
            raise SelectionError(
                f'the output folder {self.root} lies in the candidates {candidates.root}: choose '
                'another one'
            )
        if self.root.exists() and not self.root.is_dir():
            raise SelectionError(f'{self.root} is a file: choose another output folder')
        if not self.root.is_dir() or not any(self.root.iterdir()):
            return
        if not self.record_path.is_file():
            raise SelectionError(
                f'{self.root} holds other files and no {RECORD_NAME}: choose an empty or new folder'
            )
        try:
            before = json.loads(self.record_path.read_text(encoding='utf-8'))['candidates']
        except (ValueError, KeyError, TypeError) as error:
            raise SelectionError(
                f'{self.record_path} is damaged ({error!r}): delete the folder, or choose another'
            ) from error
        if before != str(candidates.root):
            raise SelectionError(
                f'{self.root} holds a selection from {before}, not from {candidates.root}: choose '
                'another output folder'
            )

    def write_record(self, record: Dict[str, Any]) -> None:
        """Write ``selection.json``."""
        with explained_output_errors(self.root):
            with atomic_write(self.record_path, 'w', encoding='utf-8') as file:
                json.dump(record, file, indent=2)
                file.write('\n')

    def write_images(
        self, table: SelectionTable, candidates: ImageTree, link: Optional[str]
    ) -> List[str]:
        """Copy or link what was kept, and remove what an earlier selection had kept.

        Returns:
            list[str]: Names of all candidates in this folder, kept or not.
        """
        names = output_names(table.files, table.labels, table.classes)
        with explained_output_errors(self.root):
            (self.root / MANIFEST_NAME).unlink(missing_ok=True)  # it says that all is there
            for name, file, kept in zip(names, table.files, table.kept, strict=True):
                target = self.root / name
                if not kept:
                    target.unlink(missing_ok=True)
                    continue
                source = Path(resolve_inside(str(candidates.root), str(candidates.root / file)))
                _place(source, target, link)
        return names

    def write_manifest(
        self, table: SelectionTable, names: Sequence[str], candidates: ImageTree
    ) -> Path:
        """Write ``manifest.csv``: the candidates' columns, where each came from, its scores."""
        first = next(iter(candidates.rows.values()), {})
        columns = [c for c in first if c not in ('file', 'label', *_OWN_COLUMNS)]
        rows = []
        for index in np.flatnonzero(table.kept):
            row = table.row(index)
            before = candidates.rows.get(row['file'], {})
            rows.append(
                dict(
                    {name: before.get(name, '') for name in columns},
                    file=names[index],
                    label=row['label'],
                    source=row['file'],
                    **{name: row[name] for name in _OWN_COLUMNS[1:]},
                )
            )
        with explained_output_errors(self.root):
            return write_manifest(
                self.root / MANIFEST_NAME, rows, ['file', 'label', *columns, *_OWN_COLUMNS]
            )

    def carry_training_images(self, candidates: ImageTree) -> bool:
        """Copy ``training_images.txt``, by which leaks are found; say so where it is missing."""
        source = candidates.root / TRAINING_IMAGES
        if source.is_file():
            _place(source, self.root / TRAINING_IMAGES, None)
            return True
        (self.root / TRAINING_IMAGES).unlink(missing_ok=True)
        print_log(
            f'{candidates.root} has no {TRAINING_IMAGES}: the benchmark cannot rule out that its '
            'test images trained the generator',
            level=30,
        )
        return False


def _place(source: Path, target: Path, link: Optional[str]) -> None:
    """One image, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link is None:
        with atomic_write(target) as file:
            file.write(source.read_bytes())
        return
    target.unlink(missing_ok=True)
    try:
        if link == 'hard':
            os.link(source, target)
        else:
            os.symlink(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        raise SelectionError(
            f'{target} cannot be a {link} link to {source} ({error.strerror}): links of this kind '
            'are not possible there. Leave --link out, which copies'
        ) from error


def now() -> str:
    """The time for a record."""
    return time.strftime('%Y-%m-%dT%H:%M:%S')
