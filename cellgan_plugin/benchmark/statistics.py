"""Is a gain more than chance: paired tests over folds, corrected for their common images.

Intervals that resample test images are in :mod:`cellgan_plugin.benchmark.bootstrap`.
"""

import math
from dataclasses import dataclass, replace
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from scipy import optimize, stats

# Differences of scores this close are equal: scores are ratios of small numbers.
_EQUAL = 1e-12
# Of an interval or a test over folds: two folds have one degree of freedom, and their interval
# would be 25 times as wide as their difference.
FEWEST_FOLDS = 3

Numbers = Union[float, Sequence[float]]


class StatisticsError(ValueError):
    """Scores that cannot be tested; the message says what was expected."""


class MeanStd(NamedTuple):
    """Mean and standard deviation over folds.

    Attributes:
        mean (float | None): None without any value.
        std (float | None): With n - 1 in the denominator; None below two values.
        count (int): Number of values; None and NaN are left out.
    """

    mean: Optional[float]
    std: Optional[float]
    count: int


def mean_and_std(values: Sequence[Optional[float]]) -> MeanStd:
    """Mean and sample standard deviation of the folds that have a value."""
    found = np.array([v for v in values if v is not None and not math.isnan(v)], dtype=np.float64)
    if len(found) == 0:
        return MeanStd(None, None, 0)
    std = float(found.std(ddof=1)) if len(found) > 1 else None
    return MeanStd(float(found.mean()), std, len(found))


def _per_fold(numbers: Numbers, count: int) -> np.ndarray:
    array = np.asarray(numbers, dtype=np.float64)
    if array.ndim > 1 or (array.ndim == 1 and len(array) != count):
        raise StatisticsError(
            f'numbers of images: one, or one of each of {count} folds; got {numbers}'
        )
    return np.broadcast_to(array, count)


@dataclass(frozen=True)
class PairedTest:
    """Result of a paired t-test over folds.

    Attributes:
        folds (int): Number of pairs J.
        difference (float): Mean of scores minus baseline.
        low (float | None): Lower end of the confidence interval of the difference.
        high (float | None): Upper end.
        t (float | None): The statistic, with J - 1 degrees of freedom.
        p (float | None): Two-sided p value.
        reason (str): Why values are None, else ``''``.
        error (float | None): Standard error of the difference.
    """

    folds: int
    difference: float
    low: Optional[float]
    high: Optional[float]
    t: Optional[float]
    p: Optional[float]
    reason: str = ''
    error: Optional[float] = None


def corrected_resampled_t_test(
    scores: Sequence[float],
    baseline: Sequence[float],
    n_train: Numbers,
    n_test: Numbers,
    level: float = 0.95,
) -> PairedTest:
    """Paired t-test over folds with the corrected variance of Nadeau and Bengio (2003).

    Folds share training images, so their scores are not independent and the ordinary paired
    t-test finds differences that are not there. The variance of the mean difference is taken as
    ``(1 / J + n_test / n_train) * s^2`` in place of ``s^2 / J`` (Machine Learning 52, Sec. 5,
    "corrected resampled t-test"; derived for random splits, customary for cross-validation).

    It answers whether the gain would be found with other images of the same kind. Runs that differ
    in their initialisation alone (HistoGAN's five runs on one split) share all images: their
    spread says nothing about that, whatever the correction.

    Args:
        scores (Sequence[float]): One per fold, (J,), J >= 2.
        baseline (Sequence[float]): Those of the baseline on the same folds, (J,).
        n_train (int | Sequence[int]): Real training images of a fold. Synthetic ones do not
            count: the correction is for real images that the folds have in common.
        n_test (int | Sequence[int]): Test images of a fold. For folds of unequal size (groups) the
            mean of the folds' ratios ``n_test / n_train`` is used. 0 gives the ordinary paired
            t-test.
        level (float): Confidence level of the interval, in (0, 1). Defaults to 0.95.

    Returns:
        PairedTest: ``p`` is None where all folds differ by the same amount but 0, which leaves no
        variance to test against.

    Raises:
        StatisticsError: Other lengths, fewer than two folds, values that are not finite.
    """
    a, b = np.asarray(scores, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise StatisticsError(
            f'one score per fold of both arms was expected; got shapes {a.shape} and {b.shape}'
        )
    count = len(a)
    if count < 2:
        raise StatisticsError(f'two or more folds are needed for a paired test, got {count}')
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise StatisticsError(
            f'scores must be finite, got {a.tolist()} and {b.tolist()}: leave out the folds whose '
            'job failed'
        )
    if not 0 < level < 1:
        raise StatisticsError(f'level must be in (0, 1), got {level}')
    ratio = _mean_ratio(n_train, n_test, count)
    differences = a - b
    mean, std = float(differences.mean()), float(differences.std(ddof=1))
    if std <= _EQUAL:
        if abs(mean) <= _EQUAL:
            return PairedTest(count, 0.0, 0.0, 0.0, 0.0, 1.0, error=0.0)
        reason = 'the difference is the same in every fold: there is no variance to test against'
        return PairedTest(count, mean, None, None, None, None, reason)
    error = math.sqrt(1 / count + ratio) * std
    reach = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    t = mean / error
    p = float(2 * stats.t.sf(abs(t), count - 1))
    return PairedTest(count, mean, mean - reach, mean + reach, t, p, error=error)


def smallest_difference(
    error: float, folds: int, level: float = 0.95, power: float = 0.8
) -> Optional[float]:
    """The smallest true difference that a paired t-test over folds would have found.

    It is the difference at which the test rejects with probability ``power``: the noncentrality of
    Student's t with J - 1 degrees of freedom times the standard error, which is taken as known.

    Args:
        error (float): Standard error of the difference, as of :class:`PairedTest`.
        folds (int): J.
        level (float): Confidence level of the test. Defaults to 0.95.
        power (float): Probability that it is found. Defaults to 0.8.

    Returns:
        float | None: In the unit of the scores; None with fewer than two folds, or no spread.
    """
    if folds < 2 or error <= 0:
        return None
    critical = float(stats.t.ppf((1 + level) / 2, folds - 1))

    def missed(noncentrality: float) -> float:
        return float(stats.nct.sf(critical, folds - 1, noncentrality)) - power

    return error * float(optimize.brentq(missed, 0.0, 20.0 + 3.0 * critical))


def _mean_ratio(n_train: Numbers, n_test: Numbers, folds: int) -> float:
    train, test = _per_fold(n_train, folds), _per_fold(n_test, folds)
    if not (train > 0).all() or not (test >= 0).all():
        raise StatisticsError(
            f'a fold has one or more training images and 0 or more test images; got {n_train} and '
            f'{n_test}'
        )
    return float((test / train).mean())


def bounded(
    low: Optional[float], high: Optional[float], baseline: float
) -> Tuple[Optional[float], Optional[float]]:
    """Cut an interval of a gain off at what a gain in a score of [0, 1] can be.

    Args:
        low (float | None): Lower end.
        high (float | None): Upper end.
        baseline (float): The score that the gain is over. One outside of [0, 1] bounds nothing.

    Returns:
        tuple[float | None, float | None]: Within ``[-baseline, 1 - baseline]``; None where both
        ends would be cut off: such an interval says nothing.
    """
    if low is None or high is None:
        return None, None
    if not 0 <= baseline <= 1:
        return low, high
    least, most = -baseline, 1 - baseline
    if low <= least and high >= most and low < high:
        return None, None
    return min(max(low, least), most), max(min(high, most), least)


def cohens_d(scores: Sequence[float], baseline: Sequence[float]) -> Optional[float]:
    """Standardised effect: mean difference over the pooled standard deviation over folds.

    ``d = (mean(a) - mean(b)) / sqrt((s_a^2 + s_b^2) / 2)``, s with n - 1. How far the two arms
    are apart in units of how much one arm varies from fold to fold. It is not the mean over
    the deviation of the differences (d_z), which says the same as t.

    Args:
        scores (Sequence[float]): One per fold, two or more.
        baseline (Sequence[float]): Those of the baseline.

    Returns:
        float | None: None when neither varies.
    """
    a, b = np.asarray(scores, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if min(len(a), len(b)) < 2:
        raise StatisticsError(f'two or more folds are needed, got {len(a)} and {len(b)}')
    pooled = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    return None if pooled <= _EQUAL else float((a.mean() - b.mean()) / pooled)


def holm(p_values: Sequence[Optional[float]]) -> List[Optional[float]]:
    """Holm's step-down adjustment: the chance of one or more false findings stays below the level.

    Args:
        p_values (Sequence[float | None]): One per test; None where there was no test.

    Returns:
        list[float | None]: Adjusted p values in the same order, each in [0, 1].
    """
    tested = [i for i, p in enumerate(p_values) if p is not None]
    for i in tested:
        if not 0 <= p_values[i] <= 1:
            raise StatisticsError(f'a p value lies in [0, 1], got {p_values[i]}')
    adjusted: List[Optional[float]] = [None] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(tested, key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(tested) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


@dataclass(frozen=True)
class Difference:
    """One arm against the baseline, in one metric of one classifier.

    Attributes:
        arm (str): The arm.
        folds (int): Folds that both have.
        difference (float | None): Mean of the arm minus mean of the baseline over them.
        low (float | None): Lower end of the corrected confidence interval, see
            :func:`bounded`.
        high (float | None): Upper end.
        p (float | None): Of the corrected resampled t-test, two-sided.
        p_holm (float | None): The same, adjusted over the arms compared.
        cohens_d (float | None): See :func:`cohens_d`.
        reason (str): Why values are None, else ``''``.
        error (float | None): Standard error of the difference, as the test takes it.
    """

    arm: str
    folds: int
    difference: Optional[float]
    low: Optional[float] = None
    high: Optional[float] = None
    p: Optional[float] = None
    p_holm: Optional[float] = None
    cohens_d: Optional[float] = None
    reason: str = ''
    error: Optional[float] = None


def compare_with_baseline(
    scores: Mapping[str, Sequence[Optional[float]]],
    baseline: str,
    n_train: Numbers,
    n_test: Numbers,
) -> Dict[str, Difference]:
    """Test every arm against the baseline, and adjust for their number.

    Args:
        scores (Mapping[str, Sequence[float | None]]): Arm to its score in every fold; None
            where a job failed. A comparison uses the folds that both have.
        baseline (str): Name of the baseline, e.g. ``'real only'``.
        n_train (int | Sequence[int]): Real training images, see
            :func:`corrected_resampled_t_test`; as many numbers as folds.
        n_test (int | Sequence[int]): Test images.

    Returns:
        dict[str, Difference]: One per other arm, in the order given. Holm's adjustment is over
        those that could be tested.

    Raises:
        StatisticsError: No such baseline, or another number of folds.
    """
    if baseline not in scores:
        raise StatisticsError(f'the baseline {baseline!r} is none of the arms {list(scores)}')
    count = len(scores[baseline])
    train, test = (_per_fold(numbers, count) for numbers in (n_train, n_test))
    rows: Dict[str, Difference] = {}
    for arm, values in scores.items():
        if arm == baseline:
            continue
        if len(values) != count:
            raise StatisticsError(
                f'{arm!r} has {len(values)} folds and {baseline!r} {count}: give None for a '
                'fold that has no score'
            )
        common = [
            i
            for i, pair in enumerate(zip(values, scores[baseline], strict=True))
            if None not in pair
        ]
        a, b = ([source[i] for i in common] for source in (values, scores[baseline]))
        difference = float(np.mean(a) - np.mean(b)) if common else None
        if len(common) < FEWEST_FOLDS:
            reason = f'{len(common)} folds have scores of both arms; {FEWEST_FOLDS} are needed'
            rows[arm] = Difference(arm, len(common), difference, reason=reason)
            continue
        result = corrected_resampled_t_test(a, b, train[common], test[common])
        low, high = bounded(result.low, result.high, float(np.mean(b)))
        reason = result.reason
        if result.low is not None and low is None:
            reason = 'the folds differ so much that the interval would hold every possible gain'
        rows[arm] = Difference(
            arm,
            len(common),
            difference,
            low,
            high,
            result.p,
            cohens_d=cohens_d(a, b),
            reason=reason,
            error=result.error,
        )
    adjusted = holm([row.p for row in rows.values()])
    return {
        arm: replace(row, p_holm=p) for (arm, row), p in zip(rows.items(), adjusted, strict=True)
    }


def compare_runs(
    scores: Mapping[str, Sequence[Optional[float]]], baseline: str
) -> Dict[str, Difference]:
    """Differences of arms whose runs share training and test images.

    Such runs differ in their initialisation (HistoGAN, Sec. 4.3.3: five rounds). Their spread says
    nothing about other images, so nothing is tested, see :func:`corrected_resampled_t_test`.

    Args:
        scores (Mapping[str, Sequence[float | None]]): Arm to its score in every run.
        baseline (str): Name of the baseline.

    Returns:
        dict[str, Difference]: One per other arm; ``folds`` is the number of its runs.

    Raises:
        StatisticsError: No such baseline.
    """
    if baseline not in scores:
        raise StatisticsError(f'the baseline {baseline!r} is none of the arms {list(scores)}')
    base = mean_and_std(scores[baseline])
    reason = (
        'runs of one split share all images: their spread says nothing about other images, and '
        'nothing is tested'
    )
    rows = {}
    for arm, values in scores.items():
        if arm == baseline:
            continue
        own = mean_and_std(values)
        known = own.mean is not None and base.mean is not None
        difference = own.mean - base.mean if known else None
        rows[arm] = Difference(arm, own.count, difference, reason=reason)
    return rows
