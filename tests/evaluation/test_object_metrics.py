import literal_glas as literal
import numpy as np
import pytest

from cellgan_plugin.evaluation.segmentation import (
    ObjectStatistics,
    hausdorff_distance,
    object_metrics,
    object_statistics,
    pooled,
)
from cellgan_plugin.randomness import rng_for


def drawn(text):
    """A label map from rows of digits; '.' is background."""
    return np.array([[0 if c == '.' else int(c) for c in row] for row in text.split()])


def close(pred, true):
    """(F1, Dice, Hausdorff) of the package, checked against the literal reference."""
    found = object_statistics(pred, true)
    segmented, truth = literal.objects(pred), literal.objects(true)
    assert found.f1 == pytest.approx(literal.f1(segmented, truth), abs=1e-12)
    assert found.dice == pytest.approx(literal.object_dice(segmented, truth), abs=1e-12)
    worst = float(np.hypot(*pred.shape))
    expected = literal.object_hausdorff(segmented, truth, worst)
    assert found.hausdorff == pytest.approx(expected, abs=1e-9)
    return found.f1, found.dice, found.hausdorff


def test_hand_computed_cases():
    true = drawn('11..22 11..22 ...... 33....')
    assert close(true, true) == (1, 1, 0)
    # Other ids, same objects.
    assert close(drawn('77..33 77..33 ...... 99....'), true) == (1, 1, 0)

    # Missing: object 3 (2 pixels of 10) is not found. TP 2, FP 0, FN 1.
    # Dice: predicted side 1; true side 8/10. Hausdorff: nearest of 3 is 1, farthest pixel 3 rows
    # away, and from (3, 1) up to (0, 1): 3.
    f1, dice, distance = close(drawn('11..22 11..22 ...... ......'), true)
    assert f1 == pytest.approx(4 / 5) and dice == pytest.approx((1 + 0.8) / 2)
    assert distance == pytest.approx(0.5 * (2 / 10) * 3)

    # Extra: (3, 4), (3, 5) predicted as well. Its nearest true object is 2, at most 3 rows away.
    f1, dice, distance = close(drawn('11..22 11..22 ...... 33..44'), true)
    assert f1 == pytest.approx(6 / 7) and dice == pytest.approx((10 / 12 + 1) / 2)
    assert distance == pytest.approx(0.5 * (2 / 12) * 3)


def test_touching_objects_that_were_predicted_as_one():
    true, pred = drawn('112222 112222'), drawn('111111 111111')
    # The one predicted object belongs to 2, which it covers: TP 1, FP 0, FN 1.
    f1, dice, distance = close(pred, true)
    assert f1 == pytest.approx(2 / 3)
    whole, part = 2 * 8 / 20, 2 * 4 / 16
    assert dice == pytest.approx(0.5 * (whole + (8 / 12 * whole + 4 / 12 * part)))
    assert distance == pytest.approx(0.5 * (2 + (8 / 12 * 2 + 4 / 12 * 4)))


def test_split_object():
    true, pred = drawn('111111 111111'), drawn('222333 222333')
    # Both halves cover exactly half, which is not more than half: no true positive.
    f1, dice, _ = close(pred, true)
    assert f1 == 0 and dice == pytest.approx(2 * 6 / 18)
    # Four of six columns are more than half.
    f1, _, _ = close(drawn('222233 222233'), true)
    assert f1 == pytest.approx(2 / 3)  # TP 1, FP 1, FN 0


def test_empty_images():
    empty, true = np.zeros((3, 4), int), drawn('11.. .... ....')
    assert close(empty, empty) == (1, 1, 0)
    assert close(empty, true) == (0, 0, 5)  # the diagonal of 3 x 4
    assert close(true, empty) == (0, 0, 5)
    unbounded = object_statistics(empty, true, one_sided='inf')
    assert unbounded.hausdorff == float('inf') and unbounded.one_sided == 1
    assert np.isnan(object_statistics(empty, true, hausdorff=False).hausdorff)


def test_single_pixels_and_objects_at_the_border():
    true = drawn('1....2 ...... ...... 3....4')
    assert close(true, true) == (1, 1, 0)
    f1, dice, distance = close(np.roll(true, 1, axis=1), true)
    # Rolled: 1 -> (0, 1), 2 -> (0, 0), 3 -> (3, 1), 4 -> (3, 0). Objects at (0, 0) and (3, 0)
    # fit; those at column 1 have nothing but the nearest, one pixel away; so does column 5: four.
    assert f1 == 0.5 and dice == 0.5
    assert distance == pytest.approx(0.5 * (2 / 4 * 1 + 2 / 4 * 4))


def test_far_point_inside_of_an_object():
    # The centre of a disc is farthest from a ring: the boundary alone would not do.
    y, x = np.mgrid[:41, :41] - 20
    disc, ring = np.hypot(y, x) <= 15, (np.hypot(y, x) <= 18) & (np.hypot(y, x) > 13)
    assert hausdorff_distance(disc, ring) == pytest.approx(np.hypot(y, x)[ring].min())
    assert close(disc.astype(int)[::2, ::2], ring.astype(int)[::2, ::2])[2] > 6


def random_map(rng, shape, objects):
    """Overlapping rectangles and discs: touching, nested, split and border objects."""
    result = np.zeros(shape, dtype=np.int32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for name in rng.permutation(3 * objects)[:objects] + 1:
        cy, cx = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        if rng.random() < 0.5:
            own = np.hypot(y - cy, x - cx) <= rng.uniform(0, 5)
        else:
            own = (abs(y - cy) <= rng.integers(0, 5)) & (abs(x - cx) <= rng.integers(0, 6))
        result[own] = name
    return result


@pytest.mark.parametrize('index', range(12))
def test_random_maps_agree_with_the_literal_reference(index):
    rng = rng_for(5, 'label maps', index)
    shape = (int(rng.integers(1, 24)), int(rng.integers(1, 26)))
    true = random_map(rng, shape, int(rng.integers(0, 8)))
    pred = random_map(rng, shape, int(rng.integers(0, 8)))
    if index % 2:  # alike rather than unrelated
        pred = np.where(rng.random(shape) < 0.8, np.roll(true, (1, 1), (0, 1)), pred)
    close(pred, true)


def test_statistics_of_images_add_up_as_the_challenge_pools_them():
    rng = rng_for(6, 'label maps')
    pairs = [(random_map(rng, (15, 17), 5), random_map(rng, (15, 17), 4)) for _ in range(4)]
    statistics = [object_statistics(*pair) for pair in pairs]
    segmented, truth = literal.merged(pairs)
    both = pooled(statistics)
    assert both.images == 4
    assert both.f1 == pytest.approx(literal.f1(segmented, truth))
    assert both.dice == pytest.approx(literal.object_dice(segmented, truth))
    # Weights are of all images together: not the mean over images.
    assert both.dice != pytest.approx(np.mean([one.dice for one in statistics]))

    assert pooled([]) == ObjectStatistics() and pooled([]).f1 == 1


def test_order_of_ids_and_type_do_not_matter():
    rng = rng_for(7, 'label maps')
    pred, true = random_map(rng, (20, 20), 6), random_map(rng, (20, 20), 6)
    expected = object_metrics(pred, true)
    for kind in (np.uint8, np.uint16, np.int64, np.uint64):
        assert object_metrics(pred.astype(kind), true.astype(kind)) == expected
    huge = np.where(true > 0, true.astype(np.int64) * 10**9, 0)
    assert object_metrics(pred, huge) == expected
    assert object_metrics(pred[::-1, :].T, true[::-1, :].T) == pytest.approx(expected)


def test_what_is_no_label_map():
    true = np.ones((3, 3), int)
    with pytest.raises(ValueError, match=r'shape \(3, 4\), the true one \(3, 3\)'):
        object_statistics(np.ones((3, 4), int), true)
    with pytest.raises(ValueError, match='float64'):
        object_statistics(true.astype(float), true)
    with pytest.raises(ValueError, match='-1 is negative'):
        object_statistics(true - 2, true)
    with pytest.raises(ValueError, match='one_sided'):
        object_statistics(true, true, one_sided='zero')
