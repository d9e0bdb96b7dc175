"""Draw real images and divide them into folds: no image, copy or slide in training and test."""

from collections import defaultdict
from dataclasses import replace
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.benchmark.balance import assign_units
from cellgan_plugin.benchmark.fold_plan import (
    PARTS,
    Fold,
    FoldError,
    FoldPlan,
    Sample,
    check_samples,
)
from cellgan_plugin.benchmark.near_copies import said_of_near_copies
from cellgan_plugin.randomness import rng_for

__all__ = ['Fold', 'FoldError', 'FoldPlan', 'Sample', 'plan_folds', 'plan_splits']


def plan_folds(
    samples: Iterable[Sample],
    classes: Sequence[str],
    num_folds: int = 5,
    per_class: Optional[int] = 400,
    seed: int = 0,
) -> FoldPlan:
    """Draw images of every class and divide them into stratified folds (CellGAN, Sec. 3.3).

    Every chosen image tests in one fold and trains in the others. Where any image has a group, no
    group is in training and test of the same fold (an image without one counts as a group of its
    own). Copies (equal content) and near copies stay together in any case. To ignore groups, give
    samples with ``group=None``.

    The order of the samples does not matter; the same seed gives the same folds.

    Args:
        samples (Iterable[Sample]): All real images.
        classes (Sequence[str]): Class names in the order of the labels.
        num_folds (int): Defaults to 5.
        per_class (int | None): Images drawn of every class, all where it has fewer (a note says
            so). None: all. Images are drawn, not groups. Defaults to 400.
        seed (int): Defaults to 0.

    Returns:
        FoldPlan: ``num_folds`` folds without validation part.

    Raises:
        FoldError: A class has too few images or groups for the folds, an image is listed twice
            or in two classes, a label is unknown.
    """
    if num_folds < 2:
        raise FoldError(f'two or more folds are needed, got {num_folds}')
    units = _Units(samples, classes, per_class, seed)
    units.require(num_folds, f'{num_folds} folds', fewer='take fewer folds')
    rng = rng_for(seed, 'benchmark_folds')
    part = units.assign([1] * num_folds, [f'fold {i + 1}' for i in range(num_folds)], rng)
    folds = tuple(
        Fold(train=_indices(part != number), test=_indices(part == number))
        for number in range(num_folds)
    )
    return units.plan(folds, seed)


def plan_splits(
    samples: Iterable[Sample],
    classes: Sequence[str],
    ratios: Tuple[float, float, float] = (7, 1, 2),
    repeats: int = 5,
    per_class: Optional[int] = None,
    seed: int = 0,
) -> FoldPlan:
    """Divide images into training, validation and test part, several times anew.

    HistoGAN, Sec. 4.1: 7:1:2 by patient with almost the same class ratio in every part. Their
    five runs share one such split and differ in initialisation: that is ``repeats=1`` here, and
    five seeds of training. Repeats are drawn independently, so their test parts overlap.

    Args:
        samples (Iterable[Sample]): As of :func:`plan_folds`, as are ``classes`` and ``seed``.
        classes (Sequence[str]): Class names.
        ratios (tuple[float, float, float]): Of training, validation and test images; a validation
            ratio of 0 leaves that part out. Defaults to (7, 1, 2).
        repeats (int): Number of splits. Defaults to 5.
        per_class (int | None): As of :func:`plan_folds`. Defaults to None: all images.
        seed (int): Defaults to 0.

    Returns:
        FoldPlan: ``repeats`` folds.

    Raises:
        FoldError: As of :func:`plan_folds`.
    """
    if len(ratios) != 3 or ratios[0] <= 0 or ratios[1] < 0 or ratios[2] <= 0:
        raise FoldError(
            f'ratios are three numbers (training, validation, test), the first and the last '
            f'positive; got {ratios}'
        )
    if repeats < 1:
        raise FoldError(f'one or more repeats are needed, got {repeats}')
    units = _Units(samples, classes, per_class, seed)
    names = [name for name, ratio in zip(PARTS, ratios, strict=True) if ratio]
    said = f'a split into {", ".join(names)}'
    units.require(len(names), said, fewer='leave the validation part out (ratio 0)')
    folds = []
    for repeat in range(repeats):
        rng = rng_for(seed, 'benchmark_split', repeat)
        part = units.assign([ratio for ratio in ratios if ratio], names, rng)
        folds.append(Fold(**{name: _indices(part == i) for i, name in enumerate(names)}))
    return units.plan(tuple(folds), seed)


def _indices(chosen: np.ndarray) -> Tuple[int, ...]:
    return tuple(np.flatnonzero(chosen).tolist())


class _Units:
    """The chosen images and what of them cannot be divided."""

    def __init__(
        self,
        samples: Iterable[Sample],
        classes: Sequence[str],
        per_class: Optional[int],
        seed: int,
    ):
        if per_class is not None and per_class < 1:
            raise FoldError(f'per_class must be 1 or more, or None for all; got {per_class}')
        self.classes = tuple(classes)
        self.per_class = per_class
        # By content first: neither the order of a listing nor the name of a folder decides.
        everything = sorted(samples, key=lambda s: (s.label, s.content, s.file))
        check_samples(everything, self.classes)
        self.notes: List[str] = []
        self.samples = self._draw(everything, seed)
        self.grouped = any(sample.group for sample in self.samples)
        self.unit = self._merge()  # unit of every sample
        labels = [sample.label for sample in self.samples]
        self.counts = np.zeros((self.unit.max() + 1, len(self.classes)), dtype=np.int64)
        np.add.at(self.counts, (self.unit, labels), 1)

    def _draw(self, everything: Sequence[Sample], seed: int) -> List[Sample]:
        by_class: List[List[Sample]] = [[] for _ in self.classes]
        for sample in everything:
            by_class[sample.label].append(sample)
        empty = [name for name, found in zip(self.classes, by_class, strict=True) if not found]
        if empty:
            raise FoldError(
                f'no image of class {", ".join(map(repr, empty))} among {len(everything)} images. '
                'Add images, or leave the class out'
            )
        chosen: List[Sample] = []
        for name, found in zip(self.classes, by_class, strict=True):
            count = len(found) if self.per_class is None else min(self.per_class, len(found))
            if self.per_class is not None and len(found) < self.per_class:
                self.notes.append(
                    f'class {name!r} has {len(found)} images, all of them used '
                    f'({self.per_class} were asked for)'
                )
            drawn = rng_for(seed, 'benchmark_subset', name).permutation(len(found))[:count]
            chosen += [found[index] for index in sorted(drawn)]
        return chosen

    def _merge(self) -> np.ndarray:
        """Number the units: images joined by a group or by what they show, directly or not."""
        parent = list(range(len(self.samples)))

        def root(index: int) -> int:
            while parent[index] != index:
                parent[index] = parent[parent[index]]
                index = parent[index]
            return index

        first: Dict[Tuple[str, str], int] = {}
        for index, sample in enumerate(self.samples):
            keys = [('picture', sample.picture)]
            if sample.group:
                keys.append(('group', sample.group))
            for key in keys:
                parent[root(index)] = root(first.setdefault(key, index))
        _, unit = np.unique([root(i) for i in range(len(self.samples))], return_inverse=True)
        self._describe(unit)
        return unit

    def _describe(self, unit: np.ndarray) -> None:
        copies = len(self.samples) - len({sample.content for sample in self.samples})
        if copies:
            self.notes.append(
                f'{copies} of {len(self.samples)} images have the pixels of another one; copies '
                'stay on one side'
            )
        self.notes += said_of_near_copies(self.samples, self.classes)
        if not self.grouped:
            self.notes.append(
                'no group (slide, field or patient) is known: images of one slide may be in '
                'training and test, which flatters every arm'
            )
            return
        groups_of_unit = defaultdict(set)
        for index, sample in enumerate(self.samples):
            if sample.group:
                groups_of_unit[unit[index]].add(sample.group)
        groups = sum(map(len, groups_of_unit.values()))
        self.notes.append(f'{groups} groups; none is in training and test of the same fold')
        single = sum(not sample.group for sample in self.samples)
        if single:
            self.notes.append(f'{single} images have no group; each counts as one of its own')
        merged = [sorted(names) for names in groups_of_unit.values() if len(names) > 1]
        if merged:
            self.notes.append(
                f'{sum(map(len, merged))} groups share copies of images with another one '
                f'(e.g. {merged[0][0]!r} and {merged[0][1]!r}) and stay together'
            )

    def require(self, needed: int, what: str, fewer: str) -> None:
        """Raise FoldError when a class has too few units for its share of every part."""
        units = (self.counts > 0).sum(axis=0)
        short = []
        for name, images, found in zip(self.classes, self.counts.sum(axis=0), units, strict=True):
            if found < needed:
                of = 'groups' if self.grouped else 'different images'
                said = f'{images} image{"" if images == 1 else "s"}'
                short.append(f'class {name!r} has {said} ({found} {of})')
        if short:
            possible = f'; {units.min()} would do' if units.min() > 1 and 'fold' in fewer else ''
            raise FoldError(
                f'{what} need every class in every part, so at least {needed} '
                f'{"groups" if self.grouped else "different images"} of each: {"; ".join(short)}. '
                f'Add images{" of other groups" if self.grouped else ""}, {fewer}{possible}, or '
                'leave the class out'
            )

    def assign(
        self, shares: Sequence[float], names: Sequence[str], rng: np.random.Generator
    ) -> np.ndarray:
        """Part of every sample, (N,); FoldError when a class is missing in one."""
        part = assign_units(self.counts, np.asarray(shares), rng)
        counts = np.zeros((len(shares), len(self.classes)), dtype=np.int64)
        np.add.at(counts, part, self.counts)
        if (counts == 0).any():
            where, label = np.argwhere(counts == 0)[0]
            spread = dict(zip(names, counts[:, label].tolist(), strict=True))
            raise FoldError(
                f'no division into {", ".join(names)} was found with every class in every part: '
                f'class {self.classes[label]!r} is missing in {names[where]} ({spread}), because '
                'its groups also hold other classes. Take fewer folds, add images of other '
                'groups, or leave the class out'
            )
        return part[self.unit]

    def plan(self, folds: Tuple[Fold, ...], seed: int) -> FoldPlan:
        """The plan, with a note when groups made its folds uneven."""
        samples = tuple(
            sample if sample.group else replace(sample, group=None) for sample in self.samples
        )
        plan = FoldPlan(samples, self.classes, folds, seed, tuple(self.notes))
        counts = plan.class_counts('test')
        uneven = [
            f'{name} {low} to {high}'
            for name, low, high in zip(
                self.classes, counts.min(axis=0), counts.max(axis=0), strict=True
            )
            if high - low > 1
        ]
        if not uneven:
            return plan
        note = f'groups cannot be divided; test images of a fold: {", ".join(uneven)}'
        return FoldPlan(samples, self.classes, folds, seed, (*self.notes, note))
