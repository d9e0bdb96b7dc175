"""A plan of folds: which images train and which test. One that leaks cannot be made."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

PARTS = ('train', 'val', 'test')


class FoldError(ValueError):
    """Images that cannot be divided as asked, or a plan whose parts overlap."""


@dataclass(frozen=True)
class Sample:
    """One real image.

    Attributes:
        file (str): Absolute path.
        label (int): Index into the classes.
        group (str | None): Slide, field or patient; None where it is not known.
        content (str): Hash of the pixels in hexadecimal, see
            :mod:`cellgan_plugin.datasets.content_hash`. Equal for copies.
        near (str): ``content`` of the first of the images that are near copies of each other
            (:func:`~cellgan_plugin.benchmark.near_copies.join_near_copies`), where it is another.
    """

    file: str
    label: int
    group: Optional[str]
    content: str
    near: str = ''

    @property
    def picture(self) -> str:
        """What it shows: equal for copies and near copies."""
        return self.near or self.content


@dataclass(frozen=True)
class Fold:
    """One division of the samples.

    Attributes:
        train (tuple[int]): Indices of the samples that train, ascending.
        test (tuple[int]): Indices of those that test.
        val (tuple[int]): Indices of those that choose a checkpoint. Defaults to none.
    """

    train: Tuple[int, ...]
    test: Tuple[int, ...]
    val: Tuple[int, ...] = ()

    def parts(self) -> Dict[str, Tuple[int, ...]]:
        """The parts that hold images, by name."""
        return {name: getattr(self, name) for name in PARTS if getattr(self, name)}


@dataclass(frozen=True)
class FoldPlan:
    """The chosen images and their folds, as ``plan_folds`` and ``plan_splits`` make them.

    A plan whose parts share an image, a copy or near copy of one, or a group cannot be made.

    Attributes:
        samples (tuple[Sample]): The chosen images.
        classes (tuple[str]): Class names in the order of the labels.
        folds (tuple[Fold]): The divisions.
        seed (int): The seed they were drawn by.
        notes (tuple[str]): What a reader of the results has to know.

    Raises:
        FoldError: Parts overlap, an index or a label does not exist.
    """

    samples: Tuple[Sample, ...]
    classes: Tuple[str, ...]
    folds: Tuple[Fold, ...]
    seed: int
    notes: Tuple[str, ...] = ()

    def __post_init__(self):
        check_samples(self.samples, self.classes)
        for number, fold in enumerate(self.folds, 1):
            _check_fold(self.samples, fold, f'fold {number}')

    @property
    def grouped(self) -> bool:
        """Whether a group is known of any image."""
        return any(sample.group for sample in self.samples)

    def outside(self, fold: int, samples: Sequence[Sample]) -> List[Sample]:
        """Images that share nothing with the test and validation part of a fold.

        Args:
            fold (int): From 0.
            samples (Sequence[Sample]): All images, also those that were not drawn.

        Returns:
            list[Sample]: Without images of these parts, copies and near copies of them, and images
            of their groups.
        """
        held = [self.samples[i] for i in (*self.folds[fold].test, *self.folds[fold].val)]
        pictures = {sample.picture for sample in held}
        groups = {sample.group for sample in held if sample.group}
        # A copy may stand under another group: with it the whole group is out.
        groups |= {s.group for s in samples if s.group and s.picture in pictures}
        return [s for s in samples if s.picture not in pictures and s.group not in groups]

    @property
    def digest(self) -> str:
        """32 hexadecimal digits, equal for equal images, classes and folds.

        Paths and notes do not count: the same images in another folder give the same plan.
        """
        key = dict(
            samples=[[sample.label, sample.group, sample.content] for sample in self.samples],
            classes=self.classes,
            folds=[[fold.train, fold.val, fold.test] for fold in self.folds],
            seed=self.seed,
        )
        text = json.dumps(key, separators=(',', ':'))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def class_counts(self, part: str = 'test') -> np.ndarray:
        """Images of every fold's part by class, int64 (folds, K)."""
        if part not in PARTS:
            raise ValueError(f'part must be one of {list(PARTS)}, got {part!r}')
        labels = np.array([sample.label for sample in self.samples], dtype=np.int64)
        rows = [
            np.bincount(labels[list(getattr(fold, part))], minlength=len(self.classes))
            for fold in self.folds
        ]
        return np.stack(rows)

    def to_text(self) -> str:
        """Class counts of every fold as a plain table, and the notes."""
        heads = [*self.classes, 'all']
        groups = self.grouped
        lines = [
            'fold  part '
            + ''.join(f' {name:>8}' for name in heads)
            + ('   groups' if groups else '')
        ]
        for number, fold in enumerate(self.folds, 1):
            for name, indices in fold.parts().items():
                counts = Counter(self.samples[i].label for i in indices)
                row = [counts[label] for label in range(len(self.classes))] + [len(indices)]
                cells = (f' {n:>{max(8, len(head))}}' for n, head in zip(row, heads, strict=True))
                line = f'{number:>4}  {name:<5}' + ''.join(cells)
                if groups:
                    line += f' {len({self.samples[i].group for i in indices} - {None}):>8}'
                lines.append(line)
        return '\n'.join([*lines, *(f'- {note}' for note in self.notes)])

    def to_dict(self) -> Dict[str, Any]:
        """Plain containers for JSON; :meth:`from_dict` makes the plan again."""
        return dict(
            digest=self.digest,
            seed=self.seed,
            classes=list(self.classes),
            notes=list(self.notes),
            folds=[{name: list(getattr(fold, name)) for name in PARTS} for fold in self.folds],
            samples=[asdict(sample) for sample in self.samples],
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'FoldPlan':
        """The plan that :meth:`to_dict` wrote.

        Raises:
            FoldError: A field is missing or of another kind, parts overlap, or the digest differs
                (the file was edited).
        """
        try:
            plan = cls(
                samples=tuple(Sample(**sample) for sample in data['samples']),
                classes=tuple(data['classes']),
                folds=tuple(
                    Fold(**{name: tuple(fold[name]) for name in PARTS}) for fold in data['folds']
                ),
                seed=data['seed'],
                notes=tuple(data['notes']),
            )
            digest = data['digest']
        except (KeyError, TypeError, AttributeError) as error:
            raise FoldError(
                f'not a plan of folds ({type(error).__name__}: {error}): make it anew'
            ) from error
        if digest != plan.digest:
            raise FoldError(
                f'the plan of folds was changed after it was made (its digest is {plan.digest}, '
                f'{digest} is written in it): make it anew'
            )
        return plan


# Checks -----------------------------------------------------------------------------------------


def check_samples(samples: Sequence[Sample], classes: Sequence[str]) -> None:
    """FoldError for an unknown label, a file listed twice or an image in two classes."""
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise FoldError(f'two or more different classes are needed, got {list(classes)}')
    files: Dict[str, Sample] = {}
    contents: Dict[str, Sample] = {}
    for sample in samples:
        if not 0 <= sample.label < len(classes):
            raise FoldError(
                f'{sample.file}: label {sample.label} is unknown; labels 0 to {len(classes) - 1} '
                f'stand for {list(classes)}'
            )
        if files.setdefault(sample.file, sample) is not sample:
            raise FoldError(f'{sample.file} is listed twice: keep one')
        first = contents.setdefault(sample.content, sample)
        if first.label != sample.label:
            names = classes[first.label], classes[sample.label]
            raise FoldError(
                f'{sample.file} has the same pixels as {first.file}, in class {names[1]!r} and '
                f'again in {names[0]!r}: keep the one whose label is right'
            )


def _check_fold(samples: Sequence[Sample], fold: Fold, where: str) -> None:
    part_of: Dict[Tuple[str, Any], str] = {}
    for name, indices in fold.parts().items():
        for index in indices:
            if not isinstance(index, int) or not 0 <= index < len(samples):
                raise FoldError(f'{where}, {name}: sample {index!r} of {len(samples)} samples')
            sample = samples[index]
            keys = [
                ('image', sample.file),
                ('image content', sample.content),
                ('near copies of image content', sample.picture),
            ]
            if sample.group:
                keys.append(('group', sample.group))
            for key in keys:
                if part_of.setdefault(key, name) != name:
                    raise FoldError(
                        f'{where}: {key[0]} {key[1]!r} is in {part_of[key]} and in {name}'
                    )
        if len(set(indices)) != len(indices):
            raise FoldError(f'{where}, {name}: a sample is named twice')
    for name in ('train', 'test'):
        if not getattr(fold, name):
            raise FoldError(f'{where}: no sample in {name}')
