"""The metrics of the GlaS challenge: object F1, object Dice and object Hausdorff distance.

Sirinukunwattana et al. 2017, "Gland segmentation in colon histology images: The GlaS challenge
contest", Sec. 6, and the definitions on the challenge's page: objects of *all images* of a test
part are weighted by their area together, so statistics of images are summed and then divided
(:class:`ObjectStatistics`), not averaged over images.
"""

from dataclasses import dataclass, fields
from typing import Dict, Iterable, Tuple

import cv2
import numpy as np

from cellgan_plugin.evaluation.segmentation.instances import dense_labels

Box = Tuple[slice, slice]


@dataclass(frozen=True)
class ObjectStatistics:
    """What the three metrics need of an image; of several images they add up.

    Attributes:
        images (int): Images.
        true_positives (int): Predicted objects that cover more than half of their true object.
        false_positives (int): Other predicted objects.
        false_negatives (int): True objects less true positives.
        pred_area (float): Pixels of predicted objects.
        true_area (float): Pixels of true objects.
        pred_dice (float): Sum over predicted objects of area x Dice with their true object.
        true_dice (float): Sum over true objects of area x Dice with their predicted object.
        pred_hausdorff (float): Sum over predicted objects of area x Hausdorff distance.
        true_hausdorff (float): Sum over true objects of area x Hausdorff distance.
        one_sided (int): Images with objects on one side only, where no Hausdorff distance exists.
        with_hausdorff (bool): False when the distances were left out.
    """

    images: int = 0
    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    pred_area: float = 0.0
    true_area: float = 0.0
    pred_dice: float = 0.0
    true_dice: float = 0.0
    pred_hausdorff: float = 0.0
    true_hausdorff: float = 0.0
    one_sided: int = 0
    with_hausdorff: bool = True

    def __add__(self, other: 'ObjectStatistics') -> 'ObjectStatistics':
        if not isinstance(other, ObjectStatistics):
            return NotImplemented
        sums = {
            f.name: getattr(self, f.name) + getattr(other, f.name)
            for f in fields(self)
            if f.name != 'with_hausdorff'
        }
        return ObjectStatistics(**sums, with_hausdorff=self.with_hausdorff and other.with_hausdorff)

    @property
    def precision(self) -> float:
        """TP / (TP + FP); 1 where there is no object at all."""
        return self._ratio(self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); 1 where there is no object at all."""
        return self._ratio(self.true_positives + self.false_negatives)

    def _ratio(self, count: int) -> float:
        if count:
            return self.true_positives / count
        return 1.0 if self.pred_area == self.true_area == 0 else 0.0

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), in [0, 1]; 1 where there is no object at all."""
        wrong = self.false_positives + self.false_negatives
        if self.true_positives + wrong == 0:
            return 1.0
        return 2 * self.true_positives / (2 * self.true_positives + wrong)

    @property
    def dice(self) -> float:
        """Object-level Dice index, in [0, 1]; 1 where there is no object at all, 0 on one side."""
        return self._weighted(self.pred_dice, self.true_dice, 1.0, 0.0)

    @property
    def hausdorff(self) -> float:
        """Object-level Hausdorff distance in pixels.

        0 where there is no object at all, infinite where only one side has objects and the
        distances were not bounded, NaN when they were left out.
        """
        if not self.with_hausdorff:
            return float('nan')
        return self._weighted(self.pred_hausdorff, self.true_hausdorff, 0.0, float('inf'))

    def _weighted(self, pred: float, true: float, both: float, one: float) -> float:
        if self.pred_area and self.true_area:
            return 0.5 * (pred / self.pred_area + true / self.true_area)
        if not self.pred_area and not self.true_area:
            return both
        # One side has no weights to sum; what the other side says holds for both.
        area = self.pred_area or self.true_area
        return (pred + true) / area if pred + true > 0 else one

    def as_dict(self) -> Dict[str, float]:
        """The metrics and counts by name."""
        return dict(
            object_f1=self.f1,
            object_dice=self.dice,
            object_hausdorff=self.hausdorff,
            object_precision=self.precision,
            object_recall=self.recall,
            true_positives=self.true_positives,
            false_positives=self.false_positives,
            false_negatives=self.false_negatives,
            one_sided_images=self.one_sided,
        )


def pooled(statistics: Iterable[ObjectStatistics]) -> ObjectStatistics:
    """The statistics of all images together, as the challenge defines its metrics."""
    return sum(statistics, ObjectStatistics())


def object_statistics(
    pred: np.ndarray,
    true: np.ndarray,
    hausdorff: bool = True,
    one_sided: str = 'diagonal',
) -> ObjectStatistics:
    """Compare the objects of one image.

    - The counterpart of an object is the object of the other map that it shares most pixels with
      (the one of the smaller id when two share as many).
    - F1: a predicted object is a true positive when it covers more than half of its counterpart.
      The paper writes "at least 50 %", its program ``> 0.5``; at exactly half, two predicted
      objects could both claim one true object, so this follows the program.
    - Dice: an object without counterpart has Dice 0.
    - Hausdorff: the counterpart of an object that overlaps nothing is the object of the smallest
      Hausdorff distance.

    Args:
        pred (np.ndarray): Object ids (H, W), integers, 0 background.
        true (np.ndarray): Object ids (H, W).
        hausdorff (bool): Also the Hausdorff distances. Defaults to True.
        one_sided (str): The distance of objects in an image whose other map has none.
            ``'diagonal'``: the diagonal of the image, the largest distance that it has room for.
            ``'inf'``: infinite, which makes that of the whole test part infinite.
            Defaults to 'diagonal'.

    Returns:
        ObjectStatistics: Of one image.

    Raises:
        ValueError: Maps of different shapes, or no maps of object ids.
    """
    if one_sided not in ('diagonal', 'inf'):
        raise ValueError(f"one_sided={one_sided!r}: 'diagonal' or 'inf'")
    pred, true = np.asarray(pred), np.asarray(true)
    if pred.shape != true.shape:
        raise ValueError(
            f'the predicted map has shape {pred.shape}, the true one {true.shape}: they must be of '
            'the same image, at the same size'
        )
    pred, num_pred = dense_labels(pred, 'predicted objects')
    true, num_true = dense_labels(true, 'true objects')
    rows, columns, shared = _overlaps(pred, true, num_true)
    pred_area = np.bincount(pred.ravel(), minlength=num_pred + 1)[1:].astype(np.int64)
    true_area = np.bincount(true.ravel(), minlength=num_true + 1)[1:].astype(np.int64)
    of_pred, shared_pred = _largest(rows, columns, shared, num_pred)
    of_true, shared_true = _largest(columns, rows, shared, num_true)

    hit = np.zeros(num_pred, dtype=bool)
    found = of_pred >= 0
    hit[found] = 2 * shared_pred[found] > true_area[of_pred[found]]
    tp = int(hit.sum())
    sums = dict(
        images=1,
        true_positives=tp,
        false_positives=num_pred - tp,
        false_negatives=num_true - tp,
        pred_area=float(pred_area.sum()),
        true_area=float(true_area.sum()),
        pred_dice=_dice_sum(pred_area, true_area, of_pred, shared_pred),
        true_dice=_dice_sum(true_area, pred_area, of_true, shared_true),
        one_sided=int((num_pred == 0) != (num_true == 0)),
        with_hausdorff=hausdorff,
    )
    if hausdorff and sums['one_sided']:
        worst = float(np.hypot(*pred.shape)) if one_sided == 'diagonal' else float('inf')
        sums['pred_hausdorff'] = worst * sums['pred_area'] if num_pred else 0.0
        sums['true_hausdorff'] = worst * sums['true_area'] if num_true else 0.0
    elif hausdorff and num_pred:
        distances = _Distances(pred, true)
        sums['pred_hausdorff'] = float(pred_area @ distances.of_pred(of_pred))
        sums['true_hausdorff'] = float(true_area @ distances.of_true(of_true))
    return ObjectStatistics(**sums)


def _overlaps(pred: np.ndarray, true: np.ndarray, num_true: int) -> Tuple[np.ndarray, ...]:
    """Pairs of objects that overlap, from 0, and their shared pixels."""
    both = (pred > 0) & (true > 0)
    codes = (pred[both].astype(np.int64) - 1) * num_true + (true[both] - 1)
    codes, shared = np.unique(codes, return_counts=True)
    return codes // max(num_true, 1), codes % max(num_true, 1), shared


def _largest(
    rows: np.ndarray, columns: np.ndarray, shared: np.ndarray, count: int
) -> Tuple[np.ndarray, np.ndarray]:
    """For each of ``count`` rows the column of the largest entry, and the entry.

    Of equal entries the smaller column; rows without an entry have column -1.
    """
    order = np.lexsort((columns, -shared, rows))
    found, first = np.unique(rows[order], return_index=True)
    best = np.full(count, -1, dtype=np.int64)
    largest = np.zeros(count, dtype=np.int64)
    best[found] = columns[order[first]]
    largest[found] = shared[order[first]]
    return best, largest


def _dice_sum(
    area: np.ndarray, other_area: np.ndarray, other: np.ndarray, shared: np.ndarray
) -> float:
    found = other >= 0
    dice = 2 * shared[found] / (area[found] + other_area[other[found]])
    return float(area[found] @ dice)


class _Distances:
    """Hausdorff distances between objects of two dense label maps, each pair computed once."""

    def __init__(self, pred: np.ndarray, true: np.ndarray):
        from scipy import ndimage  # not with the package: it takes half a second

        self.maps = pred, true
        self.boxes = tuple(ndimage.find_objects(labels) for labels in self.maps)
        # Rows: first and last row and column of each object.
        self.edges = tuple(
            np.array([[b[0].start, b[0].stop, b[1].start, b[1].stop] for b in boxes])
            for boxes in self.boxes
        )
        self.known: Dict[Tuple[int, int], float] = {}

    def of_pred(self, match: np.ndarray) -> np.ndarray:
        """Distance of every predicted object to its counterpart (-1: the nearest one)."""
        return np.array(
            [self.pair(i, j) if j >= 0 else self._nearest(i, 0) for i, j in enumerate(match)]
        )

    def of_true(self, match: np.ndarray) -> np.ndarray:
        """Distance of every true object to its counterpart (-1: the nearest one)."""
        return np.array(
            [self.pair(i, j) if i >= 0 else self._nearest(j, 1) for j, i in enumerate(match)]
        )

    def pair(self, i: int, j: int) -> float:
        """Between predicted object i and true object j, from 0."""
        key = int(i), int(j)
        if key not in self.known:
            a, b = self.boxes[0][key[0]], self.boxes[1][key[1]]
            window = tuple(
                slice(min(x.start, y.start), max(x.stop, y.stop)) for x, y in zip(a, b, strict=True)
            )
            first = self.maps[0][window] == key[0] + 1
            second = self.maps[1][window] == key[1] + 1
            self.known[key] = hausdorff_distance(first, second)
        return self.known[key]

    def _nearest(self, index: int, side: int) -> float:
        """The smallest distance to any object of the other map.

        The distance of two sets is at least that of any side of their bounding boxes; objects
        whose boxes are farther off than the best so far need not be looked at.
        """
        bounds = np.abs(self.edges[1 - side] - self.edges[side][index]).max(axis=1)
        best = float('inf')
        for other in np.argsort(bounds, kind='stable'):
            if bounds[other] >= best:
                break
            pair = (index, other) if side == 0 else (other, index)
            best = min(best, self.pair(*pair))
        return best


def hausdorff_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Hausdorff distance in px of two sets of pixels: the larger of both directed distances.

    The sets are bool (H, W) of one frame. 0 for two empty ones, infinite when one is empty.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f'sets in frames of shape {first.shape} and {second.shape}')
    empty = (not first.any()) + (not second.any())
    if empty:
        return 0.0 if empty == 2 else float('inf')
    return max(_directed(first, second), _directed(second, first))


def _directed(source: np.ndarray, target: np.ndarray) -> float:
    """The largest distance of a pixel of ``source`` to its nearest one of ``target``."""
    outside = source & ~target
    if not outside.any():
        return 0.0
    away = cv2.distanceTransform((~target).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squared distances of pixels are whole numbers; the transform is exact up to its float32.
    squared = float(away[outside].max()) ** 2
    return float(np.sqrt(round(squared)))


def object_metrics(pred: np.ndarray, true: np.ndarray) -> Dict[str, float]:
    """Object F1, Dice and Hausdorff distance by name, of object ids (H, W); 0 is background."""
    return object_statistics(pred, true).as_dict()
