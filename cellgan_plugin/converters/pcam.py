"""PatchCamelyon (Veeling et al. 2018), as published or of Kaggle -> class folders with a manifest.

HistoGAN is trained on a share of its training set (Sec. 4.1: 10 %; Table 2: 3, 5, 10 and 20 %) and
tested on the whole test set.
"""

from collections import Counter
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
from tqdm import tqdm

from cellgan_plugin.converters.common import (
    ConversionResult,
    ConverterError,
    PathLike,
    begin_output,
    check_output,
    make_record,
    some_of,
    split_table,
)
from cellgan_plugin.converters.pcam_files import (
    PUBLISHED_NAMES,
    SIDE,
    PcamSplit,
    iter_images,
    open_split,
)
from cellgan_plugin.converters.pcam_kaggle import (
    LABELS_NAME,
    is_kaggle,
    open_kaggle,
    read_patch,
)
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.files import file_sha256
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.randomness import rng_for
from cellgan_plugin.records import digest_of, file_digests

PCAM_CLASSES = ('normal', 'tumor')
COLUMNS = ('file', 'label', 'split', 'group', 'source', 'width', 'height')
UNITS = ('patches', 'groups')


@writes_folder('out_dir', deep=True)
def convert_pcam(
    source: PathLike,
    out_dir: PathLike,
    *,
    fraction: float = 1.0,
    unit: str = 'patches',
    held_out_fraction: float = 1.0,
    splits: Sequence[str] = tuple(PUBLISHED_NAMES),
    seed: int = 0,
    with_meta: bool = True,
    progress: bool = True,
    fractions: Optional[Sequence[float]] = None,
) -> ConversionResult:
    """Convert PatchCamelyon, or a share of it; the published splits stay.

    A folder with ``train_labels.csv`` is Kaggle's edition (:mod:`.pcam_kaggle`), which has no
    splits: its patches are divided by ``fractions``.

    A smaller share of a seed is part of every larger one.

    Args:
        source (str | Path): The folder with the HDF5 files; it is only read.
        out_dir (str | Path): Output folder: new, empty, or of the same conversion.
        fraction (float): Share of the training set, above 0 up to 1. Defaults to 1.
        unit (str): What the share is drawn from. ``'patches'``: patches at random, each class by
            itself, as the paper; ``'groups'``: whole patients, or slides where the tables name no
            patient, until the share of patches is met most nearly. Defaults to ``'patches'``.
        held_out_fraction (float): Share of validation and test set, of patches. Defaults to 1, as
            the paper.
        splits (Sequence[str]): Which of ``'train'``, ``'val'``, ``'test'``. Defaults to all.
        seed (int): Seed of the draw. Defaults to 0.
        with_meta (bool): Whether the tables with the slide of every patch are read. Without them
            every patch is its own group. Defaults to True.
        progress (bool): Show progress bars on a terminal. Defaults to True.
        fractions (Sequence[float], optional): Of train, val and test of Kaggle's edition. Defaults
            to None: 0.8, 0.1, 0.1, the shares of the published splits.

    Returns:
        ConversionResult: Manifest, rows, counts and summary.

    Raises:
        ConverterError: On anything in the inputs or arguments that cannot be used.
    """
    for name, value in (('fraction', fraction), ('held-out fraction', held_out_fraction)):
        if not np.isfinite(value) or not 0 < value <= 1:
            raise ConverterError(f'{name} is {value}; expected a number above 0, up to 1')
    if unit not in UNITS:
        raise ConverterError(f'unit is {unit!r}; expected one of {", ".join(UNITS)}')
    if unit == 'groups' and not with_meta:
        raise ConverterError('a share of whole slides needs the tables; leave --without-meta out')
    unknown = [name for name in splits if name not in PUBLISHED_NAMES]
    if unknown or not splits or len(set(splits)) != len(splits):
        raise ConverterError(
            f'splits are {list(splits)}; expected some of {", ".join(PUBLISHED_NAMES)}, each once'
        )
    source, out_dir = Path(source), Path(out_dir)
    if not source.is_dir():
        raise ConverterError(f'{source}: no such folder')
    if fractions is not None and not is_kaggle(source):
        raise ConverterError(
            f'{source} has no {LABELS_NAME}: the published splits stay, so fractions of train, val '
            "and test are for Kaggle's edition alone"
        )
    if is_kaggle(source):
        if unit == 'groups':
            raise ConverterError("Kaggle's edition names no slides: draw patches")
        with_meta = False
        found = open_kaggle(source, fractions or (0.8, 0.1, 0.1), seed)
        sides = [side for side in found if side.split in splits]
    else:
        sides = [open_split(source, name, with_meta) for name in PUBLISHED_NAMES if name in splits]
    _check_apart(sides)
    record = make_record(
        'pcam',
        {
            'fraction': fraction, 'unit': unit, 'held_out_fraction': held_out_fraction,
            'splits': sorted(splits), 'seed': seed, 'with_meta': with_meta,
            **({} if fractions is None else {'fractions': list(fractions)}),
        },
        {
            side.split: digest_of(
                [_content(side), side.labels.tobytes().hex(), side.groups]
            )
            for side in sides
        },
    )  # fmt: skip
    check_output(out_dir, record)

    counts: Counter = Counter()
    rows: List[Dict[str, object]] = []
    for side in sides:
        part = fraction if side.split == 'train' else held_out_fraction
        chosen = _draw(side, part, unit if side.split == 'train' else 'patches', seed)
        origin = 'as published' if side.files is None else "of Kaggle's labelled patches"
        counts[f'patches of {side.split} {origin}'] = len(side.labels)
        rows += [_row(side, index) for index in chosen.tolist()]
    rows.sort(key=lambda row: (PCAM_CLASSES.index(row['label']), row['file']))
    waiting = set(begin_output(out_dir, record, [row['file'] for row in rows]))
    for side in sides:
        files = {
            int(row['source'].rpartition(':')[2]): row['file']
            for row in rows
            if row['split'] == side.split and row['file'] in waiting
        }
        wanted = sorted(files)
        if side.files is None:
            images = iter_images(side, wanted)
        else:
            images = ((i, read_patch(side.images / side.files[i])) for i in wanted)
        bar = tqdm(images, side.split, len(files), unit='patch', disable=None if progress else True)
        for index, image in bar:
            write_png(out_dir / files[index], image)
    manifest = write_manifest(out_dir / MANIFEST_NAME, rows, COLUMNS)
    counts['images in the output'] = len(rows)
    used = [1.0 if name in splits else 0.0 for name in PUBLISHED_NAMES]
    lines = split_table(rows, PCAM_CLASSES, used)
    lines += ['', *(f'{number:7d}  {name}' for name, number in counts.items() if number)]
    if with_meta:
        lines.append(f'groups are the column {sides[0].group_column!r} of the tables')
    else:
        lines.append(
            'WARNING: without the tables every patch is its own group: patches of one slide may '
            'be on two sides of a split made from this manifest'
        )
    lines.append(f'{len(waiting)} images written, {len(rows) - len(waiting)} were there already')
    return ConversionResult(manifest, rows, dict(counts), lines)


def _row(side: PcamSplit, index: int) -> Dict[str, object]:
    label = PCAM_CLASSES[side.labels[index]]
    file = f'{label}/pcam_{side.split}_{index:06d}.png'
    return {
        'file': file,
        'label': label,
        'split': side.split,
        'group': side.groups[index] if side.groups else f'{side.split}_{index:06d}',
        'source': f'{_source(side, index)}:{index}',
        'width': SIDE,
        'height': SIDE,
    }


def _source(side: PcamSplit, index: int) -> str:
    return side.images.name + ('' if side.files is None else f'/{side.files[index]}')


def _content(side: PcamSplit) -> str:
    if side.files is None:
        return file_sha256(side.images)
    return digest_of(file_digests(side.images / name for name in side.files))


def _check_apart(sides: Sequence[PcamSplit]) -> None:
    """No patient or slide may be in two splits."""
    home: Dict[str, str] = {}
    both: Dict[str, str] = {}
    for side in sides:
        for group in sorted(set(side.groups or ())):
            other = home.setdefault(group, side.split)
            if other != side.split:
                both[group] = f'{group} ({other} and {side.split})'
    if both:
        raise ConverterError(
            f'{len(both)} {sides[0].group_column}(s) are in two splits: '
            f'{some_of(list(both.values()), 3)}. A result on such a split flatters; are the '
            'tables of the right splits?'
        )


def _draw(side: PcamSplit, fraction: float, unit: str, seed: int) -> np.ndarray:
    """Ascending numbers of the patches that a share keeps; a smaller share is part of a larger."""
    labels = side.labels
    if fraction == 1:
        return np.arange(len(labels))
    if unit == 'groups':
        kept = _draw_groups(side, fraction, seed)
    else:
        parts = []
        for value, name in enumerate(PCAM_CLASSES):
            members = np.flatnonzero(labels == value)
            order = rng_for(seed, 'pcam', side.split, name).permutation(members)
            parts.append(order[: round(fraction * len(members))])
        kept = np.sort(np.concatenate(parts))
    missing = [name for value, name in enumerate(PCAM_CLASSES) if not np.any(labels[kept] == value)]
    if missing:
        raise ConverterError(
            f'a share of {fraction:g} of {side.split} ({len(labels)} patches) leaves no '
            f'{" and no ".join(missing)} patch; raise the fraction'
            + (' or change the seed' if unit == 'groups' else '')
        )
    return kept


def _draw_groups(side: PcamSplit, fraction: float, seed: int) -> np.ndarray:
    names, of_patch, sizes = np.unique(side.groups, return_inverse=True, return_counts=True)
    order = rng_for(seed, 'pcam/groups', side.split).permutation(len(names))
    reached = np.cumsum(sizes[order])
    count = 1 + int(np.abs(reached - fraction * len(side.labels)).argmin())
    return np.flatnonzero(np.isin(of_patch, order[:count]))
