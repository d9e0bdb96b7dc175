"""Which images there are: class folders, the authors' ``img_list.txt``, or a CSV manifest."""

import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

from cellgan_plugin.datasets.classes import Spellings, resolve_class
from cellgan_plugin.datasets.file_names import (
    PassedOver,
    is_image_name,
    list_folder,
    on_disk,
    walk_images,
)
from cellgan_plugin.datasets.manifest import ManifestError, clean_relative_path, iter_manifest
from cellgan_plugin.datasets.problems import ERROR, NOTE, WARNING, Problem

SPLITS = ('train', 'val', 'test')

HOW_TO_GET_DATA = (
    'Make a small phantom set (`python tools/dataset_converters/phantom.py --out data/phantom`), '
    'get a public one (`python tools/dataset_converters/cric.py --help`), or convert your own '
    '(`python tools/dataset_converters/folders.py --help`), then set data_root'
)


class Patch(NamedTuple):
    """One listed image.

    Attributes:
        file (str): POSIX path relative to the image folder.
        label (int): Index into the configured classes.
        split (str): The manifest's split, else ''.
        group (str): The manifest's group, else ''.
    """

    file: str
    label: int
    split: str
    group: str


@dataclass
class Listing:
    """What a source lists, and what is wrong with the list.

    Attributes:
        root (str): Folder that the files are relative to.
        patches (list[Patch]): In a fixed order: sorted by path, or as listed.
        problems (list[Problem]): Findings that need no image to be opened.
    """

    root: str
    patches: List[Patch] = field(default_factory=list)
    problems: List[Problem] = field(default_factory=list)

    def add(self, severity: str, kind: str, where: str, message: str) -> None:
        """Note one problem."""
        self.problems.append(Problem(severity, kind, where, message))


class Rows(Sequence):
    """The rows of a data set as dictionaries, each made when it is asked for.

    A million dictionaries take 270 MB; the patches they are made from, 180 MB.

    Args:
        patches (list[Patch]): Taken over, not copied.
    """

    def __init__(self, patches: List[Patch]):
        self.patches = patches

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, index):
        """``file``, ``gt_label``, ``row`` and, where there is one, ``group``; lists for slices."""
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        patch = self.patches[row]
        info = dict(file=patch.file, gt_label=patch.label, row=row)
        if patch.group:
            info['group'] = patch.group
        return info

    def consume(self) -> Iterator[dict]:
        """All rows in order; their patches are given up one by one."""
        for row in range(len(self)):
            info = self[row]
            self.patches[row] = None
            yield info
        self.patches.clear()


class _Labels:
    """Spelling -> class index, each spelling resolved once; unknown ones are counted."""

    def __init__(self, classes: Sequence[str]):
        self.classes = classes
        self.indices = {name: index for index, name in enumerate(classes)}
        self.spellings = Spellings(classes)
        self.places: Dict[str, str] = {}  # spelling -> where it is first met

    def find(self, spelling: str, where: str) -> int:
        """The label, -1 where no class is meant."""
        self.places.setdefault(spelling, where)
        return self.indices.get(self.spellings.find(spelling), -1)

    def report(self, listing: Listing, extra_classes: str, what: str) -> None:
        counts = self.spellings.counts
        for spelling in filter(lambda s: resolve_class(s, self.classes) is None, self.places):
            unknown = (
                f'{what} {spelling!r} ({counts[spelling]} images) is none of {list(self.classes)}'
            )
            where = self.places[spelling]
            if extra_classes == 'skip':
                listing.add(NOTE, 'skipped class', where, f'{unknown}; skipped as configured')
            else:
                listing.add(
                    ERROR,
                    'unknown class',
                    where,
                    f'{unknown}. Add it to metainfo=dict(classes=[...]), or set '
                    "extra_classes='skip'",
                )
        for _, message in self.spellings.clashes():
            step = 'Two names are two classes: rename one, or give both the name of the class'
            listing.add(ERROR, 'two spellings', listing.root, f'{what}s {message}. {step}')
        for spelling, name in self.spellings.forgiven():
            message = f'{what} {spelling!r} ({counts[spelling]} images) is read as class {name!r}'
            listing.add(NOTE, 'class name', self.places[spelling], message)


def list_patches(
    root: str,
    classes: Sequence[str],
    ann_file: str = '',
    split: Optional[str] = None,
    extra_classes: str = 'error',
    follow_links: bool = False,
    need_every_class: bool = True,
) -> Listing:
    """List the images of a data set; never raises for what is wrong with the data.

    Args:
        root (str): Folder of the class folders, or that listed paths are relative to.
        classes (Sequence[str]): Class names; their order gives the labels.
        ann_file (str): ``''`` for class folders, a ``.txt`` with ``CLASS/file`` lines, or a
            ``.csv`` manifest. Defaults to ''.
        split (str | None): Keep only these rows of a manifest. Defaults to None, all.
        extra_classes (str): ``'error'`` or ``'skip'`` images of classes not in ``classes``.
        follow_links (bool): Whether linked folders are read. Defaults to False.
        need_every_class (bool): Whether a class without images is an error, else a warning.

    Returns:
        Listing: The images and the problems.
    """
    listing = Listing(root)
    if not os.path.isdir(root):
        message = f'the data folder does not exist (looked from {os.getcwd()}). {HOW_TO_GET_DATA}'
        listing.add(ERROR, 'missing folder', root, message)
        return listing
    if ann_file and not os.path.isfile(ann_file):
        listing.add(
            ERROR,
            'missing list',
            ann_file,
            f"the list named by ann_file does not exist; ann_file='' reads class folders. "
            f'{HOW_TO_GET_DATA}',
        )
        return listing

    labels = _Labels(tuple(classes))
    try:
        _read(listing, ann_file, labels, split, follow_links)
    except OSError as error:  # no permission, a disk that went away
        where = str(error.filename or ann_file or root)
        listing.add(ERROR, 'unreadable', where, f'cannot be read ({error.strerror or error})')
    labels.report(listing, extra_classes, 'class' if ann_file else 'folder')

    if not any(problem.severity == ERROR for problem in listing.problems):
        counts = Counter(patch.label for patch in listing.patches)
        for label, name in enumerate(classes):
            if not counts[label]:
                chosen = f' in split {split!r}' if split else ''
                listing.add(
                    ERROR if need_every_class else WARNING,
                    'empty class',
                    os.path.join(root, name) if not ann_file else ann_file,
                    f'class {name!r} has no image{chosen}. Add images, or take it out of '
                    'metainfo=dict(classes=[...])',
                )
    return listing


def _read(
    listing: Listing, ann_file: str, labels: _Labels, split: Optional[str], follow_links: bool
) -> None:
    """Read whichever layout ``ann_file`` says."""
    root = listing.root
    is_manifest = ann_file.lower().endswith('.csv')
    if split is not None and not is_manifest:
        listing.add(
            ERROR,
            'split',
            ann_file or root,
            f'split={split!r} needs a CSV manifest with a split column as ann_file; for folders '
            "per split set data_prefix=dict(img_path='train')",
        )
    elif is_manifest:
        _read_manifest(listing, ann_file, labels, split)
    elif ann_file and not ann_file.lower().endswith('.txt'):
        message = "ann_file is '' (class folders), a .txt with CLASS/file lines or a .csv manifest"
        listing.add(ERROR, 'list', ann_file, message)
    elif ann_file:
        _read_list(listing, ann_file, labels)
    else:
        _read_folders(listing, labels, follow_links)


def _read_manifest(listing: Listing, ann_file: str, labels: _Labels, split: Optional[str]) -> None:
    splits: Counter = Counter()
    try:
        for line, row in iter_manifest(ann_file):
            row_split = sys.intern(row.get('split', '').strip())
            if split is not None and 'split' not in row:
                listing.add(
                    ERROR,
                    'split',
                    ann_file,
                    f'split={split!r} is asked for, but the manifest has no split column '
                    f'(it has {list(row)}). Add one, or leave split out',
                )
                return
            splits[row_split] += 1
            if split is not None and row_split != split:
                continue
            label = labels.find(row['label'], f'{ann_file}, row {line}')
            if label >= 0:
                group = sys.intern(row.get('group', '').strip())
                file = on_disk(listing.root, row['file'])
                listing.patches.append(Patch(file, label, row_split, group))
    except ManifestError as error:
        where, _, message = str(error).partition(': ')
        listing.add(ERROR, 'manifest', where, message)
        return
    if split is not None and not splits[split]:
        listing.add(
            ERROR, 'split', ann_file, f'no row has split {split!r}; there are {dict(splits)}'
        )
    odd = sorted(set(splits) - {*SPLITS, ''})
    if odd:
        listing.add(WARNING, 'split', ann_file, f'split {odd} is none of {list(SPLITS)}')


def _read_list(listing: Listing, ann_file: str, labels: _Labels) -> None:
    seen: Dict[str, int] = {}
    try:
        with open(ann_file, encoding='utf-8-sig') as file:
            for line, text in enumerate(file, 1):
                text = text.strip()
                if not text or text.startswith('#'):
                    continue
                where = f'{ann_file}, line {line}'
                path = clean_relative_path(text)
                if path is None:
                    message = f'{text!r} leaves the data folder; lines are CLASS/file'
                    listing.add(ERROR, 'list', where, message)
                elif '/' not in path:
                    message = f'{text!r} names no class; lines are CLASS/file'
                    listing.add(ERROR, 'list', where, message)
                elif seen.setdefault(path, line) != line:
                    message = f'{path} was already named in line {seen[path]}'
                    listing.add(ERROR, 'list', where, message)
                else:
                    label = labels.find(path.partition('/')[0], where)
                    if label >= 0:
                        listing.patches.append(Patch(on_disk(listing.root, path), label, '', ''))
    except UnicodeDecodeError as error:
        message = f'not UTF-8 text ({error}); save it as UTF-8'
        listing.add(ERROR, 'list', ann_file, message)
        return
    if not seen:
        listing.add(ERROR, 'list', ann_file, 'names no image; lines are CLASS/file')


def _read_folders(listing: Listing, labels: _Labels, follow_links: bool) -> None:
    root = listing.root
    passed = PassedOver()
    entries = list_folder(root, passed)
    folders = [entry for entry in entries if entry.is_dir()]
    if not folders:
        listing.add(
            ERROR,
            'missing folder',
            root,
            f'holds no class folder; expected {list(labels.classes)}, or an ann_file. '
            f'{HOW_TO_GET_DATA}',
        )
        return
    loose = sum(is_image_name(entry.name) for entry in entries if not entry.is_dir())
    if loose:
        listing.add(WARNING, 'not read', root, f'{loose} images lie beside the class folders')
    for folder in folders:
        if folder.is_symlink() and not follow_links:
            passed.links.append(folder.path)
            continue
        files = list(walk_images(folder.path, passed, follow_links))
        if not files:
            # An empty folder of the right name is an empty class; of another, nothing at all.
            if resolve_class(folder.name, labels.classes) is None:
                listing.add(NOTE, 'not read', folder.path, 'holds no image and is no class')
            continue
        for file in files:
            label = labels.find(folder.name, folder.path)
            if label >= 0:
                listing.patches.append(Patch(f'{folder.name}/{file}', label, '', ''))
    for link in passed.links:
        listing.add(
            ERROR,
            'outside',
            link,
            f'is a link to {os.path.realpath(link)}. Point data_root at the real folder, '
            'or set follow_links=True if the link is yours',
        )
    for loop in passed.loops:
        listing.add(WARNING, 'not read', loop, 'is a link back to a folder above it')
    for line in passed.lines():
        listing.add(NOTE, 'not read', root, line)
