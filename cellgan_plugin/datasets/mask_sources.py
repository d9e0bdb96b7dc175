"""Which image + mask pairs there are: a CSV manifest, or a folder of images and one of masks."""

import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from cellgan_plugin.datasets.classes import Spellings
from cellgan_plugin.datasets.file_names import PassedOver, nfc, on_disk, walk_images
from cellgan_plugin.datasets.manifest import ManifestError, clean_relative_path, iter_manifest
from cellgan_plugin.datasets.problems import ERROR, NOTE, WARNING, Problem

HOW_TO_GET_PAIRS = (
    'Make a small set of glands (`python tools/dataset_converters/gland_phantom.py --out '
    'data/gland_phantom`), or convert GlaS (`python tools/dataset_converters/glas.py --help`), '
    'then set data_root'
)


class TissuePair(NamedTuple):
    """One image and its mask.

    Attributes:
        file (str): POSIX path of the image relative to the data folder.
        mask (str): Of the mask, '' when there is none.
        split (str): The manifest's split, else ''.
        group (str): The manifest's group (slide, patient), else ''.
        label (str): The manifest's label as the classes spell it, else ''.
    """

    file: str
    mask: str
    split: str = ''
    group: str = ''
    label: str = ''


class PairLayout(NamedTuple):
    """How pairs are written down; the arguments of the same name of ``TissueMaskDataset``."""

    root: str
    ann_file: str = ''
    img_dir: str = 'images'
    mask_dir: str = 'masks'
    mask_suffix: str = ''
    mask_column: str = 'mask'
    label_column: str = 'label'
    missing_masks: str = 'error'
    label_classes: Tuple[str, ...] = ()  # not empty: every labelled image has one of these
    follow_links: bool = False


@dataclass
class PairListing:
    """What a source lists, and what is wrong with the list.

    Attributes:
        pairs (list[TissuePair]): Sorted by path, or as listed.
        problems (list[Problem]): Findings that need no file to be opened.
    """

    pairs: List[TissuePair] = field(default_factory=list)
    problems: List[Problem] = field(default_factory=list)

    def add(self, severity: str, kind: str, where: str, message: str) -> None:
        """Note one problem."""
        self.problems.append(Problem(severity, kind, where, message))


def list_pairs(
    layout: PairLayout, splits: Optional[Sequence[str]] = None, need_every_split: bool = True
) -> PairListing:
    """List the pairs of a data set; never raises for what is wrong with the data.

    Args:
        layout (PairLayout): Where and how.
        splits (Sequence[str] | None): Keep only rows of these splits. Defaults to None, all.
        need_every_split (bool): Whether one of several splits without rows is an error, else a
            warning. Defaults to True.
    """
    listing = PairListing()
    if not os.path.isdir(layout.root):
        message = f'the data folder does not exist (looked from {os.getcwd()}). {HOW_TO_GET_PAIRS}'
        listing.add(ERROR, 'missing folder', layout.root, message)
        return listing
    try:
        if layout.ann_file:
            _read_manifest(listing, layout, splits, need_every_split)
        elif splits is not None:
            message = (
                f'splits {list(splits)} need a CSV manifest with a split column as ann_file; for '
                'a folder per split set data_root'
            )
            listing.add(ERROR, 'split', layout.root, message)
        else:
            _read_folders(listing, layout)
    except OSError as error:  # no permission, a disk that went away
        where = str(error.filename or layout.root)
        listing.add(ERROR, 'unreadable', where, f'cannot be read ({error.strerror or error})')
    _check_masks(listing, layout)
    if not listing.pairs and not any(p.severity == ERROR for p in listing.problems):
        listing.add(ERROR, 'empty', layout.root, f'there is no image. {HOW_TO_GET_PAIRS}')
    return listing


def _check_masks(listing: PairListing, layout: PairLayout) -> None:
    """Masks that are named for the wrong thing."""
    first: Dict[str, str] = {}
    for pair in listing.pairs:
        if not pair.mask:
            continue
        where = os.path.join(layout.root, pair.file)
        if pair.mask == pair.file:
            message = (
                'is its own mask; a folder of masks alone can be generated from, not trained on'
            )
            listing.add(ERROR, 'mask is image', where, message)
        elif first.setdefault(pair.mask, pair.file) != pair.file:
            message = f'has the mask {pair.mask} of {first[pair.mask]}'
            listing.add(WARNING, 'one mask of two images', where, message)


def _missing_mask(listing: PairListing, layout: PairLayout, where: str, message: str) -> None:
    if layout.missing_masks == 'error':
        step = "Add it, or set missing_masks='unlabelled' to use such images without a mask"
        listing.add(ERROR, 'missing mask', where, f'{message}. {step}')


# Manifest ---------------------------------------------------------------------------------------


def _read_manifest(
    listing: PairListing,
    layout: PairLayout,
    splits: Optional[Sequence[str]],
    need_every_split: bool,
) -> None:
    found: Counter = Counter()
    ann_file = layout.ann_file
    if not os.path.isfile(ann_file):
        message = f'the manifest named by ann_file does not exist. {HOW_TO_GET_PAIRS}'
        listing.add(ERROR, 'missing list', ann_file, message)
        return
    if not ann_file.lower().endswith('.csv'):
        message = "ann_file is '' (folders of images and masks) or a .csv manifest"
        listing.add(ERROR, 'list', ann_file, message)
        return
    unknown: Dict[str, Tuple[int, int]] = {}  # label -> first row, number of rows
    spellings = Spellings(layout.label_classes or ())
    try:
        for line, row in iter_manifest(ann_file, required=('file',)):
            where = f'{ann_file}, row {line}'
            lacking = _lacking_columns(layout, splits, row)
            if lacking:
                listing.add(ERROR, 'manifest', ann_file, f'{lacking}; it has {list(row)}')
                return
            split = sys.intern(row.get('split', '').strip())
            found[split] += 1
            if splits is not None and split not in splits:
                continue
            mask = row[layout.mask_column].strip()
            clean = clean_relative_path(mask) if mask else ''
            if clean is None:
                message = f'mask {mask!r} leaves the folder of the manifest; paths have no ".."'
                listing.add(ERROR, 'manifest', where, message)
                continue
            if not clean:
                _missing_mask(listing, layout, where, f'{row["file"]} has no mask')
            label = row.get(layout.label_column, '').strip()
            if layout.label_classes:
                name = spellings.find(label)
                if clean and name is None:
                    first, count = unknown.get(label, (line, 0))
                    unknown[label] = first, count + 1
                    continue
                label = name or label
            group = sys.intern(row.get('group', '').strip())
            file, clean = on_disk(layout.root, row['file']), on_disk(layout.root, clean)
            listing.pairs.append(TissuePair(file, clean, split, group, sys.intern(label)))
    except ManifestError as error:
        where, _, message = str(error).partition(': ')
        listing.add(ERROR, 'manifest', where, message)
        return
    for label, (line, count) in unknown.items():
        message = (
            f'{layout.label_column} {label!r} ({count} images) is none of the classes of '
            f'instances, {list(layout.label_classes)}. Add it to metainfo=dict(classes=[...]), or '
            'name another label_column'
        )
        listing.add(ERROR, 'unknown class', f'{ann_file}, row {line}', message)
    for _, message in spellings.clashes():
        step = 'Two labels are two classes: spell the class one way'
        listing.add(ERROR, 'two spellings', ann_file, f'{layout.label_column}s {message}. {step}')
    for spelling, name in spellings.forgiven():
        message = f'{layout.label_column} {spelling!r} is read as class {name!r}'
        listing.add(NOTE, 'class name', ann_file, message)
    for split in splits or ():
        if not found[split]:
            message = f'no row has split {split!r}; there are {dict(found)}'
            needed = need_every_split or not any(found[name] for name in splits)
            listing.add(ERROR if needed else WARNING, 'split', ann_file, message)


def _lacking_columns(
    layout: PairLayout, splits: Optional[Sequence[str]], row: Dict[str, str]
) -> str:
    if layout.mask_column not in row:
        return f'the manifest has no column {layout.mask_column!r} with the mask of each image'
    if splits is not None and 'split' not in row:
        return f'splits {list(splits)} are asked for, but the manifest has no split column'
    if layout.label_classes and layout.label_column not in row:
        return (
            "instances='label' takes the class of the instances from the column "
            f'{layout.label_column!r}, which the manifest does not have'
        )
    return ''


# Folders ----------------------------------------------------------------------------------------


def _read_folders(listing: PairListing, layout: PairLayout) -> None:
    images = dict(_walk(listing, layout, layout.img_dir, 'images'))
    masks = dict(_walk(listing, layout, layout.mask_dir, 'masks'))
    if layout.label_classes:
        message = "instances='label' needs a manifest with the label of each image as ann_file"
        listing.add(ERROR, 'manifest', layout.root, message)
        return
    for stem, file in images.items():
        mask = masks.pop(stem + layout.mask_suffix, '')
        if not mask:
            where = os.path.join(layout.root, file)
            name = f'{layout.mask_dir}/{stem}{layout.mask_suffix}.*'
            _missing_mask(listing, layout, where, f'has no mask (looked for {name})')
        listing.pairs.append(TissuePair(file, mask))
    if masks and images:
        first = os.path.join(layout.root, next(iter(masks.values())))
        message = f'{len(masks)} masks have no image of the same name in {layout.img_dir}'
        listing.add(WARNING, 'mask without image', first, message)


def _walk(
    listing: PairListing, layout: PairLayout, folder: str, what: str
) -> Iterator[Tuple[str, str]]:
    """(path below ``folder`` without extension, path below the root) of every image, sorted."""
    top = os.path.join(layout.root, folder)
    if not os.path.isdir(top):
        message = f'the folder of {what} does not exist; set ann_file to a manifest, or the folder'
        listing.add(ERROR, 'missing folder', top, message)
        return
    seen: Dict[str, str] = {}
    passed = PassedOver()
    for file in walk_images(top, passed, layout.follow_links):
        path = os.path.normpath(os.path.join(folder, file)).replace(os.sep, '/')
        # Composed, so that an image and its mask find each other whichever way they are written.
        stem = nfc(str(PurePosixPath(file).with_suffix('')))
        if stem in seen:
            message = f'and {seen[stem]} have one name; remove one of the two'
            listing.add(ERROR, 'two files', os.path.join(layout.root, path), message)
            continue
        seen[stem] = path
        yield stem, path
    for link in passed.links:
        message = 'is a linked folder and not read; set follow_links=True if the link is yours'
        listing.add(WARNING, 'not read', link, message)
    for line in passed.lines():
        listing.add(NOTE, 'not read', top, line)
