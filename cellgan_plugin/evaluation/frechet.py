r"""Frechet distance between feature matrices, without the square root of a matrix.

.. math:: d^2 = |\mu_1 - \mu_2|^2 + \mathrm{Tr}(C_1) + \mathrm{Tr}(C_2)
          - 2\,\mathrm{Tr}\,(C_1 C_2)^{1/2}

(Heusel et al. 2017, "GANs trained by a two time-scale update rule", Eq. (6)). With factors
:math:`C_1 = F_1^T F_1` and :math:`C_2 = F_2^T F_2` the last trace is the nuclear norm (sum of
singular values) of :math:`F_1 F_2^T`, because :math:`C_1 C_2` and
:math:`(F_1 F_2^T)(F_1 F_2^T)^T` have the same non-zero eigenvalues. Centred features divided by
:math:`\sqrt{n-1}` are such a factor, so for few images the norm of an (n, m) matrix is all that is
needed; for many images a Cholesky factor of one covariance leaves a symmetric eigenproblem.
"""

import math
from typing import Callable, Optional, Tuple

import numpy as np
import torch

from cellgan_plugin.evaluation.matrices import (
    FeatureMatrixError,
    Features,
    FeatureShapeError,
    NonFiniteFeaturesError,
    as_feature_pair,
    as_features,
)

# Rounding error, relative to the distance, above which the symmetric eigenproblem is not trusted
# and the distance is computed from singular values instead.
_ACCURACY = 1e-7


def frechet_distance(
    real: Features, fake: Features, *, dtype: torch.dtype = torch.float64
) -> float:
    """Frechet distance between Gaussians fitted to two sets of features.

    Covariances are the unbiased ones (n - 1), as in the reference implementations. The value has
    the unit of a squared feature. It is called FID only for Inception features. For few images it
    is biased upwards: compare values at equal numbers of images only, or see
    :func:`~cellgan_plugin.evaluation.distances.frechet_distance_infinity`.

    Args:
        real (np.ndarray | torch.Tensor): Features of shape (n, d), n >= 2.
        fake (np.ndarray | torch.Tensor): Features of shape (m, d), m >= 2.
        dtype (torch.dtype): Working precision. float32 is for quick looks on devices without fast
            float64; its error is some 1e-5 of the total variance. Defaults to float64.

    Returns:
        float: The squared distance, >= 0.

    Raises:
        FeatureMatrixError: If a matrix has fewer than two rows, NaN or infinite values, another
            number of columns than the other, or is no (n, d) floating point matrix.
    """
    return distance_of_tensors(*as_feature_pair(real, fake, dtype=dtype))


def frechet_distance_from_statistics(
    mu1: Features,
    cov1: Features,
    mu2: Features,
    cov2: Features,
    *,
    dtype: torch.dtype = torch.float64,
) -> float:
    """Frechet distance from means and covariances, e.g. accumulated over a stream.

    Covariances of deficient rank are allowed (fewer images than features, dead channels). Where
    the features themselves are at hand, :func:`frechet_distance` is faster for few images and
    more accurate.

    Args:
        mu1 (np.ndarray | torch.Tensor): Mean of the first set, shape (d,).
        cov1 (np.ndarray | torch.Tensor): Covariance of the first set, shape (d, d).
        mu2 (np.ndarray | torch.Tensor): Mean of the second set, shape (d,).
        cov2 (np.ndarray | torch.Tensor): Covariance of the second set, shape (d, d).
        dtype (torch.dtype): Working precision. Defaults to float64.

    Returns:
        float: The squared distance, >= 0.

    Raises:
        FeatureMatrixError: If shapes do not agree, a value is not finite, a covariance is not
            symmetric (to 1e-6 of its largest entry) or has a negative variance.
    """
    means = []
    for name, mean in (('mu1', mu1), ('mu2', mu2)):
        if getattr(mean, 'ndim', None) != 1:
            raise FeatureShapeError(
                f'{name} must be a numpy array or torch tensor of shape (features,), got '
                f'{tuple(mean.shape) if hasattr(mean, "shape") else type(mean).__name__}.'
            )
        means.append(mean[None])
    mean1, mean2 = as_feature_pair(*means, names=('mu1', 'mu2'), min_rows=1, dtype=dtype)
    size = mean1.shape[1]
    covariances = []
    for name, cov in (('cov1', cov1), ('cov2', cov2)):
        cov = as_features(cov, name, 1, dtype, mean1.device)
        if tuple(cov.shape) != (size, size):
            raise FeatureShapeError(
                f'{name} has shape {tuple(cov.shape)}; the means have {size} features, so '
                f'({size}, {size}) was expected. Use the covariance of the same features.'
            )
        largest = cov.abs().max()
        if (cov - cov.T).abs().max() > 1e-6 * largest or cov.diagonal().min() < -1e-6 * largest:
            raise FeatureMatrixError(
                f'{name} is no covariance: it is not symmetric or has a negative variance. Check '
                f'that it is the (d, d) covariance and not its factor or a correlation sum.'
            )
        covariances.append((cov + cov.T) / 2)
    cov1, cov2 = covariances
    root = _root_trace(cov1, cov2, lambda: (_factor(cov1), _factor(cov2)))
    total = cov1.trace() + cov2.trace()
    return _finish(mean1[0] - mean2[0], total, root)


class FrechetSubsets:
    """Frechet distances between many subsets of the same two sets of images.

    Where the images are fewer than the features the cross Gram matrix is computed once; a subset
    then costs the singular values of a part of it, re-centred, and nothing of size d x d.

    Args:
        real (torch.Tensor): Checked features of shape (n, d).
        fake (torch.Tensor): Checked features of shape (m, d).
    """

    def __init__(self, real: torch.Tensor, fake: torch.Tensor) -> None:
        # A common origin changes no distance and keeps the Gram matrix free of a large constant.
        origin = torch.cat([real.mean(0, keepdim=True), fake.mean(0, keepdim=True)]).mean(0)
        self.real = real - origin
        self.fake = fake - origin
        self.cross: Optional[torch.Tensor] = None
        if min(len(real), len(fake)) <= real.shape[1]:
            self.cross = self.real @ self.fake.T
            self.real_norms = self.real.square().sum(1)
            self.fake_norms = self.fake.square().sum(1)

    def distance(self, real_rows: np.ndarray, fake_rows: np.ndarray) -> float:
        """Frechet distance between two subsets, both of two rows or more.

        Args:
            real_rows (np.ndarray): Row numbers into the real set, shape (r,).
            fake_rows (np.ndarray): Row numbers into the fake set, shape (s,).

        Returns:
            float: What :func:`frechet_distance` gives for these rows.
        """
        device = self.real.device
        i = torch.from_numpy(np.asarray(real_rows, dtype=np.int64)).to(device)
        j = torch.from_numpy(np.asarray(fake_rows, dtype=np.int64)).to(device)
        if self.cross is None:
            return distance_of_tensors(self.real[i], self.fake[j])
        r, s = len(i), len(j)
        mean1, mean2 = self.real[i].mean(0), self.fake[j].mean(0)
        total = (self.real_norms[i].sum() - r * mean1.square().sum()) / (r - 1)
        total = total + (self.fake_norms[j].sum() - s * mean2.square().sum()) / (s - 1)
        _not_overflowed(total)
        cross = self.cross[i][:, j]
        cross = cross - cross.mean(0, keepdim=True)
        cross = cross - cross.mean(1, keepdim=True)
        return _finish(mean1 - mean2, total, _nuclear_norm(cross) / math.sqrt((r - 1) * (s - 1)))


def distance_of_tensors(real: torch.Tensor, fake: torch.Tensor) -> float:
    """Frechet distance of two checked tensors; see :func:`frechet_distance`."""
    n, m, d = len(real), len(fake), real.shape[1]
    mean1, mean2 = real.mean(0), fake.mean(0)
    a, b = real - mean1, fake - mean2
    total = torch.linalg.vector_norm(a) ** 2 / (n - 1) + torch.linalg.vector_norm(b) ** 2 / (m - 1)
    _not_overflowed(total)  # then neither do products of the two, and decompositions converge
    if min(n, m) <= d:
        root = _nuclear_norm(a @ b.T) / math.sqrt((n - 1) * (m - 1))
    else:
        root = _root_trace(
            _scatter(a) / (n - 1),
            _scatter(b) / (m - 1),
            lambda: (_triangle(a) / math.sqrt(n - 1), _triangle(b) / math.sqrt(m - 1)),
        )
    return _finish(mean1 - mean2, total, root)


def _finish(shift: torch.Tensor, total: torch.Tensor, root: torch.Tensor) -> float:
    value = _not_overflowed(shift.square().sum() + total - 2 * root)
    return max(float(value), 0.0)  # rounding alone can make a zero distance negative


def _not_overflowed(value: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(value):
        raise NonFiniteFeaturesError(
            'The Frechet distance overflowed: the features are finite but too large to be squared '
            'in the working precision. Rescale both sets by the same factor or use float64.'
        )
    return value


def _scatter(x: torch.Tensor) -> torch.Tensor:
    """``x.T @ x``; on the CPU by numpy, whose BLAS call computes one triangle only."""
    if x.device.type == 'cpu':
        array = x.numpy()
        with np.errstate(over='ignore', invalid='ignore'):  # a clearer error follows
            return torch.from_numpy(array.T @ array)
    return x.T @ x


def _decomposed(x: torch.Tensor, by_numpy: Callable, by_torch: Callable) -> torch.Tensor:
    """A decomposition on the CPU by numpy, elsewhere by torch.

    Where other work shares the cores (training, data loaders) torch's CPU decompositions were
    seen to spend seconds waiting in OpenMP barriers: 2.1 s against 0.03 s for the singular values
    of a (400, 400) matrix. On an idle machine the two are much alike.
    """
    if x.device.type == 'cpu':
        return torch.from_numpy(np.asarray(by_numpy(x.numpy())))
    return by_torch(x)


def _triangle(x: torch.Tensor) -> torch.Tensor:
    return _decomposed(
        x, lambda y: np.linalg.qr(y, mode='r'), lambda y: torch.linalg.qr(y, mode='r').R
    )


def _nuclear_norm(x: torch.Tensor) -> torch.Tensor:
    if len(x) < x.shape[1]:
        x = x.T
    if len(x) > 2 * x.shape[1]:  # a tall matrix has the singular values of its triangle
        x = _triangle(x)
    return _decomposed(x, lambda y: np.linalg.svd(y, compute_uv=False), torch.linalg.svdvals).sum()


def _factor(cov: torch.Tensor) -> torch.Tensor:
    """F with F^T F = cov, without the directions that rounding alone can explain."""
    values, vectors = torch.linalg.eigh(cov)
    keep = values > len(values) * torch.finfo(cov.dtype).eps * values[-1].clamp(min=0)
    return values[keep].sqrt()[:, None] * vectors[:, keep].T


def _root_trace(
    cov1: torch.Tensor,
    cov2: torch.Tensor,
    factors: Callable[[], Tuple[torch.Tensor, torch.Tensor]],
) -> torch.Tensor:
    """Tr (C1 C2)^(1/2) by symmetric eigenproblems where they can be trusted, else from factors."""
    # A feature that is constant in either set adds nothing to this trace. Such dead channels
    # would only make the matrices singular. The rest goes from large to small variance: Cholesky
    # factor and eigenvalues of a matrix graded that way keep their small parts.
    live = ((cov1.diagonal() > 0) & (cov2.diagonal() > 0)).nonzero()[:, 0]
    if len(live) == 0:
        return cov1.new_zeros(())
    live = live[cov1.diagonal()[live].argsort(descending=True, stable=True)]
    first, second = cov1[live][:, live], cov2[live][:, live]
    total = cov1.trace() + cov2.trace()
    accuracy = max(_ACCURACY, 100 * torch.finfo(cov1.dtype).eps)
    estimates = []
    for own, other in ((first, second), (second, first)):
        lower, failed = torch.linalg.cholesky_ex(own)
        if failed:
            break
        values = _decomposed(lower.T @ other @ lower, np.linalg.eigvalsh, torch.linalg.eigvalsh)
        root = values.clamp(min=0).sqrt().sum()
        # The part of the distance that depends on the covariances is the yardstick.
        allowed = accuracy * (total - 2 * root).clamp(min=accuracy * total)
        if 2 * _root_error(values, first, second) <= allowed:
            return root
        # That bound is a pessimistic one. The same trace from the other side has other rounding
        # errors, so the two differ by about as much as they are wrong; and eigenvalues below zero,
        # which only rounding makes, show how much those around zero add.
        estimates.append(root)
        below_zero = (-values.clamp(max=0)).sqrt().sum()
        if 2 * below_zero > allowed:
            break
        if len(estimates) == 2 and 2 * (estimates[0] - root).abs() <= allowed:
            return (estimates[0] + root) / 2
    factor1, factor2 = factors()
    return _nuclear_norm(factor1 @ factor2.T)


def _root_error(values: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Bound on the rounding error of the sum of the roots of ``values``."""
    noise = 4 * torch.finfo(first.dtype).eps * torch.linalg.matrix_norm(first)
    noise = noise * torch.linalg.matrix_norm(second)
    # Each eigenvalue is off by about `noise`, its root by noise / (2 root) but no more than
    # sqrt(noise). Signs vary, so errors add in quadrature; those of eigenvalues within the noise
    # have one sign (a root is not negative) and add up.
    drowned = values <= noise
    error = (noise / (2 * values[~drowned].sqrt())).square().sum().sqrt()
    return error + drowned.sum() * noise.sqrt()
