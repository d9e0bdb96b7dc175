"""Extrapolation, intervals and smoothing, against Gaussians of known distance."""

import statistics

import numpy as np
import pytest
import torch

from cellgan_plugin.evaluation.distances import (
    DistanceOptionError,
    FeatureShapeError,
    NonFiniteFeaturesError,
    TooFewImagesError,
    bootstrap_interval,
    frechet_distance,
    frechet_distance_infinity,
    kernel_distance,
    smoothed_curve,
)
from cellgan_plugin.evaluation.frechet import FrechetSubsets
from cellgan_plugin.randomness import rng_for


def gaussians(n, d, index=0, shift=0.3, scale=1.2):
    """Two sets of n images, and the distance of the Gaussians they were drawn from."""
    rng = rng_for(0, 'tests/uncertainty', n, d, index)
    sd = np.arange(1, d + 1) ** -0.5
    mean = np.zeros(d)
    mean[:4] = shift
    real = rng.standard_normal((n, d)) * sd
    fake = rng.standard_normal((n, d)) * sd * scale + mean
    return real, fake, mean @ mean + ((scale - 1) ** 2 * sd**2).sum()


@pytest.mark.parametrize('n, d', [(30, 50), (120, 20)])
def test_subsets_equal_the_distance_of_their_rows(n, d):
    real, fake, _ = gaussians(n, d)
    pool = FrechetSubsets(torch.from_numpy(real), torch.from_numpy(fake) + 50)
    rng = rng_for(0, 'rows')
    for size in (2, n // 2, n):
        i, j = rng.choice(n, size, replace=False), rng.integers(0, n, size)
        expected = frechet_distance(real[i], fake[j] + 50)
        assert pool.distance(i, j) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize('vary, n, d', [('both', 200, 64), ('both', 60, 64), ('fake', 200, 16)])
def test_infinity_is_closer_to_the_truth(vary, n, d):
    errors, plain = [], []
    for index in range(5):
        real, fake, truth = gaussians(n, d, index)
        if vary == 'fake':  # the real set is large, as in the paper
            real = (
                rng_for(0, 'many', index).standard_normal((20_000, d)) * np.arange(1, d + 1) ** -0.5
            )
        result = frechet_distance_infinity(real, fake, vary=vary, points=8, repeats=2)
        errors.append(result.value - truth)
        plain.append(frechet_distance(real, fake) - truth)
    assert abs(np.mean(errors)) < 0.5 * abs(np.mean(plain))


def test_infinity_is_deterministic_and_says_what_it_did():
    real, fake, _ = gaussians(40, 10)
    first = frechet_distance_infinity(real, fake[:30], points=5, seed=3)
    again = frechet_distance_infinity(real, fake[:30], points=5, seed=3)
    assert first.value == again.value and first.fit_error == again.fit_error > 0
    assert frechet_distance_infinity(real, fake[:30], points=5, seed=4).value != first.value
    assert first.sizes.tolist() == [[20, 15], [25, 19], [30, 22], [35, 26], [40, 30]]
    assert first.distances[-1] == pytest.approx(frechet_distance(real, fake[:30]), rel=1e-9)
    alone = frechet_distance_infinity(real, fake[:30], points=5, vary='fake')
    assert (alone.sizes[:, 0] == 40).all()


@pytest.mark.parametrize('n, d', [(100, 16), (60, 64)])
def test_interval_covers_the_mean_of_new_draws(n, d):
    expected = np.mean([frechet_distance(*gaussians(n, d, 1000 + i)[:2]) for i in range(100)])
    intervals = [bootstrap_interval(*gaussians(n, d, i)[:2], replicates=20) for i in range(30)]
    held = np.mean([low <= expected <= high for low, high in intervals])
    assert held >= 0.84  # 95 % less 2.5 standard errors of 30 trials


def test_interval_for_the_population():
    cases = [gaussians(100, 16, i) for i in range(30)]
    intervals = [
        bootstrap_interval(real, fake, replicates=20, target='population')
        for real, fake, _ in cases
    ]
    held = [low <= case[2] <= high for case, (low, high) in zip(cases, intervals, strict=True)]
    assert np.mean(held) >= 0.8


def test_interval_of_the_kernel_distance():
    expected = np.mean([kernel_distance(*gaussians(50, 8, 1000 + i)[:2]).value for i in range(150)])
    held, widths, errors = [], [], []
    for i in range(30):
        real, fake, _ = gaussians(50, 8, i)
        low, high = bootstrap_interval(real, fake, 'kernel', replicates=40)
        held.append(low <= expected <= high)
        widths.append((high - low) / (2 * 1.96))
        errors.append(kernel_distance(real, fake).standard_error)
    assert np.mean(held) >= 0.8
    assert np.mean(widths) == pytest.approx(np.mean(errors), rel=0.25)  # jackknife, half-samples


def test_interval_is_the_normal_one_of_half_samples():
    real, fake, _ = gaussians(9, 2)
    halves = []
    for number in range(3):
        rng = rng_for(5, 'bootstrap_interval/kernel', number)
        rows = [rng.choice(9, 4, replace=False) for _ in range(2)]
        halves.append(kernel_distance(real[rows[0]], fake[rows[1]]).value)
    reach = 1.959964 * statistics.stdev(halves)  # divided by n - 1
    value = kernel_distance(real, fake).value
    found = bootstrap_interval(real, fake, 'kernel', replicates=3, seed=5)
    assert found == pytest.approx((value - reach, value + reach), rel=1e-6)
    found = bootstrap_interval(real, fake, 'kernel', replicates=3, seed=5, target='population')
    centre = 2 * value - statistics.mean(halves)
    assert found == pytest.approx((centre - reach, centre + reach), rel=1e-6)


def test_interval_is_deterministic_and_holds_the_value():
    real, fake, _ = gaussians(41, 10)
    first = bootstrap_interval(real, fake, replicates=20, seed=1)
    assert bootstrap_interval(real, fake, replicates=20, seed=1) == first
    assert bootstrap_interval(real, fake, replicates=20, seed=2) != first
    assert first.low < frechet_distance(real, fake) < first.high
    wide = bootstrap_interval(real, fake, replicates=20, seed=1, level=0.99)
    assert wide.low < first.low and first.high < wide.high
    same = bootstrap_interval(real, real.copy(), target='population', replicates=20)
    assert same.low == 0 and same.high >= 0
    tensors = map(torch.from_numpy, (real, fake))
    assert bootstrap_interval(*tensors, replicates=20, seed=1) == pytest.approx(first, rel=1e-9)


def test_smoothed_curve_is_equation_5():
    assert smoothed_curve([8.0, 4.0, 0.0, 2.0]).tolist() == [8, 6, 3, 2.5]
    assert smoothed_curve(torch.tensor([1.0, 0.0]), alpha=0.9).tolist() == pytest.approx([1, 0.9])
    values = np.array([3.0, 1.0, 2.0])
    assert smoothed_curve(values, alpha=0).tolist() == values.tolist() == [3, 1, 2]
    assert smoothed_curve([5]).tolist() == [5]
    # One lucky checkpoint does not win over a steady one.
    curve = [9, 9, 3, 9, 9, 4, 4, 4]
    assert np.argmin(curve) == 2 and np.argmin(smoothed_curve(curve)) == 7


def test_bad_curves():
    for values in ([], [[1.0]], 3.0):
        with pytest.raises(FeatureShapeError, match='shape'):
            smoothed_curve(values)
    with pytest.raises(NonFiniteFeaturesError, match='position 1'):
        smoothed_curve([1.0, float('nan')])
    for alpha in (1, -0.1, '0.5', None):
        with pytest.raises(DistanceOptionError, match='alpha'):
            smoothed_curve([1.0], alpha=alpha)


@pytest.mark.parametrize(
    'function, options, message',
    [
        (frechet_distance_infinity, dict(points=2), 'points'),
        (frechet_distance_infinity, dict(repeats=0), 'repeats'),
        (frechet_distance_infinity, dict(smallest=1.0), 'smallest'),
        (frechet_distance_infinity, dict(smallest=0.99), 'only one subset size'),
        (frechet_distance_infinity, dict(vary='real'), 'vary'),
        (bootstrap_interval, dict(statistic='fid'), 'statistic'),
        (bootstrap_interval, dict(target='truth'), 'target'),
        (bootstrap_interval, dict(level=95), 'level'),
        (bootstrap_interval, dict(replicates=1), 'replicates'),
    ],
)
def test_bad_options(function, options, message):
    real, fake, _ = gaussians(20, 4)
    with pytest.raises(DistanceOptionError, match=message):
        function(real, fake, **options)


def test_too_few_images():
    real, fake, _ = gaussians(20, 4)
    with pytest.raises(TooFewImagesError, match='at least 8'):
        frechet_distance_infinity(real, fake[:7])
    with pytest.raises(TooFewImagesError, match='at least 4'):
        bootstrap_interval(real[:3], fake)
