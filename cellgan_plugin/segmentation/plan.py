"""From the description of a segmentation benchmark to its jobs: which images, which runs."""

import copy
import csv
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np
from mmengine.config import Config

from cellgan_plugin.benchmark.balance import assign_units
from cellgan_plugin.benchmark.classifier_run import file_digest, starting_weights, write_run
from cellgan_plugin.benchmark.rows import slug
from cellgan_plugin.benchmark.synthetic import HashCache
from cellgan_plugin.datasets.content_hash import to_hex
from cellgan_plugin.datasets.manifest import MANIFEST_NAME
from cellgan_plugin.datasets.mask_sources import PairLayout, TissuePair, list_pairs
from cellgan_plugin.datasets.problems import DatasetError, raise_or_say
from cellgan_plugin.errors import ConfigError, ProtocolError
from cellgan_plugin.files import atomic_write, write_json
from cellgan_plugin.jobs.job import Job, module_command
from cellgan_plugin.models.losses.perceptual import perceptual_weights
from cellgan_plugin.randomness import rng_for
from cellgan_plugin.records import digest_of, file_digests, plain
from cellgan_plugin.runs.check_run import check_model_and_pipelines
from cellgan_plugin.runs.config_check import check_config
from cellgan_plugin.runs.config_file import merge_options
from cellgan_plugin.runs.train import load_config
from cellgan_plugin.segmentation.evaluate_masks import SCORES_NAME
from cellgan_plugin.segmentation.job import CONFIG_NAME, JOB_NAME
from cellgan_plugin.segmentation.protocol import Method, SegmentationProtocol


@dataclass(frozen=True)
class Division:
    """One division into training and test images.

    Attributes:
        fold (int | None): From 0; None: the published split.
        ann_file (str): Manifest with ``split`` columns, absolute.
        train (str): Split that trains.
        test (tuple[str]): Splits that test.
        train_pairs (list[TissuePair]): Training images.
        test_pairs (list[TissuePair]): Test images.
        images (str): Digest of the images and their masks by content, their patients and labels.
    """

    fold: Optional[int]
    ann_file: str
    train: str
    test: Tuple[str, ...]
    train_pairs: List[TissuePair] = field(repr=False)
    test_pairs: List[TissuePair] = field(repr=False)
    images: str = ''

    @property
    def shared_groups(self) -> Tuple[int, int]:
        """Test images whose patient is among the training images', and those of known patient."""
        known = [pair.group for pair in self.test_pairs if pair.group]
        trained = {pair.group for pair in self.train_pairs}
        return sum(group in trained for group in known), len(known)


@dataclass(frozen=True)
class SegmenterRun:
    """One training.

    Attributes:
        method (str): Name, as shown.
        ratio (float): Share of labelled training images.
        seed (int): Of the choice of labelled images, and of the training.
        fold (int | None): From 0.
        size (int | None): Input size, where sizes are compared.
        job (str): Name of its job.
        work_dir (Path): Where its scores are.
        config (Config): Its run.
        images (str): Digest of its training and test images.
    """

    method: str
    ratio: float
    seed: int
    fold: Optional[int]
    size: Optional[int]
    job: str
    work_dir: Path
    config: Config = field(repr=False, compare=False)
    images: str = ''

    @property
    def said(self) -> Dict[str, Any]:
        """What it is, for a record."""
        names = ('method', 'ratio', 'seed', 'fold', 'size')
        return {name: getattr(self, name) for name in names}


def divisions(protocol: SegmentationProtocol, out_dir: Path) -> List[Division]:
    """The divisions into training and test images; the lists of folds are written.

    Raises:
        DatasetError: The manifest cannot be used.
        ProtocolError: A test image, or a copy of it, trains; or a patient does, where that is not
            allowed.
    """
    data = protocol.data
    root = str(Path(data['data_root']).expanduser().absolute())
    ann_file = data.get('ann_file') or MANIFEST_NAME
    ann_file = ann_file if os.path.isabs(ann_file) else os.path.join(root, ann_file)
    layout = PairLayout(
        root,
        ann_file,
        label_column=data.get('label_column', 'label'),
        follow_links=bool(data.get('follow_links', False)),
    )
    cache = HashCache(out_dir)
    train = data.get('train', 'train')
    if protocol.folds:
        pairs = _listed(layout, (train,))
        found = _fold_divisions(protocol, pairs, root, out_dir, cache)
    else:
        own = _listed(layout, (train,)), _listed(layout, protocol.test_splits)
        found = [Division(None, ann_file, train, protocol.test_splits, *own)]
    for division in found:
        _refuse_leaks(protocol, division, root, cache)
    return [replace(division, images=_contents(division, root, cache)) for division in found]


def _contents(division: Division, root: str, cache: HashCache) -> str:
    parts = []
    for pairs in (division.train_pairs, division.test_pairs):
        images = cache.hashes([os.path.join(root, pair.file) for pair in pairs], 'Hashing images')
        masks = file_digests(os.path.join(root, pair.mask) for pair in pairs if pair.mask)
        parts.append([[list(pair) for pair in pairs], to_hex(images), masks])
    return digest_of(parts)


def _listed(layout: PairLayout, splits: Tuple[str, ...]) -> List[TissuePair]:
    listing = list_pairs(layout, splits)
    raise_or_say(listing.problems, layout.root)
    if not listing.pairs:
        raise DatasetError([], f'{layout.ann_file} has no image of split {list(splits)}')
    return listing.pairs


def _fold_divisions(
    protocol: SegmentationProtocol,
    pairs: List[TissuePair],
    root: str,
    out_dir: Path,
    cache: HashCache,
) -> List[Division]:
    files = [os.path.join(root, pair.file) for pair in pairs]
    contents = to_hex(cache.hashes(files, 'Hashing images'))
    tests_in = fold_of_pairs(pairs, contents, protocol.folds)
    found = []
    for number in range(protocol.folds):
        parts = dict(
            train=[pair for pair, own in zip(pairs, tests_in, strict=True) if own != number],
            test=[pair for pair, own in zip(pairs, tests_in, strict=True) if own == number],
        )
        path = (out_dir / 'lists' / f'fold{number + 1}.csv').absolute()
        with atomic_write(path, 'w', encoding='utf-8', newline='') as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(
                ['file', 'mask', 'split', 'group', protocol.data.get('label_column', 'label')]
            )
            for part, own in parts.items():
                writer.writerows([p.file, p.mask, part, p.group, p.label] for p in own)
        if protocol.run_folds is None or number in protocol.run_folds:
            found.append(
                Division(number, str(path), 'train', ('test',), parts['train'], parts['test'])
            )
    if not found:
        raise ProtocolError(f'run_folds={protocol.run_folds} names none of {protocol.folds} folds')
    return found


def fold_of_pairs(
    pairs: Sequence[TissuePair], contents: Sequence[str], num_folds: int
) -> np.ndarray:
    """Fold in which each image tests: patients stay together, labels are spread over the folds.

    Args:
        pairs (Sequence[TissuePair]): An image without a group is its own patient.
        contents (Sequence[str]): Hash of each image; copies without a group stay together.
        num_folds (int): Folds.

    Returns:
        np.ndarray: int64 (N,), from 0.

    Raises:
        ProtocolError: Fewer patients than folds.
    """
    keys = [
        f'group {pair.group}' if pair.group else f'image {content}'
        for pair, content in zip(pairs, contents, strict=True)
    ]
    units, unit = np.unique(keys, return_inverse=True)
    _, label = np.unique([pair.label for pair in pairs], return_inverse=True)
    if len(units) < num_folds:
        raise ProtocolError(
            f'{num_folds} folds need as many patients; {len(pairs)} images are of {len(units)}'
        )
    counts = np.zeros((len(units), label.max() + 1), dtype=np.int64)
    np.add.at(counts, (unit, label), 1)
    return assign_units(counts, np.ones(num_folds), rng_for(0, 'segmentation_folds'))[unit]


def _refuse_leaks(
    protocol: SegmentationProtocol, division: Division, root: str, cache: HashCache
) -> None:
    trained = {pair.file for pair in division.train_pairs}
    twice = [pair.file for pair in division.test_pairs if pair.file in trained]
    if not twice:
        hashes = [
            to_hex(cache.hashes([os.path.join(root, p.file) for p in pairs], 'Hashing images'))
            for pairs in (division.train_pairs, division.test_pairs)
        ]
        copies = set(hashes[0])
        twice = [
            pair.file
            for pair, content in zip(division.test_pairs, hashes[1], strict=True)
            if content in copies
        ]
    if twice:
        raise ProtocolError(
            f'{len(twice)} test images, or copies of them, are training images; the first is '
            f'{twice[0]}. Mend the split column of {division.ann_file}'
        )
    shared, known = division.shared_groups
    if shared and protocol.data.get('shared_groups', 'error') == 'error':
        raise ProtocolError(
            f'the patients of {shared} of {known} test images are in the training set as well. '
            "Split by patient, or, for a published split, set data.shared_groups='warn': every "
            'table will say it'
        )


def segmenter_runs(
    protocol: SegmentationProtocol, found: List[Division], out_dir: Path
) -> Tuple[List[SegmenterRun], List[str]]:
    """All trainings, and what is left out and why.

    Raises:
        ProtocolError: A method's config does not train on a ``TissueMaskDataset``.
    """
    made: List[SegmenterRun] = []
    left_out: Counter = Counter()
    read: Dict[str, Config] = {}  # a config file is read once, however many cells it has
    for method, ratio in product(protocol.methods, protocol.ratios):
        if method.ratios is not None and ratio not in method.ratios:
            continue
        chosen = method.config_at(ratio)
        if chosen is None:
            left_out[f'{method.shown}: no image is left without its mask at {ratio:.0%}'] += 1
            continue
        path, options = chosen
        if path not in read:
            read[path] = load_config(path)
        for size, division, seed in product(protocol.sizes or (None,), found, protocol.seeds):
            run = method, read[path], options, ratio, size, division, seed
            made.append(_cell(protocol, *run, out_dir))
    return made, list(left_out)


def check_runs(runs: Sequence[SegmenterRun]) -> None:
    """Build the networks and transforms of every method once, before any job runs.

    Raises:
        ConfigError: A part cannot be built.
    """
    built: Set[str] = set()
    for run in runs:
        parts = run.config.model, run.config.train_dataloader.dataset.get('pipeline')
        if (digest := digest_of(plain(parts))) in built:
            continue
        built.add(digest)
        try:
            check_model_and_pipelines(run.config)
        except ConfigError as error:
            raise ConfigError(f'method {run.method!r}: {error}') from error


def _cell(
    protocol: SegmentationProtocol,
    method: Method,
    config: Config,
    options: Mapping[str, Any],
    ratio: float,
    size: Optional[int],
    division: Division,
    seed: int,
    out_dir: Path,
) -> SegmenterRun:
    parts = [slug(method.shown), f'{ratio * 100:g}percent']
    parts += [] if size is None else [f'{size}px']
    parts += [] if division.fold is None else [f'fold{division.fold + 1}']
    name = '/'.join([*parts, f'seed{seed}'])
    work_dir = (out_dir / 'jobs' / name).absolute()
    config = copy.deepcopy(config)
    for own in (protocol.options, options, {} if size is None else method.sizes[size]):
        if own:
            merge_options(config, plain(own))
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    if str(dataset.get('type')).split('.')[-1] != 'TissueMaskDataset':
        raise ProtocolError(
            f'method {method.name!r}: {config.filename} trains on {dataset.get("type")!r}; the '
            'benchmark can hand its images to a TissueMaskDataset'
        )
    check_config(config)
    data = protocol.data
    dataset.update(
        data_root=str(Path(data['data_root']).expanduser().absolute()),
        ann_file=division.ann_file,
        split=division.train,
        metainfo=dict(classes=list(protocol.classes)),
        mask_map=data.get('mask_map'),
        instances=data.get('instances'),
        label_column=data.get('label_column', 'label'),
        follow_links=bool(data.get('follow_links', False)),
        labelled_ratio=None if ratio == 1 else ratio,
        labelled_seed=seed,
        labelled_by=protocol.labelled_by,
        labelled_only=not method.unlabelled and ratio < 1,
        transductive=list(division.test) if method.transductive else [],
        shared_groups=data.get('shared_groups', 'error'),
        test_mode=False,
    )
    # The last weights are taken: choosing by validation would need masks that count as unknown.
    for key in list(config.keys()):
        if key.startswith(('val_', 'test_')):
            config.pop(key)
    config.custom_hooks = [
        hook
        for hook in config.get('custom_hooks') or []
        if hook['type'].split('.')[-1] != 'ModelSelectionHook'
    ]
    config.randomness = dict(seed=seed)
    config.work_dir = str(work_dir)
    said = method.shown, ratio, seed, division.fold, size
    return SegmenterRun(*said, name, work_dir, config, division.images)


def identity(cell: SegmenterRun, protocol: SegmentationProtocol) -> Dict[str, Any]:
    """Everything that changes the scores of a cell, as plain values."""
    config = plain(cell.config)
    keys = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper', 'randomness')
    own = {key: config.get(key) for key in keys}
    loader = dict(own['train_dataloader'] or {})
    for key in ('num_workers', 'persistent_workers', 'prefetch_factor', 'pin_memory'):
        loader.pop(key, None)
    # Which images these are, their content says.
    loader['dataset'] = {
        key: value
        for key, value in (loader.get('dataset') or {}).items()
        if key not in ('data_root', 'ann_file')
    }
    own['train_dataloader'] = loader
    own['rule'] = dict(protocol.rule)
    own['parts'] = dict(protocol.parts)
    own['images'] = cell.images
    own['generation'] = plain(dict(protocol.generation))
    own['segments'] = bool(protocol.metrics)
    own['weights'] = {path: file_digest(path) for path in starting_weights(cell.config)}
    # Named by the environment, so that no key of the config says it.
    file = perceptual_weights(cell.config.model.get('perceptual_loss'))
    own['perceptual'] = None if file is None else file_digest(file)
    return own


def write_job(cell: SegmenterRun, protocol: SegmentationProtocol, division: Division) -> Job:
    """Write what a job reads, and make it."""
    folder = cell.work_dir
    request = dict(
        images=division.ann_file,
        data_root=str(Path(protocol.data['data_root']).expanduser().absolute()),
        split=list(division.test),
        classes=list(protocol.classes),
        instances=protocol.data.get('instances'),
        mask_map=protocol.data.get('mask_map'),
        label_column=protocol.data.get('label_column', 'label'),
        rule=dict(protocol.rule),
        parts=dict(protocol.parts),
        segments=bool(protocol.metrics),
        generation=dict(protocol.generation),
        keep_weights=protocol.keep_weights,
        cell=cell.said,
    )
    write_json(folder / JOB_NAME, request, default=str)
    write_run(cell.config, folder / CONFIG_NAME)
    return Job(
        cell.job,
        module_command('cellgan_plugin.segmentation.job', folder / JOB_NAME),
        folder,
        folder / SCORES_NAME,
    )
