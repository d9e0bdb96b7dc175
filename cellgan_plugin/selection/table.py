"""Every candidate with every score, and why it was kept or not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.files import write_rows
from cellgan_plugin.randomness import derive_seed
from cellgan_plugin.selection.rules import (
    KEPT,
    ClassPool,
    PoolError,
    SelectionRule,
    checked_verdict,
)
from cellgan_plugin.selection.scores import CandidateScores

MEMORISED = 'memorised'
COLUMNS = (
    'file', 'label', 'kept', 'reason', 'entropy', 'entropy_of_mean', 'distance',
    'plain_distance', 'confidence', 'predicted', 'nearest_centroid', 'nearest_distance',
)  # fmt: skip


@dataclass
class SelectionTable:
    """A pool of candidates and what became of them.

    Attributes:
        files (list[str]): Candidates, relative to their folder.
        labels (np.ndarray): int64 (n,): assigned labels.
        classes (tuple[str]): Class names in the order of the labels.
        scores (CandidateScores): Of all.
        kept (np.ndarray): bool (n,).
        reasons (list[str]): Per candidate: 'kept', or which criterion dropped it.
        memorised (np.ndarray | None): bool (n,): copies of training images, where looked for.
    """

    files: List[str]
    labels: np.ndarray
    classes: Tuple[str, ...]
    scores: CandidateScores
    kept: np.ndarray
    reasons: List[str]
    memorised: Optional[np.ndarray] = None

    def of(self, label: int, reason: str = KEPT) -> np.ndarray:
        """Indices of a class that were kept, or dropped for a reason."""
        return np.array(
            [i for i in np.flatnonzero(self.labels == label) if self.reasons[i] == reason], int
        )

    def sorted_by(self, index: np.ndarray, score: str) -> np.ndarray:
        """Indices from the lowest to the highest score; '-score' for the other way round."""
        values = getattr(self.scores, score.lstrip('-'))[index]
        return index[np.argsort(-values if score[0] == '-' else values, kind='stable')]

    def row(self, index: int) -> Dict[str, Any]:
        """One candidate as a row of ``scores.csv``."""
        scores = self.scores
        row = dict(
            file=self.files[index],
            label=self.classes[self.labels[index]],
            kept=int(self.kept[index]),
            reason=self.reasons[index],
            entropy=f'{scores.entropy[index]:.8g}',
            entropy_of_mean=f'{scores.entropy_of_mean[index]:.8g}',
            distance=f'{scores.distance[index]:.8g}',
            plain_distance=f'{scores.plain_distance[index]:.8g}',
            confidence=f'{scores.confidence[index]:.8g}',
            predicted=self.classes[scores.predicted[index]],
            nearest_centroid=self.classes[scores.nearest[index]],
            nearest_distance=f'{scores.nearest_distance[index]:.8g}',
        )
        if self.memorised is not None:
            row['memorised'] = int(self.memorised[index])
        return row

    def write(self, path: Union[str, Path]) -> Path:
        """Write ``scores.csv``: every candidate, whole or not at all."""
        columns = list(COLUMNS) + ([MEMORISED] if self.memorised is not None else [])
        return write_rows(path, columns, map(self.row, range(len(self.files))))


def require_pool(rule: SelectionRule, asked: int, candidates: int, where: str) -> None:
    """PoolError when a class has fewer candidates than a rule needs."""
    needed = rule.required(asked)
    if candidates < needed:
        raise PoolError(
            f'{where}: {candidates} candidates, but {asked} are to be kept and this rule needs at '
            f'least {needed} to choose from (HistoGAN takes 4 x {asked} = {4 * asked}). Synthesise '
            'more (tools/synthesize.py ... --per-class N continues a folder), or lower the ratio'
        )


def apply_rule(
    rule: SelectionRule,
    files: Sequence[str],
    labels: np.ndarray,
    classes: Sequence[str],
    scores: CandidateScores,
    asked: Dict[int, int],
    seed: int = 0,
    memorised: Optional[np.ndarray] = None,
    features: Optional[np.ndarray] = None,
) -> SelectionTable:
    """Apply a rule to every class.

    Args:
        rule (SelectionRule): The rule.
        files (Sequence[str]): Candidates; their names also decide ties and draws.
        labels (np.ndarray): int64 (n,): assigned labels.
        classes (Sequence[str]): Class names.
        scores (CandidateScores): Of all candidates.
        asked (dict[int, int]): Images to keep per label.
        seed (int): Of draws and ties. Defaults to 0.
        memorised (np.ndarray, optional): bool (n,): candidates that are dropped first. Defaults
            to None.
        features (np.ndarray, optional): (n, d), for a rule that ``uses_features``. Defaults to
            None.

    Raises:
        ScoreError: A score is not finite.
        ValueError: No features for a rule that uses them.
        PoolError: A class has too few candidates.
    """
    scores.require_finite(files)
    if rule.uses_features and features is None:
        raise ValueError(f'selection rule {type(rule).__name__} uses features; none were given')
    kept = np.zeros(len(files), dtype=bool)
    reasons = ['' if memorised is None or not memorised[i] else MEMORISED
               for i in range(len(files))]  # fmt: skip
    free = np.array([not reason for reason in reasons], dtype=bool)
    lots = np.array([derive_seed(seed, 'selection', file) for file in files], dtype=np.int64)
    for label in np.unique(labels):
        index = np.flatnonzero((labels == label) & free)
        note = ' that are no copies of training images' if memorised is not None else ''
        require_pool(rule, asked[label], len(index), f'class {classes[label]}{note}')
        own = features[index] if rule.uses_features else None
        pool = ClassPool(int(label), scores.rows(index), index, lots[index], own)
        verdict = rule(pool, asked[label])
        chosen, why = checked_verdict(rule, verdict, len(pool), asked[label])
        kept[index] = chosen
        for i, reason in zip(index, why, strict=True):
            reasons[i] = reason
    return SelectionTable(list(files), labels, tuple(classes), scores, kept, reasons, memorised)
