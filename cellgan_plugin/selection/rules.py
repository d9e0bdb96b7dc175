"""Which candidates of a class are kept: Algorithm 1 of HistoGAN, its baselines, and yours.

A rule is a class in :data:`SELECTION_RULES`; register another one there and name it. Rules see one
class at a time and never the files. Equal scores are ordered by a number that is drawn from the
seed and the name of the file, so that exactly as many are kept as asked, whatever the order of the
list.
"""

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple, Union

import numpy as np
from mmengine.registry import Registry

from cellgan_plugin.selection.scores import CandidateScores

SELECTION_RULES = Registry('selection rule', locations=['cellgan_plugin.selection'])
KEPT = 'kept'
ENTROPIES = {'mean_of_entropies': 'entropy', 'entropy_of_mean': 'entropy_of_mean'}


class PoolError(ValueError):
    """Fewer candidates than a rule needs for what is asked."""


@dataclass
class ClassPool:
    """The candidates of one class.

    Attributes:
        label (int): The class.
        scores (CandidateScores): Of n candidates.
        order (np.ndarray): int64 (n,): position in the list, for rules that take the first.
        lots (np.ndarray): int64 (n,): a random number per candidate, for draws and ties.
        features (np.ndarray, optional): float32 (n, d): of the classifier's last stage, without
            dropout, averaged over positions. None unless the rule ``uses_features``.
    """

    label: int
    scores: CandidateScores
    order: np.ndarray
    lots: np.ndarray
    features: Optional[np.ndarray] = None

    def __len__(self) -> int:
        return len(self.lots)

    def best(self, values: np.ndarray, among: np.ndarray, count: int) -> np.ndarray:
        """The ``count`` of the indices ``among`` with the lowest values; ties by lot."""
        ranked = among[np.lexsort((self.lots[among], values[among]))]
        return ranked[:count]


Verdict = Tuple[np.ndarray, List[str]]  # kept (n,) bool, reason per candidate


class SelectionRule:
    """Base of the rules.

    Attributes:
        shows (dict): What a reason is about: the score that a picture of the worst sorts by, with
            '-' in front where low is bad.
        uses_features (bool): Whether the rule reads ``pool.features``, such as one that keeps
            candidates unlike each other. They are computed for such a rule only.
    """

    shows: Dict[str, str] = {}
    uses_features = False

    def required(self, asked: int) -> int:
        """Fewest candidates from which ``asked`` can be kept."""
        return asked

    def __call__(self, pool: ClassPool, asked: int) -> Verdict:
        """Choose.

        Args:
            pool (ClassPool): At least ``required(asked)`` candidates of a class.
            asked (int): Images to keep, round(r N_i).

        Returns:
            tuple: bool (n,), and per candidate ``'kept'`` or why not.
        """
        raise NotImplementedError

    def _ranked(self, pool: ClassPool, values: np.ndarray, asked: int, reason: str) -> Verdict:
        """Keep the ``asked`` with the lowest values."""
        kept = np.zeros(len(pool), dtype=bool)
        kept[pool.best(values, np.arange(len(pool)), asked)] = True
        return kept, [KEPT if is_kept else reason for is_kept in kept]


@SELECTION_RULES.register_module(name='selective')
class Selective(SelectionRule):
    """Algorithm 1 of HistoGAN: certain first, then near the centroid of the assigned label.

    The paper writes strict inequalities with medians, which lose images where scores are equal,
    and says in the text that the first half of a ranking is kept; ranks are used here. A pool of
    4 r N_i is halved twice. Of a pool of another size (Fig. 12: 2N to 8N) the half below the
    median entropy stays, and the r N_i nearest to the centroid of these are kept.

    Args:
        entropy (str): 'mean_of_entropies' (Sec. 1 and 4.2.2), or 'entropy_of_mean', the entropy of
            the mean prediction. Defaults to 'mean_of_entropies'.
    """

    shows = {'entropy': 'entropy', 'distance': 'distance'}

    def __init__(self, entropy: str = 'mean_of_entropies'):
        if entropy not in ENTROPIES:
            raise ValueError(f'entropy {entropy!r}: must be one of {list(ENTROPIES)}')
        self.score = ENTROPIES[entropy]
        self.shows = {'entropy': self.score, 'distance': 'distance'}

    def required(self, asked: int) -> int:
        """See the base."""
        return 2 * asked

    def __call__(self, pool: ClassPool, asked: int) -> Verdict:
        """See the base."""
        everyone = np.arange(len(pool))
        certain = pool.best(getattr(pool.scores, self.score), everyone, len(pool) // 2)
        chosen = pool.best(pool.scores.distance, certain, asked)
        reasons = np.full(len(pool), 'entropy', dtype=object)
        reasons[certain] = 'distance'
        reasons[chosen] = KEPT
        return reasons == KEPT, reasons.tolist()


@SELECTION_RULES.register_module(name='single_filtering')
class SingleFiltering(SelectionRule):
    """The r N_i nearest to the centroid of the assigned label, without dropout.

    The rule of Xue et al. 2019, which had no Monte-Carlo dropout. HistoGAN's Table 1 does not say
    whether its reimplementation took the distances of Eq. (6) instead: ``single_filtering_mc``.
    """

    shows = {'distance': 'plain_distance'}

    def __call__(self, pool: ClassPool, asked: int) -> Verdict:
        """See the base."""
        return self._ranked(pool, pool.scores.plain_distance, asked, 'distance')


@SELECTION_RULES.register_module(name='single_filtering_mc')
class SingleFilteringMC(SelectionRule):
    """As ``single_filtering``, by the mean distance over the passes with dropout, Eq. (6)."""

    shows = {'distance': 'distance'}

    def __call__(self, pool: ClassPool, asked: int) -> Verdict:
        """See the base."""
        return self._ranked(pool, pool.scores.distance, asked, 'distance')


@SELECTION_RULES.register_module(name='nearest_centroid')
class NearestCentroid(SelectionRule):
    """Candidates whose nearest centroid is that of their label, r N_i of them by lot.

    A filter: where fewer pass it, fewer are kept.
    """

    shows = {'nearest centroid': 'distance', 'not drawn': 'distance'}

    def __call__(self, pool: ClassPool, asked: int) -> Verdict:
        """See the base."""
        fitting = np.flatnonzero(pool.scores.nearest == pool.label)
        reasons = np.full(len(pool), 'nearest centroid', dtype=object)
        reasons[fitting] = 'not drawn'
        reasons[pool.best(np.zeros(len(pool)), fitting, asked)] = KEPT
        return reasons == KEPT, reasons.tolist()


@SELECTION_RULES.register_module(name='confidence')
class Confidence(SelectionRule):
    """The r N_i with the highest mean probability of the assigned label."""

    shows = {'confidence': '-confidence'}

    def __call__(self, pool: ClassPool, asked: int) -> Verdict:
        """See the base."""
        return self._ranked(pool, -pool.scores.confidence, asked, 'confidence')


@SELECTION_RULES.register_module(name='random')
class Random(SelectionRule):
    """By lot, r N_i of them."""

    shows = {'not drawn': 'distance'}

    def __call__(self, pool: ClassPool, asked: int) -> Verdict:
        """See the base."""
        return self._ranked(pool, np.zeros(len(pool)), asked, 'not drawn')


@SELECTION_RULES.register_module(name='none')
class NoSelection(SelectionRule):
    """The first r N_i of the list: what augmentation without selection would have added."""

    shows = {'not among the first': 'distance'}

    def __call__(self, pool: ClassPool, asked: int) -> Verdict:
        """See the base."""
        return self._ranked(pool, pool.order, asked, 'not among the first')


def build_rule(rule: Union[str, dict, SelectionRule]) -> SelectionRule:
    """A rule by its name, by a config with ``type``, or itself.

    Raises:
        ValueError: No such rule; the message lists them.
    """
    if isinstance(rule, SelectionRule):
        return rule
    config = dict(type=rule) if isinstance(rule, str) else dict(rule)
    name = config.pop('type', None)
    # Not SELECTION_RULES.build: inside another default scope it would look elsewhere and warn.
    found = SELECTION_RULES.module_dict.get(name)
    if found is None:
        raise ValueError(
            f'there is no selection rule {name!r}; there are '
            f'{", ".join(sorted(SELECTION_RULES.module_dict))}'
        )
    if not (isinstance(found, type) and issubclass(found, SelectionRule)):
        raise ValueError(f'selection rule {name!r}: {found!r} is no subclass of SelectionRule')
    return found(**config)


def checked_verdict(rule: SelectionRule, verdict: Verdict, count: int, asked: int) -> Verdict:
    """What a rule returned, as it is promised; see :meth:`SelectionRule.__call__`.

    Args:
        rule (SelectionRule): For the message.
        verdict (tuple): What it returned.
        count (int): Candidates that it was given.
        asked (int): Most images that it may keep.

    Raises:
        ValueError: No bool per candidate, no reason per candidate, more kept than asked, or
            another reason than ``'kept'`` of a kept one; the message says which.
    """
    where = f'selection rule {type(rule).__name__}: it was given {count} candidates and returned'
    if not (isinstance(verdict, tuple) and len(verdict) == 2):
        raise ValueError(f'{where} {type(verdict).__name__}; a tuple (kept, reasons) expected')
    kept, reasons = np.asarray(verdict[0]), list(verdict[1])
    if kept.dtype != bool or kept.shape != (count,):
        raise ValueError(f'{where} kept as {kept.dtype} {kept.shape}; bool ({count},) expected')
    if len(reasons) != count:
        raise ValueError(f'{where} {len(reasons)} reasons; one per candidate expected')
    if kept.sum() > asked:
        raise ValueError(f'{where} {kept.sum()} as kept, but only {asked} were asked for')
    if any((reason == KEPT) != is_kept for reason, is_kept in zip(reasons, kept, strict=True)):
        raise ValueError(f'{where} reasons that contradict kept; {KEPT!r} for kept ones alone')
    return kept, reasons


def images_asked(ratio: float, real: int) -> int:
    """Images to keep: r N_i as a whole number, halves up."""
    return int(np.floor(ratio * real + 0.5))
