"""Which images are labelled, and how batches mix them."""

import itertools
from collections import Counter

import numpy as np
import pytest
from mmagic.registry import DATA_SAMPLERS

from cellgan_plugin.datasets import LabelledBatchSampler, choose_labelled

FILES = [f'images/{index:03d}.png' for index in range(100)]
LABELS = ['rare' if index % 20 == 0 else 'common' for index in range(100)]
GROUPS = [f'patient {index // 7}' for index in range(100)]
RATIOS = (0.2, 0.4, 0.6, 0.8, 1.0)


def chosen(ratio, seed=0, order=None, groups=GROUPS, labels=LABELS):
    order = range(len(FILES)) if order is None else order
    flags = choose_labelled(
        [FILES[i] for i in order],
        ratio,
        seed,
        [groups[i] for i in order] if groups else (),
        [labels[i] for i in order] if labels else (),
    )
    return {FILES[i] for i, flag in zip(order, flags, strict=True) if flag}


@pytest.mark.parametrize('groups', [GROUPS, ()])
@pytest.mark.parametrize('labels', [LABELS, ()])
def test_larger_shares_contain_smaller_ones_in_any_order_of_files(groups, labels):
    shuffled = np.random.default_rng(1).permutation(len(FILES)).tolist()
    former = set()
    for ratio in RATIOS:
        now = chosen(ratio, 3, groups=groups, labels=labels)
        assert now == chosen(ratio, 3, shuffled, groups=groups, labels=labels)
        assert former < now
        assert abs(len(now) - 100 * ratio) <= (7 if groups else 0)
        former = now
    assert chosen(0.2, 3, groups=groups) != chosen(0.2, 4, groups=groups)


def test_patients_stay_together_and_labels_are_spread():
    for seed, ratio in itertools.product(range(5), RATIOS):
        labelled = chosen(ratio, seed)
        groups = {GROUPS[FILES.index(file)] for file in labelled}
        assert len(labelled) == sum(group in groups for group in GROUPS)
        labelled = chosen(ratio, seed, groups=())
        counts = Counter(LABELS[FILES.index(file)] for file in labelled)
        assert abs(counts['rare'] - 5 * ratio) <= 1


@pytest.mark.parametrize(
    'ratio, images',
    [(0.1, 3), (0.14, 3), (0.16, 6), (0.34, 9), (0.36, 12), (0.5, 15), (0.94, 27), (0.99, 27)],
)
def test_the_share_is_met_as_nearly_as_groups_allow(ratio, images):
    files = [f'{index}.png' for index in range(30)]
    for seed in range(3):  # ten patients of three images: 3, 6, 9, ... are the numbers there are
        groups = [f'patient {index // 3}' for index in range(30)]
        assert choose_labelled(files, ratio, seed, groups).sum() == images


def test_there_is_always_something_on_both_sides():
    assert choose_labelled(['a', 'b'], 0.01, 0).sum() == 1
    assert choose_labelled(['a', 'b'], 0.99, 0).sum() == 1
    assert choose_labelled(['a', 'b', 'c'], 0.5, 0, ['x', 'x', 'y']).sum() in (1, 2)
    assert choose_labelled(['a'], 0.5, 0).tolist() == [True]
    with pytest.raises(ValueError, match='above 0 and at most 1, got 20'):
        choose_labelled(['a'], 20, 0)
    with pytest.raises(ValueError, match='named twice'):
        choose_labelled(['a', 'a'], 0.5, 0)


# Sampler ----------------------------------------------------------------------------------------


class Flags(list):
    def labelled_flags(self):
        return np.array(self)


SAMPLES = Flags([True, False, False, True, True, False, False, False, True, False])


def sampler_of_rank(monkeypatch, rank, world_size, labelled=2, unlabelled=3, start=0, **kwargs):
    monkeypatch.setattr(
        'cellgan_plugin.datasets.samplers.get_dist_info', lambda: (rank, world_size)
    )
    sampler = LabelledBatchSampler(SAMPLES, labelled, unlabelled, seed=5, **kwargs)
    sampler.set_position(start)
    return sampler


def take(sampler, count):
    return [(int(index), index.position) for index in itertools.islice(sampler, count)]


def test_batches_hold_labelled_samples_first(monkeypatch):
    sampler = sampler_of_rank(monkeypatch, 0, 1)
    stream = [index for index, _ in take(sampler, 60)]
    for start in range(0, 60, sampler.batch_size):
        flags = [SAMPLES[index] for index in stream[start : start + 5]]
        assert flags == [True, True, False, False, False]
    labelled = [index for index in stream if SAMPLES[index]]
    unlabelled = [index for index in stream if not SAMPLES[index]]
    for kind, size in ((labelled, 4), (unlabelled, 6)):
        epochs = [tuple(kind[i : i + size]) for i in range(0, len(kind), size)]
        assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)  # each once an epoch
        assert len(set(epochs)) > 1  # and in another order


@pytest.mark.parametrize('rank, world_size', [(0, 1), (0, 2), (1, 2)])
def test_any_position_can_be_resumed_from(monkeypatch, rank, world_size):
    whole = take(sampler_of_rank(monkeypatch, rank, world_size), 100)
    for batches in (1, 7):
        start = batches * 5 * world_size
        resumed = take(sampler_of_rank(monkeypatch, rank, world_size, start=start), 20)
        assert resumed == whole[batches * 5 : batches * 5 + 20]
    within = take(sampler_of_rank(monkeypatch, rank, world_size, start=3), 20)
    assert within == whole[5:25]  # another batch size before: the next whole batch
    sampler_of_rank(monkeypatch, rank, world_size, start=5 * 10**15)


def test_two_ranks_see_what_one_rank_with_twice_the_numbers_sees(monkeypatch):
    one = take(sampler_of_rank(monkeypatch, 0, 1, 2, 4), 60)
    two = [take(sampler_of_rank(monkeypatch, rank, 2, 1, 2), 30) for rank in (0, 1)]
    assert [sample for samples in zip(*two, strict=True) for sample in samples] == one
    assert all(SAMPLES[two[rank][i][0]] == (i % 3 == 0) for rank in (0, 1) for i in range(30))


def test_a_kind_without_samples_is_refused():
    with pytest.raises(ValueError, match='unlabelled=2 are asked for .* none of the 3 samples'):
        LabelledBatchSampler(Flags([True] * 3), 1, 2)
    with pytest.raises(ValueError, match='labelled must be a whole number of at least 1, got 0'):
        LabelledBatchSampler(SAMPLES, 0, 2)
    with pytest.raises(TypeError, match='a list does not say which samples are labelled'):
        LabelledBatchSampler([1, 2], 1, 1)
    built = DATA_SAMPLERS.build(
        dict(type='LabelledBatchSampler', labelled=2, unlabelled=0, dataset=SAMPLES, seed=1)
    )
    assert all(SAMPLES[index] for index in itertools.islice(built, 20))


def test_a_batch_can_be_changed_between_iterators(monkeypatch):
    """A schedule over scales does so."""
    sampler = sampler_of_rank(monkeypatch, 0, 1)
    sampler.set_batch(1, 2)
    same = sampler_of_rank(monkeypatch, 0, 1, labelled=1, unlabelled=2)
    assert sampler.batch_size == 3 and take(sampler, 30) == take(same, 30)
    with pytest.raises(ValueError, match='labelled must be a whole number of at least 1'):
        sampler.set_batch(0, 2)
