"""Evaluating generated images: features, distances, and the metrics that bring them together."""

from .backbones import BackboneFeatures, PresetFeatures
from .class_table import ClassRow, class_table
from .classifiers import ClassifierFeatures
from .extractors import (
    FeatureExtractor,
    InceptionFeatures,
    build_extractor,
)
from .features import FeatureSet
from .metrics import ClassDistances, SegmentationScores
from .table_distances import DistanceContext, Measured, TableOptions, register_distance

__all__ = [
    'BackboneFeatures',
    'ClassDistances',
    'ClassifierFeatures',
    'DistanceContext',
    'FeatureExtractor',
    'FeatureSet',
    'InceptionFeatures',
    'Measured',
    'PresetFeatures',
    'ClassRow',
    'SegmentationScores',
    'TableOptions',
    'build_extractor',
    'class_table',
    'register_distance',
]
