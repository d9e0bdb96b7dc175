"""Evaluating segmentations and images made from masks: pure functions of arrays."""

from .calibration import Calibration, calibration_of
from .confusion import PixelScores, confusion_matrix, pixel_scores
from .images import ImageScores, ObjectRule, part_name, part_scores, score_image
from .instances import dense_labels, split_instances
from .objects import (
    ObjectStatistics,
    hausdorff_distance,
    object_metrics,
    object_statistics,
    pooled,
)
from .similarity import Similarity, ms_ssim, sample_similarity

__all__ = [
    'Calibration',
    'calibration_of',
    'ImageScores',
    'ObjectRule',
    'ObjectStatistics',
    'PixelScores',
    'Similarity',
    'confusion_matrix',
    'dense_labels',
    'hausdorff_distance',
    'ms_ssim',
    'object_metrics',
    'object_statistics',
    'part_name',
    'part_scores',
    'pixel_scores',
    'pooled',
    'sample_similarity',
    'score_image',
    'split_instances',
]
