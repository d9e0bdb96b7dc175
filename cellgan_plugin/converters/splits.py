"""Split images into train, val and test so that a group is never on two sides.

Images of one slide, field or patient share stain, focus and neighbours. An image-level split puts
some of them on each side and flatters every result, so a *group* is what moves here.
"""

from typing import Dict, Sequence, Tuple

import numpy as np

from cellgan_plugin.converters.common import ConverterError
from cellgan_plugin.datasets.sources import SPLITS
from cellgan_plugin.randomness import derive_seed

# The price of a class without an image in a split, against squared differences of shares (< 1):
# presence goes before even shares, and where groups are too few, train before test before val.
_ABSENCE = np.array([8.0, 2.0, 4.0])
# Even numbers of groups matter a little too, or tiny groups would all gather on one side.
_GROUP_WEIGHT = 0.3


def check_fractions(fractions: Sequence[float]) -> Tuple[float, float, float]:
    """Three fractions (train, val, test), none negative, train above 0, that add up to 1.

    Raises:
        ConverterError: Otherwise.
    """
    values = tuple(float(value) for value in fractions)
    if (
        len(values) != 3
        or not all(np.isfinite(values))
        or min(values) < 0
        or values[0] == 0
        or abs(sum(values) - 1) > 1e-6
    ):
        raise ConverterError(
            f'split fractions are {" ".join(map(str, fractions))}; expected three numbers (train '
            'val test), none negative, train above 0, that add up to 1, e.g. 0.7 0.15 0.15'
        )
    return values


def split_by_group(
    labels: Sequence[str], groups: Sequence[str], fractions: Sequence[float], seed: int
) -> Dict[str, str]:
    """``'train'``, ``'val'`` or ``'test'`` for each group, each class spread as evenly as can be.

    Groups are dealt one by one in an order derived from ``(seed, 'split', group)``, each to the
    split that most needs its classes; then single groups move as long as that evens the shares out.
    The best of several orders is kept. The result depends on the seed and on the set of images (a
    label and a group each), not on the order in which they are listed. With few groups there may be
    one best split, which every seed then finds.
    """
    fractions = np.array(check_fractions(fractions))
    if len(labels) != len(groups):
        raise ValueError(f'{len(labels)} labels but {len(groups)} groups')
    if not groups:
        return {}
    names, group_index = np.unique(
        np.asarray(groups, dtype=object).astype(str), return_inverse=True
    )
    class_names, class_index = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    counts = np.zeros((len(names), len(class_names) + 1))
    np.add.at(counts, (group_index, class_index), 1)
    counts[:, -1] = 1
    shares = counts / counts.sum(0)

    used = np.flatnonzero(fractions > 0)
    restarts = 16 if len(names) <= 100 else 4 if len(names) <= 1000 else 1
    best_cost, best = np.inf, None
    for restart in range(restarts):
        order = np.argsort([derive_seed(seed, 'split', name, restart) for name in names])
        cost, assigned = _deal(shares, fractions[used], _ABSENCE[used], order)
        if cost < best_cost - 1e-9:
            best_cost, best = cost, assigned
    return {str(name): SPLITS[used[side]] for name, side in zip(names, best, strict=True)}


def _deal(
    shares: np.ndarray, fractions: np.ndarray, absence: np.ndarray, order: np.ndarray
) -> Tuple[float, np.ndarray]:
    """Deal groups in ``order``, then move single groups while the cost falls; (cost, sides)."""
    sides = len(fractions)
    have = np.zeros((sides, shares.shape[1]))
    weights = np.ones(shares.shape[1])
    weights[-1] = _GROUP_WEIGHT**2

    def cost(state: np.ndarray) -> np.ndarray:  # (..., sides, classes + 1) -> (...)
        uneven = ((state - fractions[:, None]) ** 2 * weights).sum((-1, -2))
        return uneven + ((state[..., :-1] < 1e-12) * absence[:, None]).sum((-1, -2))

    assigned = np.full(len(shares), -1)
    corner = np.eye(sides)[:, :, None]
    for _ in range(20):
        moved = False
        for group in order:
            if assigned[group] >= 0:
                # Rounding must not leave a ghost of a class behind in a split it has left.
                have[assigned[group]] = np.maximum(have[assigned[group]] - shares[group], 0)
            costs = cost(have + corner * shares[group])
            choice = int(costs.argmin())
            if assigned[group] >= 0 and costs[choice] > costs[assigned[group]] - 1e-9:
                choice = assigned[group]
            moved |= choice != assigned[group]
            assigned[group] = choice
            have[choice] += shares[group]
        if not moved:
            break
    return float(cost(have)), assigned
