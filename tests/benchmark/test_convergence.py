"""When a baseline counts as converged."""

import numpy as np
import pytest

from cellgan_plugin.benchmark.convergence import rise_at_the_end, still_rising

STEPS = np.arange(1, 61) * 10


def test_the_rise_of_a_line_is_its_length():
    accuracy = 0.3 + STEPS / STEPS[-1] * 0.5
    assert rise_at_the_end(STEPS, accuracy) == pytest.approx(0.5 * (600 - 360) / 600)


def test_a_plateau_does_not_rise_whatever_came_before():
    assert rise_at_the_end(STEPS, np.minimum(0.9, STEPS / 100)) == 0
    assert rise_at_the_end(STEPS, 0.9 - STEPS / 6000) == 0  # falling


def test_noise_is_no_rise():
    rng = np.random.default_rng(0)
    said = [rise_at_the_end(STEPS, 0.7 + 0.05 * rng.normal(size=60)) > 0 for _ in range(400)]
    assert np.mean(said) < 0.06  # one-sided, two standard errors


def test_a_curve_of_few_points_says_nothing():
    assert rise_at_the_end([1, 2, 3], [0.1, 0.5, 0.9]) is None
    assert rise_at_the_end([], []) is None


def curve(values, part='train', name='accuracy_top-1'):
    both = dict(train={}, val={})
    both[part][name] = dict(iteration=STEPS.tolist(), value=(100 * np.asarray(values)).tolist())
    return both


def test_validation_images_come_before_training_images():
    flat, rising = np.full(60, 0.8), STEPS / 1000
    assert still_rising([curve(flat)]) is None
    assert 'rose by 24.0 points' in still_rising([curve(rising)])
    both = curve(rising)
    both['val'] = curve(flat, 'val', 'accuracy')['val']
    assert still_rising([both]) is None
    assert still_rising([curve(flat), curve(flat), curve(rising)]) is None  # most had finished
    assert still_rising([dict(train={}, val={})]) is None
