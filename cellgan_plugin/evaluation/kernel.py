r"""Kernel distance (KID): unbiased squared MMD with a cubic kernel.

.. math:: k(x, y) = (x \cdot y / d + 1)^3

(Binkowski et al. 2018, "Demystifying MMD GANs", Sec. 4). Its expectation does not depend on the
number of images, which is why it suits classes with few of them.
"""

import math
from typing import NamedTuple, Optional, Tuple

import numpy as np
import torch

from cellgan_plugin.evaluation.matrices import (
    DistanceOptionError,
    Features,
    as_feature_pair,
    check_count,
    row_blocks,
)
from cellgan_plugin.randomness import rng_for

# Up to this many rows (128 MiB in float64) a kernel matrix is kept whole for its subsets.
_KEEP_ROWS = 4096
# Blocks of fewer rows than this waste more in calls than they save in products.
_LEAST_ROWS = 32


class KernelDistance(NamedTuple):
    """Result of :func:`kernel_distance`.

    Attributes:
        value (float): The unbiased estimate; it may be slightly negative for like sets.
        standard_error (float): Jackknife standard error of the all-pairs estimate. NaN with
            fewer than three images on a side, and under the subset protocol.
        subset_std (float): Standard deviation over the subsets, the number that is usually
            printed after +/-. It describes one subset, not the estimate. NaN for all pairs.
    """

    value: float
    standard_error: float
    subset_std: float


def kernel_distance(
    real: Features,
    fake: Features,
    *,
    subsets: Optional[int] = None,
    subset_size: Optional[int] = None,
    seed: int = 0,
    block_size: Optional[int] = None,
    dtype: torch.dtype = torch.float64,
) -> KernelDistance:
    """KID: unbiased squared MMD with the kernel (x.y / d + 1)^3.

    By default all pairs are used: the estimate with the least variance, and one that needs no
    seed. Its standard error is the delete-one jackknife of the two-sample U-statistic (Arvesen
    1969), in closed form from the row sums of the kernel. Where both sets have the same
    distribution it errs on the large side, by a factor of about 1.4.

    With ``subsets`` and ``subset_size`` the protocol of the reference implementations is followed
    instead: mean and standard deviation over random subsets without replacement
    (``torch_fidelity``: 100 subsets of 1000; its draws are other than ours).

    Args:
        real (np.ndarray | torch.Tensor): Features of shape (n, d), n >= 2.
        fake (np.ndarray | torch.Tensor): Features of shape (m, d), m >= 2.
        subsets (int, optional): Number of subsets. Defaults to None: all pairs.
        subset_size (int, optional): Images of each side in a subset, from 2 to the smaller of n
            and m. Must be given with ``subsets``. Defaults to None.
        seed (int): Seed of the subsets; of no effect for all pairs. Defaults to 0.
        block_size (int, optional): Rows of the kernel matrix held at a time. Defaults to as many
            as fit in 64 MiB.
        dtype (torch.dtype): Working precision. Defaults to float64.

    Returns:
        KernelDistance: ``value``, ``standard_error``, ``subset_std``.

    Raises:
        FeatureMatrixError: If a matrix has fewer than two rows, NaN or infinite values, another
            number of columns than the other, or is no (n, d) floating point matrix; if an option
            is out of range.
    """
    a, b = as_feature_pair(real, fake, dtype=dtype)
    if (subsets is None) != (subset_size is None):
        raise DistanceOptionError(
            f'subsets and subset_size go together, got subsets={subsets!r} and '
            f'subset_size={subset_size!r}. Give both, or neither to use all pairs.'
        )
    if subsets is None:
        return _all_pairs(a, b, block_size)
    subsets = check_count(subsets, 'subsets')
    size = check_count(subset_size, 'subset_size', 2, min(len(a), len(b)))
    pool = KernelSubsets(a, b)
    values = []
    for number in range(subsets):
        rng = rng_for(seed, 'kernel_distance', number)
        values.append(
            pool.distance(
                rng.choice(len(a), size, replace=False), rng.choice(len(b), size, replace=False)
            )
        )
    return KernelDistance(float(np.mean(values)), math.nan, float(np.std(values)))


class KernelSubsets:
    """Kernel distances between many subsets of the same two sets of images.

    Kernel matrices are computed once for up to 4096 images a side; a subset then costs three sums.

    Args:
        real (torch.Tensor): Checked features of shape (n, d).
        fake (torch.Tensor): Checked features of shape (m, d).
    """

    def __init__(self, real: torch.Tensor, fake: torch.Tensor) -> None:
        self.real = real
        self.fake = fake
        self.kept: Optional[Tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = None
        if max(len(real), len(fake)) <= _KEEP_ROWS:
            self.kept = tuple(_kernel(x, y) for x, y in ((real, real), (fake, fake), (real, fake)))

    def distance(self, real_rows: np.ndarray, fake_rows: np.ndarray) -> float:
        """Kernel distance between two subsets, both of two rows or more.

        Args:
            real_rows (np.ndarray): Row numbers into the real set, shape (r,).
            fake_rows (np.ndarray): Row numbers into the fake set, shape (s,).

        Returns:
            float: The all-pairs value of :func:`kernel_distance` for these rows.
        """
        device = self.real.device
        i = torch.from_numpy(np.asarray(real_rows, dtype=np.int64)).to(device)
        j = torch.from_numpy(np.asarray(fake_rows, dtype=np.int64)).to(device)
        if self.kept is None:
            return _all_pairs(self.real[i], self.fake[j], None).value
        within_real, within_fake, across = self.kept
        real_part, fake_part = within_real[i][:, i], within_fake[j][:, j]
        r, s = len(i), len(j)
        value = (real_part.sum() - real_part.trace()) / (r * (r - 1))
        value = value + (fake_part.sum() - fake_part.trace()) / (s * (s - 1))
        return float(value - 2 * across[i][:, j].sum() / (r * s))


def _kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    base = (x @ y.T).div_(x.shape[1]).add_(1)
    return (base * base).mul_(base)


def _sums_within(x: torch.Tensor, block_size: Optional[int]) -> torch.Tensor:
    """Row sums of k(x, x) without the diagonal; each off-diagonal block is computed once."""
    sums = x.new_zeros(len(x))
    # In one block nothing is off-diagonal and half of the products are computed twice; in eight
    # blocks an eighth of them.
    most = max(_LEAST_ROWS, -(-len(x) // 8))
    for rows in row_blocks(len(x), len(x), block_size, x.element_size(), most):
        block = _kernel(x[rows], x[rows.start :])
        height = len(block)
        block.diagonal().zero_()
        sums[rows] += block.sum(1)
        sums[rows.stop :] += block[:, height:].sum(0)
    return sums


def _all_pairs(a: torch.Tensor, b: torch.Tensor, block_size: Optional[int]) -> KernelDistance:
    n, m = len(a), len(b)
    within_a, within_b = _sums_within(a, block_size), _sums_within(b, block_size)
    across_a, across_b = a.new_zeros(n), a.new_zeros(m)
    for rows in row_blocks(n, m, block_size, a.element_size()):
        block = _kernel(a[rows], b)
        across_a[rows] = block.sum(1)
        across_b += block.sum(0)
    total_a, total_b, total = within_a.sum(), within_b.sum(), across_a.sum()
    value = total_a / (n * (n - 1)) + total_b / (m * (m - 1)) - 2 * total / (n * m)
    if min(n, m) < 3:
        return KernelDistance(float(value), math.nan, math.nan)

    def spread(own: torch.Tensor, own_total: torch.Tensor, across: torch.Tensor, other: int):
        # The estimate with each image of one side left out, up to a constant.
        count = len(own)
        left_out = (own_total - 2 * own) / ((count - 1) * (count - 2))
        left_out = left_out - 2 * (total - across) / ((count - 1) * other)
        return (count - 1) * left_out.var(unbiased=False)

    variance = spread(within_a, total_a, across_a, m) + spread(within_b, total_b, across_b, n)
    return KernelDistance(float(value), float(variance.sqrt()), math.nan)
