"""Evaluating generated images: features, distances, and the metrics that bring them together."""

from .backbones import BackboneFeatures, ClassifierFeatures
from .class_table import ClassRow, TableOptions, class_table
from .extractors import (
    FeatureExtractor,
    InceptionFeatures,
    build_extractor,
)
from .features import FeatureSet
from .metrics import ClassDistances, SegmentationScores

__all__ = [
    'BackboneFeatures',
    'ClassDistances',
    'ClassifierFeatures',
    'FeatureExtractor',
    'FeatureSet',
    'InceptionFeatures',
    'ClassRow',
    'SegmentationScores',
    'TableOptions',
    'build_extractor',
    'class_table',
]
