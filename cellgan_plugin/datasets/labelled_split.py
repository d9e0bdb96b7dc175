"""Which images count as labelled when a run may use only some of the masks."""

from collections import Counter
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from cellgan_plugin.randomness import derive_seed


class Unit(NamedTuple):
    """What is chosen or left as a whole: a patient, or an image where no group is known."""

    name: str
    images: Tuple[int, ...]
    labels: frozenset


def choose_labelled(
    files: Sequence[str],
    ratio: float,
    seed: int,
    groups: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> np.ndarray:
    """Choose the labelled images: the first of an order that depends on the seed and the names.

    The order does not depend on how the images are listed, and a larger ratio of the same seed
    only adds images: the labelled 20 % are among the labelled 40 %. Labels are spread over the
    order, so that a small share holds every label as far as it can (of the next units by seed,
    the one whose labels are rarest so far comes first).

    Args:
        files (Sequence[str]): Name of every image, each once.
        ratio (float): Share of the images that are labelled, in (0, 1].
        seed (int): Of the choice.
        groups (Sequence[str]): Slide or patient of every image: all images of one are labelled or
            none is, and the share is met as nearly as groups allow. Empty names and an empty
            sequence mean that every image is its own group. Defaults to ().
        labels (Sequence[str]): Grade or another label of every image. Defaults to ().

    Returns:
        np.ndarray: bool (N,). With at least two units and a ratio below 1 there is at least one
        labelled and one unlabelled unit.
    """
    if isinstance(ratio, bool) or not 0 < ratio <= 1:
        raise ValueError(f'labelled ratio must be above 0 and at most 1, got {ratio!r}')
    count = len(files)
    if len(set(files)) != count:
        raise ValueError('a file is named twice; the choice goes by names')
    for name, values in (('groups', groups), ('labels', labels)):
        if len(values) not in (0, count):
            raise ValueError(f'{count} files but {len(values)} {name}')
    chosen = np.zeros(count, dtype=bool)
    if ratio == 1 or count == 0:
        chosen[:] = True
        return chosen
    order = _order(_units(files, groups, labels), seed)
    # The prefix of the order that is nearest to the share; a larger share never has a shorter one.
    sizes = np.cumsum([len(unit.images) for unit in order])
    length = int(np.abs(sizes - ratio * count).argmin()) + 1
    length = max(1, min(length, len(order) - 1))
    for unit in order[:length]:
        chosen[list(unit.images)] = True
    return chosen


def _units(files: Sequence[str], groups: Sequence[str], labels: Sequence[str]) -> List[Unit]:
    members = {}
    for index, file in enumerate(files):
        group = groups[index] if len(groups) else ''
        # A file may be named like a group of others.
        members.setdefault(('group', group) if group else ('file', file), []).append(index)
    return [
        Unit(
            '\x1f'.join(key),
            tuple(indices),
            frozenset(labels[index] for index in indices) if len(labels) else frozenset(),
        )
        for key, indices in members.items()
    ]


def _order(units: List[Unit], seed: int) -> List[Unit]:
    """Units by seed, taking next the one that brings the labels most needed."""
    queues: Dict[frozenset, List[Unit]] = {}
    totals: Counter = Counter()
    ranked = sorted(units, key=lambda unit: -derive_seed(seed, 'labelled', unit.name))
    rank = {unit.name: -position for position, unit in enumerate(ranked)}
    for unit in ranked:  # the last of a queue is the first by seed
        queues.setdefault(unit.labels, []).append(unit)
        totals.update(unit.labels)
    seen: Counter = Counter()
    ordered: List[Unit] = []
    while queues:
        # How much a set of labels is needed: the share so far of its rarest label.
        labels = min(
            queues,
            key=lambda labels: (
                min((seen[label] / totals[label] for label in labels), default=0.0),
                rank[queues[labels][-1].name],
            ),
        )
        ordered.append(queues[labels].pop())
        seen.update(labels)
        if not queues[labels]:
            del queues[labels]
    return ordered
