"""Which synthetic images an arm adds to the training images of a fold."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.benchmark.fold_plan import Sample
from cellgan_plugin.benchmark.protocol import REAL
from cellgan_plugin.benchmark.rows import Generator, slug
from cellgan_plugin.datasets.content_hash import HASH_BYTES, image_hashes, to_hex
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.datasets.perceptual_hash import PERCEPTUAL_BYTES
from cellgan_plugin.datasets.problems import ERROR, DatasetError, Problem
from cellgan_plugin.datasets.sources import Patch, list_patches
from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.files import is_hidden, say_damaged, write_json
from cellgan_plugin.records import contents_of, digest_of, read_json

_CACHE_NAME = 'hashes.json'


@dataclass
class Arm:
    """One row of the table: real images alone, or with those of a generator.

    Attributes:
        name (str): As shown.
        parts (list): Per fold: ``data_root`` and ``ann_file`` of the synthetic images, or None.
        counts (list[int]): Per fold: synthetic images.
        needs (list[tuple[str, ...]]): Per fold: jobs that make them.
        identity (dict): What decides which images these are.
        notes (list[str]): What a reader has to know.
        leaks (list[str]): Why results of this arm may be too good; empty when they are not.
        transforms (list[dict]): Put into the classifier's training pipeline.
        use (str): Of the synthetic images, as of
            :class:`~cellgan_plugin.benchmark.rows.Augmentation`.
    """

    name: str
    parts: List[Optional[Dict[str, Any]]]
    counts: List[int]
    needs: List[Tuple[str, ...]]
    identity: Dict[str, Any]
    notes: List[str] = field(default_factory=list)
    leaks: List[str] = field(default_factory=list)
    transforms: List[Mapping[str, Any]] = field(default_factory=list)
    use: str = 'added'

    @property
    def slug(self) -> str:
        """Name of the arm's folder."""
        return 'real' if self.name == REAL else slug(self.name)

    @property
    def shown(self) -> str:
        """Name in the tables."""
        return self.name if self.name == REAL or self.use != 'added' else f'+ {self.name}'

    def images(self, fold: int, real: int) -> int:
        """Images that train in a fold of ``real`` real ones."""
        return self.counts[fold] + (0 if self.use == 'alone' else real)


def real_only(folds: int) -> Arm:
    """The baseline."""
    return Arm(REAL, [None] * folds, [0] * folds, [()] * folds, dict(images='real'))


class HashCache:
    """Hashes of images, remembered by the bytes of the files.

    Args:
        folder (str | Path): Where ``hashes.json`` is.
    """

    def __init__(self, folder: Union[str, Path]):
        self.path = Path(folder) / _CACHE_NAME
        kept = read_json(self.path) or {}
        # SHA-256 of a file -> hashes of its pixels and of what it shows.
        self.known: Dict[str, List[str]] = kept.get('images', {})
        if self.path.is_file() and kept.get('seal') != digest_of(self.known):
            say_damaged(self.path, 'it does not fit its seal')
            self.known = {}

    def _look(self, files: Sequence[str], title: str, which: int, size: int) -> np.ndarray:
        contents = contents_of({file: file for file in files})
        missing = {content: file for file, content in contents.items() if content not in self.known}
        if missing:
            found = image_hashes(list(missing.values()), title=title)
            pairs = zip(*([row.tobytes().hex() for row in part] for part in found), strict=True)
            self.known.update(zip(missing, map(list, pairs), strict=True))
            write_json(self.path, dict(images=self.known, seal=digest_of(self.known)))
        text = ''.join(self.known[contents[file]][which] for file in files)
        return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, size).copy()

    def hashes(self, files: Sequence[str], title: str) -> np.ndarray:
        """uint8 (N, 16), see :func:`~cellgan_plugin.datasets.content_hash.content_hashes`."""
        return self._look(files, title, 0, HASH_BYTES)

    def perceptual(self, files: Sequence[str], title: str) -> np.ndarray:
        """uint8 (N, 32), see :mod:`~cellgan_plugin.datasets.perceptual_hash`."""
        return self._look(files, title, 1, PERCEPTUAL_BYTES)


def _listed(
    where: str,
    root: str,
    classes: Sequence[str],
    ann_file: str,
    split: Optional[str],
    extra_classes: str,
    follow_links: bool,
    need_every_class: bool,
) -> List[Patch]:
    """Images of a folder; DatasetError naming the first that is listed and not there."""
    listing = list_patches(
        root, classes, ann_file, split, extra_classes, follow_links, need_every_class
    )
    problems = [problem for problem in listing.problems if problem.severity == ERROR]
    for patch in listing.patches:
        path = os.path.join(root, patch.file)
        if not os.path.isfile(path):
            listed = f'is named in {ann_file}, but' if ann_file else 'is listed, but'
            message = f'{listed} there is no such file. Copy it again, or remove its row'
            problems.append(Problem(ERROR, 'missing file', path, message))
    if problems:
        raise DatasetError(problems, f'{where} cannot be used')
    return listing.patches


def real_samples(data: Mapping[str, Any], classes: Sequence[str], cache: HashCache) -> List[Sample]:
    """All real images of a benchmark.

    Args:
        data (Mapping): See :class:`~cellgan_plugin.benchmark.protocol.Protocol`.
        classes (Sequence[str]): Class names.
        cache (HashCache): Of the work directory.

    Returns:
        list[Sample]: In the order of the listing.

    Raises:
        DatasetError: The folder cannot be read, a class is empty or unknown, a file is missing.
        ImageFileError: A file is no image.
    """
    root = os.path.abspath(os.path.expanduser(data['data_root']))
    ann_file = data.get('ann_file') or ''
    patches = _listed(
        'The real images',
        root,
        classes,
        os.path.join(root, ann_file) if ann_file else '',
        data.get('split') or None,
        data.get('extra_classes') or 'error',
        bool(data.get('follow_links')),
        need_every_class=True,
    )
    files = [os.path.join(root, patch.file) for patch in patches]
    hashes = to_hex(cache.hashes(files, 'Hashing real images'))
    return [
        Sample(file, patch.label, patch.group or None, content)
        for file, patch, content in zip(files, patches, hashes, strict=True)
    ]


@dataclass
class SyntheticFolder:
    """Images of a folder, the first ones of each class.

    Attributes:
        root (str): The folder.
        patches (list[Patch]): The images used.
        hashes (np.ndarray): Of their contents, uint8 (N, 16).
        notes (list[str]): What a reader has to know.
    """

    root: str
    patches: List[Patch]
    hashes: np.ndarray
    notes: List[str]


def read_folder(
    generator: Generator,
    classes: Sequence[str],
    wanted: Sequence[int],
    cache: HashCache,
    need_all: bool = False,
) -> SyntheticFolder:
    """Read an arm's folder: class folders, or a manifest.

    Args:
        generator (Generator): With a ``folder``.
        classes (Sequence[str]): Class names of the benchmark.
        wanted (Sequence[int]): Images wanted of each; the first ones of the list are taken.
        cache (HashCache): Of the work directory.
        need_all (bool): Whether fewer than wanted are an error and not a note. Defaults to False.

    Raises:
        DatasetError: Unknown classes, missing files, a bad manifest.
        ProtocolError: No image at all, or fewer than are needed.
    """
    where = f'generator {generator.name!r}'
    path = os.path.abspath(os.path.expanduser(generator.folder))
    if path.lower().endswith('.csv'):
        root, ann_file = os.path.dirname(path), path
    else:
        root, ann_file = path, os.path.join(path, MANIFEST_NAME)
        if not os.path.isdir(root):
            raise ProtocolError(f'{where}: there is no folder {root}')
        if not os.path.isfile(ann_file):
            ann_file = ''
    found = _listed(
        f'The images of {where}',
        root,
        classes,
        ann_file,
        generator.split,
        'error',
        generator.follow_links,
        need_every_class=False,
    )
    kept: List[Patch] = []
    counts: Counter = Counter()
    for patch in found:
        if counts[patch.label] < wanted[patch.label]:
            counts[patch.label] += 1
            kept.append(patch)
    if not kept:
        raise ProtocolError(f'{where}: {generator.folder} holds no image of {list(classes)}')
    few = [f'{name} {counts[label]}' for label, name in enumerate(classes)
           if counts[label] < wanted[label]]  # fmt: skip
    notes = []
    if few and need_all:
        asked = ', '.join(f'{name} {n}' for name, n in zip(classes, wanted, strict=True))
        raise ProtocolError(
            f'{where}: {generator.folder} has {", ".join(few)} images, and the pool needs {asked}. '
            'Synthesise more, or lower pool or ratio of the rows'
        )
    if few:
        notes.append(
            f'+ {generator.name}: {", ".join(few)} synthetic images, all that there are '
            f'({max(wanted)} of each class were asked for)'
        )
    files = [os.path.join(root, patch.file) for patch in kept]
    hashes = cache.hashes(files, f'Hashing images of {generator.name}')
    return SyntheticFolder(root, kept, hashes, notes)


def data_folder_files(root: Union[str, Path], **options: Any) -> List[str]:
    """Paths of all images of a data folder; see :func:`data_folder_patches`."""
    root = os.path.abspath(os.path.expanduser(root))
    return [os.path.join(root, patch.file) for patch in data_folder_patches(root, **options)]


def data_folder_patches(
    root: Union[str, Path],
    classes: Optional[Sequence[str]] = None,
    ann_file: str = '',
    split: Optional[str] = None,
    extra_classes: str = 'error',
    follow_links: bool = False,
) -> List[Patch]:
    """All images of a data folder, with their groups where a manifest has them.

    Args:
        root (str | Path): The folder.
        classes (Sequence[str], optional): Defaults to None: whatever classes there are.
        ann_file (str): As of :func:`~cellgan_plugin.datasets.sources.list_patches`, as the others.
        split (str, optional): Defaults to None.
        extra_classes (str): Defaults to 'error'.
        follow_links (bool): Defaults to False.

    Raises:
        DatasetError: It cannot be read.
    """
    root = os.path.abspath(os.path.expanduser(root))
    if classes is None:
        if not os.path.isdir(root):
            raise FileNotFoundError(f'folder {root} does not exist')
        with os.scandir(root) as entries:
            classes = sorted(e.name for e in entries if e.is_dir() and not is_hidden(e.name))
    where = f'The data set in {root}'
    return _listed(
        where, root, classes, ann_file, split, extra_classes, follow_links, need_every_class=False
    )


def write_list(path: Path, files: Sequence[str], labels: Sequence[str]) -> Path:
    """Write a list for :class:`~cellgan_plugin.datasets.CellPatchDataset` (absolute ann_file)."""
    rows = [dict(file=file, label=label) for file, label in zip(files, labels, strict=True)]
    return write_manifest(path, rows, ('file', 'label'))
