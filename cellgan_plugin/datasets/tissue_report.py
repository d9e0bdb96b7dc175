"""Check image + mask pairs before training: what :func:`check_dataset` does for them."""

import os
from collections import Counter, defaultdict
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from cellgan_plugin.datasets.content_hash import pixel_digest
from cellgan_plugin.datasets.image_io import ImageFileError
from cellgan_plugin.datasets.inspection import blank_problem, in_threads, with_progress
from cellgan_plugin.datasets.mask_sources import TissuePair
from cellgan_plugin.datasets.pair_store import class_coverage, read_mask
from cellgan_plugin.datasets.problems import (
    ERROR,
    WARNING,
    DatasetError,
    Problem,
)
from cellgan_plugin.datasets.report import DatasetReport, groups_in_two_splits, in_two_splits
from cellgan_plugin.datasets.segmentation_labels import class_pixels
from cellgan_plugin.datasets.tiling import tile_grid
from cellgan_plugin.datasets.tissue_checks import check_amounts, inspect_pair
from cellgan_plugin.datasets.tissue_masks import TissueMaskDataset
from cellgan_plugin.visualization.mask_overlay import outline_instances

SHEET_IMAGES = 16
FEW_MASKS = 3  # fewer may well hold one object each
_THUMBNAIL = 192


class _Entry(NamedTuple):
    """One pair to look at."""

    dataset: TissueMaskDataset
    pair: TissuePair
    split: str
    used: bool  # by the training set itself, so that it is cut into tiles
    known: bool  # the training set may read its mask
    reads_mask: Optional[TissueMaskDataset]  # the data set that reads its mask, if one does

    @property
    def path(self) -> str:
        return os.path.join(self.dataset.root, self.pair.file)


class _Look(NamedTuple):
    """What decoding a pair has shown."""

    problems: List[Problem]
    size: Optional[Tuple[int, int]] = None  # (height, width)
    digest: bytes = b''
    pixels: Optional[np.ndarray] = None  # per class
    ignored: int = 0
    instances: int = 0


def check_tissue_dataset(
    dataset: TissueMaskDataset, others: Mapping[str, TissueMaskDataset]
) -> DatasetReport:
    """Look at every pair of a data set as training would, and collect what is wrong.

    All splits of a manifest are read. Every file is decoded once. In the report, ``counts`` are
    images in which a class occurs.

    Args:
        dataset (TissueMaskDataset): The training data set; it need not be initialised.
        others (Mapping[str, TissueMaskDataset]): Further data sets by the name of their split.
    """
    report = DatasetReport(dataset.root, dataset.classes)
    entries: List[_Entry] = []
    listed: Dict[str, int] = {}  # path -> place in entries
    shared: Counter = Counter()
    for name, source in {'': dataset, **others}.items():
        own = source.list_sources()
        whole = source.list_sources(all_splits=source.split is not None)
        report.problems += own.problems
        report.problems += [p for p in whole.problems if p not in own.problems and not name]
        used = {pair.file for pair in own.pairs}
        # What training sees of a transductive image is the image alone.
        blind = {pair.file for pair in own.pairs if pair.split in source.transductive}
        for pair in whole.pairs:
            known = bool(pair.mask) and pair.file not in blind
            entry = _Entry(
                source, pair, pair.split or name, not name and pair.file in used, known,
                source if known else None,
            )  # fmt: skip
            place = listed.setdefault(entry.path, len(entries))
            if place == len(entries):
                entries.append(entry)
                continue
            first = entries[place]
            if first.reads_mask is None and known:  # transductive in training, evaluated here
                entries[place] = first._replace(reads_mask=source)
            if name and pair.file in used and first.used:
                shared[name] += 1
    for name, count in shared.items():
        message = (
            f'{count} images of the training set are read for {name!r} too: what is measured there '
            'says how well training images are remembered'
        )
        if dataset.transductive:
            message += f' (transductive: {list(dataset.transductive)})'
        report.problems.append(Problem(WARNING, 'shared files', dataset.root, message))
    named = (
        (entry.pair.group, entry.split, entry.path)
        for entry in entries
        if entry.split not in dataset.transductive
    )
    report.problems += groups_in_two_splits(
        named, ERROR if dataset.shared_groups == 'error' else WARNING
    )
    looks = _look_at_all(entries, report)
    _describe(dataset, entries, looks, report)
    report.order_problems()
    return report


def _look(entry: _Entry) -> _Look:
    dataset, pair = entry.dataset, entry.pair
    reads_mask = entry.reads_mask
    header, problems = inspect_pair(dataset, pair, reads_mask is not None, against_tile=entry.used)
    if header is None:
        return _Look(problems)
    try:
        image = dataset.reader.image(pair.file)
    except ImageFileError as error:
        return _Look([*problems, Problem(ERROR, error.kind, entry.path, error.reason)])
    problems = [*problems, *blank_problem(image, entry.path)]
    found = _Look(problems, image.shape[:2], pixel_digest(image))
    # A mask that its header has shown to be unusable is reported once.
    if reads_mask is None or any(
        p.where.endswith(pair.mask) and p.severity == ERROR for p in problems
    ):
        return found
    try:
        mask, raw = read_mask(reads_mask.reader, reads_mask.rule, reads_mask.classes, pair)
    except DatasetError as error:
        return found._replace(problems=[*problems, *error.problems])
    pixels, ignored = class_pixels(mask, len(reads_mask.classes))
    count = len(np.unique(raw[raw > 0])) if reads_mask.instances is not None else 0
    return found._replace(pixels=pixels, ignored=ignored, instances=count)


def _look_at_all(entries: Sequence[_Entry], report: DatasetReport) -> List[_Look]:
    """Decode every pair; fill in problems, counts and sizes."""
    first_with: Dict[bytes, _Entry] = {}
    looks = []
    found = with_progress(in_threads(_look, entries), len(entries), 'Checking pairs')
    for entry, look in zip(entries, found, strict=True):
        looks.append(look)
        report.problems += look.problems
        if look.size is None:
            continue
        report.sizes[look.size[::-1]] += 1
        first = first_with.setdefault(look.digest, entry)
        if first is not entry:
            report.problems.append(_duplicate(first, entry))
        counts = report.counts.setdefault(entry.split, Counter())
        if look.pixels is not None:
            counts.update(
                name for name, number in zip(report.classes, look.pixels, strict=True) if number
            )
    return looks


def _duplicate(first: _Entry, second: _Entry) -> Problem:
    same = f'has the same pixels as {first.path}'
    if first.split != second.split:
        return in_two_splits(second.path, same, first.split, second.split)
    groups = [entry.pair.group for entry in (first, second)]
    if all(groups) and groups[0] != groups[1]:
        message = f'{same}, of group {groups[0]!r} and again of {groups[1]!r}; one is wrong'
        return Problem(ERROR, 'two groups', second.path, message)
    return Problem(WARNING, 'duplicate', second.path, f'{same}: it counts twice')


def _describe(
    dataset: TissueMaskDataset,
    entries: Sequence[_Entry],
    looks: Sequence[_Look],
    report: DatasetReport,
) -> None:
    """Areas of the classes, what is labelled, tiles, and examples."""
    by_split: Dict[str, List[Tuple[_Entry, _Look]]] = defaultdict(list)
    for entry, look in zip(entries, looks, strict=True):
        if look.pixels is not None:
            by_split[entry.split].append((entry, look))
    for split, pairs in by_split.items():
        pixels = sum(look.pixels for _, look in pairs)
        ignored = sum(look.ignored for _, look in pairs)
        total = max(1, int(pixels.sum()) + ignored)
        shares = zip(report.classes, pixels.tolist(), strict=True)
        parts = [f'{name} {100 * number / total:.1f} %' for name, number in shares]
        parts += [f'ignored {100 * ignored / total:.1f} %'] if ignored else []
        parts += (
            [f'{sum(look.instances for _, look in pairs)} instances']
            if pairs[0][0].reads_mask.instances is not None
            else []
        )
        report.notes.append(f'{split or "all"}: area of {", ".join(parts)}')
    used = [(entry, look) for entry, look in zip(entries, looks, strict=True) if entry.used]
    labelled = dataset.labelled_of(
        [e.pair if e.known else e.pair._replace(mask='') for e, _ in used]
    )
    tiles = [
        len(tile_grid(*look.size, dataset.tile, dataset.min_overlap)) if dataset.tile else 1
        for _, look in used
        if look.size is not None
    ]
    report.notes.append(
        f'training uses {len(used)} images ({int(labelled.sum())} labelled, '
        f'{int((~labelled).sum())} unlabelled) in {sum(tiles)} '
        f'{"tiles" if dataset.tile else "whole images"}'
    )
    counts = [look.instances for entry, look in used if look.pixels is not None]
    if dataset.instances is not None and len(counts) >= FEW_MASKS and max(counts) <= 1:
        message = (
            f'none of {len(counts)} masks holds more than one instance id. If they are black and '
            'white, objects are not told apart: say mask_map={0: 0, 255: 1} in place of instances'
        )
        report.problems.append(Problem(WARNING, 'one instance', dataset.root, message))
    known = [look.pixels for (_, look), k in zip(used, labelled, strict=True) if k]
    known = [pixels for pixels in known if pixels is not None]
    if known:
        report.problems += class_coverage(report.classes, sum(known), dataset.root)
    report.problems += check_amounts(dataset, [entry.pair for entry, _ in used], labelled)
    for number, name in enumerate(report.classes):
        having = [
            e for e, look in used if e.known and look.pixels is not None and look.pixels[number]
        ]
        chosen = np.linspace(0, len(having) - 1, min(SHEET_IMAGES, len(having))).round()
        report.examples[name] = [_thumbnail(having[int(index)]) for index in chosen]


def _thumbnail(entry: _Entry) -> np.ndarray:
    """An image with the outlines of what its mask marks."""
    dataset = entry.dataset
    image = Image.fromarray(dataset.reader.image(entry.pair.file))
    ids, raw = read_mask(dataset.reader, dataset.rule, dataset.classes, entry.pair)
    mask = Image.fromarray((ids if dataset.instances is None else raw).astype(np.int32))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    mask = np.asarray(mask.resize(image.size, Image.Resampling.NEAREST))
    return outline_instances(np.asarray(image), mask)
