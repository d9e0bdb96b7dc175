import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from cellgan_plugin.benchmark.statistics import (
    StatisticsError,
    cohens_d,
    compare_runs,
    compare_with_baseline,
    corrected_resampled_t_test,
    holm,
    mean_and_std,
)


def test_the_corrected_test_by_hand():
    # Differences 1..5: mean 3, variance 2.5; (1/5 + 80/320) * 2.5 = 1.125; t = 3 / sqrt(1.125).
    baseline = np.array([0.3, 0.1, 0.2, 0.5, 0.4])
    result = corrected_resampled_t_test(baseline + [1, 2, 3, 4, 5], baseline, 320, 80)
    assert result.t == pytest.approx(math.sqrt(8))
    # Student's distribution of 4 degrees of freedom in closed form.
    t = math.sqrt(8)
    x = 1 + t * t / 4
    below = 0.5 + 3 / 8 * t / math.sqrt(x) * (1 - t * t / x / 12)
    assert result.p == pytest.approx(2 * (1 - below))
    assert result.p == pytest.approx(0.04742, abs=1e-5)
    reach = 2.776445105 * math.sqrt(1.125)  # the table's value for 4 degrees, 95 %
    assert (result.low, result.high) == pytest.approx((3 - reach, 3 + reach))
    assert result.difference == pytest.approx(3) and result.folds == 5 and result.reason == ''


@pytest.mark.parametrize('seed', range(5))
def test_without_correction_it_is_the_ordinary_paired_test(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 7))
    result = corrected_resampled_t_test(a, b, 100, 0, level=0.9)
    expected = stats.ttest_rel(a, b)
    assert (result.t, result.p) == pytest.approx((expected.statistic, expected.pvalue))
    interval = expected.confidence_interval(0.9)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    corrected = corrected_resampled_t_test(a, b, 4, 1)
    assert corrected.p > result.p and abs(corrected.t) < abs(result.t)
    mirrored = corrected_resampled_t_test(b, a, 4, 1)
    assert mirrored.p == pytest.approx(corrected.p) and mirrored.t == pytest.approx(-corrected.t)


def test_unequal_folds_count_by_the_mean_of_their_ratios():
    a, b = np.arange(4.0), np.array([0.5, 0.7, 1.0, 2.9])
    train, test = [90, 80, 70, 60], [10, 20, 30, 40]
    ratio = np.mean(np.divide(test, train))
    mixed = corrected_resampled_t_test(a, b, train, test)
    same = corrected_resampled_t_test(a, b, 1, ratio)
    assert (mixed.t, mixed.p, mixed.low) == pytest.approx((same.t, same.p, same.low))


def test_the_level_holds_where_folds_share_what_the_correction_assumes():
    # Correlation n_test / (n_test + n_train) between folds, and no true difference.
    rng = np.random.default_rng(0)
    folds, ratio = 5, 0.25
    rho = ratio / (1 + ratio)
    covariance = np.full((folds, folds), rho) + (1 - rho) * np.eye(folds)
    draws = rng.multivariate_normal(np.zeros(folds), covariance, size=1000)
    corrected = [corrected_resampled_t_test(d, 0 * d, 4, 1).p < 0.05 for d in draws]
    ordinary = [corrected_resampled_t_test(d, 0 * d, 4, 0).p < 0.05 for d in draws]
    assert np.mean(corrected) == pytest.approx(0.05, abs=0.02)
    assert np.mean(ordinary) > 0.1


def test_differences_without_variance():
    equal = corrected_resampled_t_test([0.7, 0.8], [0.7, 0.8], 4, 1)
    assert (equal.p, equal.t, equal.low, equal.high) == (1, 0, 0, 0)
    # 0.1 each, but for the last bits of the floating point numbers.
    shifted = corrected_resampled_t_test([0.8, 0.4, 0.3], [0.7, 0.3, 0.2], 4, 1)
    assert shifted.p is None and shifted.low is None and shifted.difference == pytest.approx(0.1)
    assert 'the same in every fold' in shifted.reason


@pytest.mark.parametrize(
    'arguments, said',
    [
        (([1.0], [1.0], 4, 1), 'two or more folds .* got 1'),
        (([1, 2, 3.0], [1, 2.0], 4, 1), r'shapes \(3,\) and \(2,\)'),
        (([1, float('nan')], [1, 2], 4, 1), 'must be finite.* leave out the folds'),
        (([1, 2], [2, 2], 0, 1), 'one or more training images'),
        (([1, 2], [2, 2], [4, 4, 4], 1), 'one of each of 2 folds'),
        (([1, 2], [2, 2], 4, -1), 'test images'),
        (([1, 2], [2, 2], 4, 1, 95), r'level must be in \(0, 1\), got 95'),
    ],
)
def test_what_cannot_be_tested(arguments, said):
    with pytest.raises(StatisticsError, match=said):
        corrected_resampled_t_test(*arguments)


def test_mean_and_standard_deviation_over_folds():
    assert mean_and_std([1, 2, 3, 4]) == pytest.approx((2.5, math.sqrt(5 / 3), 4))
    assert mean_and_std([1, None, 3, float('nan')]) == pytest.approx((2, math.sqrt(2), 2))
    assert mean_and_std([1, None]) == (1, None, 1)
    assert mean_and_std([None]) == (None, None, 0)


def test_cohens_d_by_hand():
    # Means 3 and 1, variances 1 and 3: d = 2 / sqrt(2).
    assert cohens_d([2, 3, 4], [1 - math.sqrt(3), 1, 1 + math.sqrt(3)]) == pytest.approx(
        math.sqrt(2)
    )
    assert cohens_d([2, 2], [1, 1]) is None
    with pytest.raises(StatisticsError):
        cohens_d([1], [2])


def test_holm_by_hand():
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 -> raised to 0.06 by the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02, None, 0.5]) == pytest.approx([0.04, None, 0.5])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == [] and holm([None]) == [None]
    with pytest.raises(StatisticsError, match='a p value'):
        holm([1.2])


def test_settings_against_the_baseline():
    real = [0.70, 0.72, 0.74, 0.71, 0.73]
    noise = np.array([0.01, -0.01, 0.02, 0.0, -0.02])
    scores = {
        'real only': real,
        '+ CellGAN': (np.add(real, 0.05) + noise).tolist(),
        '+ LDM': [0.71, 0.71, None, 0.72, 0.71],
        '+ broken': [None, None, 0.7, None, None],
        '+ lost': [None] * 5,
    }
    rows = compare_with_baseline(
        scores, 'real only', [100, 101, 102, 103, 104], [26, 25, 24, 23, 22]
    )
    assert list(rows) == ['+ CellGAN', '+ LDM', '+ broken', '+ lost']
    one = corrected_resampled_t_test(
        scores['+ CellGAN'], real, [100, 101, 102, 103, 104], [26, 25, 24, 23, 22]
    )
    row = rows['+ CellGAN']
    assert (row.p, row.low, row.high) == pytest.approx((one.p, one.low, one.high))
    assert row.difference == pytest.approx(0.05) and row.folds == 5
    assert row.cohens_d == pytest.approx(cohens_d(scores['+ CellGAN'], real))
    # A failed job costs its fold, not the row.
    two = corrected_resampled_t_test(
        [0.71, 0.71, 0.72, 0.71], [0.70, 0.72, 0.71, 0.73], [100, 101, 103, 104], [26, 25, 23, 22]
    )
    assert rows['+ LDM'].folds == 4 and rows['+ LDM'].p == pytest.approx(two.p)
    assert [row.p_holm for row in rows.values()] == holm([one.p, two.p, None, None])
    assert rows['+ broken'].p is None and rows['+ broken'].difference == pytest.approx(-0.04)
    assert '1 folds have scores of both' in rows['+ broken'].reason
    assert rows['+ lost'].difference is None and rows['+ lost'].folds == 0
    json.dumps([asdict(row) for row in rows.values()])


def test_bad_comparisons():
    with pytest.raises(StatisticsError, match="'real' is none of the arms"):
        compare_with_baseline({'a': [1, 2]}, 'real', 4, 1)
    with pytest.raises(StatisticsError, match="'a' has 1 folds and 'real' 2"):
        compare_with_baseline({'real': [1, 2], 'a': [1]}, 'real', 4, 1)


def test_runs_of_one_split_are_compared_and_not_tested():
    scores = dict(real=[0.5, 0.7], a=[0.8, 0.9, None], failed=[None, None, None])
    found = compare_runs(scores, 'real')
    assert list(found) == ['a', 'failed']
    assert found['a'].difference == pytest.approx(0.25) and found['a'].folds == 2
    assert (
        found['a'].p is None and found['a'].low is None and 'share all images' in found['a'].reason
    )
    assert found['failed'].difference is None
    with pytest.raises(StatisticsError, match='none of the arms'):
        compare_runs(scores, 'other')
