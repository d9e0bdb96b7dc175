"""Scores of candidates: certainty of their class, distance to its centroid."""

from dataclasses import dataclass, fields
from typing import List, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from cellgan_plugin.selection.centroids import Centroids, own_and_nearest
from cellgan_plugin.selection.extractor import McDropoutClassifier

CENTROID_PASS = 'centroid'


class ScoreError(ValueError):
    """Scores that are not finite."""


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy -sum p log p over the last axis, in nats (natural logarithm), 0 log 0 = 0."""
    return torch.special.entr(probabilities.double()).sum(-1)


@dataclass
class CandidateScores:
    """One entry per candidate, float64 unless said otherwise.

    Attributes:
        entropy (np.ndarray): Mean over the passes of the entropy of the prediction, in nats:
            "expectation of predictive entropy" (HistoGAN, Sec. 1), "mean of entropy across 5 runs"
            (Sec. 4.2.2).
        entropy_of_mean (np.ndarray): Entropy of the mean prediction, the other reading.
        confidence (np.ndarray): Mean probability of the assigned label.
        predicted (np.ndarray): int64: class of the highest mean probability.
        distance (np.ndarray): Eq. (6) to the centroid of the assigned label, mean over the passes.
        plain_distance (np.ndarray): The same without dropout, in one pass (Xue et al. 2019).
        nearest (np.ndarray): int64: class of the nearest centroid.
        nearest_distance (np.ndarray): Eq. (6) to that one.
    """

    entropy: np.ndarray
    entropy_of_mean: np.ndarray
    confidence: np.ndarray
    predicted: np.ndarray
    distance: np.ndarray
    plain_distance: np.ndarray
    nearest: np.ndarray
    nearest_distance: np.ndarray

    def __len__(self) -> int:
        return len(self.entropy)

    def rows(self, index: np.ndarray) -> 'CandidateScores':
        """Some of the candidates."""
        return CandidateScores(*(getattr(self, f.name)[index] for f in fields(self)))

    @staticmethod
    def concatenate(parts: Sequence['CandidateScores']) -> 'CandidateScores':
        """Parts one after the other."""
        return CandidateScores(
            *(
                np.concatenate([getattr(part, f.name) for part in parts])
                for f in fields(CandidateScores)
            )
        )

    def require_finite(self, files: Sequence[str]) -> None:
        """ScoreError naming the first file with a score that is NaN or infinite."""
        for f in fields(self):
            bad = ~np.isfinite(getattr(self, f.name))
            if bad.any():
                first = files[int(np.flatnonzero(bad)[0])]
                raise ScoreError(
                    f'{first}: {f.name} is NaN or infinite ({int(bad.sum())} of {len(self)} '
                    'candidates). The weights of the classifier are damaged or overflow: check '
                    'its checkpoint with tools/test.py'
                )


@torch.no_grad()
def score_batch(
    network: McDropoutClassifier,
    centroids: Centroids,
    images: Tensor,
    labels: Tensor,
    keys: Sequence[str],
    passes: int = 5,
    seed: int = 0,
    layers: Optional[Sequence[int]] = None,
) -> CandidateScores:
    """Scores of a batch; the part before the dropout is computed once.

    Args:
        network (McDropoutClassifier): The classifier.
        centroids (Centroids): Of real images, from the same network.
        images (Tensor): uint8 (N, 3, H, W).
        labels (Tensor): int64 (N,): assigned labels, in the classifier's order.
        keys (Sequence[str]): Names of the images, from which their masks are drawn.
        passes (int): K of Eq. (6). Defaults to 5 (Sec. 4.2.2).
        seed (int): Of the masks. Defaults to 0.
        layers (Sequence[int], optional): Stages whose maps enter the distance, from 0. Defaults to
            None: all ("feature vectors after each residual block", Sec. 4.2.2).
    """
    trunk = network.trunk(images)
    last = network.num_stages - 1
    layers = range(network.num_stages) if layers is None else layers
    fixed = torch.zeros(len(images), len(centroids.counts), device=trunk.last_input.device)
    for stage in layers:
        if stage != last:
            fixed = fixed + centroids.distances(stage, trunk.maps[stage])
    repeated = torch.zeros_like(fixed)
    entropies: List[Tensor] = []
    mean = 0.0
    for number in range(passes):
        mask = network.masks(trunk, seed, number, keys)
        probabilities, top = network.top(trunk, mask)
        entropies.append(entropy(probabilities))
        mean = mean + probabilities.double() / passes
        if last in layers:
            repeated = repeated + centroids.distances(last, top) / passes
    plain = fixed
    if last in layers:
        plain = fixed + centroids.distances(network.num_stages, network.top(trunk)[1])
    own, nearest, nearest_distance = own_and_nearest(fixed + repeated, labels)
    found = (
        torch.stack(entropies).mean(0),
        entropy(mean),
        mean.gather(1, labels.to(mean.device)[:, None])[:, 0],
        mean.argmax(1),
        own.double(),
        own_and_nearest(plain, labels)[0].double(),
        nearest,
        nearest_distance.double(),
    )
    return CandidateScores(*(column.cpu().numpy() for column in found))
