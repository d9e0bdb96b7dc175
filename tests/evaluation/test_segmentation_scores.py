import numpy as np
import pytest
import torch

from cellgan_plugin.evaluation.segmentation import (
    confusion_matrix,
    ms_ssim,
    pixel_scores,
    sample_similarity,
    split_instances,
)
from cellgan_plugin.randomness import generator_for, rng_for


def test_scores_of_a_confusion_matrix_by_hand():
    true = np.array([[0, 0, 0, 1], [1, 1, 2, 255]])
    pred = np.array([[0, 0, 1, 1], [1, 0, 1, 2]])
    confusion = confusion_matrix(true, pred, 4)
    assert confusion.tolist() == [[2, 1, 0, 0], [1, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    scores = pixel_scores(confusion)
    # Class 3 is neither there nor predicted: it has no part in the means.
    np.testing.assert_allclose(scores.jaccard, [2 / 4, 2 / 5, 0, np.nan])
    np.testing.assert_allclose(scores.accuracy, [2 / 3, 2 / 3, 0, np.nan])
    assert scores.mean_iou == pytest.approx((0.5 + 0.4 + 0) / 3)
    assert scores.overall_accuracy == pytest.approx(4 / 7)
    assert scores.mean_accuracy == pytest.approx((2 / 3 + 2 / 3) / 3)
    named = scores.as_dict(['stroma', 'benign', 'low', 'high'])
    assert named['J/benign'] == pytest.approx(0.4) and named['SMA'] == scores.mean_accuracy


def test_confusion_matrix_against_a_loop():
    rng = rng_for(1, 'masks')
    true, pred = rng.integers(0, 5, (2, 9, 11)).astype(np.uint8)
    expected = np.zeros((5, 5), dtype=int)
    for t, p in zip(true.ravel(), pred.ravel(), strict=True):
        expected[t, p] += 1
    assert (confusion_matrix(true, pred, 5) == expected).all()
    halves = confusion_matrix(true[:4], pred[:4], 5) + confusion_matrix(true[4:], pred[4:], 5)
    assert (halves == expected).all()


def test_nothing_to_score():
    scores = pixel_scores(np.zeros((2, 2), dtype=int))
    assert np.isnan([scores.mean_iou, scores.overall_accuracy, scores.mean_accuracy]).all()
    everything_ignored = confusion_matrix(np.full((2, 2), 255), np.zeros((2, 2), int), 2)
    assert everything_ignored.sum() == 0


def test_masks_that_cannot_be_compared():
    mask = np.zeros((4, 4), dtype=np.uint8)
    with pytest.raises(ValueError, match='value 2; with 2 classes ids are 0 to 1'):
        confusion_matrix(mask, mask + 2, 2)
    with pytest.raises(ValueError, match=r'\(4, 4\), the predicted one \(3, 4\)'):
        confusion_matrix(mask, mask[:3], 2)
    with pytest.raises(ValueError, match='float32'):
        confusion_matrix(mask, mask.astype(np.float32), 2)


def grid(text):
    return np.array([[int(c) for c in row] for row in text.split()], dtype=np.uint8)


def test_instances_are_connected_components_of_a_class():
    semantic = grid('1101 1100 0022 1022')
    labels = split_instances(semantic)
    assert labels.dtype == np.int32
    assert labels.tolist() == [[1, 1, 0, 2], [1, 1, 0, 0], [0, 0, 4, 4], [3, 0, 4, 4]]
    counts = {area: split_instances(semantic, min_area=area).max() for area in (1, 2, 4, 5)}
    assert counts == {1: 4, 2: 2, 4: 2, 5: 0}  # fewer pixels are removed, not as many
    # Diagonal neighbours are one object with 8 neighbours and two with 4.
    diagonal = grid('10 01')
    assert split_instances(diagonal).max() == 1
    assert split_instances(diagonal, connectivity=4).max() == 2
    assert split_instances(np.zeros((3, 3), int)).max() == 0
    # Touching objects of different classes stay apart, of one class they cannot.
    assert split_instances(grid('1122')).max() == 2


def test_holes_are_filled_where_one_object_encloses_them():
    ring = grid('00000 01110 01010 01110 00000')
    assert split_instances(ring)[2, 2] == 0
    filled = split_instances(ring, fill_holes=True)
    assert filled[2, 2] == 1 and filled.sum() == 9
    # Open at the border of the image: no hole.
    assert split_instances(ring[2:], fill_holes=True)[0, 2] == 0
    # A speck in the lumen is removed first and filled then; another class stays what it is.
    lumen = np.zeros((7, 7), dtype=np.uint8)
    lumen[1:6, 1:6] = 1
    lumen[2:5, 2:5] = 0
    lumen[3, 3] = 1
    filled = split_instances(lumen, min_area=2, fill_holes=True)
    assert (filled[1:6, 1:6] == 1).all() and filled.max() == 1
    lumen[3, 3] = 2
    filled = split_instances(lumen, fill_holes=True)
    assert filled[3, 3] == 2 and (filled[1:6, 1:6] == 1).sum() == 24
    # Two objects with a hole each: every hole gets the label around it.
    two = np.concatenate([ring, ring], axis=1)
    filled = split_instances(two, fill_holes=True)
    assert filled[2, 2] == 1 and filled[2, 7] == 2
    # A ring closed by diagonals only: a hole of 8-connected objects, open with 4.
    diamond = grid('00000 00100 01010 00100 00000')
    assert split_instances(diamond, fill_holes=True)[2, 2] == 1
    assert split_instances(diamond, fill_holes=True, connectivity=4)[2, 2] == 0


def test_what_cannot_be_split():
    with pytest.raises(ValueError, match=r'\(1, 2, 2\)'):
        split_instances(np.zeros((1, 2, 2), int))
    with pytest.raises(ValueError, match='4 or 8'):
        split_instances(np.zeros((2, 2), int), connectivity=6)


def textbook_ms_ssim(a, b, weights):
    """Wang et al. 2003 on one grey channel in [0, 1], with an explicit window.

    torchmetrics pads the coarsest scale by reflection before it averages.
    """
    side = torch.arange(11.0) - 5
    line = torch.exp(-(side**2) / (2 * 1.5**2))
    window = torch.outer(line, line) / line.sum() ** 2

    def blur(x):
        return (x.unfold(0, 11, 1).unfold(1, 11, 1) * window).sum((-1, -2))

    c1, c2 = 0.01**2, 0.03**2
    result = 1.0
    for index, weight in enumerate(weights):
        last = index == len(weights) - 1
        if last:
            a, b = (torch.nn.functional.pad(x[None], (5,) * 4, 'reflect')[0] for x in (a, b))
        mean_a, mean_b = blur(a), blur(b)
        cov = blur(a * b) - mean_a * mean_b
        var = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
        structure = (2 * cov + c2) / (var + c2)
        light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        result *= ((structure * light).mean() if last else structure.mean()) ** weight
        a, b = (x.unfold(0, 2, 2).unfold(1, 2, 2).mean((-1, -2)) for x in (a, b))
    return float(result)


def test_ms_ssim_against_the_textbook():
    a = torch.rand(1, 1, 48, 48, generator=generator_for(0, 'image'))
    a = torch.nn.functional.avg_pool2d(a, 5, 1, 2)
    b = (a + 0.05 * torch.randn(a.shape, generator=generator_for(1, 'image'))).clamp(0, 1)
    weights = np.array([0.0448, 0.2856, 0.3001])
    expected = textbook_ms_ssim(a[0, 0], b[0, 0], weights / weights.sum())
    found = ms_ssim(2 * a - 1, 2 * b - 1, scales=3)
    assert found.shape == (1,) and 0.2 < expected < 0.98
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_similarity_of_the_samples_of_a_mask():
    original = torch.randint(256, (3, 176, 180), generator=generator_for(0, 's')).to(torch.uint8)
    noise = torch.randint(60, (3, 3, 176, 180), generator=generator_for(1, 's'))
    samples = (original[None].int() + noise).clamp(0, 255).to(torch.uint8)
    found = sample_similarity(samples, original)
    assert found.scales == 5
    pairs = [
        float(ms_ssim(samples[i : i + 1], samples[j : j + 1])) for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert found.among == pytest.approx(np.mean(pairs), abs=1e-6)
    assert found.to_original == pytest.approx(
        float(ms_ssim(samples, original.expand_as(samples)).mean())
    )
    same = sample_similarity(original[None].expand(2, -1, -1, -1), original)
    assert same.among == pytest.approx(1, abs=1e-5) and same.to_original == pytest.approx(
        1, abs=1e-5
    )
    small = sample_similarity(samples[:1, :, :64, :64])
    assert small.scales == 3 and np.isnan(small.among) and small.to_original is None


def test_images_that_ms_ssim_cannot_compare():
    images = torch.zeros(2, 3, 64, 64)
    with pytest.raises(ValueError, match='room for 1 to 3'):
        ms_ssim(images, images, scales=5)
    with pytest.raises(ValueError, match='smaller than the window'):
        ms_ssim(images[..., :8], images[..., :8])
    with pytest.raises(ValueError, match='int64'):
        ms_ssim(images.long(), images.long())
