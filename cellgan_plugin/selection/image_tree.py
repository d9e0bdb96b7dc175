"""Images that a selection reads: class folders, a manifest, or a list of some of them."""

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Union

import numpy as np

from cellgan_plugin.datasets.file_names import on_disk
from cellgan_plugin.datasets.image_io import DEFAULT_MAX_PIXELS
from cellgan_plugin.datasets.inspection import Reader
from cellgan_plugin.datasets.manifest import (
    MANIFEST_NAME,
    ManifestError,
    iter_manifest,
    manifest_header,
)
from cellgan_plugin.datasets.problems import ERROR, DatasetError
from cellgan_plugin.datasets.sources import list_patches
from cellgan_plugin.records import digest_of, file_digests


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
        follow_links (bool): Whether links may lead out of the folder.
    """

    root: Path
    files: List[str]
    labels: np.ndarray
    rows: Dict[str, Dict[str, str]]
    split: Optional[str] = None
    follow_links: bool = False

    @property
    def reader(self) -> Reader:
        """How its files are read; links that leave the folder are refused unless followed."""
        real = '' if self.follow_links else os.path.realpath(self.root)
        return Reader(str(self.root), real, 3, DEFAULT_MAX_PIXELS)

    def counts(self, num_classes: int) -> List[int]:
        """Images per class."""
        return np.bincount(self.labels, minlength=num_classes).tolist()

    def first(self, wanted: Mapping[int, int]) -> np.ndarray:
        """Indices of the first ``wanted`` images of each label; others have none."""
        rank = np.zeros(len(self.labels), dtype=np.int64)
        for label in np.unique(self.labels):
            own = np.flatnonzero(self.labels == label)
            rank[own] = np.arange(len(own))
        most = np.array([wanted.get(label, 0) for label in self.labels.tolist()], dtype=np.int64)
        return np.flatnonzero(rank < most)

    def part(self, index: np.ndarray) -> 'ImageTree':
        """Some of the images."""
        files = [self.files[i] for i in index]
        return replace(self, files=files, labels=self.labels[index])

    def digest(self) -> str:
        """Changes with the name, label or content of any image: what saved scores are known by."""
        contents = file_digests(self.root / file for file in self.files)
        return digest_of(list(zip(self.files, self.labels.tolist(), contents, strict=True)))


def _manifest_rows(root: Path) -> Dict[str, Dict[str, str]]:
    """Rows of a manifest of this project, by file; none where there is none, or a foreign one."""
    path = root / MANIFEST_NAME
    if not path.is_file():
        return {}
    # A split that is not seen would let test images in.
    if not {'file', 'label'} <= set(manifest_header(path) or ()):
        return {}
    try:
        return {on_disk(root, row['file']): row for _, row in iter_manifest(path)}
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
    return list_tree(root, classes, str(root / MANIFEST_NAME) if rows else '', what, split, rows)


def list_tree(
    root: Union[str, Path],
    classes: Sequence[str],
    ann_file: str,
    what: str,
    split: Optional[str] = None,
    rows: Optional[Dict[str, Dict[str, str]]] = None,
    follow_links: bool = False,
) -> ImageTree:
    """Read the images of a folder by a list, which may lie elsewhere.

    Args:
        root (str | Path): The folder.
        classes (Sequence[str]): Of the classifier.
        ann_file (str): Path of a manifest, or '' for class folders.
        what (str): 'candidates' or 'real images', for messages.
        split (str, optional): Of the manifest. Defaults to None: all.
        rows (dict, optional): Rows of the manifest by file. Defaults to None: none.
        follow_links (bool): Whether links may lead out of the folder. Defaults to False.

    Raises:
        SelectionError: Unknown classes or no images.
        DatasetError: The list has other errors.
    """
    root = Path(root)
    listing = list_patches(
        str(root), classes, ann_file, split, follow_links=follow_links, need_every_class=False
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
        where = f'{root}:{split}' if split else root
        raise SelectionError(f'{what}: {where} holds no image; expected {root}/<class>/<image>')
    missing = [p.file for p in listing.patches if not (root / p.file).is_file()]
    if missing:
        raise SelectionError(
            f'{what}: {len(missing)} files of {ann_file or root} do not exist ({missing[0]}, '
            '...): copy them again, or take the rows out'
        )
    files = [patch.file for patch in listing.patches]
    labels = np.array([patch.label for patch in listing.patches], dtype=np.int64)
    return ImageTree(root, files, labels, rows or {}, split, follow_links)
