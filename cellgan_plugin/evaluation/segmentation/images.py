"""Scores of whole images, and of the parts of a test set that they belong to."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from cellgan_plugin.evaluation.segmentation.calibration import calibration_of
from cellgan_plugin.evaluation.segmentation.confusion import confusion_matrix, pixel_scores
from cellgan_plugin.evaluation.segmentation.instances import split_instances
from cellgan_plugin.evaluation.segmentation.objects import (
    ObjectStatistics,
    object_statistics,
    pooled,
)

TOGETHER = 'together'


@dataclass(frozen=True)
class ObjectRule:
    """How a semantic mask becomes objects.

    Attributes:
        min_area (int): Smaller predicted objects are removed, in pixels. Defaults to 0.
        fill_holes (bool): Fill holes of predicted objects. Defaults to False.
        connectivity (int): 4 or 8. Defaults to 8.
        hausdorff (bool): Also compute Hausdorff distances. Defaults to True.

    All classes but 0 are objects alike: the challenge asks for glands, of whatever type.
    """

    min_area: int = 0
    fill_holes: bool = False
    connectivity: int = 8
    hausdorff: bool = True

    def predicted(self, semantic: np.ndarray) -> np.ndarray:
        """Objects of a predicted mask, int32 (H, W)."""
        return split_instances(
            semantic != 0, self.min_area, self.fill_holes, self.connectivity, background=0
        )


@dataclass
class ImageScores:
    """What is known of one image.

    Attributes:
        name (str): Of the image.
        part (str): Of the test set, e.g. ``'A'``.
        confusion (np.ndarray): int64 (K, K).
        objects (ObjectStatistics | None): None where objects are not evaluated.
        notes (list[str]): What a reader should know.
        calibration (np.ndarray | None): float64 (bins, 4), see
            :func:`~cellgan_plugin.models.calibration.calibration_sums`; None where the
            probabilities are not known.
    """

    name: str
    part: str
    confusion: np.ndarray
    objects: Optional[ObjectStatistics] = None
    notes: List[str] = field(default_factory=list)
    calibration: Optional[np.ndarray] = None

    def values(self, classes: Optional[Sequence[str]] = None) -> Dict[str, float]:
        """All scores of this image by name."""
        scores = pixel_scores(self.confusion).as_dict(classes)
        if self.calibration is not None:
            scores.update(calibration_of(self.calibration).as_dict())
        if self.objects is not None:
            scores.update(self.objects.as_dict())
        return scores


def score_image(
    name: str,
    pred: np.ndarray,
    true: np.ndarray,
    num_classes: int,
    part: str = '',
    instances: Optional[np.ndarray] = None,
    rule: Optional[ObjectRule] = None,
    pred_instances: Optional[np.ndarray] = None,
    ignore_index: int = 255,
) -> ImageScores:
    """Compare the predicted masks of a whole image with the true ones.

    Args:
        name (str): Of the image, for messages.
        pred (np.ndarray): Predicted class ids (H, W).
        true (np.ndarray): True class ids (H, W); ``ignore_index`` is left out, of objects too.
        num_classes (int): K.
        part (str): Of the test set. Defaults to ''.
        instances (np.ndarray, optional): True object ids (H, W). Defaults to None: the connected
            components of the true mask, where objects that touch are one; a note says so.
        rule (ObjectRule, optional): How predicted objects are found; None: objects are not
            evaluated.
        pred_instances (np.ndarray, optional): Predicted object ids, in place of ``rule``'s.
        ignore_index (int): Defaults to 255.

    Raises:
        ValueError: Masks that cannot be compared; the message names the image.
    """
    pred, true = np.asarray(pred), np.asarray(true)
    try:
        confusion = confusion_matrix(true, pred, num_classes, ignore_index)
        scores = ImageScores(name, part, confusion)
        if rule is None:
            return scores
        ignored = true == ignore_index
        if pred_instances is None:
            pred_instances = rule.predicted(pred)
        if instances is None:
            instances = split_instances((true != 0) & ~ignored, connectivity=rule.connectivity)
            scores.notes.append('true objects are connected components: no instance ids are given')
        if ignored.any():
            pred_instances, instances = (
                np.where(ignored, 0, labels) for labels in (pred_instances, instances)
            )
        scores.objects = object_statistics(pred_instances, instances, rule.hausdorff)
    except ValueError as error:
        raise ValueError(f'{name}: {error}') from error
    return scores


def part_name(name: str, parts: Mapping[str, str]) -> str:
    """Which part of a test set an image is of.

    Args:
        name (str): File name or path of the image.
        parts (Mapping[str, str]): Part -> what the file names of its images start with, e.g.
            ``dict(A='testA_', B='testB_')``. Empty: there are no parts.

    Returns:
        str: The part with the longest start that fits; '' where there are no parts.

    Raises:
        ValueError: The image is of none.
    """
    stem = name.replace('\\', '/').rpartition('/')[2]
    fitting = [part for part, start in parts.items() if stem.startswith(start)]
    if fitting:
        return max(fitting, key=lambda part: len(parts[part]))
    if not parts:
        return ''
    raise ValueError(
        f'{name}: is of no part of the test set; file names start with '
        + ', '.join(f'{start!r} ({part})' for part, start in parts.items())
    )


def part_scores(
    images: Sequence[ImageScores], classes: Optional[Sequence[str]] = None
) -> Dict[str, Dict[str, Any]]:
    """Scores of every part of a test set, and of all images together.

    Pixels and objects of all images of a part are pooled, as the GlaS challenge does and as one
    confusion matrix implies; nothing is averaged over images.

    Args:
        images (Sequence[ImageScores]): In any order.
        classes (Sequence[str], optional): Class names, for per-class Jaccard indices.

    Returns:
        dict[str, dict]: Part -> name -> value, and ``images``, their number. Parts by name,
        ``'together'`` last (alone where there are no parts).
    """
    groups: Dict[str, List[ImageScores]] = {}
    for image in images:
        groups.setdefault(image.part, []).append(image)
    if len(groups) > 1 or '' in groups:
        groups = {part: groups[part] for part in sorted(groups) if part}
        groups[TOGETHER] = list(images)
    result: Dict[str, Dict[str, Any]] = {}
    for part, members in groups.items():
        if not members:
            continue
        values: Dict[str, Any] = dict(images=len(members))
        values.update(pixel_scores(sum(image.confusion for image in members)).as_dict(classes))
        if all(image.calibration is not None for image in members):
            sums = sum(image.calibration for image in members)
            values.update(calibration_of(sums).as_dict())
        statistics = [image.objects for image in members if image.objects is not None]
        if statistics:
            values.update(pooled(statistics).as_dict())
        result[part] = values
    return result
