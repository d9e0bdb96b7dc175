"""MMEngine metrics, registered in MMagic's METRICS."""

from .class_distances import ClassDistances
from .sampler import ClassSampler
from .segmentation import SegmentationScores

__all__ = ['ClassDistances', 'ClassSampler', 'SegmentationScores']
