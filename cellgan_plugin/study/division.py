"""How a study divides its images: a list with splits, by slide, field or patient."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from cellgan_plugin.benchmark.fold_plan import PARTS, FoldError, Sample
from cellgan_plugin.benchmark.folds import plan_folds, plan_splits
from cellgan_plugin.benchmark.near_copies import join_near_copies
from cellgan_plugin.benchmark.plan import listed_name, make_plan
from cellgan_plugin.benchmark.protocol import Protocol
from cellgan_plugin.benchmark.synthetic import HashCache, real_samples
from cellgan_plugin.datasets.content_hash import (
    from_hex,
    group_hashes,
    merge_hashes,
    write_training_images,
)
from cellgan_plugin.datasets.data_folder import DataFolder
from cellgan_plugin.datasets.file_names import nfc
from cellgan_plugin.datasets.manifest import iter_manifest, write_manifest
from cellgan_plugin.records import digest_of

LIST = 'images.csv'
MOST_FOLDS = 5
_RATIOS = (7, 1, 2)  # HistoGAN, Sec. 4.1


@dataclass(frozen=True)
class Division:
    """The images of a study, divided.

    Attributes:
        folder (DataFolder): The data folder, whose list is that of the study.
        counts (dict[str, dict[str, int]]): Part -> class -> images.
        folds (int): Most folds for which every class has groups; 1 where two are too many.
        held_out (str): The part that generators are compared with: 'val', else 'test'.
        digest (str): Changes with any image, label, group or part.
        notes (tuple[str]): What a reader has to know.
    """

    folder: DataFolder
    counts: Dict[str, Dict[str, int]]
    folds: int
    held_out: str
    digest: str
    notes: Tuple[str, ...]

    def total(self, part: str) -> int:
        """Images of a part."""
        return sum(self.counts.get(part, {}).values())


def divide(folder: DataFolder, out: Path) -> Division:
    """Write the list of a study: the manifest's own split, or one that is made by group.

    Args:
        folder (DataFolder): The data folder.
        out (Path): Folder of the study; ``lists/images.csv`` is written there.

    Raises:
        DatasetError: Images that cannot be read.
        FoldError: A class has too few images or groups to be divided.
    """
    data = dict(data_root=folder.root, ann_file=folder.ann_file)
    cache = HashCache(out)
    samples, doubts = join_near_copies(real_samples(data, folder.classes, cache), cache)
    files = [listed_name(sample, data) for sample in samples]
    own = _own_split(folder)
    notes: List[str] = []
    if own is None:
        parts, notes = _made(samples, folder.classes)
        said = 'by group' if folder.groups else 'at random: no groups are known'
        notes.insert(0, f'split {":".join(map(str, _RATIOS))} into {", ".join(PARTS)} {said}')
    else:
        parts = [own[nfc(file)] for file in files]  # names of a manifest are composed
        notes.append(f'the split of {folder.ann_file}')
    rows = [
        dict(
            file=file,
            label=folder.classes[sample.label],
            split=part,
            group=sample.group or '',
        )
        for file, sample, part in zip(files, samples, parts, strict=True)
    ]
    counts = {part: dict.fromkeys(folder.classes, 0) for part in PARTS}
    for row in rows:
        if row['split'] in counts:
            counts[row['split']][row['label']] += 1
    path = (out / 'lists' / LIST).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(path, rows, ('file', 'label', 'split', 'group'))
    return Division(
        folder=replace(
            folder, ann_file=str(path), splits=dict(Counter(parts)), notes=()
        ),
        counts=counts,
        folds=most_folds(samples, folder.classes),
        held_out='val' if any(counts['val'].values()) else 'test',
        digest=digest_of(sorted([s.label, s.group, s.content, p]
                                for s, p in zip(samples, parts, strict=True))),
        notes=(*notes, *doubts),
    )  # fmt: skip


def write_folds(division: Division, folds: int, out: Path) -> None:
    """Write the images of every fold, for a generator that is trained elsewhere.

    Args:
        division (Division): Of the study.
        folds (int): Of the benchmark; 1: the parts of the list.
        out (Path): Folder of the study. ``lists/fold1`` and so on get ``train.csv``, ``test.csv``
            and ``training_images.txt``, which belongs beside the images of a generator that has
            seen nothing but the images of ``train.csv``.
    """
    folder = division.folder
    data = dict(data_root=folder.root, ann_file=folder.ann_file)
    protocol = Protocol(
        data=data, classifiers=dict(any=''), generators=(), classes=folder.classes,
        num_folds=folds, fixed_splits=folds == 1, per_class=None,
    )  # fmt: skip
    _, plan = make_plan(protocol, HashCache(out))
    for number, fold in enumerate(plan.folds):
        at = fold_folder(out, number)
        for part, indices in fold.parts().items():
            own = [plan.samples[index] for index in indices]
            rows = [
                dict(file=listed_name(s, data), label=folder.classes[s.label], group=s.group or '')
                for s in own
            ]
            write_manifest((at / f'{part}.csv').absolute(), rows, ('file', 'label', 'group'))
            if part == 'train':
                images = from_hex(sample.content for sample in own)
                groups = group_hashes(sample.group or '' for sample in own)
                write_training_images(at, merge_hashes(images, groups))


def fold_folder(out: Path, fold: int) -> Path:
    """Where the lists of a fold are, counted from 0."""
    return out / 'lists' / f'fold{fold + 1}'


def _own_split(folder: DataFolder) -> Optional[Dict[str, str]]:
    """Part by file, where the manifest has a training part and a held-out one."""
    if not (folder.splits.get('train') and (folder.splits.get('val') or folder.splits.get('test'))):
        return None
    rows = iter_manifest(Path(folder.root) / folder.ann_file)
    return {row['file']: row.get('split', '').strip() for _, row in rows}


def _made(samples: Sequence[Sample], classes: Sequence[str]) -> Tuple[List[str], List[str]]:
    """Part of every sample, in order, and notes."""
    plan = plan_splits(samples, classes, _RATIOS, repeats=1)
    part_of = {
        plan.samples[index].file: part
        for part, indices in plan.folds[0].parts().items()
        for index in indices
    }
    return [part_of[sample.file] for sample in samples], list(plan.notes)


def most_folds(samples: Sequence[Sample], classes: Sequence[str]) -> int:
    """The most folds, up to 5, with every class in training and test of each; 1 for none."""
    for folds in range(MOST_FOLDS, 1, -1):
        try:
            plan_folds(samples, classes, folds, None)
        except FoldError:
            continue
        return folds
    return 1
