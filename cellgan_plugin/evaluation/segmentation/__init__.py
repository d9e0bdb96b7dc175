"""Judging segmentations and images made from masks: pure functions of arrays."""

from .confusion import PixelScores, confusion_matrix, pixel_scores
from .instances import dense_labels, split_instances
from .objects import (
    ObjectStatistics,
    hausdorff_distance,
    object_metrics,
    object_statistics,
    part_statistics,
    pooled,
)
from .similarity import Similarity, ms_ssim, sample_similarity

__all__ = [
    'ObjectStatistics',
    'PixelScores',
    'Similarity',
    'confusion_matrix',
    'dense_labels',
    'hausdorff_distance',
    'ms_ssim',
    'object_metrics',
    'object_statistics',
    'part_statistics',
    'pixel_scores',
    'pooled',
    'sample_similarity',
    'split_instances',
]
