"""What is checked of image + mask pairs before the first step."""

import filecmp
import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.datasets.image_io import ImageFileError, ImageHeader
from cellgan_plugin.datasets.inspection import header_remarks, in_threads, with_progress
from cellgan_plugin.datasets.interfaces import ListedPairs
from cellgan_plugin.datasets.mask_io import (
    MASK_STORAGE,
    orientation_differs,
    read_mask_header,
)
from cellgan_plugin.datasets.mask_sources import TissuePair
from cellgan_plugin.datasets.problems import ERROR, NOTE, WARNING, Problem

# Below this part of a tile, mirroring would show one structure again and again.
LEAST_PART = 0.5


class PairInspection(NamedTuple):
    """Findings of one pair.

    Attributes:
        header (ImageHeader | None): Of the image; None when it cannot be used.
        problems (list[Problem]): Findings.
    """

    header: Optional[ImageHeader]
    problems: List[Problem]


def inspect_pair(
    dataset: ListedPairs, pair: TissuePair, use_mask: bool, against_tile: bool = True
) -> PairInspection:
    """Look at the headers of one pair; nothing is raised for a bad file.

    Args:
        dataset (ListedPairs): Says how files are read and tiled.
        pair (TissuePair): The pair.
        use_mask (bool): Whether its mask is looked at.
        against_tile (bool): Whether it has to hold a tile. Defaults to True.
    """
    reader = dataset.reader
    where = os.path.join(dataset.root, pair.file)
    problems: List[Problem] = []
    try:
        header = reader.header(pair.file)
    except ImageFileError as error:
        return PairInspection(None, [Problem(ERROR, error.kind, where, error.reason)])
    problems += header_remarks(header, where)
    if dataset.tile is not None and against_tile:
        problems += _against_tile(dataset, header, where)
    if use_mask:
        mask_where = os.path.join(dataset.root, pair.mask)
        try:
            mask = read_mask_header(reader.path(pair.mask), dataset.max_pixels)
        except ImageFileError as error:
            kind = 'missing mask' if error.kind == 'missing' else error.kind
            reason = error.reason
            if kind == 'missing mask':
                reason = f'the mask of {pair.file} does not exist; add it, or empty its mask field'
            problems.append(Problem(ERROR, kind, mask_where, reason))
        else:
            if (mask.width, mask.height) != (header.width, header.height):
                message = (
                    f'is {mask.width}x{mask.height}, but its image {pair.file} is '
                    f'{header.width}x{header.height}; a mask has the size of its image'
                )
                problems.append(Problem(ERROR, 'mask size', mask_where, message))
            turned = orientation_differs(header, mask)
            if turned:
                problems.append(Problem(ERROR, 'orientation', mask_where, turned))
            if mask.conversion:
                message = f'has {MASK_STORAGE[mask.conversion]}'
                problems.append(Problem(NOTE, mask.conversion, mask_where, message))
    return PairInspection(header, problems)


def _against_tile(dataset: ListedPairs, header: ImageHeader, where: str) -> Sequence[Problem]:
    height, width = dataset.tile
    if header.height >= height and header.width >= width:
        return ()
    what = f'is {header.width}x{header.height}, smaller than a tile of {width}x{height}'
    if dataset.small_images == 'error':
        step = "Lower tile, or set small_images='mirror' to continue it at its edge"
        return (Problem(ERROR, 'smaller than a tile', where, f'{what}. {step}'),)
    if header.height < LEAST_PART * height or header.width < LEAST_PART * width:
        message = f'{what}, and by more than half: mirroring would repeat it. Lower tile'
        return (Problem(ERROR, 'smaller than a tile', where, message),)
    message = f'{what}: it is continued by its mirror image'
    return (Problem(WARNING, 'mirrored', where, message),)


def inspect_pairs(
    dataset: ListedPairs, pairs: Sequence[TissuePair], labelled: Sequence[bool]
) -> Tuple[List[Tuple[int, int]], List[Problem]]:
    """Headers of all pairs.

    Args:
        dataset (ListedPairs): Says how files are read and tiled.
        pairs (Sequence[TissuePair]): The pairs.
        labelled (Sequence[bool]): Whether the mask of each is used; others are not opened.

    Returns:
        tuple[list[tuple[int, int]], list[Problem]]: (height, width) of every image ((0, 0) where
        it cannot be read), and the findings.
    """
    problems: List[Problem] = []
    sizes: List[Tuple[int, int]] = []

    def look(item: Tuple[TissuePair, bool]) -> PairInspection:
        return inspect_pair(dataset, *item)

    items = list(zip(pairs, map(bool, labelled), strict=True))
    for found in with_progress(in_threads(look, items), len(items), 'Checking images'):
        problems += found.problems
        header = found.header
        sizes.append((0, 0) if header is None else (header.height, header.width))
    return sizes, problems


def check_amounts(
    dataset: ListedPairs, pairs: Sequence[TissuePair], labelled: np.ndarray
) -> List[Problem]:
    """Whether there is enough to train on, labelled and not.

    Args:
        dataset (ListedPairs): Says how many are to be labelled.
        pairs (Sequence[TissuePair]): The images that it would train on.
        labelled (np.ndarray): Whether the mask of each is used, bool (N,).
    """
    problems = []
    root = dataset.root
    if not labelled.any():
        message = 'no image has a mask, so there is nothing to learn from'
        problems.append(Problem(ERROR, 'no labelled image', root, message))
    wants_unlabelled = (dataset.labelled_ratio or 1) < 1 and not dataset.labelled_only
    if wants_unlabelled and labelled.all():
        message = (
            f'labelled_ratio={dataset.labelled_ratio} of {len(pairs)} images leaves no unlabelled '
            'image; add images, or set labelled_ratio=None for supervised training'
        )
        problems.append(Problem(ERROR, 'no unlabelled image', root, message))
    if dataset.labelled_ratio is not None and dataset.labelled_by == 'group':
        if not any(pair.group for pair in pairs):
            message = (
                "labelled_by='group', but no image has a group: every image was chosen for itself, "
                'so a patient may be on both sides'
            )
            problems.append(Problem(WARNING, 'no group', root, message))
    return problems


def check_pairs(dataset: ListedPairs) -> List[Problem]:
    """Files that are there twice, and what this split shares with the manifest's others.

    Of unlabelled images nothing but the file itself is compared. Images of transductive splits are
    known to be shared.
    """
    reader = dataset.reader
    problems: List[Problem] = []
    first_with: Dict[int, str] = {}

    def fingerprint(pair: TissuePair) -> Optional[int]:
        try:
            return reader.header(pair.file).fingerprint
        except ImageFileError:  # of another split; one of ours would have been refused
            return None

    def twin_of(pair: TissuePair, mark: Optional[int]) -> Optional[str]:
        """An earlier byte-identical image."""
        other = first_with.get(mark)
        if other is None or other == pair.file:
            return None
        same = filecmp.cmp(reader.path(other), reader.path(pair.file), shallow=False)
        return os.path.join(dataset.root, other) if same else None

    for pair, mark in zip(dataset.pairs, in_threads(fingerprint, dataset.pairs), strict=True):
        twin = twin_of(pair, mark)
        if twin is not None:
            where = os.path.join(dataset.root, pair.file)
            problems.append(Problem(WARNING, 'duplicate', where, f'is the same file as {twin}'))
        first_with.setdefault(mark, pair.file)
    if dataset.split is None:
        return problems
    used = {*dataset.split, *dataset.transductive}
    others = [p for p in dataset.list_sources(all_splits=True).pairs if p.split not in used]
    for pair, mark in zip(others, in_threads(fingerprint, others), strict=True):
        twin = twin_of(pair, mark) if mark is not None else None
        if twin is not None:
            where = os.path.join(dataset.root, pair.file)
            message = f'is in split {pair.split!r}, and the same file as {twin}. Keep one'
            problems.append(Problem(ERROR, 'two splits', where, message))
    return problems + shared_groups(dataset, others)


def shared_groups(dataset: ListedPairs, others: Sequence[TissuePair]) -> List[Problem]:
    """Groups of the training images that are in other splits, one finding for all of them."""
    ours: Dict[str, str] = {}
    for pair in dataset.pairs:
        if pair.group and pair.split not in dataset.transductive:
            ours.setdefault(pair.group, pair.file)
    shared: Dict[str, TissuePair] = {}
    for pair in others:
        if pair.group in ours:
            shared.setdefault(pair.group, pair)
    if not shared:
        return []
    group, pair = next(iter(shared.items()))
    message = (
        f'{len(shared)} of {len(ours)} groups (slides or patients) of split {list(dataset.split)} '
        f'are in other splits too, e.g. {group!r}: {ours[group]} and {pair.file} ({pair.split}). '
        'What is measured there is measured on patients that were trained on'
    )
    if dataset.shared_groups == 'warn':
        return [Problem(WARNING, 'group in two splits', dataset.root, message)]
    message += ". Split by group, or set shared_groups='warn' where a published split must be kept"
    return [Problem(ERROR, 'group in two splits', dataset.root, message)]
