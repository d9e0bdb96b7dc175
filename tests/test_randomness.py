import hashlib

import numpy as np
import pytest
import torch

from cellgan_plugin.randomness import StepRandom, derive_seed, generator_for, rng_for


def test_seeds_are_those_of_the_documented_hash():
    # A change here would change every run that is resumed or repeated.
    digest = hashlib.blake2b(b'7\x1fnoise\x1f3\x1fa', digest_size=8).digest()
    assert derive_seed(7, 'noise', 3, 'a') == int.from_bytes(digest, 'little') >> 1


def test_every_part_of_the_key_matters():
    keys = [(0, 'a'), (1, 'a'), (0, 'b'), (0, 'a', 0), (0, 'a', 1), (0, 'a', 1, 1), (0, 'a', 11)]
    assert len({derive_seed(*key) for key in keys}) == len(keys)
    assert all(0 <= derive_seed(*key) < 2**63 for key in keys)


def test_draws_repeat_and_leave_the_global_state_alone():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = torch.randn(4, generator=generator_for(3, 'z', 1))
    assert torch.equal(first, torch.randn(4, generator=generator_for(3, 'z', 1)))
    np.testing.assert_array_equal(rng_for(3, 'z', 1).random(4), rng_for(3, 'z', 1).random(4))
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])


DRAWS = {
    'normal': lambda step, batch: step.normal('p', batch, 5),
    'uniform': lambda step, batch: step.uniform('p', batch, 5),
    'labels': lambda step, batch: step.labels('p', batch, torch.tensor([1.0, 2.0, 3.0])),
}


@pytest.mark.parametrize('kind', DRAWS)
@pytest.mark.parametrize('ranks', [2, 3])
def test_rows_of_several_ranks_interleave_to_those_of_one(kind, ranks):
    draw = DRAWS[kind]
    batch = 4
    alone = StepRandom(1, 20)
    spread = [StepRandom(1, 20, rank, ranks) for rank in range(ranks)]
    for _ in range(2):  # a second draw of a purpose in a step is another one
        whole = draw(alone, batch * ranks)
        rows = torch.stack([draw(step, batch) for step in spread], dim=1).flatten(0, 1)
        assert len(whole) == batch * ranks
        assert torch.equal(rows, whole)


@pytest.mark.parametrize('kind', DRAWS)
def test_steps_purposes_and_calls_differ(kind):
    def draw(seed=0, iteration=0, skip=0):
        step = StepRandom(seed, iteration)
        for _ in range(skip):
            DRAWS[kind](step, 64)
        return DRAWS[kind](step, 64)

    assert torch.equal(draw(), draw())
    for other in (draw(seed=1), draw(iteration=1), draw(skip=1)):
        assert not torch.equal(draw(), other)
    assert not torch.equal(StepRandom(0, 0).normal('a', 3, 2), StepRandom(0, 0).normal('b', 3, 2))


def test_purposes_do_not_disturb_each_other():
    first, second = StepRandom(0, 0), StepRandom(0, 0)
    first.normal('other', 9, 9)
    assert torch.equal(first.normal('z', 2, 2), second.normal('z', 2, 2))


def test_distributions():
    step = StepRandom(0, 0)
    normal = step.normal('n', 20000, 1)
    assert abs(normal.mean().item()) < 0.03 and abs(normal.std().item() - 1) < 0.03
    uniform = step.uniform('u', 20000, 1)
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean().item() - 0.5) < 0.01
    labels = step.labels('l', 20000, torch.tensor([1.0, 0.0, 3.0]))
    share = torch.bincount(labels, minlength=3) / 20000
    torch.testing.assert_close(share, torch.tensor([0.25, 0, 0.75]), rtol=0, atol=0.02)
    assert labels.dtype == torch.int64


def test_integers_are_the_same_on_every_rank():
    drawn = [StepRandom(0, 5, rank, 4).integers('crop', 9, 200) for rank in range(4)]
    assert drawn[0] == drawn[1] == drawn[2] == drawn[3]
    assert set(drawn[0]) == set(range(9))
