"""Nearest neighbours: prdc agrees, ties and blocks do not matter, copies are found."""

import numpy as np
import pytest
import torch

from cellgan_plugin.evaluation.distances import (
    DistanceOptionError,
    FeatureShapeError,
    NonFiniteFeaturesError,
    TooFewImagesError,
    nearest_training_neighbours,
    precision_recall_density_coverage,
)
from cellgan_plugin.randomness import rng_for


def normal(*shape, index=0):
    return rng_for(0, 'tests/neighbours', index, *shape).standard_normal(shape)


@pytest.mark.parametrize('k', [1, 3, 5])
@pytest.mark.parametrize('n, m, shift', [(60, 60, 0.0), (40, 75, 0.5), (80, 30, 1.0)])
def test_prdc_agrees(n, m, shift, k):
    prdc = pytest.importorskip('prdc')
    real, fake = normal(n, 6, index=1), 1.3 * normal(m, 6, index=2) + shift
    expected = prdc.compute_prdc(real, fake, nearest_k=k)
    assert precision_recall_density_coverage(real, fake, k)._asdict() == pytest.approx(expected)


def test_like_and_unlike_sets():
    x = normal(60, 6)
    far = precision_recall_density_coverage(x, x + 100, 3)
    assert far == (0, 0, 0, 0)
    # A copy: in its own ball and in those of k - 1 others on average; edges are outside.
    assert precision_recall_density_coverage(x, x.copy(), 3) == (1, 1, 1, 1)


def test_mode_collapse_shows_in_recall_and_coverage():
    real = normal(100, 4, index=1)
    fake = real[:1] + 0.05 * normal(100, 4, index=2)
    result = precision_recall_density_coverage(real, fake, 5)
    assert result.precision > 0.9 and result.recall < 0.1 and result.coverage < 0.2


@pytest.mark.parametrize('block_size', [1, 7, 1000])
def test_blocks_order_and_kind(block_size):
    real, fake = normal(50, 5, index=1), normal(40, 5, index=2)
    fake[:20] = real[:20]  # ties: distances that equal a ball's radius
    expected = precision_recall_density_coverage(real, fake, 3)
    assert precision_recall_density_coverage(real, fake, 3, block_size=block_size) == expected
    assert precision_recall_density_coverage(real[::-1], fake[::-1], 3) == expected
    tensors = map(torch.from_numpy, (real, fake))
    assert precision_recall_density_coverage(*tensors, 3, block_size=block_size) == expected
    assert precision_recall_density_coverage(real + 1000, fake + 1000, 3) == expected


def test_nearest_by_hand():
    training, generated = normal(30, 4, index=1), normal(11, 4, index=2)
    matrix = np.linalg.norm(generated[:, None] - training[None], axis=2)
    result = nearest_training_neighbours(generated, training)
    assert np.array_equal(result.indices, matrix.argmin(1))
    assert result.distances == pytest.approx(matrix.min(1), rel=1e-12)
    within = np.linalg.norm(training[:, None] - training[None], axis=2)
    within[np.diag_indices(30)] = np.inf
    assert result.threshold == pytest.approx(within.min(1).min(), rel=1e-12)
    assert np.array_equal(result.memorised, result.distances <= result.threshold)
    assert result.score == result.memorised.mean()
    for block_size in (1, 4, 100):
        again = nearest_training_neighbours(generated, training, block_size=block_size)
        assert np.array_equal(again.indices, result.indices)
        assert again.distances == pytest.approx(result.distances, rel=1e-12)


@pytest.mark.parametrize('calibrated', [True, False])
def test_memorisation_score_is_0_for_real_and_1_for_copies(calibrated):
    images = normal(900, 16)
    training, held_out, new = images[:500], images[500:700], images[700:]
    reference = held_out if calibrated else None
    assert nearest_training_neighbours(new, training, reference).score <= 0.05
    copies = nearest_training_neighbours(training[::-1], training, reference)
    assert copies.score == 1 and copies.memorised.all()
    assert np.array_equal(copies.indices, np.arange(500)[::-1])
    assert (copies.distances == 0).all()
    nearly = training + 0.02 * normal(500, 16, index=1)
    assert nearest_training_neighbours(nearly, training, reference).score > 0.99
    mixed = np.concatenate([training[:50], new[:150]])
    assert nearest_training_neighbours(mixed, training, reference).score == pytest.approx(
        0.25, abs=0.04
    )


@pytest.mark.parametrize('quantile, threshold', [(0.01, 1), (0.3, 1), (0.6, 2), (0.99, 4)])
def test_the_threshold_is_a_distance_that_occurs(quantile, threshold):
    # Distances to the nearest other one: 1, 1, 2, 3, 4. The k-th smallest with k / 6 <= quantile:
    # between two of them, images would be called copies at a distance that no real pair has.
    training = np.array([[0.0], [1.0], [3.0], [6.0], [10.0]])
    generated = np.array([[10.5], [11.5], [12.5], [13.5]])
    for held_out in (None, np.array([[-1.0], [11.0], [12.0], [13.0], [14.0]])):
        found = nearest_training_neighbours(generated, training, held_out, quantile=quantile)
        assert found.threshold == pytest.approx(threshold)
        assert found.score == np.mean(np.array([0.5, 1.5, 2.5, 3.5]) <= threshold)


def test_the_held_out_split_itself_scores_the_quantile():
    training, held_out = normal(300, 8, index=1), normal(201, 8, index=2)
    for quantile in (0.01, 0.05, 0.5):
        result = nearest_training_neighbours(held_out, training, held_out, quantile=quantile)
        assert result.score == pytest.approx(quantile, abs=1 / 200)


@pytest.mark.parametrize('held_out, quantile', [(20, 0.05), (200, 0.01), (150, 0.1), (9, 0.01)])
def test_false_alarms_are_what_is_stated(held_out, quantile):
    rates = []
    for index in range(200):
        # Coordinates of a heavy tail: no distance has a distribution with a name.
        images = rng_for(1, 'tests/alarms', index, held_out).standard_t(3, (40 + held_out + 100, 3))
        training, reference, new = np.split(images, [40, 40 + held_out])
        found = nearest_training_neighbours(new, training, reference, quantile=quantile)
        rates.append(found.score)
    rank = max(1, int(quantile * (held_out + 1) + 1e-9))
    assert found.false_alarms == rank / (held_out + 1) and found.reference == held_out
    error = np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) == pytest.approx(found.false_alarms, abs=3 * error + 1e-3)


def test_views_of_a_training_image_are_one_image():
    training = normal(30, 3, 4, index=3)  # three views of each
    rows = training.reshape(90, 4)
    copies = training[:, 2]
    plain = nearest_training_neighbours(copies, training[:, 0])
    assert plain.score < 0.3
    found = nearest_training_neighbours(copies, rows, views=3)
    assert found.score == 1 and np.array_equal(found.indices, np.arange(30))
    # Without held-out images: each training image against all views of the others, by hand.
    distances = np.linalg.norm(training[:, None, None, 0] - training[None], axis=3)
    distances[np.arange(30), np.arange(30)] = np.inf
    expected = np.sort(distances.min(axis=(1, 2)))
    for block_size in (None, 7):
        again = nearest_training_neighbours(
            copies, rows, views=3, quantile=0.1, block_size=block_size
        )
        assert again.threshold == pytest.approx(expected[2]) and again.false_alarms == 3 / 31
    with pytest.raises(FeatureShapeError, match='90 rows, which are not 4 views'):
        nearest_training_neighbours(copies, rows, views=4)


def test_duplicates_in_the_training_set():
    training = np.repeat(normal(40, 8), 6, axis=0)
    result = nearest_training_neighbours(training, training)
    assert result.threshold == 0 and result.score == 1  # exact copies still count
    assert nearest_training_neighbours(normal(20, 8, index=5), training).score == 0


def test_one_generated_image_and_an_offset():
    training = normal(20, 3) + 1e6
    result = nearest_training_neighbours(training[7:8], training)
    assert result.indices.tolist() == [7] and result.distances.tolist() == [0]


@pytest.mark.parametrize('k', [0, -1, 2.0, True, 'five'])
def test_bad_k(k):
    with pytest.raises(DistanceOptionError, match='k must be'):
        precision_recall_density_coverage(normal(9, 3), normal(9, 3), k)


def test_too_few_images_for_k():
    with pytest.raises(TooFewImagesError, match='fake features have 5 rows; k = 5'):
        precision_recall_density_coverage(normal(9, 3), normal(5, 3), 5)


def test_bad_neighbour_input():
    good = normal(9, 3)
    with pytest.raises(TooFewImagesError, match='generated'):
        nearest_training_neighbours(good[:0], good)
    with pytest.raises(TooFewImagesError, match='training'):
        nearest_training_neighbours(good, good[:1])
    with pytest.raises(TooFewImagesError, match='held_out'):
        nearest_training_neighbours(good, good, good[:0])
    with pytest.raises(FeatureShapeError, match='held_out'):
        nearest_training_neighbours(good, good, normal(9, 4))
    with pytest.raises(FeatureShapeError, match='generated features have 4'):
        nearest_training_neighbours(normal(9, 4), good)
    with pytest.raises(NonFiniteFeaturesError, match='training'):
        nearest_training_neighbours(good, good * np.nan)
    for quantile in (0, 1, -0.5, '1%'):
        with pytest.raises(DistanceOptionError, match='quantile'):
            nearest_training_neighbours(good, good, quantile=quantile)
    with pytest.raises(TypeError, match='colour'):
        nearest_training_neighbours(good, good, colour='red')
