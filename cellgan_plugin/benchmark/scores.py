"""Scores of a classifier on one test set. The arithmetic is scikit-learn's."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from cellgan_plugin.benchmark.score_registry import (
    BUILT_IN,
    SCORES,
    WeightedPredictions,
    evaluate_score,
)

_SUM_TOLERANCE = 0.02  # softmax in bfloat16 is off by this much

Array = Union[np.ndarray, torch.Tensor, Sequence]


class ScoreError(ValueError):
    """Predictions that cannot be scored; the message says what was expected."""


@dataclass(frozen=True)
class Scores:
    """What one classifier reaches on one test set.

    All in [0, 1]. Macro values are means over the classes that have test images; a class that is
    never predicted has precision 0 and F1 0 and counts in them.

    Attributes:
        classes (tuple[str]): Class names in the order of the labels.
        num_images (int): Test images.
        accuracy (float): Share of correct predictions.
        precision (float): Macro precision.
        recall (float): Macro recall.
        f1 (float): Macro F1: the mean of the classes' F1, as scikit-learn has it.
        auc (float | None): Macro one-vs-rest area under the ROC curve; None when a class has no
            test image (or is the only one).
        sensitivity (float | None): Of two classes the recall of the second, the positive one; of
            more the macro recall. (HistoGAN's Table 1 has another arithmetic: docs/benchmark.md.)
        specificity (float | None): Of two classes the recall of the first; of more the macro mean
            of the share of other classes' images that are not taken for this one. None, as
            sensitivity, where there is no image to compute it on.
        per_class (tuple[dict]): Per class ``class``, ``support`` (test images), ``predicted``
            (images taken for it), ``precision``, ``recall``, ``f1``, ``specificity``, ``auc``;
            None where it cannot be computed.
        confusion (tuple[tuple[int]]): Row: true class, column: predicted class.
        further (dict[str, float | None]): Registered scores beside the above
            (:func:`~cellgan_plugin.benchmark.score_registry.register_score`).
        notes (tuple[str]): Why a value is None, or 0 without having been measured.
    """

    classes: Tuple[str, ...]
    num_images: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    auc: Optional[float]
    sensitivity: Optional[float]
    specificity: Optional[float]
    per_class: Tuple[Dict[str, Any], ...]
    confusion: Tuple[Tuple[int, ...], ...]
    notes: Tuple[str, ...] = ()
    further: Mapping[str, Optional[float]] = field(default_factory=dict)

    def values(self) -> Dict[str, Optional[float]]:
        """All scores by name."""
        return {**{name: getattr(self, name) for name in BUILT_IN}, **self.further}

    def to_dict(self) -> Dict[str, Any]:
        """Plain containers for JSON."""
        return dict(
            classes=list(self.classes),
            num_images=self.num_images,
            **self.values(),
            per_class=[dict(row) for row in self.per_class],
            confusion=[list(row) for row in self.confusion],
            notes=list(self.notes),
        )


def check_predictions(
    probabilities: Array, labels: Array, num_classes: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Check the form of predictions.

    Args:
        probabilities (array): (N, K), rows of sum 1.
        labels (array): (N,), integers in [0, K).
        num_classes (int): K, 2 or more.

    Returns:
        tuple[np.ndarray, np.ndarray]: float64 (N, K) and int64 (N,).

    Raises:
        ScoreError: Another shape, NaN, values that are no probabilities, unknown labels.
    """
    probabilities, labels = _as_array(probabilities), _as_array(labels)
    if num_classes < 2:
        raise ScoreError(f'two or more classes are needed, got {num_classes}')
    if probabilities.ndim != 2 or probabilities.shape[1] != num_classes or labels.ndim != 1:
        raise ScoreError(
            f'probabilities of shape (N, {num_classes}) and labels of shape (N,) were expected; '
            f'got {probabilities.shape} and {labels.shape}'
        )
    if len(labels) != len(probabilities) or len(labels) == 0:
        raise ScoreError(
            f'{len(probabilities)} predictions for {len(labels)} labels: one each, and at least '
            'one, were expected'
        )
    if labels.dtype.kind not in 'iu' or labels.min() < 0 or labels.max() >= num_classes:
        raise ScoreError(
            f'labels are integers from 0 to {num_classes - 1}; got {labels.dtype} from '
            f'{labels.min()} to {labels.max()}'
        )
    probabilities = probabilities.astype(np.float64)
    sums = probabilities.sum(axis=1)
    bad = ~(np.abs(sums - 1) <= _SUM_TOLERANCE) | (probabilities < -_SUM_TOLERANCE).any(axis=1)
    if bad.any():  # NaN fails the comparison and is among them
        row = int(np.flatnonzero(bad)[0])
        raise ScoreError(
            f'{bad.sum()} of {len(bad)} rows are no probabilities, the first is row {row}: '
            f'{probabilities[row].tolist()}. Give the softmax of the logits; NaN means that the '
            'classifier did not train'
        )
    return probabilities, labels.astype(np.int64)


def _as_array(values: Array) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values)


def compute_scores(probabilities: Array, labels: Array, classes: Sequence[str]) -> Scores:
    """Score predictions. The predicted class is the most probable one, of equals the first.

    Args:
        probabilities (np.ndarray | torch.Tensor): (N, K), rows of sum 1.
        labels (np.ndarray | torch.Tensor): True classes, (N,), integers in [0, K).
        classes (Sequence[str]): K names.

    Returns:
        Scores: See there for what is done with classes that are absent or never predicted.

    Raises:
        ScoreError: See :func:`check_predictions`.
    """
    count = len(classes)
    probabilities, labels = check_predictions(probabilities, labels, count)
    predicted = probabilities.argmax(axis=1)
    names = range(count)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=names, average=None, zero_division=0
    )
    binary = multilabel_confusion_matrix(labels, predicted, labels=names)  # [[tn, fp], [fn, tp]]
    others = binary[:, 0].sum(axis=1)
    taken = binary[:, :, 1].sum(axis=1)
    rows: List[Dict[str, Any]] = []
    for k, name in enumerate(classes):
        present = bool(support[k])
        rows.append(
            {
                'class': name,
                'support': int(support[k]),
                'predicted': int(taken[k]),
                'precision': float(precision[k]) if present or taken[k] else None,
                'recall': float(recall[k]) if present else None,
                'f1': float(f1[k]) if present or taken[k] else None,
                'specificity': float(binary[k, 0, 0] / others[k]) if others[k] else None,
                'auc': float(roc_auc_score(labels == k, probabilities[:, k]))
                if present and others[k]
                else None,
            }
        )
    present_rows = [row for row in rows if row['support']]
    notes = []
    absent = [row['class'] for row in rows if not row['support']]
    if absent:
        notes.append(
            f'no test image of {", ".join(absent)}: AUC cannot be computed, macro values are over '
            'the other classes'
        )
    unseen = [row['class'] for row in present_rows if not row['predicted']]
    if unseen:
        notes.append(f'never predicted, so of precision and F1 0: {", ".join(unseen)}')
    if len(present_rows) == 1:
        notes.append(
            f'all test images are of class {present_rows[0]["class"]}: specificity '
            f'{"or sensitivity " if count == 2 else ""}cannot be computed'
        )

    def macro(metric: str) -> Optional[float]:
        values = [row[metric] for row in present_rows]
        return None if None in values else float(np.mean(values))

    if count == 2:
        sensitivity, specificity = rows[1]['recall'], rows[1]['specificity']
    else:
        sensitivity, specificity = macro('recall'), macro('specificity')
    return Scores(
        classes=tuple(classes),
        num_images=len(labels),
        accuracy=float(accuracy_score(labels, predicted)),
        precision=macro('precision'),
        recall=macro('recall'),
        f1=macro('f1'),
        auc=None if absent else macro('auc'),
        sensitivity=sensitivity,
        specificity=specificity,
        per_class=tuple(rows),
        confusion=tuple(
            tuple(map(int, row)) for row in confusion_matrix(labels, predicted, labels=names)
        ),
        notes=tuple(notes),
        further=_further(probabilities, labels),
    )


def _further(probabilities: np.ndarray, labels: np.ndarray) -> Dict[str, Optional[float]]:
    """Scores that were registered beside the built-in ones."""
    once = WeightedPredictions(probabilities, labels, np.ones((1, len(labels))))
    values = {name: evaluate_score(name, once)[0] for name in SCORES if name not in BUILT_IN}
    return {name: float(value) if np.isfinite(value) else None for name, value in values.items()}
