"""Spread indivisible units (slides, patients) over parts so that every class is spread well."""

import numpy as np

# Against one image of a class too many in a part: the total number of images decides only ties.
_TOTAL_WEIGHT = 1e-3
# Exchanges compare every unit with every other one; with more units, moves alone do well enough.
_MAX_EXCHANGED = 1000
_TRIALS = 20
_STEP = 1e-6  # smallest gain worth a move, in the units of _Parts.weights
_DIGITS = 9  # gains are rounded, so that rounding errors of a machine do not choose the folds


class _Parts:
    """An assignment under construction.

    The cost is ``sum over parts p and classes c of (n_pc / N_c - share_p)^2 / share_p``, scaled:
    squared deviations of the classes' shares, small classes counting as much as large ones.

    Args:
        counts (np.ndarray): Images of every unit by class, (U, K); every class has some.
        shares (np.ndarray): Wanted share of every part, (P,), positive, of sum 1.
    """

    def __init__(self, counts: np.ndarray, shares: np.ndarray):
        self.present = counts > 0
        total = counts.sum(axis=1, keepdims=True)
        self.sizes = np.concatenate([counts, total], axis=1).astype(np.float64)  # (U, K + 1)
        sums = self.sizes.sum(axis=0)
        weights = (sums[-1] / sums) ** 2
        weights[-1] = _TOTAL_WEIGHT
        self.weights = weights / shares[:, None]  # (P, K + 1)
        self.excess = -shares[:, None] * sums  # images in the part beyond those wanted
        self.part = np.full(len(counts), -1)

    def put(self, unit: int, part: int) -> None:
        """Assign a unit, taking it from where it was."""
        if self.part[unit] >= 0:
            self.excess[self.part[unit]] -= self.sizes[unit]
        self.excess[part] += self.sizes[unit]
        self.part[unit] = part

    @property
    def cost(self) -> float:
        return float((self.excess**2 * self.weights).sum())

    def missing(self) -> np.ndarray:
        """Where a part has no image of a class, bool (P, K)."""
        found = np.zeros((len(self.excess), self.present.shape[1]), dtype=bool)
        np.logical_or.at(found, self.part, self.present)
        return ~found

    def fill(self, order: np.ndarray) -> None:
        """Put one unit after the other where it costs least."""
        for unit in order:
            size = self.sizes[unit]
            costs = (size * (2 * self.excess + size) * self.weights).sum(axis=1)
            self.put(unit, int(np.round(costs, _DIGITS).argmin()))

    def improve(self) -> None:
        """Move and exchange units, the best first, while that lowers the cost."""
        exchange = len(self.part) <= _MAX_EXCHANGED
        while True:
            move, unit, part = self._best_move()
            swap, first, second = self._best_exchange() if exchange else (0.0, 0, 0)
            if min(move, swap) > -_STEP:
                return
            if move <= swap:
                self.put(unit, part)
            else:
                parts = self.part[[second, first]]
                self.put(first, parts[0])
                self.put(second, parts[1])

    def _move_costs(self) -> np.ndarray:
        """Change of the cost when a unit goes to a part, (U, P)."""
        pull = self.sizes @ (2 * self.excess * self.weights).T
        own = self.sizes**2 @ self.weights.T
        units = np.arange(len(self.part))
        costs = pull + own + (own - pull)[units, self.part][:, None]
        costs[units, self.part] = 0
        return np.round(costs, _DIGITS)

    def _best_move(self):
        costs = self._move_costs()
        unit, part = np.unravel_index(costs.argmin(), costs.shape)
        return costs[unit, part], int(unit), int(part)

    def _best_exchange(self):
        # With D = size_v - size_u, u's part gains D and v's part loses it. Half of the change:
        # 2 D excess_p + D^2 weight_p for p = part of u; the other half is its transpose.
        units = np.arange(len(self.part))
        pull = self.sizes @ (2 * self.excess * self.weights).T  # (U, P)
        own = self.sizes**2 @ self.weights.T
        both = (self.sizes * self.weights[self.part]) @ self.sizes.T  # [u, v]
        half = (pull + own)[:, self.part].T - 2 * both
        half += (own - pull)[units, self.part][:, None]
        costs = np.round(half + half.T, _DIGITS)
        costs[self.part[:, None] == self.part] = 0
        first, second = np.unravel_index(costs.argmin(), costs.shape)
        return costs[first, second], int(first), int(second)

    def repair(self) -> None:
        """Give every part every class, where that leaves none without it, at the least cost."""
        for part, label in zip(*np.nonzero(self.missing()), strict=True):
            held = np.zeros((len(self.excess), self.present.shape[1]), dtype=np.int64)
            np.add.at(held, self.part, self.present)
            # A unit may go when its part keeps another one of each of the unit's classes.
            spare = (held[self.part] > 1) | ~self.present
            allowed = np.flatnonzero(self.present[:, label] & spare.all(axis=1))
            if held[part, label] == 0 and len(allowed):
                self.put(allowed[self._move_costs()[allowed, part].argmin()], part)


def assign_units(counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Assign units to parts such that every part holds its share of every class.

    Large units are placed first, then moves and exchanges lower the sum of squared deviations.
    On few groups of uneven content this spreads the classes better than scikit-learn's
    ``StratifiedGroupKFold`` (placement only), and it serves unequal shares, which that has not.
    Units of one image are spread such that class counts differ by at most one from part to part
    of equal share.

    Args:
        counts (np.ndarray): Images of every unit by class, (U, K); every class has some.
        shares (np.ndarray): Wanted share of every part, (P,), positive.
        rng (np.random.Generator): Decides between units of equal size.

    Returns:
        np.ndarray: Part of every unit, int64 (U,). A class may be missing in a part where no
        assignment was found that avoids it.
    """
    shares = np.asarray(shares, dtype=np.float64)
    best, best_key = None, None
    for _ in range(_TRIALS):
        parts = _Parts(counts, shares / shares.sum())
        order = rng.permutation(len(counts))
        largest = (counts / counts.sum(axis=0)).max(axis=1)
        parts.fill(order[np.argsort(-largest[order], kind='stable')])
        parts.improve()
        parts.repair()
        key = (int(parts.missing().sum()), round(parts.cost, _DIGITS))
        if best_key is None or key < best_key:
            best, best_key = parts.part, key
        if best_key[0] == 0:
            break
    return best
