"""Confidence intervals of scores by drawing the test images again."""

from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, Optional, Sequence

import numpy as np
from scipy import stats

from cellgan_plugin.benchmark.score_registry import SCORES, WeightedPredictions, evaluate_score
from cellgan_plugin.benchmark.scores import Array, check_predictions
from cellgan_plugin.benchmark.statistics import StatisticsError, bounded
from cellgan_plugin.randomness import rng_for

_BLOCK = 2_000_000  # weights held at once


@dataclass(frozen=True)
class BootstrapInterval:
    """A score, its difference from the baseline, and percentile intervals of both.

    Attributes:
        value (float | None): Mean over the folds of the score, as the table shows it; None when it
            cannot be computed in some fold.
        low (float | None): Lower end of its interval.
        high (float | None): Upper end.
        difference (float | None): ``value`` minus the baseline's, over the folds that both have;
            None for the baseline itself.
        difference_low (float | None): Lower end of its interval.
        difference_high (float | None): Upper end.
    """

    value: Optional[float]
    low: Optional[float] = None
    high: Optional[float] = None
    difference: Optional[float] = None
    difference_low: Optional[float] = None
    difference_high: Optional[float] = None


class _Draws:
    """How often each test image of one fold is drawn in every replicate.

    Images are drawn within their class, whose sizes the folds have fixed. With groups, whole groups
    are drawn: of n groups n - 1, each weighing n / (n - 1) (Rao and Wu 1988), so that the variance
    over replicates is not too small by the factor (n - 1) / n, which matters for few groups.

    Attributes:
        units (int): Images or groups that are drawn.
    """

    def __init__(self, labels: np.ndarray, groups: Optional[Sequence[Optional[str]]], *key):
        self.count = len(labels)
        if groups is None:
            self.strata = [np.flatnonzero(labels == k) for k in np.unique(labels)]
            self.unit = np.arange(self.count)
        else:
            names = [g if g else ('', i) for i, g in enumerate(groups)]  # without: one of its own
            number = {name: i for i, name in enumerate(dict.fromkeys(names))}
            self.unit = np.array([number[name] for name in names])
            self.strata = [np.arange(len(number))]
        self.grouped = groups is not None
        self.units = len(self.unit) if groups is None else len(self.strata[0])
        # One stream per class: the size of the blocks below changes nothing.
        self.rngs = [rng_for(*key, stratum) for stratum in range(len(self.strata))]

    def blocks(self, replicates: int) -> Iterator[np.ndarray]:
        """Weights of some replicates at a time, float64 (b, N), stored image by image."""
        size = max(1, _BLOCK // self.count)
        for start in range(0, replicates, size):
            rows = min(size, replicates - start)
            drawn = np.zeros((rows, self.unit.max() + 1))
            for units, rng in zip(self.strata, self.rngs, strict=True):
                fewer = int(self.grouped and len(units) > 1)
                chosen = rng.integers(0, len(units), (rows, len(units) - fewer))
                flat = chosen + np.arange(rows)[:, None] * len(units)
                counts = np.bincount(flat.ravel(), minlength=rows * len(units))
                weight = len(units) / (len(units) - fewer)
                drawn[:, units] = weight * counts.reshape(rows, len(units))
            yield drawn.T[self.unit].T


def _replicate(
    weights: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, metrics: Sequence[str]
) -> np.ndarray:
    """Metrics of one arm in one fold for every weighting, (B, M)."""
    predictions = WeightedPredictions(probabilities, labels, weights)
    return np.stack([evaluate_score(name, predictions) for name in metrics], axis=1)


def bootstrap_scores(
    labels: Sequence[Array],
    probabilities: Mapping[str, Sequence[Optional[Array]]],
    baseline: Optional[str] = None,
    metrics: Optional[Sequence[str]] = None,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    groups: Optional[Sequence[Sequence[Optional[str]]]] = None,
    same_images: Optional[Sequence[int]] = None,
) -> Dict[str, Dict[str, BootstrapInterval]]:
    """Bootstrap of the mean over folds (and over trainings within a fold), paired between arms.

    In every replicate the test images of each fold are drawn with replacement and all arms are
    scored on the same draw; the folds' scores are averaged. So the interval of a difference is that
    of the same images evaluated by both classifiers. It covers the choice of the test images, given
    the trained classifiers; not what another training set or another start would have changed.

    - Images are drawn within their class, so that no class vanishes from a small fold. The
      interval is that of percentiles.
    - With ``groups``, whole slides or patients are drawn within a fold: images of one slide are
      not independent, and intervals that ignore it are too narrow. Percentiles of few groups are
      too narrow as well (four patients: 81 % coverage in place of 95 %), so the interval is the
      estimate and Student's t, with as many degrees of freedom as there are groups less folds,
      times the standard deviation over replicates. A fold of a single group has no spread to
      draw: there is no interval then.
    - Folds are not drawn: five are too few for that (a normal sample of five has a percentile
      interval of about 84 % coverage in place of 95 %). How much training sets matter is the
      question of the corrected t-test of :mod:`cellgan_plugin.benchmark.statistics`.

    Args:
        labels (Sequence[array]): True classes of every fold's test images, F x (N_f,).
        probabilities (Mapping[str, Sequence[array | None]]): Arm to its predictions in every
            fold, (N_f, K), in the order of ``labels``; None where a job failed.
        baseline (str, optional): Arm to subtract. Defaults to None: no differences.
        metrics (Sequence[str], optional): Some of
            :data:`~cellgan_plugin.benchmark.score_registry.SCORES`. Defaults to None: all.
        replicates (int): Defaults to 2000.
        level (float): Confidence level, in (0, 1). Defaults to 0.95.
        seed (int): Defaults to 0.
        groups (Sequence[Sequence[str | None]], optional): Group of every test image. Defaults to
            None: images are drawn.
        same_images (Sequence[int], optional): Number of the fold that an entry of ``labels`` is a
            training of. Trainings of one fold (seeds) test the same images, which are drawn once
            for all of them; their scores are averaged before those of the folds. Defaults to None:
            every entry is a fold of its own.

    Returns:
        dict[str, dict[str, BootstrapInterval]]: Arm to metric to interval. Does not depend on
        which other arms are given.

    Raises:
        StatisticsError: Unknown names, or options out of range.
        ScoreError: Predictions that do not fit the labels.
    """
    metrics = list(SCORES) if metrics is None else list(metrics)
    unknown = [name for name in metrics if name not in SCORES]
    if unknown or not metrics:
        raise StatisticsError(f'metrics are some of {list(SCORES)}, got {metrics}')
    if baseline is not None and baseline not in probabilities:
        raise StatisticsError(
            f'the baseline {baseline!r} is none of the arms {list(probabilities)}'
        )
    if replicates < 2 or not 0 < level < 1:
        raise StatisticsError(
            f'replicates must be 2 or more and level in (0, 1); got {replicates} and {level}'
        )
    folds = len(labels)
    for what, rows in (*probabilities.items(), *([('groups', groups)] if groups else [])):
        if len(rows) != folds:
            raise StatisticsError(f'{what}: {len(rows)} folds, and labels of {folds}')

    fold_of = list(range(folds)) if same_images is None else list(same_images)
    if len(fold_of) != folds:
        raise StatisticsError(f'same_images: {len(fold_of)} numbers, and labels of {folds}')
    freedom: Dict[int, Optional[int]] = {}  # groups less one, of every fold
    shape = (replicates, folds, len(metrics))
    drawn = {arm: np.full(shape, np.nan) for arm in probabilities}
    points = {arm: np.full(shape[1:], np.nan) for arm in probabilities}
    for fold in range(folds):
        present = {
            arm: check_predictions(rows[fold], labels[fold], np.shape(rows[fold])[-1])
            for arm, rows in probabilities.items()
            if rows[fold] is not None
        }
        if not present:
            continue
        truth = next(iter(present.values()))[1]
        fold_groups = None if groups is None else groups[fold]
        if fold_groups is not None and len(fold_groups) != len(truth):
            raise StatisticsError(
                f'fold {fold + 1}: {len(fold_groups)} groups of {len(truth)} test images'
            )
        once = np.ones((1, len(truth)))
        for arm, (found, _) in present.items():
            points[arm][fold] = _replicate(once, found, truth, metrics)[0]
        start = 0
        draws = _Draws(truth, fold_groups, seed, 'benchmark_bootstrap', fold_of[fold])
        freedom[fold_of[fold]] = draws.units - 1 if fold_groups is not None else None
        for weights in draws.blocks(replicates):
            rows = slice(start, start + len(weights))
            start += len(weights)
            for arm, (found, _) in present.items():
                drawn[arm][rows, fold] = _replicate(weights, found, truth, metrics)

    which = {
        arm: [fold for fold in range(folds) if rows[fold] is not None]
        for arm, rows in probabilities.items()
    }
    tails = [(1 - level) / 2, (1 + level) / 2]

    def over_trainings(table: np.ndarray, chosen: List[int]) -> np.ndarray:
        """Means over the trainings of each fold, which is the last but one axis."""
        by_fold = {n: [i for i in chosen if fold_of[i] == n] for n in (fold_of[i] for i in chosen)}
        return np.stack([table[..., own, :].mean(axis=-2) for own in by_fold.values()], axis=-2)

    def interval(
        values: np.ndarray, chosen: List[int], metric: int, point: float, baseline: float = 0.0
    ) -> List[Optional[float]]:
        means = over_trainings(values, chosen)[..., metric].mean(axis=1)
        means = means[np.isfinite(means)]  # a class of a small fold may not have been drawn
        if len(means) < 2:
            return [None, None]
        if groups is None:
            ends = np.quantile(means, tails)
        else:
            degrees = [freedom[n] for n in dict.fromkeys(fold_of[i] for i in chosen)]
            if min(degrees) < 1:
                return [None, None]
            reach = stats.t.ppf(tails[1], sum(degrees)) * means.std(ddof=1)
            ends = np.array([point - reach, point + reach])
        if not 0 <= point + baseline <= 1:  # a registered score that may lie outside of [0, 1]
            return ends.tolist()
        return list(bounded(*ends.tolist(), baseline))

    def value(table: np.ndarray, chosen: List[int], metric: int) -> Optional[float]:
        mean = over_trainings(table, chosen)[:, metric].mean() if chosen else np.nan
        return float(mean) if np.isfinite(mean) else None

    results: Dict[str, Dict[str, BootstrapInterval]] = {}
    for arm in probabilities:
        results[arm] = {}
        for metric, name in enumerate(metrics):
            point = value(points[arm], which[arm], metric)
            row = [point, None, None]
            if point is not None:
                row = [point, *interval(drawn[arm], which[arm], metric, point)]
            if baseline is not None and arm != baseline:
                common = [fold for fold in which[arm] if fold in which[baseline]]
                change = value(points[arm] - points[baseline], common, metric)
                row.append(change)
                if change is not None:
                    gain = drawn[arm] - drawn[baseline]
                    base = value(points[baseline], common, metric)
                    row += interval(gain, common, metric, change, base)
            results[arm][name] = BootstrapInterval(*row)
    return results
