"""Distances between sets of images: pure functions of their feature matrices.

Every function takes feature matrices of shape (images, features), numpy arrays or torch tensors
of any floating point type, computes on the tensor's device in float64 unless told otherwise,
leaves its input as it was and returns plain numbers or numpy arrays. This module is the address of
all of them; they live, by kind, in the modules it imports from.
"""

from cellgan_plugin.evaluation.frechet import frechet_distance, frechet_distance_from_statistics
from cellgan_plugin.evaluation.kernel import KernelDistance, kernel_distance
from cellgan_plugin.evaluation.matrices import (
    DistanceOptionError,
    FeatureMatrixError,
    FeatureShapeError,
    FeatureTypeError,
    NonFiniteFeaturesError,
    TooFewImagesError,
)
from cellgan_plugin.evaluation.neighbours import (
    PrecisionRecallDensityCoverage,
    TrainingNeighbours,
    nearest_training_neighbours,
    precision_recall_density_coverage,
)
from cellgan_plugin.evaluation.uncertainty import (
    FrechetInfinity,
    Interval,
    bootstrap_interval,
    frechet_distance_infinity,
    smoothed_curve,
)

__all__ = [
    'DistanceOptionError',
    'FeatureMatrixError',
    'FeatureShapeError',
    'FeatureTypeError',
    'FrechetInfinity',
    'Interval',
    'KernelDistance',
    'NonFiniteFeaturesError',
    'PrecisionRecallDensityCoverage',
    'TooFewImagesError',
    'TrainingNeighbours',
    'bootstrap_interval',
    'frechet_distance',
    'frechet_distance_from_statistics',
    'frechet_distance_infinity',
    'kernel_distance',
    'nearest_training_neighbours',
    'precision_recall_density_coverage',
    'smoothed_curve',
]
