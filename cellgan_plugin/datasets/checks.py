"""Check a data set before training: every problem, the class balance, the sizes, a look at it."""

import os
from collections import Counter
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from mmagic.registry import DATASETS
from PIL import Image

from cellgan_plugin.datasets.cell_patches import CellPatchDataset
from cellgan_plugin.datasets.content_hash import pixel_digest
from cellgan_plugin.datasets.file_history import (
    compare_files,
    list_image_files,
    uneven_compression,
)
from cellgan_plugin.datasets.file_names import nfc
from cellgan_plugin.datasets.image_sizes import ScaleByClass, manifest_factors
from cellgan_plugin.datasets.inspection import (
    blank_problem,
    in_threads,
    inspect_file,
    with_progress,
)
from cellgan_plugin.datasets.problems import ERROR, WARNING, Problem
from cellgan_plugin.datasets.report import DatasetReport, groups_in_two_splits, in_two_splits
from cellgan_plugin.datasets.sources import Patch
from cellgan_plugin.datasets.tissue_masks import TissueMaskDataset
from cellgan_plugin.datasets.tissue_report import check_tissue_dataset

Checkable = Union[CellPatchDataset, TissueMaskDataset]

# Below this a class is memorised rather than learnt, and no distance can be measured on it.
FEW_IMAGES = 50
# The paper's classes differ by less than a factor of two (CellGAN, Sec. 3.1).
IMBALANCE = 20
SHEET_IMAGES = 32
_THUMBNAIL = 96


class _Entry(NamedTuple):
    """One file to look at."""

    dataset: CellPatchDataset
    patch: Patch
    split: str

    @property
    def path(self) -> str:
        return os.path.join(self.dataset.root, self.patch.file)


def check_dataset(
    dataset: Union[Checkable, Mapping],
    others: Optional[Mapping[str, Union[Checkable, Mapping]]] = None,
    synthetic: Optional[Union[str, Path]] = None,
) -> DatasetReport:
    """Look at every file of a data set as training would, and collect what is wrong.

    All splits of a manifest are read, whichever the data set keeps, so that an image or a group
    on both sides of a split is found. Every file is decoded once.

    Args:
        dataset (CellPatchDataset | TissueMaskDataset | dict): The training data set or its
            config.
        others (dict | None): Further data sets by the name of their split (``val``, ``test``),
            looked at for images they share with ``dataset``.
        synthetic (str | Path | None): Folder or manifest of synthetic images: what tells them from
            the real ones by format, compression, size or their traces is a finding. Defaults to
            None.

    Returns:
        DatasetReport: The findings; nothing is raised for bad data.
    """
    dataset = _build(dataset)
    others = {name: _build(other) for name, other in (others or {}).items()}
    # Patches and pairs are not compared with each other.
    kind = TissueMaskDataset if isinstance(dataset, TissueMaskDataset) else CellPatchDataset
    others = {name: other for name, other in others.items() if isinstance(other, kind)}
    if kind is TissueMaskDataset:
        if synthetic is not None:
            raise TypeError('synthetic images are compared with patches of a CellPatchDataset only')
        return check_tissue_dataset(dataset, others)
    report = DatasetReport(dataset.root, dataset.classes)
    entries: List[_Entry] = []
    listed: Dict[str, str] = {}  # path -> split
    shared: Counter = Counter()
    for name, source in {'': dataset, **others}.items():
        problems = source.list_sources().problems  # of the split that the data set keeps
        listing = source.list_sources(all_splits=source.split is not None)
        report.problems += problems + [p for p in listing.problems if p not in problems]
        for patch in listing.patches:
            entry = _Entry(source, patch, patch.split or name)
            if not name or entry.path not in listed:
                entries.append(entry)
            elif listed[entry.path] != entry.split:
                shared[(listed[entry.path], entry.split)] += 1
            listed.setdefault(entry.path, entry.split)
    for (first, second), count in shared.items():
        message = (
            f'{count} files are read for {first or "train"!r} and for {second!r}: what is measured '
            'there says how well training images are remembered'
        )
        report.problems.append(Problem(WARNING, 'shared files', dataset.root, message))

    named = ((entry.patch.group, entry.split, entry.path) for entry in entries)
    report.problems += groups_in_two_splits(named, ERROR)
    usable = _check_images(entries, report)
    if synthetic is not None:
        report.problems += _check_synthetic(usable, synthetic)
    _check_balance(dataset, report)
    _collect_examples(usable, report)
    report.order_problems()
    return report


def _build(dataset: Union[Checkable, Mapping]) -> Checkable:
    if isinstance(dataset, Mapping):
        dataset = DATASETS.build({'_scope_': 'mmagic', **dataset, 'lazy_init': True})
    if not isinstance(dataset, (CellPatchDataset, TissueMaskDataset)):
        raise TypeError(
            'check_dataset: checks a CellPatchDataset, a TissueMaskDataset or a config of one, got '
            f'{type(dataset).__name__}'
        )
    return dataset


def _check_images(entries: Sequence[_Entry], report: DatasetReport) -> List[_Entry]:
    """Decode every file; fill in problems, counts and sizes; return the usable entries."""
    readers = {id(entry.dataset): entry.dataset.reader for entry in entries}

    def look(entry: _Entry):
        dataset = entry.dataset
        found = inspect_file(
            readers[id(dataset)], entry.patch.file, dataset.output_shape, decode=True
        )
        digest = None
        if found.image is not None:  # equal pixels, whatever they are wrapped in
            found.problems.extend(blank_problem(found.image, entry.path))
            digest = pixel_digest(found.image)
        return entry, found._replace(image=None), digest

    first_with: Dict[bytes, _Entry] = {}
    usable: List[_Entry] = []
    first_size: Dict[int, Tuple[_Entry, Tuple[int, int]]] = {}
    fits = {
        key: any(hasattr(t, 'output_shape') for t in e.dataset.pipeline.transforms)
        for key, e in {id(e.dataset): e for e in entries}.items()
    }
    factors = {
        key: manifest_factors(e.dataset.root, e.dataset.ann_file)
        for key, e in {id(e.dataset): e for e in entries}.items()
    }
    scales = ScaleByClass()
    looks = with_progress(in_threads(look, entries), len(entries), 'Checking images')
    for entry, (header, shape, problems, _), digest in looks:
        # Told by class below: a data set of small crops would have one line for every file.
        report.problems += [problem for problem in problems if problem.kind != 'enlarged']
        name = entry.dataset.classes[entry.patch.label]
        if header is not None:
            report.sizes[(header.width, header.height)] += 1
            class_sizes = report.class_sizes.setdefault(name, Counter())
            class_sizes[(header.width, header.height)] += 1
        if shape is not None:
            factor = factors[id(entry.dataset)].get(nfc(entry.patch.file), 1.0)
            factor *= entry.dataset.scale_of(header.height, header.width)
            scales.add(name, entry.path, factor)
        if digest is None or shape is None:
            continue
        if not fits[id(entry.dataset)]:
            first, size = first_size.setdefault(id(entry.dataset), (entry, shape))
            if size != shape:
                message = (
                    f'is {shape[1]}x{shape[0]}, but {first.patch.file} is {size[1]}x{size[0]}. Put '
                    "dict(type='FitCellPatch', out_size=...) first in the pipeline"
                )
                report.problems.append(Problem(ERROR, 'wrong size', entry.path, message))
                continue
        usable.append(entry)
        counts = report.counts.setdefault(entry.split, Counter())
        counts[entry.dataset.classes[entry.patch.label]] += 1
        first = first_with.setdefault(digest, entry)
        if first is not entry:
            report.problems.append(_duplicate(first, entry))
    by_class: Dict[str, List[str]] = {}
    for entry in usable:
        by_class.setdefault(entry.dataset.classes[entry.patch.label], []).append(entry.path)
    uneven = uneven_compression(by_class)
    if uneven:
        message = f'by class: {uneven}. Compression tells the class: save all images alike'
        root = entries[0].dataset.root
        report.problems.append(Problem(WARNING, 'uneven compression', root, message))
    report.scales = scales.medians()
    report.problems += scales.problems(entries[0].dataset.root) if entries else []
    return usable


def _duplicate(first: _Entry, second: _Entry) -> Problem:
    names = [entry.dataset.classes[entry.patch.label] for entry in (first, second)]
    same = f'has the same pixels as {first.path}'
    if names[0] != names[1]:
        message = f'{same}, in class {names[0]!r} and again in {names[1]!r}; keep the right one'
        return Problem(ERROR, 'two classes', second.path, message)
    if first.split != second.split:
        return in_two_splits(second.path, same, first.split, second.split)
    return Problem(WARNING, 'duplicate', second.path, f'{same}: it counts twice')


def _check_synthetic(usable: Sequence[_Entry], synthetic: Union[str, Path]) -> Iterator[Problem]:
    root, files = list_image_files(synthetic)
    if not files:
        yield Problem(ERROR, 'no images', str(synthetic), 'holds no image to compare with')
        return
    real = [entry.path for entry in usable if entry.split in ('', 'train')]
    for line in compare_files(real, [str(root / file) for file in files]):
        message = f'{line}. A classifier may learn that; synthesize.py --like writes files alike'
        yield Problem(WARNING, 'synthetic differs', str(synthetic), message)


def _check_balance(dataset: CellPatchDataset, report: DatasetReport) -> None:
    wanted = dataset.split or ''
    counts = report.counts.get(wanted)
    if counts is None:  # no split chosen: training takes all
        counts = sum(report.counts.values(), Counter())
    present = {name: counts[name] for name in dataset.classes if counts[name]}
    for name, count in present.items():
        if count < FEW_IMAGES:
            message = f'class has {count} images; with fewer than {FEW_IMAGES} a generator repeats '
            message += 'them, and distances measured on them mean little'
            report.problems.append(Problem(WARNING, 'few images', name, message))
    if present and max(present.values()) > IMBALANCE * min(present.values()):
        most, least = max(present, key=present.get), min(present, key=present.get)
        message = f'{present[most]} {most} against {present[least]} {least} images'
        report.problems.append(Problem(WARNING, 'imbalance', dataset.root, message))


def _collect_examples(usable: Sequence[_Entry], report: DatasetReport) -> None:
    """Load some images of every class, evenly spaced over the list, as small as a sheet needs."""
    by_class: Dict[str, List[_Entry]] = {name: [] for name in report.classes}
    for entry in usable:
        by_class.setdefault(entry.dataset.classes[entry.patch.label], []).append(entry)
    for name, entries in by_class.items():
        chosen = np.linspace(0, len(entries) - 1, min(SHEET_IMAGES, len(entries))).round()
        report.examples[name] = [_thumbnail(entries[int(index)]) for index in chosen]


def _thumbnail(entry: _Entry) -> np.ndarray:
    image = entry.dataset.reader.image(entry.patch.file)
    image = Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return np.asarray(image.convert('RGB'))


def datasets_of_config(config: Mapping) -> Tuple[Mapping, Dict[str, Mapping]]:
    """The data set configs that :func:`check_dataset` takes, from a whole config.

    Args:
        config (mmengine.Config): With ``train_dataloader`` and perhaps ``val_dataloader`` and
            ``test_dataloader``.

    Returns:
        tuple[dict, dict[str, dict]]: The training data set, and the others by split.

    Raises:
        KeyError: When there is no ``train_dataloader.dataset``.
        TypeError: When the training data set is of a type that cannot be checked.
    """
    if not config.get('train_dataloader') or not config['train_dataloader'].get('dataset'):
        raise KeyError('the config has no train_dataloader.dataset')
    train = _unwrap(config['train_dataloader']['dataset'])
    if train is None:
        kind = config['train_dataloader']['dataset'].get('type')
        raise TypeError(
            f'train_dataloader.dataset is a {kind}; CellPatchDataset and TissueMaskDataset can be '
            'checked'
        )
    others: Dict[str, Mapping] = {}
    for split in ('val', 'test'):
        loaders = config.get(f'{split}_dataloader') or []
        for loader in loaders if isinstance(loaders, (list, tuple)) else [loaders]:
            found = _unwrap(loader.get('dataset') or {})
            if found is not None and found not in others.values():
                others.setdefault(split, found)
    return train, others


def _unwrap(dataset: Mapping) -> Optional[Mapping]:
    while isinstance(dataset, Mapping) and 'dataset' in dataset:  # RepeatDataset and the like
        dataset = dataset['dataset']
    kind = dataset.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    return (
        dataset
        if isinstance(kind, type) and issubclass(kind, (CellPatchDataset, TissueMaskDataset))
        else None
    )
