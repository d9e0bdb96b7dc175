import numpy as np
import pytest
from selection_helpers import CLASSES, pool_of

from cellgan_plugin.selection import SELECTION_RULES, PoolError, ScoreError, build_rule
from cellgan_plugin.selection.rules import SelectionRule, images_asked
from cellgan_plugin.selection.scores import CandidateScores
from cellgan_plugin.selection.table import apply_rule

# Eight candidates, two to keep (r N = 2, pool 4 r N). Halves by entropy: 1, 2, 4, 7; of these the
# nearest to the centroid: 4 and 7. Candidate 0 is nearest of all and too uncertain.
ENTROPY = [0.9, 0.1, 0.2, 0.8, 0.3, 0.7, 0.6, 0.4]
DISTANCE = [0.1, 0.9, 0.8, 0.2, 0.4, 0.3, 0.5, 0.6]


def kept_of(rule, pool, asked):
    kept, reasons = build_rule(rule)(pool, asked)
    assert [reason == 'kept' for reason in reasons] == kept.tolist()
    return np.flatnonzero(kept).tolist(), reasons


def test_algorithm_1_by_hand():
    pool = pool_of(entropy=ENTROPY, distance=DISTANCE)
    kept, reasons = kept_of('selective', pool, 2)
    assert kept == [4, 7]
    assert [i for i, reason in enumerate(reasons) if reason == 'entropy'] == [0, 3, 5, 6]
    assert [i for i, reason in enumerate(reasons) if reason == 'distance'] == [1, 2]
    # The strict medians of the paper, which agree where scores differ.
    entropy, distance = np.array(ENTROPY), np.array(DISTANCE)
    first = np.flatnonzero(entropy < np.median(entropy))
    assert kept == first[distance[first] < np.median(distance[first])].tolist()


def test_the_two_readings_of_entropy():
    pool = pool_of(entropy=ENTROPY, entropy_of_mean=ENTROPY[::-1], distance=DISTANCE)
    assert kept_of(dict(type='selective', entropy='entropy_of_mean'), pool, 2)[0] == [0, 3]
    with pytest.raises(ValueError, match='must be one of'):
        build_rule(dict(type='selective', entropy='other'))


@pytest.mark.parametrize(
    'rule, expected',
    [
        ('single_filtering_mc', [0, 3, 5]),
        ('single_filtering', [1, 2, 7]),  # without dropout
        ('confidence', [2, 6, 7]),
        ('nearest_centroid', [1, 3, 4]),
        ('random', [0, 1, 2]),
        ('none', [0, 1, 2]),
    ],
)
def test_baselines(rule, expected):
    pool = pool_of(
        label=1,
        distance=DISTANCE,
        plain_distance=[5, 1, 2, 6, 7, 8, 4, 3],
        confidence=[0.1, 0.2, 0.9, 0.3, 0.2, 0.1, 0.5, 0.8],
        nearest=[0, 1, 2, 1, 1, 0, 1, 1],
    )
    assert kept_of(rule, pool, 3)[0] == expected


def test_fewer_pass_the_nearest_centroid_filter_than_asked():
    pool = pool_of(label=2, nearest=[0, 2, 1, 2])
    kept, reasons = kept_of('nearest_centroid', pool, 3)
    assert kept == [1, 3] and reasons[0] == 'nearest centroid'


@pytest.mark.parametrize('count', [8, 9, 12, 16, 4])  # 2N to 8N with r = 0.5, and odd
def test_other_pool_sizes(count):
    rng = np.random.default_rng(count)
    pool = pool_of(entropy=rng.random(count), distance=rng.random(count))
    kept, _ = kept_of('selective', pool, 2)
    certain = np.argsort(pool.scores.entropy)[: count // 2]
    assert kept == sorted(certain[np.argsort(pool.scores.distance[certain])][:2])


@pytest.mark.parametrize('rule', sorted(SELECTION_RULES.module_dict))
def test_exact_counts_with_ties_by_seed_and_not_by_order(rule):
    files = [f'{name}/{i}.png' for name in CLASSES for i in range(20)]
    labels = np.repeat(np.arange(3), 20)
    pool = pool_of(entropy=np.zeros(60), nearest=labels)
    asked = {0: 5, 1: 10, 2: 1}

    def run(order, seed=0):
        table = apply_rule(
            build_rule(rule),
            [files[i] for i in order],
            labels[order],
            CLASSES,
            pool.scores.rows(order),
            asked,
            seed,
        )
        counts = np.bincount(table.labels[table.kept], minlength=3).tolist()
        assert counts == [5, 10, 1]
        return {file for file, kept in zip(table.files, table.kept, strict=True) if kept}

    straight = run(np.arange(60))
    assert straight == run(np.arange(60))
    if rule != 'none':  # which takes the first of the list
        assert straight == run(np.random.default_rng(0).permutation(60))
        assert straight != run(np.arange(60), seed=1)


def test_memorised_candidates_go_first():
    files = [f'NILM/{i}.png' for i in range(8)]
    scores = pool_of(entropy=ENTROPY, plain_distance=DISTANCE).scores
    copies = np.arange(8) == 7
    table = apply_rule(
        build_rule('single_filtering'), files, np.zeros(8, int), CLASSES, scores, {0: 7}, 0, copies
    )
    assert table.kept.tolist() == [True] * 7 + [False] and table.reasons[7] == 'memorised'
    with pytest.raises(PoolError, match='that are no copies of training images: 7 candidates'):
        apply_rule(build_rule('none'), files, np.zeros(8, int), CLASSES, scores, {0: 8}, 0, copies)


def test_small_pools_and_bad_scores_are_refused():
    files = [f'NILM/{i}.png' for i in range(8)]
    labels = np.zeros(8, int)
    scores = pool_of(entropy=ENTROPY).scores
    with pytest.raises(
        PoolError, match=r'class NILM: 8 candidates, but 5 are to be kept.*least 10'
    ):
        apply_rule(build_rule('selective'), files, labels, CLASSES, scores, {0: 5})
    bad = CandidateScores(**{**vars(scores), 'entropy': np.array([*ENTROPY[:7], np.nan])})
    with pytest.raises(ScoreError, match=r'NILM/7.png: entropy is NaN or infinite \(1 of 8'):
        apply_rule(build_rule('none'), files, labels, CLASSES, bad, {0: 1})


def test_a_rule_of_ones_own():
    @SELECTION_RULES.register_module(name='tests_last')
    class Last(SelectionRule):
        def __call__(self, pool, asked):
            return self._ranked(pool, -pool.order, asked, 'too early')

    try:
        assert kept_of('tests_last', pool_of(entropy=ENTROPY), 2)[0] == [6, 7]
    finally:
        SELECTION_RULES.module_dict.pop('tests_last')
    with pytest.raises(ValueError, match="no selection rule 'best'; there are confidence, "):
        build_rule('best')


class Spread(SelectionRule):
    """Greedy k-centre: next is always the one that is furthest from all that are kept."""

    uses_features = True

    def __call__(self, pool, asked):
        kept = np.zeros(len(pool), dtype=bool)
        nearest = np.full(len(pool), np.inf)
        for _ in range(asked):
            new = int(nearest.argmax())
            kept[new] = True
            nearest = np.minimum(
                nearest, np.linalg.norm(pool.features - pool.features[new], axis=1)
            )
        return kept, ['kept' if one else 'near another' for one in kept]


def test_a_rule_may_use_features_of_its_class():
    files = [f'{name}/{i}.png' for name in CLASSES[:2] for i in range(4)]
    labels = np.repeat([0, 1], 4)
    scores = pool_of(entropy=ENTROPY).scores
    features = np.float32([[0, 0], [0, 1], [9, 9], [9, 8], [5, 5], [5, 6], [0, 5], [5, 0]])
    table = apply_rule(Spread(), files, labels, CLASSES, scores, {0: 2, 1: 3}, features=features)
    assert np.flatnonzero(table.kept).tolist() == [0, 2, 4, 6, 7]
    copies = np.arange(8) == 2  # dropped first: the features stay with their candidates
    table = apply_rule(Spread(), files, labels, CLASSES, scores, {0: 2, 1: 3}, 0, copies, features)
    assert np.flatnonzero(table.kept).tolist() == [0, 3, 4, 6, 7]
    with pytest.raises(ValueError, match='selection rule Spread uses features; none were given'):
        apply_rule(Spread(), files, labels, CLASSES, scores, {0: 2, 1: 3})


@pytest.mark.parametrize(
    'verdict, complaint',
    [
        (np.arange(2), r'returned ndarray; a tuple \(kept, reasons\) expected'),
        ((np.arange(2), ['kept'] * 8), r'kept as int64 \(2,\); bool \(8,\) expected'),
        ((np.arange(8) < 2, ['kept'] * 2), '2 reasons; one per candidate'),
        ((np.arange(8) < 3, ['kept'] * 3 + ['far'] * 5), '3 as kept, but only 2 were asked for'),
        ((np.arange(8) < 2, ['kept'] * 8), "contradict kept; 'kept' for kept ones alone"),
    ],
)
def test_what_a_rule_returns_is_checked(verdict, complaint):
    class Mine(SelectionRule):
        def __call__(self, pool, asked):
            return verdict

    files, scores = [f'NILM/{i}.png' for i in range(8)], pool_of(entropy=ENTROPY).scores
    with pytest.raises(ValueError, match=f'selection rule Mine: .* 8 candidates .*{complaint}'):
        apply_rule(Mine(), files, np.zeros(8, int), CLASSES, scores, {0: 2})


def test_a_function_is_no_rule(monkeypatch):
    monkeypatch.setitem(SELECTION_RULES.module_dict, 'mine', lambda pool, asked: None)
    with pytest.raises(ValueError, match="'mine': .* is no subclass of SelectionRule"):
        build_rule('mine')


def test_numbers_asked_round_halves_up():
    assert [images_asked(0.5, n) for n in (1, 2, 3, 5)] == [1, 1, 2, 3]
