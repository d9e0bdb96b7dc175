"""Pixel scores of a segmentation from its confusion matrix."""

from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence

import numpy as np


def confusion_matrix(
    true: np.ndarray, pred: np.ndarray, num_classes: int, ignore_index: Optional[int] = 255
) -> np.ndarray:
    """Count pixels by true and predicted class.

    Args:
        true (np.ndarray): Class ids of any integer type and shape.
        pred (np.ndarray): Class ids of the same shape.
        num_classes (int): K; ids are 0..K-1.
        ignore_index (int, optional): True pixels of this id are not counted. Defaults to 255.

    Returns:
        np.ndarray: int64 (K, K); row: true class, column: predicted class (``C[i, j]`` of Li et
        al. 2022, Sec. 4.3.1).

    Raises:
        ValueError: Shapes differ, or an id is outside of 0..K-1.
    """
    true, pred = np.asarray(true), np.asarray(pred)
    if true.shape != pred.shape:
        raise ValueError(
            f'the true mask has shape {true.shape}, the predicted one {pred.shape}: they must be '
            'of the same image, at the same size'
        )
    for name, array in (('true', true), ('predicted', pred)):
        if array.dtype.kind not in 'iu':
            raise ValueError(f'the {name} mask is {array.dtype}; class ids are integers')
    if ignore_index is not None:
        kept = true != ignore_index
        if not kept.all():
            true, pred = true[kept], pred[kept]
    for name, array in (('true', true), ('predicted', pred)):
        if array.size and (int(array.max()) >= num_classes or int(array.min()) < 0):
            bad = int(array.max()) if int(array.max()) >= num_classes else int(array.min())
            raise ValueError(
                f'the {name} mask holds the value {bad}; with {num_classes} classes ids are 0 to '
                f'{num_classes - 1} (instance ids have to be mapped to classes first)'
            )
    # The sum of two small ids times K fits int32 and is half the memory of int64.
    codes = true.astype(np.int32).ravel() * num_classes + pred.astype(np.int32).ravel()
    counts = np.bincount(codes, minlength=num_classes * num_classes)
    return counts.astype(np.int64).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class PixelScores:
    """What a confusion matrix says.

    Attributes:
        confusion (np.ndarray): int64 (K, K), rows true, columns predicted.
        jaccard (np.ndarray): float64 (K,), J_i = C_ii / (sum_j C_ij + sum_j C_ji - C_ii); NaN for
            a class that is neither there nor predicted.
        accuracy (np.ndarray): float64 (K,), C_ii / sum_j C_ij; NaN for a class that is not there.
        mean_iou (float): Mean of ``jaccard`` over classes that have one (mIOU).
        overall_accuracy (float): sum_i C_ii / sum_ij C_ij (OPA).
        mean_accuracy (float): Mean of ``accuracy`` over classes that are there (SMA).

    All of Li et al. 2022, Sec. 4.3.1. A matrix of no pixels gives NaN.
    """

    confusion: np.ndarray
    jaccard: np.ndarray
    accuracy: np.ndarray
    mean_iou: float
    overall_accuracy: float
    mean_accuracy: float

    def as_dict(self, classes: Optional[Sequence[str]] = None) -> Dict[str, Any]:
        """The scores by name; ``J/<class>`` where class names are given."""
        values = dict(mIoU=self.mean_iou, OPA=self.overall_accuracy, SMA=self.mean_accuracy)
        for index, name in enumerate(classes or ()):
            values[f'J/{name}'] = float(self.jaccard[index])
        return values


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float('nan')


def pixel_scores(confusion: np.ndarray) -> PixelScores:
    """Scores from a confusion matrix, of one image or summed over many.

    Args:
        confusion (np.ndarray): (K, K), rows true, columns predicted.
    """
    confusion = np.asarray(confusion)
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(f'a confusion matrix is (K, K), got shape {confusion.shape}')
    hits = np.diag(confusion).astype(np.float64)
    true, pred = confusion.sum(axis=1, dtype=np.float64), confusion.sum(axis=0, dtype=np.float64)
    total = true.sum()
    with np.errstate(invalid='ignore'):
        jaccard, accuracy = hits / (true + pred - hits), hits / true
    return PixelScores(
        confusion,
        jaccard,
        accuracy,
        _mean(jaccard),
        float(hits.sum() / total) if total else float('nan'),
        _mean(accuracy),
    )
