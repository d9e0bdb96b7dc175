"""Scores of the benchmark's tables by name; register another one with one decorator."""

from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Dict, NamedTuple

import numpy as np

from cellgan_plugin.errors import ProtocolError, where_raised


@dataclass(frozen=True)
class WeightedPredictions:
    """Predictions of one test set under B weightings of its images.

    The score itself has one row of ones. The bootstrap has a row per replicate: how often each
    image was drawn.

    Attributes:
        probabilities (np.ndarray): float64 (N, K), rows of sum 1.
        labels (np.ndarray): int64 (N,): true classes.
        weights (np.ndarray): float64 (B, N), non-negative.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    @cached_property
    def confusion(self) -> np.ndarray:
        """Weight of the images by true class (row) and predicted class (column), (B, K, K)."""
        count = self.probabilities.shape[1]
        pair = self.labels * count + self.probabilities.argmax(axis=1)
        one_hot = np.zeros((len(self.labels), count * count))
        one_hot[np.arange(len(self.labels)), pair] = 1
        return (self.weights @ one_hot).reshape(-1, count, count)

    @cached_property
    def from_confusion(self) -> Dict[str, np.ndarray]:
        """What :func:`scores_from_confusion` makes of the confusion matrices."""
        return scores_from_confusion(self.confusion)


Score = Callable[[WeightedPredictions], np.ndarray]


class RegisteredScore(NamedTuple):
    """A score as the tables know it; see :func:`register_score`."""

    function: Score
    title: str


# In the order of the tables: CellGAN's Table 3, then what HistoGAN's Table 1 adds.
SCORES: Dict[str, RegisteredScore] = {}


def register_score(name: str, title: str = '') -> Callable[[Score], Score]:
    """Decorator that lets a benchmark show a score by ``name``, with tests and intervals.

    The function is given :class:`WeightedPredictions` and returns the score under every weighting,
    float (B,), NaN where it cannot be computed. Higher is better. Tables show 100 times the value,
    as of the scores in [0, 1].

    Args:
        name (str): In ``metrics=(...)`` of a benchmark.
        title (str): Of its column. Defaults to '': the name.

    Raises:
        ValueError: The name is taken.
    """

    def register(function: Score) -> Score:
        if name in SCORES:
            raise ValueError(f'a score {name!r} is registered already: choose another name')
        SCORES[name] = RegisteredScore(function, title or name)
        return function

    return register


def evaluate_score(name: str, predictions: WeightedPredictions) -> np.ndarray:
    """A registered score under every weighting, float64 (B,).

    Raises:
        ValueError: The function returns another number of values.
    """
    with np.errstate(invalid='ignore', divide='ignore'):
        values = np.asarray(SCORES[name].function(predictions), dtype=np.float64)
    if values.shape != predictions.weights.shape[:1]:
        raise ValueError(
            f'score {name!r} returns an array of shape {values.shape}; one value for each of the '
            f'{len(predictions.weights)} weightings was expected'
        )
    return values


def try_score(name: str) -> None:
    """Compute a registered score of six images, before a benchmark trains for it.

    Raises:
        ProtocolError: It fails, or returns another number of values.
    """
    labels = np.array([0, 1, 0, 1, 0, 1])
    certain = np.array([0.9, 0.2, 0.6, 0.3, 0.4, 0.7])  # of the first class; two are wrong
    probabilities = np.stack([certain, 1 - certain], axis=1)
    try:
        evaluate_score(name, WeightedPredictions(probabilities, labels, np.ones((2, 6))))
    except Exception as error:
        raise ProtocolError(
            f'the score {name!r} cannot be computed of six images of two classes: '
            f'{type(error).__name__}: {error} ({where_raised(error)})'
        ) from error


def scores_from_confusion(confusion: np.ndarray) -> Dict[str, np.ndarray]:
    """The metrics that a confusion matrix decides, for many matrices at once.

    The same values as :func:`~cellgan_plugin.benchmark.scores.compute_scores`.

    Args:
        confusion (np.ndarray): Counts or weights, (..., K, K), rows: true classes.

    Returns:
        dict[str, np.ndarray]: Metric to float64 (...); NaN where it cannot be computed.
    """
    support, taken = confusion.sum(axis=-1), confusion.sum(axis=-2)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    total = support.sum(axis=-1, keepdims=True)
    with np.errstate(invalid='ignore', divide='ignore'):
        recall = hits / support
        precision = np.where(taken > 0, hits / taken, 0.0)
        f1 = 2 * hits / (support + taken)
        specificity = (total - support - taken + hits) / (total - support)
    present = support > 0

    def macro(values: np.ndarray) -> np.ndarray:
        # NaN stays NaN among the classes that count.
        return np.where(present, values, 0.0).sum(axis=-1) / present.sum(axis=-1)

    binary = confusion.shape[-1] == 2
    return dict(
        accuracy=hits.sum(axis=-1) / total[..., 0],
        precision=macro(precision),
        recall=macro(recall),
        f1=macro(f1),
        sensitivity=recall[..., 1] if binary else macro(recall),
        specificity=specificity[..., 1] if binary else macro(specificity),
    )


def weighted_auc(weights: np.ndarray, scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Area under the ROC curve for many weightings of the same images.

    The chance that a positive image scores higher than a negative one, ties counting half.

    Args:
        weights (np.ndarray): (B, N), non-negative.
        scores (np.ndarray): (N,).
        positive (np.ndarray): bool (N,).

    Returns:
        np.ndarray: (B,); NaN where all weight is on one side.
    """
    columns = weights.T  # memory is in this order, see the bootstrap's draws
    up = columns[positive]
    negative = np.flatnonzero(~positive)
    negative = negative[np.argsort(scores[negative])]
    below = np.zeros((len(negative) + 1, len(weights)))  # weight of the n lowest negative images
    np.cumsum(columns[negative], axis=0, out=below[1:])
    # Of the negative images with the score of a positive one, half count as lower.
    ends = [np.searchsorted(scores[negative], scores[positive], side) for side in ('left', 'right')]
    won = (up * (below[ends[0]] + below[ends[1]])).sum(axis=0) / 2
    with np.errstate(invalid='ignore', divide='ignore'):
        return won / (up.sum(axis=0) * below[-1])


for _name, _title in (
    ('accuracy', 'Accuracy'),
    ('precision', 'Precision'),
    ('recall', 'Recall'),
    ('f1', 'F1'),
):
    register_score(_name, _title)(lambda p, name=_name: p.from_confusion[name])


@register_score('auc', 'AUC')
def _auc(predictions: WeightedPredictions) -> np.ndarray:
    """Macro one-vs-rest AUC over the classes that were drawn, as the other macro values."""
    labels, probabilities = predictions.labels, predictions.probabilities
    count = probabilities.shape[1]
    if len(np.unique(labels)) < count:
        return np.full(len(predictions.weights), np.nan)
    areas = [
        weighted_auc(predictions.weights, probabilities[:, k], labels == k) for k in range(count)
    ]
    drawn = np.isfinite(areas)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(drawn, areas, 0).sum(axis=0) / drawn.sum(axis=0)


for _name, _title in (('sensitivity', 'Sensitivity'), ('specificity', 'Specificity')):
    register_score(_name, _title)(lambda p, name=_name: p.from_confusion[name])
# Those that compute_scores has from scikit-learn.
BUILT_IN = tuple(SCORES)


@register_score('paper_auc', 'AUC as printed: 1 - 2/3 (1 - accuracy)')
def _paper_auc(predictions: WeightedPredictions) -> np.ndarray:
    """What HistoGAN's Tables 1 and 2 print as AUC, in all 15 rows: no area under a ROC curve.

    It is the micro-averaged AUC of hard decisions over four classes, (sensitivity + specificity) /
    2 with sensitivity = accuracy and specificity = 1 - (1 - accuracy) / 3, of the two-class data
    too.
    """
    return 1 - 2 / 3 * (1 - predictions.from_confusion['accuracy'])
