"""Statistics of a reader study: exact binomial intervals and agreement beyond chance."""

from typing import NamedTuple, Optional, Sequence

import numpy as np
from scipy import stats

WEIGHTS = ('none', 'linear', 'quadratic')


class Proportion(NamedTuple):
    """A share of answers that are right.

    Attributes:
        right (int): Right answers.
        count (int): All answers.
        value (float | None): Their ratio; None without any.
        low (float | None): Lower end of the exact interval (Clopper and Pearson 1934).
        high (float | None): Upper end.
        p (float | None): Two-sided, exact, against one half: guessing.
    """

    right: int
    count: int
    value: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None
    p: Optional[float] = None


def proportion(right: int, count: int) -> Proportion:
    """A proportion with its exact binomial 95 % interval.

    Args:
        right (int): Right answers.
        count (int): All answers.
    """
    if not 0 <= right <= count:
        raise ValueError(f'{right} right answers of {count}')
    if count == 0:
        return Proportion(0, 0)
    test = stats.binomtest(right, count, 0.5)
    low, high = test.proportion_ci(0.95, method='exact')
    return Proportion(right, count, right / count, float(low), float(high), float(test.pvalue))


def cohens_kappa(
    first: Sequence[int], second: Sequence[int], categories: int, weights: str = 'none'
) -> Optional[float]:
    """Agreement of two raters beyond chance (Cohen 1960; weighted: Cohen 1968).

    Args:
        first (Sequence[int]): Category of each item, 0 to K - 1, by the first rater.
        second (Sequence[int]): By the second rater.
        categories (int): K. With weights their order matters.
        weights (str): 'none', or how a disagreement by several categories counts: 'linear' or
            'quadratic'. Defaults to 'none'.

    Returns:
        float | None: 1 is full agreement, 0 that of chance; None without items, or where both
        raters use one and the same category alone.
    """
    if weights not in WEIGHTS:
        raise ValueError(f'weights {weights!r}: one of {WEIGHTS}')
    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    if a.shape != b.shape:
        raise ValueError(f'{len(a)} and {len(b)} ratings')
    if not len(a):
        return None
    observed = np.zeros((categories, categories))
    np.add.at(observed, (a, b), 1 / len(a))
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0))
    apart = np.abs(np.subtract.outer(np.arange(categories), np.arange(categories)))
    cost = {'none': apart > 0, 'linear': apart, 'quadratic': apart**2}[weights]
    chance = float((cost * expected).sum())
    return None if chance == 0 else 1 - float((cost * observed).sum()) / chance


def fleiss_kappa(ratings: np.ndarray, categories: int) -> Optional[float]:
    """Agreement of several raters beyond chance (Fleiss 1971).

    Args:
        ratings (np.ndarray): int (N, R): category of every item by every rater.
        categories (int): K.

    Returns:
        float | None: None without items, with fewer than two raters, or where all ratings are of
        one category.
    """
    ratings = np.asarray(ratings, dtype=np.int64)
    if ratings.ndim != 2 or ratings.shape[0] == 0 or ratings.shape[1] < 2:
        return None
    raters = ratings.shape[1]
    counts = np.stack([(ratings == k).sum(axis=1) for k in range(categories)], axis=1)
    agreed = (counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))
    chance = float(((counts.sum(axis=0) / ratings.size) ** 2).sum())
    return None if chance == 1 else (float(agreed.mean()) - chance) / (1 - chance)
