import json

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from cellgan_plugin.benchmark.protocol import Protocol
from cellgan_plugin.benchmark.score_registry import BUILT_IN, SCORES, register_score, try_score
from cellgan_plugin.benchmark.scores import ScoreError, compute_scores
from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.randomness import rng_for

CLASSES = ('NILM', 'LSIL', 'HSIL')


def softmax_of(labels, num_classes, seed=0, skill=1.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(labels), num_classes))
    logits[np.arange(len(labels)), labels] += skill
    exp = np.exp(logits)
    return exp / exp.sum(axis=1, keepdims=True)


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('num_classes', [2, 3, 6])
def test_as_scikit_learn_says(seed, num_classes):
    labels = np.concatenate(
        [np.arange(num_classes), np.random.default_rng(seed).integers(0, num_classes, 80)]
    )
    probabilities = softmax_of(labels, num_classes, seed)
    scores = compute_scores(probabilities, labels, [f'c{k}' for k in range(num_classes)])
    predicted = probabilities.argmax(axis=1)
    assert scores.accuracy == pytest.approx(sk.accuracy_score(labels, predicted))
    for name, function in (
        ('precision', sk.precision_score),
        ('recall', sk.recall_score),
        ('f1', sk.f1_score),
    ):
        macro = function(labels, predicted, average='macro', zero_division=0)
        assert getattr(scores, name) == pytest.approx(macro)
        each = function(labels, predicted, average=None, zero_division=0)
        assert [row[name] for row in scores.per_class] == pytest.approx(each.tolist())
    if num_classes == 2:
        auc = sk.roc_auc_score(labels, probabilities[:, 1])
        assert scores.sensitivity == pytest.approx(sk.recall_score(labels, predicted))
        assert scores.specificity == pytest.approx(sk.recall_score(labels, predicted, pos_label=0))
    else:
        auc = sk.roc_auc_score(labels, probabilities, multi_class='ovr', average='macro')
        assert scores.sensitivity == scores.recall
        assert scores.specificity == pytest.approx(
            np.mean([sk.recall_score(labels != k, predicted != k) for k in range(num_classes)])
        )
    assert scores.auc == pytest.approx(auc)
    assert np.array_equal(scores.confusion, sk.confusion_matrix(labels, predicted))
    assert scores.notes == () and list(scores.values()) == [*BUILT_IN, 'paper_auc']


def test_by_hand():
    # True NILM NILM NILM LSIL LSIL HSIL, predicted NILM NILM LSIL LSIL HSIL HSIL.
    labels = [0, 0, 0, 1, 1, 2]
    probabilities = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    scores = compute_scores(probabilities, labels, CLASSES)
    assert scores.confusion == ((2, 1, 0), (0, 1, 1), (0, 0, 1))
    assert scores.accuracy == pytest.approx(4 / 6)
    assert [row['precision'] for row in scores.per_class] == pytest.approx([1, 1 / 2, 1 / 2])
    assert [row['recall'] for row in scores.per_class] == pytest.approx([2 / 3, 1 / 2, 1])
    assert [row['f1'] for row in scores.per_class] == pytest.approx([4 / 5, 1 / 2, 2 / 3])
    assert [row['specificity'] for row in scores.per_class] == pytest.approx([1, 3 / 4, 4 / 5])
    # With one-hot predictions, a class's AUC is (recall + specificity) / 2.
    assert [row['auc'] for row in scores.per_class] == pytest.approx([5 / 6, 5 / 8, 9 / 10])
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == scores.sensitivity == pytest.approx(13 / 18)
    assert scores.f1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert scores.specificity == pytest.approx((1 + 3 / 4 + 4 / 5) / 3)
    assert scores.auc == pytest.approx((5 / 6 + 5 / 8 + 9 / 10) / 3)
    assert [row['support'] for row in scores.per_class] == [3, 2, 1]
    assert [row['predicted'] for row in scores.per_class] == [2, 2, 2]


def test_two_classes_by_hand():
    # The second class is the positive one: 3 of 4 found, 1 of 2 negatives cleared.
    labels = [1, 1, 1, 1, 0, 0]
    positive = np.array([0.9, 0.8, 0.7, 0.4, 0.6, 0.1])
    scores = compute_scores(np.stack([1 - positive, positive], 1), labels, ('normal', 'tumour'))
    assert scores.sensitivity == 3 / 4 and scores.specificity == 1 / 2
    assert scores.auc == pytest.approx(7 / 8)  # of 8 pairs one is in the wrong order
    assert scores.recall == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_a_class_that_is_never_predicted_counts_as_zero_and_is_named():
    labels = [0, 0, 1, 1, 2, 2]
    scores = compute_scores(np.eye(3)[[0, 0, 1, 1, 0, 1]], labels, CLASSES)
    assert scores.per_class[2]['precision'] == scores.per_class[2]['f1'] == 0
    assert scores.precision == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert scores.notes == ('never predicted, so of precision and F1 0: HSIL',)


def test_a_class_without_test_images():
    labels = [0, 0, 1, 1]
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    scores = compute_scores(probabilities, labels, CLASSES)
    assert scores.auc is None
    assert 'no test image of HSIL: AUC cannot be computed' in scores.notes[0]
    row = scores.per_class[2]
    assert row['support'] == 0 and row['predicted'] == 1
    assert row['recall'] is None and row['auc'] is None
    assert row['precision'] == 0 and row['specificity'] == 3 / 4
    # Macro values are over the two classes that were tested; the image taken for HSIL is missed.
    assert scores.recall == pytest.approx((1 / 2 + 1) / 2)
    assert scores.precision == 1 and scores.accuracy == 3 / 4
    assert scores.per_class[0]['auc'] is not None
    unseen = compute_scores(np.eye(3)[[0, 1, 1, 1]], labels, CLASSES).per_class[2]
    assert unseen['precision'] is None and unseen['f1'] is None


def test_all_test_images_of_one_class():
    scores = compute_scores(np.eye(3)[[0, 0, 1]], [0, 0, 0], CLASSES)
    assert scores.specificity is None and scores.auc is None and scores.recall == 2 / 3
    assert any('all test images are of class NILM' in note for note in scores.notes)
    negative = compute_scores(np.eye(2)[[0, 0, 1]], [0, 0, 0], ('normal', 'tumour'))
    assert negative.sensitivity is None and negative.specificity == 2 / 3


def test_of_equal_probabilities_the_first_class_is_predicted():
    scores = compute_scores([[0.5, 0.5], [0.5, 0.5]], [0, 1], ('a', 'b'))
    assert scores.confusion == ((1, 0), (1, 0)) and scores.auc == 0.5


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_what_a_network_gives_is_taken_as_it_is(dtype):
    labels = torch.arange(60) % 3
    logits = (
        torch.randn(60, 3, generator=torch.Generator().manual_seed(0)) + 2 * torch.eye(3)[labels]
    )
    scores = compute_scores(logits.softmax(1).to(dtype), labels, CLASSES)
    assert scores.accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())


def test_order_does_not_matter():
    labels = np.arange(60) % 3
    probabilities = softmax_of(labels, 3)
    order = np.random.default_rng(1).permutation(60)
    a = compute_scores(probabilities, labels, CLASSES)
    b = compute_scores(probabilities[order], labels[order], CLASSES)
    assert a == b


def test_goes_into_json():
    data = json.loads(json.dumps(compute_scores(np.eye(3), [0, 1, 2], CLASSES).to_dict()))
    assert data['accuracy'] == 1 and data['confusion'][0] == [1, 0, 0]
    assert data['per_class'][1]['class'] == 'LSIL' and data['classes'] == list(CLASSES)


@pytest.mark.parametrize(
    'probabilities, labels, said',
    [
        (np.full((2, 3), np.nan), [0, 1], '2 of 2 rows are no probabilities, the first is row 0'),
        ([[1.0, 0, 0], [4.0, -2, 1]], [0, 1], 'row 1: .* Give the softmax'),
        ([[0.9, 0.2, -0.1]], [0], 'no probabilities'),
        (np.eye(2), [0, 1], r'shape \(N, 3\) .* got \(2, 2\) and \(2,\)'),
        (np.eye(3), [0, 1], '3 predictions for 2 labels'),
        (np.zeros((0, 3)), [], '0 predictions for 0 labels'),
        (np.eye(3), [0, 1, 3], 'integers from 0 to 2; got int64 from 0 to 3'),
        (np.eye(3), [0, -1, 1], 'from -1 to 1'),
        (np.eye(3), [0.0, 1.0, 2.0], 'labels are integers'),
    ],
)
def test_what_cannot_be_scored(probabilities, labels, said):
    with pytest.raises(ScoreError, match=said):
        compute_scores(probabilities, labels, CLASSES)


def test_one_class_is_none():
    with pytest.raises(ScoreError, match='two or more classes'):
        compute_scores(np.ones((2, 1)), [0, 0], ('only',))


@pytest.fixture
def kappa():
    """Cohen's kappa, registered for one test."""

    @register_score('kappa', "Cohen's kappa")
    def score(predictions):
        confusion = predictions.confusion
        total = confusion.sum(axis=(-2, -1))
        agreed = np.trace(confusion, axis1=-2, axis2=-1) / total
        chance = (confusion.sum(axis=-1) * confusion.sum(axis=-2)).sum(axis=-1) / total**2
        return (agreed - chance) / (1 - chance)

    yield
    del SCORES['kappa']


def test_a_registered_score_is_computed_beside_the_others(kappa):
    labels = np.random.default_rng(3).integers(0, 3, 60)
    probabilities = softmax_of(labels, 3, seed=4)
    scores = compute_scores(probabilities, labels, CLASSES)
    expected = sk.cohen_kappa_score(labels, probabilities.argmax(1))
    assert scores.values()['kappa'] == pytest.approx(expected)
    assert json.loads(json.dumps(scores.to_dict()))['kappa'] == pytest.approx(expected)
    assert list(scores.values()) == [*BUILT_IN, 'paper_auc', 'kappa']
    assert compute_scores(np.eye(3)[[0, 0]], [0, 0], CLASSES).values()['kappa'] is None  # 0 / 0


def test_names_of_scores_are_unique_and_values_one_per_weighting():
    with pytest.raises(ValueError, match="'auc' is registered already"):
        register_score('auc')(lambda predictions: 0.0)
    register_score('wrong')(lambda predictions: 0.5)
    try:
        with pytest.raises(ValueError, match=r"'wrong' returns an array of shape \(\)"):
            compute_scores(np.eye(3), [0, 1, 2], CLASSES)
        with pytest.raises(ProtocolError, match=r"'wrong' .* two classes: .* of shape \(\)"):
            try_score('wrong')
        SCORES['wrong'] = SCORES['wrong']._replace(function=lambda predictions: predictions.hits)
        with pytest.raises(
            ProtocolError, match=r"AttributeError: .*'hits' \(.*test_scores.py, line"
        ):
            try_score('wrong')
        settings = dict(data=dict(data_root='.'), classifiers=dict(A='a.py'), metrics=('recall',))
        with pytest.raises(
            ProtocolError, match="'wrong' cannot be computed"
        ):  # though not asked for
            Protocol(**settings)
    finally:
        del SCORES['wrong']
    Protocol(**settings)


def test_the_auc_that_histogan_prints_is_that_of_hard_decisions_over_four_classes():
    draws = rng_for(0, 'tests/paper_auc')
    labels = draws.integers(0, 4, 200)
    probabilities = draws.dirichlet(np.ones(4), 200)
    probabilities[np.arange(200), labels] += 0.5
    probabilities /= probabilities.sum(1, keepdims=True)
    decided = np.eye(4)[probabilities.argmax(1)]
    expected = sk.roc_auc_score(np.eye(4)[labels], decided, average='micro')
    scores = compute_scores(probabilities, labels, ('a', 'b', 'c', 'd'))
    assert scores.values()['paper_auc'] == pytest.approx(expected)
    # Rows of Tables 1 and 2: accuracy and what is printed beside it.
    for accuracy, printed in ((0.754, 0.836), (0.821, 0.881), (0.872, 0.914), (0.948, 0.965)):
        assert 1 - 2 / 3 * (1 - accuracy) == pytest.approx(printed, abs=1e-3)
