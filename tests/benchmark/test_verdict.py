"""What a benchmark says in words: which sentence for which numbers, and the smallest gain."""

import numpy as np
import pytest
from scipy import stats

from cellgan_plugin.benchmark.statistics import (
    bounded,
    compare_runs,
    compare_with_baseline,
    corrected_resampled_t_test,
    smallest_difference,
)
from cellgan_plugin.benchmark.verdict import headline, overall, points, verdict_of

REAL = [0.70, 0.72, 0.69, 0.71, 0.70]


def verdict(scores, baseline=REAL, compared=1, units='groups', **more):
    found = compare_with_baseline({'real': baseline, 'x': scores, **more}, 'real', 80, 20)['x']
    return verdict_of(found, 'ResNet', '+ x', 'Accuracy', float(np.mean(baseline)), compared, units)


@pytest.mark.parametrize(
    ('gain', 'outcome'),
    [
        ([0.10, 0.11, 0.10, 0.09, 0.10], 'helps'),
        ([-0.10, -0.11, -0.10, -0.09, -0.10], 'harms'),
        ([0.02, -0.02, 0.01, -0.01, 0.0], 'no evidence'),
        ([0.0, 0.0, 0.0, 0.0, 0.0], 'no evidence'),
        # The spread is so large that not even the room above the baseline would have been found.
        ([0.25, -0.30, 0.28, -0.25, 0.02], 'too few'),
    ],
)
def test_the_sentence_follows_the_numbers(gain, outcome):
    found = verdict([a + b for a, b in zip(REAL, gain, strict=True)])
    assert found.outcome == outcome
    assert f'{points(float(np.mean(gain)))} points of accuracy' in found.sentence
    start = dict(helps='It helps.', harms='It harms.')
    start |= {'no evidence': 'No evidence that it helps.', 'too few': 'Too few groups to tell.'}
    assert found.sentence.startswith(start[outcome])


def test_a_verdict_names_the_smallest_gain_that_would_have_been_found():
    noise = [0.02, -0.02, 0.01, -0.01, 0.0]
    found = verdict([a + b for a, b in zip(REAL, noise, strict=True)])
    error = np.sqrt(1 / 5 + 20 / 80) * np.std(noise, ddof=1)
    assert found.smallest_gain == pytest.approx(smallest_difference(error, 5))
    assert (
        f'is {100 * found.smallest_gain:.1f} points: a smaller one may be there' in found.sentence
    )
    # Of more rows, Holm's first step asks for more.
    many = verdict([a + b for a, b in zip(REAL, noise, strict=True)], compared=4)
    assert many.smallest_gain > 1.3 * found.smallest_gain


def test_few_folds_and_single_splits_are_too_few():
    two = verdict([0.8, 0.82], REAL[:2], units='folds')
    assert two.outcome == 'too few' and '2 folds; 3 or more are needed' in two.sentence
    assert two.smallest_gain is None
    found = compare_runs({'real': REAL, 'x': [0.9] * 5}, 'real')['x']
    one = verdict_of(found, 'ResNet', '+ x', 'F1', 0.7, one_split=True)
    assert one.outcome == 'too few' and 'F1 on one split' in one.sentence
    failed = compare_with_baseline({'real': REAL, 'x': [None] * 5}, 'real', 80, 20)['x']
    assert verdict_of(failed, 'R', '+ x', 'F1', 0.7).outcome == 'too few'


def test_the_difference_that_is_found_four_times_in_five():
    # Many folds: the normal quantiles of 97.5 % and 80 %.
    assert smallest_difference(1.0, 5000) == pytest.approx(1.95996 + 0.84162, rel=1e-3)
    rng, folds = np.random.default_rng(0), 5
    true = smallest_difference(0.02 / np.sqrt(folds), folds)
    drawn = rng.normal(true, 0.02, (20_000, folds))
    p = stats.ttest_1samp(drawn, 0, axis=1).pvalue
    # The error is taken as known, in the simulation it is estimated: the test is the same.
    assert np.mean((p < 0.05) & (drawn.mean(axis=1) > 0)) == pytest.approx(0.8, abs=0.01)
    assert smallest_difference(0.0, 5) is None and smallest_difference(1.0, 1) is None
    strict = smallest_difference(0.01, 5, 0.99)
    assert strict > smallest_difference(0.01, 5) > smallest_difference(0.01, 50)


def test_no_interval_is_beyond_what_a_score_can_be():
    assert bounded(-0.4, 0.5, 0.7) == (-0.4, pytest.approx(0.3))
    assert bounded(-0.9, 0.1, 0.7) == (-0.7, 0.1)
    assert bounded(-1.14, 1.12, 0.7) == (None, None)
    assert bounded(None, None, 0.7) == (None, None)
    assert bounded(-2.0, 2.0, -0.3) == (-2.0, 2.0)  # no score in [0, 1]
    wide = [0.99, 0.2, 0.98, 0.3, 0.6]
    raw = corrected_resampled_t_test(wide, REAL, 80, 20)
    assert raw.high > 0.3
    row = compare_with_baseline({'real': REAL, 'x': wide}, 'real', 80, 20)['x']
    assert row.low is None or (row.low >= -np.mean(REAL) and row.high <= 1 - np.mean(REAL))
    extreme = compare_with_baseline({'real': [0.5] * 3, 'x': [1.0, 0.0, 0.5]}, 'real', 2, 1)['x']
    assert extreme.low is extreme.high is None and 'every possible gain' in extreme.reason
    two = compare_with_baseline({'real': [0.7, 0.7], 'x': [0.71, 0.78]}, 'real', 2, 1)['x']
    assert two.low is two.high is two.p is None and two.difference == pytest.approx(0.045)


def test_several_rows_together():
    helps, harms, nothing, few = (
        verdict([a + g * b for a, b in zip(REAL, [1, 1.1, 1, 0.9, 1], strict=True)])
        if abs(g) > 0.05
        else verdict([a + b for a, b in zip(REAL, spread, strict=True)])
        for g, spread in (
            (0.1, None),
            (-0.1, None),
            (0.0, [0.02, -0.02, 0.01, -0.01, 0.0]),
            (0.0, [0.25, -0.3, 0.28, -0.25, 0.02]),
        )
    )
    assert overall([nothing, helps, few]) == 'helps'
    assert headline([nothing, helps]) == 'Synthetic images help in 1 of 2 comparisons.'
    assert headline([helps]) == 'Synthetic images help.'
    assert overall([nothing, harms]) == 'harms'
    assert headline([few, few], 'groups').startswith('Too few groups to tell whether synthetic')
    assert headline([few, nothing]) == 'No evidence that synthetic images help.'
    assert headline([nothing], what='these rows') == 'No evidence that these rows help.'
    assert headline([]) == '' and overall([]) is None
