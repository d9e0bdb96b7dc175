import json
import math
import time
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from cellgan_plugin.benchmark import bootstrap
from cellgan_plugin.benchmark.bootstrap import bootstrap_scores
from cellgan_plugin.benchmark.score_registry import (
    BUILT_IN,
    SCORES,
    register_score,
    scores_from_confusion,
    weighted_auc,
)
from cellgan_plugin.benchmark.scores import ScoreError, compute_scores
from cellgan_plugin.benchmark.statistics import StatisticsError


def fold(seed, size=60, num_classes=3, skill=1.0):
    """Labels, and predictions of two classifiers of which the second is better."""
    rng = np.random.default_rng(seed)
    labels = np.arange(size) % num_classes
    logits = rng.normal(size=(size, num_classes))
    better = logits + 0.5 * rng.normal(size=logits.shape)
    logits[np.arange(size), labels] += skill
    better[np.arange(size), labels] += 2 * skill
    return labels, softmax(logits), softmax(better)


def softmax(logits):
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def several(count=3, **kwargs):
    labels, a, b = zip(*(fold(seed, **kwargs) for seed in range(count)), strict=True)
    return list(labels), {'real only': list(a), '+ CellGAN': list(b)}


@pytest.mark.parametrize('num_classes', [2, 3, 5])
def test_points_are_the_means_of_the_folds_scores(num_classes):
    labels, predictions = several(num_classes=num_classes)
    found = bootstrap_scores(labels, predictions, 'real only', replicates=10)
    names = [str(k) for k in range(num_classes)]
    mean = {}
    for arm, rows in predictions.items():
        each = [compute_scores(p, t, names).values() for p, t in zip(rows, labels, strict=True)]
        mean[arm] = {metric: np.mean([row[metric] for row in each]) for metric in BUILT_IN}
    for arm, row in found.items():
        for metric in BUILT_IN:
            assert row[metric].value == pytest.approx(mean[arm][metric])
    for metric in BUILT_IN:
        change = mean['+ CellGAN'][metric] - mean['real only'][metric]
        assert found['+ CellGAN'][metric].difference == pytest.approx(change)
        assert found['real only'][metric].difference is None


@pytest.mark.parametrize('num_classes', [2, 4])
def test_confusion_metrics_equal_those_of_scikit_learn(num_classes):
    rng = np.random.default_rng(0)
    names = [str(k) for k in range(num_classes)]
    for _ in range(12):
        labels, predicted = rng.integers(0, num_classes, (2, 12))
        expected = compute_scores(np.eye(num_classes)[predicted], labels, names)
        found = scores_from_confusion(np.array(expected.confusion, dtype=float))
        for metric, value in found.items():
            wanted = getattr(expected, metric)
            assert (math.isnan(value) and wanted is None) or value == pytest.approx(wanted), metric


@pytest.mark.parametrize('digits', [1, 8])
def test_weighted_auc_equals_that_of_scikit_learn(digits):
    rng = np.random.default_rng(0)
    scores = rng.random(50).round(digits)  # with one digit there are many ties
    positive = rng.random(50) < 0.3
    weights = rng.integers(0, 4, (20, 50)).astype(float)
    expected = [roc_auc_score(positive, scores, sample_weight=w) for w in weights]
    assert weighted_auc(weights, scores, positive) == pytest.approx(expected)
    assert np.isnan(weighted_auc(weights, scores, np.zeros(50, bool))).all()


def test_a_replicate_is_the_score_of_the_drawn_images():
    labels, a, _ = fold(0)
    draws = bootstrap._Draws(labels, None, 0, 'test', 0)
    weights = next(draws.blocks(5)).astype(int)
    assert (weights.sum(axis=1) == len(labels)).all()
    for k in range(3):  # within classes
        assert (weights[:, labels == k].sum(axis=1) == 20).all()
    found = bootstrap._replicate(weights.astype(float), a, labels, BUILT_IN)
    for row, weight in zip(found, weights, strict=True):
        drawn = np.repeat(np.arange(len(labels)), weight)
        expected = compute_scores(a[drawn], labels[drawn], 'abc').values()
        assert row == pytest.approx([expected[name] for name in BUILT_IN])


def test_a_registered_score_gets_intervals_as_the_others_do():
    @register_score('share of the first class')
    def score(predictions):
        return predictions.confusion[:, 0].sum(axis=-1) / predictions.weights.sum(axis=1)

    try:
        labels, a, b = fold(0)
        result = bootstrap_scores([labels], dict(a=[a], b=[b]), 'a', replicates=50)['b']
    finally:
        del SCORES['share of the first class']
    assert list(result) == [*BUILT_IN, 'paper_auc', 'share of the first class']
    # Images are drawn within their class.
    row = result['share of the first class']
    assert (row.value, row.low, row.high) == pytest.approx([1 / 3] * 3)
    assert (row.difference, row.difference_low) == pytest.approx([0, 0])


def test_the_width_of_an_accuracy_interval_in_closed_form():
    # Two classes of 200 and 100 images with 160 and 50 correct: binomial in each class.
    labels = np.repeat([0, 1], [200, 100])
    predicted = np.concatenate([np.repeat([0, 1], [160, 40]), np.repeat([1, 0], [50, 50])])
    found = bootstrap_scores([labels], {'a': [np.eye(2)[predicted]]}, replicates=4000)
    row = found['a']['accuracy']
    error = math.sqrt(200 * 0.8 * 0.2 + 100 * 0.5 * 0.5) / 300
    assert row.value == pytest.approx(0.7)
    assert row.high - row.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    assert (row.high + row.low) / 2 == pytest.approx(0.7, abs=0.005)


def gaussian_folds(rng, folds, size, distance):
    """Two Gaussian classes, and the exact posterior of the second: the truth is known."""
    labels, probabilities = [], []
    for _ in range(folds):
        truth = np.arange(size) % 2
        x = rng.normal(size=size) + distance * (truth - 0.5)
        positive = 1 / (1 + np.exp(-distance * x))
        labels.append(truth)
        probabilities.append(np.stack([1 - positive, positive], axis=1))
    return labels, probabilities


def test_coverage_on_gaussian_data():
    # Accuracy Phi(d / 2) and AUC Phi(d / sqrt 2) of two unit Gaussians d apart.
    distance, trials = 1.5, 150
    truth = dict(accuracy=stats.norm.cdf(distance / 2), auc=stats.norm.cdf(distance / math.sqrt(2)))
    hits = dict(accuracy=0, auc=0)
    rng = np.random.default_rng(0)
    for _ in range(trials):
        labels, probabilities = gaussian_folds(rng, 2, 100, distance)
        found = bootstrap_scores(labels, {'a': probabilities}, metrics=list(truth), replicates=400)[
            'a'
        ]
        for name, value in truth.items():
            hits[name] += found[name].low <= value <= found[name].high
    for name in truth:
        assert 0.90 <= hits[name] / trials <= 0.985, name


def test_pairing_narrows_the_interval_of_a_difference():
    labels, predictions = several(size=120)
    found = bootstrap_scores(labels, predictions, 'real only')['+ CellGAN']['accuracy']
    apart = bootstrap_scores(labels, predictions)['real only']['accuracy']
    paired = found.difference_high - found.difference_low
    unpaired = math.hypot(found.high - found.low, apart.high - apart.low)
    assert paired < 0.9 * unpaired
    assert found.difference_low > 0  # it is better, beyond the choice of the test images

    # The same predictions are not different, whatever is drawn.
    twins = {'a': predictions['real only'], 'b': predictions['real only']}
    same = bootstrap_scores(labels, twins, 'a')['b']['f1']
    assert (same.difference, same.difference_low, same.difference_high) == (0, 0, 0)


def test_images_of_one_group_are_drawn_together():
    # Ten slides of twelve images each; all images of a slide are right, or all are wrong.
    groups = [f's{i // 12}' for i in range(120)]
    labels = np.arange(120) % 3
    right = np.repeat(np.arange(10) < 7, 12)
    predictions = {'a': [np.eye(3)[np.where(right, labels, (labels + 1) % 3)]]}
    single = bootstrap_scores([labels], predictions)['a']['accuracy']
    grouped = bootstrap_scores([labels], predictions, groups=[groups])['a']['accuracy']
    assert single.value == grouped.value == pytest.approx(0.7)
    assert (grouped.value - grouped.low) / (single.high - single.low) > 0.5 * math.sqrt(12)
    # The t interval of ten groups: their accuracy is 0 or 1, 0.7 on average.
    error = math.sqrt(0.7 * 0.3 / 9)
    reach = stats.t.ppf(0.975, 9) * error
    assert grouped.low == pytest.approx(0.7 - reach, abs=0.02) and grouped.high == 1  # bounded
    # Groups of one image each, and images without a group, are drawn one by one.
    alone = bootstrap_scores([labels], predictions, groups=[[None] * 120])['a']['accuracy']
    named = bootstrap_scores([labels], predictions, groups=[[f'{i}' for i in range(120)]])
    assert alone == named['a']['accuracy']


def clustered(rng, groups, size=25):
    """Two classifiers whose gain differs from patient to patient; its truth is 0.05."""
    labels = np.arange(groups * size) % 2
    names = [f'p{i // size}' for i in range(len(labels))]
    level = np.repeat(rng.normal(0.75, 0.05, groups), size)
    gain = np.repeat(rng.normal(0.05, 0.08, groups), size)
    draw = rng.random(len(labels))
    right = [draw < level, draw < level + gain]
    predictions = [np.eye(2)[np.where(r, labels, 1 - labels)] for r in right]
    return labels, names, predictions


@pytest.mark.parametrize('groups', [4, 8])
def test_coverage_with_few_patients(groups):
    rng, trials, hits = np.random.default_rng(0), 300, 0
    for _ in range(trials):
        labels, names, (first, second) = clustered(rng, groups)
        found = bootstrap_scores(
            [labels], dict(a=[first], b=[second]), 'a', ['accuracy'], 200, groups=[names]
        )['b']['accuracy']
        hits += found.difference_low <= 0.05 <= found.difference_high
    assert hits / trials >= 0.93


def test_a_single_patient_in_a_fold_has_no_interval():
    labels, predictions = several(2)
    groups = [['one'] * 60, ['a', 'b'] * 30]
    found = bootstrap_scores(labels, predictions, 'real only', groups=groups)['+ CellGAN']
    row = found['accuracy']
    assert row.value is not None and row.low is row.difference_low is None


def test_seeds_are_averaged_within_their_fold():
    """One question, one answer: the first seed alone would say the opposite."""
    labels, worse, better = fold(3, size=90)
    runs = [labels, labels, labels]
    arms = {'a': [worse] * 3, 'b': [worse, better, better]}
    found = bootstrap_scores(runs, arms, 'a', ['accuracy'], same_images=[0, 0, 0])['b']['accuracy']
    first = bootstrap_scores([labels], {k: v[:1] for k, v in arms.items()}, 'a', ['accuracy'])
    gain = (
        np.mean([(p.argmax(1) == labels).mean() for p in arms['b']])
        - (worse.argmax(1) == labels).mean()
    )
    assert found.difference == pytest.approx(gain) and found.difference_low > 0
    assert first['b']['accuracy'].difference == 0
    # A fold of three trainings counts no more than one of a single training.
    other = fold(4, size=90)
    two = bootstrap_scores(
        [*runs, other[0]], dict(b=[*arms['b'], other[1]]), metrics=['accuracy'],
        same_images=[0, 0, 0, 1],
    )  # fmt: skip
    means = [found.value, (other[1].argmax(1) == other[0]).mean()]
    assert two['b']['accuracy'].value == pytest.approx(np.mean(means))


def test_failed_jobs_cost_their_fold_only():
    labels, predictions = several(4)
    predictions['+ CellGAN'][2] = None
    predictions['+ lost'] = [None] * 4
    found = bootstrap_scores(labels, predictions, 'real only', metrics=['f1', 'auc'])
    rest = [0, 1, 3]
    fewer = bootstrap_scores(
        [labels[i] for i in rest],
        {name: [predictions[name][i] for i in rest] for name in ('real only', '+ CellGAN')},
        'real only',
        metrics=['f1', 'auc'],
    )
    for metric in ('f1', 'auc'):
        row, expected = found['+ CellGAN'][metric], fewer['+ CellGAN'][metric]
        assert row.value == pytest.approx(expected.value)
        assert row.difference == pytest.approx(expected.difference)
        assert row.low < row.value < row.high
        lost = found['+ lost'][metric]
        assert lost.value is lost.low is lost.difference is lost.difference_low is None


def test_same_seed_same_numbers_whatever_else_is_asked(monkeypatch):
    labels, predictions = several()
    full = bootstrap_scores(labels, predictions, 'real only', replicates=300)
    alone = bootstrap_scores(
        labels, {'+ CellGAN': predictions['+ CellGAN']}, metrics=['recall'], replicates=300
    )
    assert alone['+ CellGAN']['recall'].low == full['+ CellGAN']['recall'].low
    other = bootstrap_scores(labels, predictions, 'real only', replicates=300, seed=1)
    assert other['+ CellGAN']['recall'].low != full['+ CellGAN']['recall'].low
    monkeypatch.setattr(bootstrap, '_BLOCK', 7 * 60)  # seven replicates at a time
    assert bootstrap_scores(labels, predictions, 'real only', replicates=300) == full


def test_a_class_without_test_images():
    labels, predictions = several()
    keep = labels[1] != 2
    labels[1] = labels[1][keep]
    for rows in predictions.values():
        rows[1] = rows[1][keep]
    found = bootstrap_scores(labels, predictions, 'real only')['+ CellGAN']
    assert found['auc'].value is found['auc'].low is found['auc'].difference is None
    assert found['recall'].low < found['recall'].value < found['recall'].high


def test_the_paper_sized_table_takes_seconds():
    labels, predictions = several(5, size=400, num_classes=5)
    arms = {f's{i}': predictions['+ CellGAN'] for i in range(4)}
    started = time.process_time()
    found = bootstrap_scores(labels, arms, 's0')
    assert time.process_time() - started < 30
    json.dumps({s: {m: asdict(i) for m, i in row.items()} for s, row in found.items()})


@pytest.mark.parametrize(
    'kwargs, said',
    [
        (dict(baseline='x'), "the baseline 'x' is none of"),
        (dict(metrics=['f2']), 'metrics are some of'),
        (dict(metrics=[]), 'metrics are some of'),
        (dict(replicates=1), 'replicates must be 2 or more'),
        (dict(level=95), 'level in'),
        (dict(groups=[['a']]), '1 folds, and labels of 3'),
        (dict(groups=[['a']] * 3), 'fold 1: 1 groups of 60 test images'),
        (dict(same_images=[0]), 'same_images: 1 numbers, and labels of 3'),
    ],
)
def test_options_out_of_range(kwargs, said):
    labels, predictions = several()
    with pytest.raises(StatisticsError, match=said):
        bootstrap_scores(labels, predictions, **kwargs)


def test_predictions_that_do_not_fit():
    labels, predictions = several()
    predictions['real only'][1] = predictions['real only'][1][:-1]
    with pytest.raises(ScoreError, match='59 predictions for 60 labels'):
        bootstrap_scores(labels, predictions)


def test_runs_that_test_the_same_images_are_drawn_alike():
    labels, first, second = fold(0)
    two = [labels, labels]
    options = dict(metrics=['accuracy'], replicates=200)
    # A run twice is the run: with draws of its own for each, the interval would be narrower.
    once = bootstrap_scores([labels], dict(a=[first]), **options)['a']['accuracy']
    twice = bootstrap_scores(two, dict(a=[first, first]), same_images=[0, 0], **options)
    assert twice['a']['accuracy'] == once
    apart = bootstrap_scores(two, dict(a=[first, first]), **options)['a']['accuracy']
    assert apart.high - apart.low < 0.9 * (once.high - once.low)
    both = bootstrap_scores(two, dict(a=[first, second]), same_images=[0, 0], **options)
    points = [compute_scores(p, labels, 'abc').accuracy for p in (first, second)]
    assert both['a']['accuracy'].value == pytest.approx(np.mean(points))
