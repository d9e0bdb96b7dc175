"""A folder of phantoms: class folders, a manifest, and the truth in a tree of its own."""

import csv
import re
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Union

import numpy as np

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.inspection import with_progress
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.files import TRUTH_FOLDER, write_rows
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.processes import run_in_processes
from cellgan_plugin.records import FolderRecord

from .kinds import PHANTOM_KINDS, PhantomKind, Size, TruthRow

PARAMETERS_NAME = 'parameters.json'
MAX_PATCHES = 10**7  # of one split

Counts = Union[int, Mapping[str, int]]


class _Task(NamedTuple):
    """One image to make; ``write`` is False when only its rows are missing."""

    kind: str
    out_dir: str
    label: str
    size: Size
    seed: int
    split: str
    index: int
    write: bool


class _Written(NamedTuple):
    """What a worker sends back: the image's file and its rows by truth table."""

    file: str
    rows: Dict[str, List[TruthRow]]


def image_name(label: str, split: str, index: int) -> str:
    """POSIX path of a patch relative to the image root."""
    return f'{label}/phantom_{split}_{index:06d}.png'


def _truth_files(out_dir: Path, file: str) -> Dict[str, Path]:
    return {kind: out_dir / TRUTH_FOLDER / kind / file for kind in ('instances', 'nuclei')}


def check_split_name(split: str) -> None:
    """ValueError for a name that cannot be part of a file's."""
    if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9-]*', split):
        raise ValueError(
            f'split name {split!r} becomes part of file names: use letters, digits and hyphens'
        )


def _resolve_counts(kind: PhantomKind, counts: Counts, split: str) -> Dict[str, int]:
    """Number of images by class, in the order of the classes, zeros left out."""
    if isinstance(counts, Mapping):
        wanted: Dict[str, int] = {}
        for name, number in counts.items():
            label = kind.check_label(name)
            if label in wanted:
                raise ValueError(f'split {split!r}: class {label} is counted twice ({name!r})')
            wanted[label] = number
    else:
        wanted = dict.fromkeys(kind.classes, counts)
    for label, number in wanted.items():
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 0:
            raise ValueError(
                f'split {split!r}, class {label}: the number of patches must be a whole number '
                f'of 0 or more, got {number!r}'
            )
    kept = {label: int(wanted[label]) for label in kind.classes if wanted.get(label)}
    if sum(kept.values()) > MAX_PATCHES:
        raise ValueError(
            f'split {split!r}: {sum(kept.values()):,} patches are asked for, and at most '
            f'{MAX_PATCHES:,} go into one data set'
        )
    if not kept:
        raise ValueError(f'split {split!r}: no patch is asked for; give a class a number above 0')
    return kept


def _resolve_splits(
    kind: PhantomKind,
    counts: Optional[Counts],
    splits: Union[Sequence[str], Mapping[str, Counts]],
) -> Dict[str, Dict[str, int]]:
    """Number of images by split and class."""
    if isinstance(splits, str):
        splits = (splits,)
    if isinstance(splits, Mapping):
        if counts is not None:
            raise ValueError('splits already says how many patches: leave counts at None')
        by_split = dict(splits)
    elif counts is None:
        raise ValueError('say how many patches: counts, or a mapping of splits to numbers')
    else:
        by_split = dict.fromkeys(splits, counts)
    if not by_split:
        raise ValueError("splits is empty: name at least one, such as 'train'")
    for split in by_split:
        check_split_name(split)
    return {split: _resolve_counts(kind, number, split) for split, number in by_split.items()}


def open_folder(
    out_dir: Path, name: str, parameters: Mapping[str, Any], amounts: Mapping[str, Any]
) -> None:
    """Begin a folder, or one that an earlier run of the same left, perhaps with fewer images.

    ``name`` is the file of its record; ``amounts`` are numbers in it, which may grow.

    Raises:
        RecordError: The folder holds something else.
    """
    record = FolderRecord(out_dir, name, can_overwrite=False)
    former = record.check(parameters)
    for key, now in amounts.items():
        record.refuse(_fewer((former or {}).get(key), now, key))
    record.write({**parameters, **amounts})


def _fewer(there: Any, now: Any, where: str) -> List[str]:
    """Where less is asked for than was made."""
    if isinstance(there, Mapping):
        now = now if isinstance(now, Mapping) else {}
        lines = [_fewer(number, now.get(name), f'{where}.{name}') for name, number in there.items()]
        return [line for part in lines for line in part]
    if there is None or there <= (now or 0):
        return []
    return [f'{where}: {there} there, {now or 0} now; numbers may only grow']


def _make(task: _Task) -> _Written:
    """Make one image and write it, truth first, so that a picture on disk has its truth."""
    kind = PHANTOM_KINDS[task.kind]
    made = kind.generate(task.label, task.size, task.seed, task.split, task.index)
    file = image_name(task.label, task.split, task.index)
    out_dir = Path(task.out_dir)
    if task.write:
        truth = _truth_files(out_dir, file)
        write_png(truth['instances'], made.instance_mask)
        write_png(truth['nuclei'], made.nucleus_mask)
        write_png(out_dir / file, made.image)
    return _Written(file, kind.rows(made, file))


def _read_rows(path: Path, columns: Sequence[str]) -> Dict[str, List[TruthRow]]:
    """Rows of an earlier table by file; empty when there is none or it has other columns."""
    by_file: Dict[str, List[TruthRow]] = {}
    if path.is_file():
        with open(path, encoding='utf-8', newline='') as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) == tuple(columns):
                for row in reader:
                    by_file.setdefault(row['file'], []).append(row)
    return by_file


@writes_folder('out_dir', deep=True)
def write_phantom_dataset(
    out_dir: Union[str, Path],
    size: Optional[Size] = None,
    counts: Optional[Counts] = None,
    seed: int = 0,
    splits: Union[Sequence[str], Mapping[str, Counts]] = ('train',),
    workers: int = 1,
    progress: bool = False,
    kind: str = 'cytology',
) -> Path:
    """Write a phantom data set that :class:`CellPatchDataset` reads as it is.

    ::

        out_dir/
          manifest.csv                           file, label, split, group (slide or patient)
          NILM/phantom_train_000000.png ...      RGB patches in class folders
          _truth/
            parameters.json                      what the folder was made with
            cells.csv                            cytology: one row per cell, see CellRecord
            images.csv, nuclei.csv               tissue: see TissueRecord and NucleusRecord
            instances/NILM/phantom_train_000000.png ...   uint16, whole cells
            nuclei/NILM/phantom_train_000000.png ...      uint16, nuclei, same ids

    A run that was stopped goes on where it was: complete patches are not made again. Numbers may
    grow between runs; any other change of parameters is refused.

    Args:
        out_dir (str | Path): The image root.
        size (int | tuple[int, int] | None): Side of the images in pixels, at least 16; of tissue
            (height, width). Defaults to None: 256, of tissue (256, 128).
        counts (int | Mapping[str, int] | None): Patches per class, or by class, in every split.
            None when ``splits`` says so itself. Defaults to None.
        seed (int): Base seed. Defaults to 0.
        splits (Sequence[str] | Mapping[str, int | Mapping[str, int]]): Names of the splits, or a
            number of patches (as ``counts``) for each. Splits share no slide and no patient.
            Defaults to ``('train',)``.
        workers (int): Processes. The files are the same for any number. Defaults to 1.
        progress (bool): Whether to show a progress bar. Defaults to False.
        kind (str): ``'cytology'`` or ``'tissue'``. Defaults to ``'cytology'``.

    Returns:
        Path: The manifest.

    Raises:
        ValueError: On an unknown kind or class, a bad size, number or split name.
        RecordError: When ``out_dir`` holds something else.
    """
    if kind not in PHANTOM_KINDS:
        raise ValueError(f'no phantom of kind {kind!r}: choose one of {", ".join(PHANTOM_KINDS)}')
    phantoms = PHANTOM_KINDS[kind]
    out_dir = Path(out_dir)
    size = phantoms.check_size(phantoms.default_size if size is None else size)
    if workers < 1:
        raise ValueError(f'workers must be 1 or more, got {workers}')
    wanted = _resolve_splits(phantoms, counts, splits)
    parameters = {'generator': phantoms.generator, 'seed': int(seed), 'size': size}
    open_folder(out_dir, f'{TRUTH_FOLDER}/{PARAMETERS_NAME}', parameters, {'counts': wanted})

    truth = {
        name: _read_rows(out_dir / TRUTH_FOLDER / name, columns)
        for name, columns in phantoms.tables.items()
    }
    rows, tasks = [], []
    on_disk = _existing(out_dir, phantoms.classes)
    for split, by_class in wanted.items():
        for label, number in by_class.items():
            for index in range(number):
                name = image_name(label, split, index)
                group = phantoms.group_of(seed, split, index)
                rows.append({'file': name, 'label': label, 'split': split, 'group': group})
                write = name not in on_disk
                if write or not all(name in by_file for by_file in truth.values()):
                    tasks.append(_Task(kind, str(out_dir), label, size, seed, split, index, write))
    files = [row['file'] for row in rows]
    if tasks:
        done = run_in_processes(_make, tasks, workers)
        if progress:
            text = 'x'.join(map(str, size)) if isinstance(size, list) else size
            done = with_progress(done, len(tasks), f'Phantoms {text} px')
        try:
            for name, made_rows in done:
                for table, by_file in truth.items():
                    by_file[name] = made_rows[table]
        finally:
            # Also after an interruption: the next run then need not measure these images again.
            for table, by_file in truth.items():
                in_order = chain.from_iterable(by_file.get(name, ()) for name in files)
                write_rows(out_dir / TRUTH_FOLDER / table, phantoms.tables[table], in_order)
    return write_manifest(out_dir / MANIFEST_NAME, rows, ('file', 'label', 'split', 'group'))


def _existing(out_dir: Path, classes: Sequence[str]) -> Set[str]:
    """Files of images whose picture and masks are all on disk."""
    found = set()
    for label in classes:
        for path in (out_dir / label).glob('phantom_*.png'):
            name = str(PurePosixPath(label, path.name))
            if all(truth.is_file() for truth in _truth_files(out_dir, name).values()):
                found.add(name)
    return found
