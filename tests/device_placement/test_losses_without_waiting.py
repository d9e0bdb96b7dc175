"""Hooks look at the losses of every iteration, and the host does not wait for them."""

from types import SimpleNamespace

import pytest
import torch
from fake_cuda import FakeCuda, fake_cuda
from mmengine.hooks import LoggerHook
from mmengine.logging import MessageHub

from cellgan_plugin.engine.hooks import (
    DeferredRuntimeInfoHook,
    NonFiniteLossError,
    NonFiniteLossHook,
    SafeCheckpointHook,
)


class Interval(LoggerHook):
    """Tells the others when a line is due, and writes none."""

    def after_train_iter(self, *args, **kwargs):
        pass


@pytest.fixture
def cuda():
    with fake_cuda() as cuda:
        yield cuda


def runner_of(hooks):
    hub = MessageHub(f'hub {id(hooks)}')
    hub.update_info('last_ckpt', 'run/iter_2.pth')
    model = SimpleNamespace(state_dict=dict)
    return SimpleNamespace(
        hooks=hooks, message_hub=hub, train_dataloader=range(1000), model=model, iter=0
    )


def train(cuda: FakeCuda, runner, iterations: range, spoilt: int = -1):
    """Losses on the device; that of iteration ``spoilt``, counted from 1, is not finite."""
    for iteration in iterations:
        runner.iter = iteration
        cuda.now += 1
        outputs = dict(loss_a=torch.ones((), device='cuda'), share=0.5)
        cuda.value = int(runner.iter + 1 != spoilt)  # of the answer, "is it finite"
        for hook in runner.hooks:
            hook.after_train_iter(runner, runner.iter, outputs=outputs)


def test_no_iteration_between_two_lines_of_the_log_waits(cuda):
    hooks = [DeferredRuntimeInfoHook(), NonFiniteLossHook(), Interval(interval=10)]
    runner, cuda.behind = runner_of(hooks), 3
    train(cuda, runner, range(1))  # new names are read at once
    cuda.waits.clear()
    train(cuda, runner, range(1, 9))
    assert not cuda.waits
    train(cuda, runner, range(9, 10))
    assert set(cuda.waits) == {'engine/hooks/run_info_hook.py, read: a value is read'}


@pytest.mark.parametrize('behind', [0, 1, 4])
def test_a_spoilt_loss_is_named_with_its_iteration_however_late_it_is_seen(cuda, behind):
    runner, cuda.behind = runner_of([NonFiniteLossHook()]), behind
    with pytest.raises(NonFiniteLossError, match='iteration 7: loss_a') as error:
        train(cuda, runner, range(30), spoilt=7)
    assert runner.iter + 1 == 7 + behind
    assert 'run/iter_2.pth' in str(error.value)
    assert not cuda.waits


@pytest.mark.parametrize('when', ['a checkpoint', 'validation', 'the end'])
def test_none_is_passed_over_at(cuda, when):
    hook = NonFiniteLossHook()
    runner, cuda.behind = runner_of([hook]), 100
    train(cuda, runner, range(9), spoilt=7)
    saver = SafeCheckpointHook(interval=9, by_epoch=False)
    end = {
        'a checkpoint': lambda: saver._save_checkpoint_with_step(runner, 9, {}),
        'validation': lambda: hook.before_val(runner),
        'the end': lambda: hook.after_train_epoch(runner),
    }[when]
    with pytest.raises(NonFiniteLossError, match='iteration 7: loss_a'):
        end()
    assert runner.message_hub.get_info('last_ckpt') == 'run/iter_2.pth'
