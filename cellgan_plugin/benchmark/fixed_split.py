"""The data set's own training, validation and test images, and shares of the training images."""

from dataclasses import replace
from typing import List, Mapping, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.benchmark.fold_plan import PARTS, Fold, FoldError, FoldPlan, Sample
from cellgan_plugin.benchmark.near_copies import said_of_near_copies
from cellgan_plugin.randomness import rng_for


def plan_fixed(
    parts: Mapping[str, Sequence[Sample]],
    classes: Sequence[str],
    repeats: int = 1,
    per_class: Optional[int] = None,
    seed: int = 0,
) -> FoldPlan:
    """One division, as a published data set has it (PCam, HistoGAN Sec. 4.1).

    Training images that are copies or near copies of a validation or test image are left out, as
    are validation images that are those of a test image; a note says how many.

    Args:
        parts (Mapping[str, Sequence[Sample]]): 'train', 'test' and perhaps 'val'.
        classes (Sequence[str]): Class names in the order of the labels.
        repeats (int): Equal folds, of which :func:`with_share` keeps different images. Defaults
            to 1.
        per_class (int | None): Training images drawn of every class, all where it has fewer.
            Defaults to None: all.
        seed (int): Defaults to 0.

    Raises:
        FoldError: A group lies in two parts, a class is missing in one, an image is in two classes.
    """
    seen: set = set()
    kept, notes = {}, []
    for name in reversed(PARTS):
        found = sorted(parts.get(name, ()), key=lambda s: (s.label, s.content, s.file))
        own = [sample for sample in found if sample.picture not in seen]
        if len(own) < len(found):
            notes.append(
                f'{len(found) - len(own)} images of {name} are copies of one that tests or '
                'validates (equal pixels, or near ones) and were left out'
            )
        seen |= {sample.picture for sample in own}
        kept[name] = own
    for name in ('train', 'test'):
        missing = [c for k, c in enumerate(classes) if all(s.label != k for s in kept[name])]
        if missing:
            raise FoldError(f'{name} has no image of {", ".join(map(repr, missing))}')
    if per_class is not None:
        kept['train'] = _drawn(kept['train'], classes, per_class, seed)
    samples = [sample for name in PARTS for sample in kept[name]]
    notes += said_of_near_copies(samples, classes)
    start, fold = 0, {}
    for name in PARTS:
        fold[name] = tuple(range(start, start + len(kept[name])))
        start += len(kept[name])
    groups = len({sample.group for sample in samples} - {None})
    notes.append(
        f"the data set's own splits; {groups} groups, none in two of them"
        if groups
        else "the data set's own splits; no group (slide, field or patient) is known"
    )
    return FoldPlan(tuple(samples), tuple(classes), (Fold(**fold),) * repeats, seed, tuple(notes))


def _drawn(
    samples: Sequence[Sample], classes: Sequence[str], per_class: int, seed: int
) -> List[Sample]:
    result: List[Sample] = []
    for label, name in enumerate(classes):
        own = [sample for sample in samples if sample.label == label]
        order = rng_for(seed, 'benchmark_subset', name).permutation(len(own))[:per_class]
        result += [own[index] for index in sorted(order)]
    return result


def with_share(plan: FoldPlan, share: float, of: str = 'train') -> FoldPlan:
    """Keep some of every fold's training images, the same share of each class.

    A smaller share is part of a larger one, of the same plan. Validation and test images stay.

    Args:
        plan (FoldPlan): All images.
        share (float): In (0, 1].
        of (str): 'train': of the training images; 'all': of all images of the fold. The latter is
            how HistoGAN counts: 10 % of PCam, 32,768 images, are drawn from the training split
            (Sec. 4.1). Defaults to 'train'.

    Returns:
        FoldPlan: Images that no fold uses are taken out.

    Raises:
        FoldError: Nothing would be left of a class, or there are not as many training images.
    """
    folds = []
    for number, fold in enumerate(plan.folds):
        labels = np.array([plan.samples[index].label for index in fold.train])
        factor = share
        if of == 'all':
            factor *= sum(map(len, fold.parts().values())) / len(fold.train)
        if factor > 1 + 1e-9:
            raise FoldError(
                f'{share:.3g} of all images are more than the {len(fold.train)} training images; '
                'take a smaller share'
            )
        train: List[int] = []
        for label, name in enumerate(plan.classes):
            own = np.asarray(fold.train)[labels == label]
            count = int(np.floor(min(1.0, factor) * len(own) + 0.5))
            if not count:
                raise FoldError(
                    f'class {name!r}: {share:.3g} of {len(own)} training images is none; take a '
                    'larger share'
                )
            order = rng_for(plan.seed, 'benchmark_share', number, name).permutation(len(own))
            train += own[order[:count]].tolist()
        folds.append(replace(fold, train=tuple(sorted(train))))
    counts = sorted({len(fold.train) for fold in folds})
    said = f'{counts[0]}' if len(counts) == 1 else f'{counts[0]} to {counts[-1]}'
    what = 'training images' if of == 'train' else 'all images'
    note = f'{100 * share:g} % of {what}: {said} train'
    return _without_unused(plan, folds, note)


def _without_unused(plan: FoldPlan, folds: Sequence[Fold], note: str) -> FoldPlan:
    used = sorted({i for fold in folds for part in fold.parts().values() for i in part})
    number = {old: new for new, old in enumerate(used)}

    def renumbered(indices: Sequence[int]) -> Tuple[int, ...]:
        return tuple(number[index] for index in indices)

    return FoldPlan(
        tuple(plan.samples[index] for index in used),
        plan.classes,
        tuple(
            Fold(**{name: renumbered(indices) for name, indices in fold.parts().items()})
            for fold in folds
        ),
        plan.seed,
        (*plan.notes, note),
    )
