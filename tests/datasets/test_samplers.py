"""The stream of samples: ranks, epochs, positions."""

import itertools
import pickle

import pytest
from mmagic.registry import DATA_SAMPLERS
from torch.utils.data import ConcatDataset

from cellgan_plugin.datasets import (
    LabelledBatchSampler,
    PretrainingSampler,
    ResumableInfiniteSampler,
    SampleIndex,
)


def take(sampler, count):
    return [(int(index), index.position) for index in itertools.islice(sampler, count)]


def sampler_of_rank(monkeypatch, rank, world_size, size=10, start=0, **kwargs):
    monkeypatch.setattr(
        'cellgan_plugin.datasets.samplers.get_dist_info', lambda: (rank, world_size)
    )
    sampler = ResumableInfiniteSampler(range(size), seed=3, **kwargs)
    sampler.set_position(start)
    return sampler


def global_batches(monkeypatch, world_size, global_batch, count, **kwargs):
    local = global_batch // world_size
    streams = [
        take(sampler_of_rank(monkeypatch, rank, world_size, **kwargs), local * count)
        for rank in range(world_size)
    ]
    return [
        [streams[row % world_size][k * local + row // world_size] for row in range(global_batch)]
        for k in range(count)
    ]


@pytest.mark.parametrize('start', [0, 8, 13, 1003])
@pytest.mark.parametrize('size', [1, 3, 10])
def test_any_number_of_ranks_sees_the_same_batches(monkeypatch, size, start):
    one, two, four = (
        global_batches(monkeypatch, ranks, 4, 9, size=size, start=start) for ranks in (1, 2, 4)
    )
    assert one == two == four


@pytest.mark.parametrize('rank, world_size', [(0, 1), (0, 2), (1, 2), (3, 4)])
def test_set_position_equals_skipping(monkeypatch, rank, world_size):
    whole = take(sampler_of_rank(monkeypatch, rank, world_size), 50)
    resumed = take(sampler_of_rank(monkeypatch, rank, world_size, start=20 * world_size), 30)
    assert resumed == whole[20:]


def test_set_position_is_immediate(monkeypatch):
    sampler = sampler_of_rank(monkeypatch, 0, 1, start=10**15 + 4)
    assert take(sampler, 1)[0][1] == 10**15 + 4


def test_every_epoch_is_another_permutation(monkeypatch):
    stream = take(sampler_of_rank(monkeypatch, 0, 1), 50)
    assert [position for _, position in stream] == list(range(50))
    epochs = [tuple(index for index, _ in stream[i : i + 10]) for i in range(0, 50, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(epochs)) == 5


def test_seeds_and_order(monkeypatch):
    assert take(ResumableInfiniteSampler(range(9), seed=1), 20) == take(
        ResumableInfiniteSampler(range(9), seed=1), 20
    )
    assert take(ResumableInfiniteSampler(range(9), seed=1), 20) != take(
        ResumableInfiniteSampler(range(9), seed=2), 20
    )
    plain = take(ResumableInfiniteSampler(range(3), shuffle=False, seed=0), 7)
    assert [index for index, _ in plain] == [0, 1, 2, 0, 1, 2, 0]
    drawn = ResumableInfiniteSampler(range(3))
    assert isinstance(drawn.seed, int)


def test_an_iterator_starts_again_at_the_set_position():
    sampler = ResumableInfiniteSampler(range(5), seed=1)
    sampler.set_position(7)
    assert take(sampler, 3) == take(sampler, 3)
    assert len(sampler) == 5


def test_bad_arguments():
    with pytest.raises(ValueError, match='^ResumableInfiniteSampler: the data set is empty'):
        ResumableInfiniteSampler([], seed=1)
    with pytest.raises(ValueError, match='^LabelledBatchSampler: the data set is empty'):
        LabelledBatchSampler([], labelled=1, unlabelled=1, seed=1)
    with pytest.raises(ValueError, match='negative'):
        ResumableInfiniteSampler([1], seed=1).set_position(-1)


def test_registered():
    config = dict(type='ResumableInfiniteSampler', dataset=range(4), seed=1)
    assert isinstance(DATA_SAMPLERS.build(config), ResumableInfiniteSampler)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_sample_index_is_an_int_that_keeps_its_position(protocol):
    index = pickle.loads(pickle.dumps(SampleIndex(5, 77, 9), protocol))
    assert index == 5 and isinstance(index, int) and (index.position, index.seed) == (77, 9)
    assert (index - 3, (index - 3).position, (index - 3).seed) == (2, 77, 9)
    assert (index % 4, (index % 4).position, (index % 4).seed) == (1, 77, 9)
    assert [10, 11, 12, 13, 14, 15][index] == 15


def pretraining(samples=10, sizes=(3, 5), **kwargs):
    data = ConcatDataset([range(size) for size in sizes])
    return PretrainingSampler(data, samples, **{'seed': 1, **kwargs})


def test_pretraining_draws_from_the_second_part_alone_and_then_from_the_first():
    stream = take(pretraining(), 16)
    assert [position for _, position in stream] == list(range(16))
    drawn = [index for index, _ in stream]
    for epoch in (drawn[:5], drawn[5:10]):
        assert sorted(epoch) == [3, 4, 5, 6, 7]
    for epoch in (drawn[10:13], drawn[13:16]):
        assert sorted(epoch) == [0, 1, 2]
    assert [i for i, _ in take(pretraining(2, shuffle=False), 6)] == [3, 4, 0, 1, 2, 0]


@pytest.mark.parametrize('start', [4, 9, 10, 14])
def test_pretraining_resumes_at_any_position_and_is_the_same_on_two_ranks(monkeypatch, start):
    whole = take(pretraining(), 20)
    resumed = pretraining()
    resumed.set_position(start)
    assert take(resumed, 20 - start) == whole[start:]
    ranks = []
    for rank in range(2):
        monkeypatch.setattr('cellgan_plugin.datasets.samplers.get_dist_info', lambda r=rank: (r, 2))
        ranks.append(take(pretraining(), 10))
    assert [pair for pairs in zip(*ranks, strict=True) for pair in pairs] == whole


def test_pretraining_wants_two_parts_with_images():
    for data in (range(4), ConcatDataset([range(2)]), ConcatDataset([range(1)] * 3)):
        with pytest.raises(ValueError, match='two parts'):
            PretrainingSampler(data, 2, seed=0)
