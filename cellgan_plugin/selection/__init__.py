"""Selective augmentation: which synthetic images are worth training on (HistoGAN, Sec. 3.2)."""

from .centroids import Centroids, CentroidSums
from .extractor import McDropoutClassifier
from .rules import SELECTION_RULES, ClassPool, PoolError, SelectionRule, build_rule
from .scores import CandidateScores, ScoreError, score_batch
from .scoring import compute_centroids, score_candidates
from .table import SelectionTable

__all__ = [
    'SELECTION_RULES',
    'CandidateScores',
    'CentroidSums',
    'Centroids',
    'ClassPool',
    'McDropoutClassifier',
    'PoolError',
    'ScoreError',
    'SelectionRule',
    'SelectionTable',
    'build_rule',
    'compute_centroids',
    'score_batch',
    'score_candidates',
]
