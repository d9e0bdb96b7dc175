"""Metrics of segmentations for MMEngine's loops: thin, over :mod:`..segmentation`."""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from mmagic.registry import METRICS
from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric

from cellgan_plugin.evaluation.segmentation import (
    ImageScores,
    ObjectRule,
    part_name,
    part_scores,
    score_image,
)


def _array(value: Any) -> Optional[np.ndarray]:
    """A map (H, W) from a tensor, an array or a PixelData (or its dict); None stays None."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = value.get('data')
    value = getattr(value, 'data', value) if hasattr(value, 'metainfo') else value
    array = value.detach().cpu().numpy() if hasattr(value, 'detach') else np.asarray(value)
    return array[0] if array.ndim == 3 and array.shape[0] == 1 else array


@METRICS.register_module()
class SegmentationScores(BaseMetric):
    """Pixel scores and, where objects are evaluated, the GlaS challenge's metrics, of whole images.

    Reads ``pred_sem_seg`` and ``gt_sem_seg`` ((H, W) class ids), ``gt_instances`` ((H, W) object
    ids, where there are any) and ``img_path`` of every data sample. Values are those of all images
    pooled: ``mIoU``, ``NLL`` and ``ECE`` (of models that give ``calibration``), ``OPA``, ``SMA``,
    ``J/<class>``, ``object_f1``, ``object_dice``, ``object_hausdorff``, ...; with several parts
    also ``A/mIoU``, ... Each image counts once, on any number of ranks and however a sampler pads.

    Args:
        parts (Mapping[str, str], optional): Part of the test set -> what file names of its images
            start with, e.g. ``dict(A='testA_', B='testB_')``. Defaults to None: no parts.
        objects (bool): Evaluate objects. Defaults to True.
        rule (dict, optional): Arguments of :class:`ObjectRule`: ``min_area``, ``fill_holes``,
            ``connectivity``, ``hausdorff``. Defaults to None: its defaults.
        ignore_index (int): Of the true masks. Defaults to 255.
        prefix (str, optional): Put before the names. Defaults to None.

    Attributes:
        images (list[ImageScores]): Of the latest evaluation, by name; on every rank.
    """

    default_prefix = ''

    def __init__(
        self,
        parts: Optional[Mapping[str, str]] = None,
        objects: bool = True,
        rule: Optional[dict] = None,
        ignore_index: int = 255,
        prefix: Optional[str] = None,
    ):
        super().__init__(prefix=prefix)
        self.parts = dict(parts or {})
        self.rule = ObjectRule(**(rule or {})) if objects else None
        self.ignore_index = ignore_index
        self.images: List[ImageScores] = []
        self.results: List[Tuple[Any, ImageScores]] = []

    @property
    def classes(self) -> Tuple[str, ...]:
        """Class names of the data set."""
        classes = (self.dataset_meta or {}).get('classes')
        if not classes:
            raise ValueError(
                'SegmentationScores: the data set does not name its classes (metainfo.classes)'
            )
        return tuple(classes)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Score the images of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Predictions of the model.
        """
        for sample in data_samples:
            missing = [key for key in ('pred_sem_seg', 'gt_sem_seg') if sample.get(key) is None]
            if missing:
                raise ValueError(
                    f'{sample.get("img_path")}: the data sample has no {missing[0]}; the model '
                    'gives pred_sem_seg, and gt_sem_seg of a data set with masks'
                )
            name = str(sample.get('img_path') or sample.get('sample_idx'))
            scores = score_image(
                name,
                _array(sample['pred_sem_seg']),
                _array(sample['gt_sem_seg']),
                len(self.classes),
                part_name(name, self.parts),
                _array(sample.get('gt_instances')),
                self.rule,
                ignore_index=self.ignore_index,
            )
            if sample.get('calibration') is not None:
                scores.calibration = np.asarray(sample['calibration'])
            self.results.append((sample.get('sample_idx', name), scores))

    def evaluate(self, size: int) -> Dict[str, float]:
        """Bring the images of all ranks together and score them.

        Not the base class's gathering, which goes by position and would count an image twice, or
        drop one, when ranks have different numbers of images.

        Args:
            size (int): Not used: images that a sampler repeats are known by their index.
        """
        scored: Dict[Any, ImageScores] = {}
        for of_rank in all_gather_object(self.results):
            scored.update(of_rank)
        self.results.clear()
        values = self.compute_metrics(sorted(scored.values(), key=lambda image: image.name))
        return {f'{self.prefix}/{k}' if self.prefix else k: v for k, v in values.items()}

    def compute_metrics(self, results: List[ImageScores]) -> Dict[str, float]:
        """Pooled scores by name.

        Args:
            results (list[ImageScores]): One per image.
        """
        self.images = list(results)
        by_part = part_scores(self.images, self.classes)
        together = by_part.pop(list(by_part)[-1]) if by_part else {}
        values = {k: float(v) for k, v in together.items() if k != 'images'}
        for part, scores in by_part.items():
            values.update({f'{part}/{k}': float(v) for k, v in scores.items() if k != 'images'})
        return values
