"""Distances from nearest neighbours: precision, recall, density, coverage and memorisation.

Pairwise squared distances come from inner products of features centred on their common mean, in
blocks of rows, so memory does not grow with the product of the two set sizes. Rounding leaves
them with an error of about 1e-12 of the largest squared distance from that mean; where a
comparison is closer than that it counts as a tie, so results do not depend on block size or order.
"""

from dataclasses import dataclass
from typing import Iterator, NamedTuple, Optional, Tuple

import numpy as np
import torch

from cellgan_plugin.evaluation.matrices import (
    Features,
    FeatureShapeError,
    TooFewImagesError,
    as_feature_pair,
    as_features,
    check_count,
    check_fraction,
    row_blocks,
)

# Nearest candidates by inner products whose distance is computed again by subtraction.
_CANDIDATES = 4


class PrecisionRecallDensityCoverage(NamedTuple):
    """Result of :func:`precision_recall_density_coverage`.

    Attributes:
        precision (float): Share of fake images inside the real manifold, 0 to 1.
        recall (float): Share of real images inside the fake manifold, 0 to 1.
        density (float): Mean number of real neighbourhoods around a fake image, over k; >= 0,
            about 1 for like sets.
        coverage (float): Share of real images with a fake image in their neighbourhood, 0 to 1.
    """

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class TrainingNeighbours:
    """Result of :func:`nearest_training_neighbours`; g generated images.

    Attributes:
        indices (np.ndarray): Number of the nearest training image of each generated image,
            int64 of shape (g,).
        distances (np.ndarray): Euclidean distance to it in the features' unit, float64 of shape
            (g,).
        threshold (float): The distance up to which a generated image counts as memorised.
        memorised (np.ndarray): Whether each one does, bool of shape (g,).
        score (float): Share of generated images that do, 0 to 1.
        false_alarms (float): At most this share of new real images is expected to count, 0 to 1.
        reference (int): Distances that the threshold was taken from.
    """

    indices: np.ndarray
    distances: np.ndarray
    threshold: float
    memorised: np.ndarray
    score: float
    false_alarms: float
    reference: int


def precision_recall_density_coverage(
    real: Features,
    fake: Features,
    k: int = 5,
    *,
    block_size: Optional[int] = None,
    dtype: torch.dtype = torch.float64,
) -> PrecisionRecallDensityCoverage:
    """Precision, recall, density and coverage from k-nearest-neighbour balls.

    Precision and recall are those of Kynkaanniemi et al. 2019 ("Improved precision and recall
    metric for assessing generative models", Eq. (1)-(2)), density and coverage those of Naeem et
    al. 2020 ("Reliable fidelity and diversity metrics for generative models", Eq. (3)-(4)). The
    ball of an image reaches to its k-th nearest other image of its own set and is open, as in the
    ``prdc`` package: an image on its edge is outside.

    Args:
        real (np.ndarray | torch.Tensor): Features of shape (n, d), n > k.
        fake (np.ndarray | torch.Tensor): Features of shape (m, d), m > k.
        k (int): Which neighbour sets the size of a ball. Naeem et al. use 5, Kynkaanniemi et al.
            3. Defaults to 5.
        block_size (int, optional): Rows of the distance matrix held at a time. Defaults to as
            many as fit in 64 MiB.
        dtype (torch.dtype): Working precision. Defaults to float64.

    Returns:
        PrecisionRecallDensityCoverage: The four numbers.

    Raises:
        FeatureMatrixError: If a matrix has k rows or fewer, NaN or infinite values, another
            number of columns than the other, or is no (n, d) floating point matrix; if an option
            is out of range.
    """
    k = check_count(k, 'k')
    a, b = as_feature_pair(real, fake, dtype=dtype)
    for name, x in (('real', a), ('fake', b)):
        if len(x) <= k:
            raise TooFewImagesError(
                f'{name} features have {len(x)} rows; k = {k} neighbours need at least {k + 1}. '
                f'Choose a smaller k (the same for all classes) or add images.'
            )
    a, b, tie = _centred(a, b)
    # Open balls: strictly inside, by more than rounding can explain.
    radius_a = _ball_radii(a, k, block_size) - tie
    radius_b = _ball_radii(b, k, block_size) - tie
    recalled = covered = 0
    real_balls = b.new_zeros(len(b))
    for rows, squared in _squared_distances(a, b, block_size):
        inside = squared < radius_a[rows, None]
        real_balls += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int((squared < radius_b).any(1).sum())
    return PrecisionRecallDensityCoverage(
        precision=float((real_balls > 0).double().mean()),
        recall=recalled / len(a),
        density=float(real_balls.double().mean()) / k,
        coverage=covered / len(a),
    )


def nearest_training_neighbours(
    generated: Features,
    training: Features,
    held_out: Optional[Features] = None,
    *,
    quantile: float = 0.01,
    views: int = 1,
    block_size: Optional[int] = None,
    dtype: torch.dtype = torch.float64,
) -> TrainingNeighbours:
    """Nearest training image of each generated image, and whether it is a copy of it.

    A generated image counts as memorised if its distance to the nearest view of a training image
    is at most a threshold, taken from the same distance of real images that were not trained on
    (``held_out``), or, without those, of each training image to the views of the others. Of h such
    distances the threshold is the k-th smallest with the largest k for which k / (h + 1) is at most
    ``quantile``: then a new real image that could be exchanged with the held-out ones counts with
    a probability of at most k / (h + 1), whatever the distances are distributed like
    (``false_alarms``). With fewer than 1 / ``quantile`` - 1 of them k is 1, and the false alarms
    are more than was asked for. A distance of zero always counts.

    A generator trains on views of its images (flips, quarter turns), so it may repeat one of those;
    ``views`` of each image are looked through, and the threshold is found by the same search.

    A held-out split is the better calibration. Without one, duplicates in the training set
    (the same cell cut out twice, frames of one slide) draw the threshold towards zero, so that
    only exact copies are found; with one, it should come from other patients, as generated images
    are compared with all of them. The score sees copies in the space of the features only: it
    says nothing of images that were copied and then changed beyond what the extractor ignores.

    Args:
        generated (np.ndarray | torch.Tensor): Features of shape (g, d), g >= 1.
        training (np.ndarray | torch.Tensor): Features of shape (n * views, d) of the images the
            generator was trained on, n >= 2: the views of an image after each other, the image
            itself first.
        held_out (np.ndarray | torch.Tensor, optional): Features of shape (h, d) of real images it
            was not trained on, h >= 1. Defaults to None.
        quantile (float): Share of new real images that may count as memorised, in (0, 1). Defaults
            to 0.01.
        views (int): Rows of each training image. Defaults to 1.
        block_size (int, optional): Rows of the distance matrix held at a time. Defaults to as
            many as fit in 64 MiB.
        dtype (torch.dtype): Working precision. Defaults to float64.

    Returns:
        TrainingNeighbours: ``indices``, ``distances``, ``threshold``, ``memorised``, ``score``,
        ``false_alarms``, ``reference``.

    Raises:
        FeatureMatrixError: If a matrix has too few rows, NaN or infinite values, another number
            of columns than the others, or is no floating point matrix; if an option is out of
            range.
    """
    quantile = check_fraction(quantile, 'quantile')
    names = ('generated', 'training')
    views = check_count(views, 'views')
    queries, base = as_feature_pair(generated, training, names, 1, dtype)
    if len(base) % views:
        raise FeatureShapeError(
            f'training features have {len(base)} rows, which are not {views} views of each image'
        )
    if len(base) // views < 2:
        raise TooFewImagesError(
            'training features are of 1 image; at least 2 training images are needed to say how '
            'far apart they are. Give the features of the whole training set.'
        )
    indices, distances = _nearest(queries, base, block_size)
    if held_out is not None:
        reference = as_features(held_out, 'held_out', 1, dtype, base.device)
        if reference.shape[1] != base.shape[1]:
            raise FeatureShapeError(
                f'held_out features have {reference.shape[1]} columns but training features have '
                f'{base.shape[1]}; both must come from the same extractor and layer.'
            )
        _, spacing = _nearest(reference, base, block_size)
    else:
        _, spacing = _nearest(base[::views], base, block_size, views)
    rank = max(1, int(quantile * (len(spacing) + 1) + 1e-9))
    threshold = float(np.sort(spacing)[rank - 1])
    memorised = distances <= threshold
    return TrainingNeighbours(
        indices // views,
        distances,
        threshold,
        memorised,
        float(memorised.mean()),
        rank / (len(spacing) + 1),
        len(spacing),
    )


def _centred(a: torch.Tensor, b: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor, float]:
    """Both sets around a common origin, and the squared distance that rounding may hide."""
    origin = (a.sum(0) + b.sum(0)) / (len(a) + len(b))
    a, b = a - origin, b - origin
    largest = max(float(a.square().sum(1).max()), float(b.square().sum(1).max()))
    return a, b, 4096 * torch.finfo(a.dtype).eps * largest


def _squared_distances(
    a: torch.Tensor, b: torch.Tensor, block_size: Optional[int]
) -> Iterator[Tuple[slice, torch.Tensor]]:
    norms_a, norms_b = a.square().sum(1), b.square().sum(1)
    for rows in row_blocks(len(a), len(b), block_size, a.element_size()):
        inner = a[rows] @ b.T
        yield rows, inner.mul_(-2).add_(norms_a[rows, None]).add_(norms_b).clamp_(min=0)


def _ball_radii(x: torch.Tensor, k: int, block_size: Optional[int]) -> torch.Tensor:
    """Squared distance of each row to its k-th nearest other row."""
    radii = x.new_empty(len(x))
    for rows, squared in _squared_distances(x, x, block_size):
        squared.diagonal(rows.start).fill_(torch.inf)
        radii[rows] = squared.topk(k, dim=1, largest=False).values[:, -1]
    return radii


def _nearest(
    queries: torch.Tensor,
    base: torch.Tensor,
    block_size: Optional[int],
    own_rows: int = 0,
) -> Tuple[np.ndarray, np.ndarray]:
    """Index of and distance to the nearest row of ``base`` for each query.

    With ``own_rows`` query i is the first of so many rows of an image in ``base``, which are left
    out.
    """
    centred_queries, centred_base, _ = _centred(queries, base)
    candidates = min(_CANDIDATES, len(base) - own_rows)
    indices, distances = [], []
    for rows, squared in _squared_distances(centred_queries, centred_base, block_size):
        if own_rows:
            image = torch.arange(rows.start, rows.stop, device=squared.device)
            own = image[:, None] * own_rows + torch.arange(own_rows, device=squared.device)
            squared.scatter_(1, own, torch.inf)
        chosen = squared.topk(candidates, dim=1, largest=False).indices.sort(dim=1).values
        # By subtraction an exact copy has distance zero, which inner products would blur.
        exact = torch.stack(
            [
                torch.linalg.vector_norm(queries[rows] - base[chosen[:, c]], dim=1)
                for c in range(candidates)
            ],
            dim=1,
        )
        smallest = exact.min(dim=1, keepdim=True).values
        first = (exact == smallest).int().argmax(dim=1, keepdim=True)  # lowest row among ties
        indices.append(chosen.gather(1, first)[:, 0].cpu())
        distances.append(smallest[:, 0].double().cpu())
    return torch.cat(indices).numpy(), torch.cat(distances).numpy()
