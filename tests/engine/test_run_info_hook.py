"""The message hub holds the scalars that MMEngine's hook writes, read once per line of the log."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.logging import MessageHub

from cellgan_plugin.engine.hooks import DeferredRuntimeInfoHook, logged_iterations


def runner_of(name, interval):
    hook = LoggerHook(interval=interval)
    optimizers = SimpleNamespace(get_lr=lambda: dict(lr=[0.5]))
    return SimpleNamespace(
        hooks=[hook],
        train_dataloader=range(1000),
        message_hub=MessageHub(name),
        iter=0,
        optim_wrapper=optimizers,
    )


def outputs(iteration):
    values = dict(loss=torch.tensor(iteration / 7), size=torch.tensor(64), share=0.25)
    if iteration >= 3:  # a term that comes later
        values['loss_late'] = torch.tensor([1e-3 * iteration], dtype=torch.bfloat16)
    return values


def train(hook, name, iterations, interval=5, before=lambda runner: None):
    runner = runner_of(name, interval)
    for iteration in range(iterations):
        runner.iter = iteration
        hook.before_train_iter(runner, iteration)
        hook.after_train_iter(runner, iteration, outputs=outputs(iteration))
    before(runner)
    return runner.message_hub


def logged(hub):
    return {name: [list(map(float, part)) for part in buffer.data]
            for name, buffer in hub.log_scalars.items()}  # fmt: skip


def test_logged_values_are_those_of_mmengine():
    ours = train(DeferredRuntimeInfoHook(), 'ours', 10)
    theirs = train(RuntimeInfoHook(), 'theirs', 10)
    assert logged(ours) == logged(theirs)
    assert list(ours.log_scalars) == list(theirs.log_scalars)


def test_a_line_of_the_log_at_the_end_of_an_epoch_has_all_values():
    runner, hook = runner_of('short epochs', 100), DeferredRuntimeInfoHook()
    runner.train_dataloader = range(4)
    for runner.iter in range(8):
        hook.after_train_iter(runner, runner.iter % 4, outputs=dict(loss=torch.tensor(1.0)))
        read = len(runner.message_hub.log_scalars['train/loss'].data[0])
        assert read == {0: 1, 1: 1, 2: 1}.get(runner.iter, 8 if runner.iter == 7 else 4)


def test_curves_of_a_moment_have_all_values(tmp_path, monkeypatch):
    runner, hook = runner_of('curves', 100), DeferredRuntimeInfoHook()
    runner.hooks.append(hook)
    drawn = []
    monkeypatch.setattr(logged_iterations, 'draw_curves', lambda s, *_, **__: drawn.append(s))
    for runner.iter in range(30):
        hook.after_train_iter(runner, runner.iter, outputs=dict(loss=torch.tensor(1.0)))
    logged_iterations.draw_run_curves(runner, tmp_path / 'curves.png')
    assert len(drawn[0]['train/loss'].data[0]) == 30


def test_they_are_read_at_the_interval_of_the_log(monkeypatch):
    reads = []
    hook = DeferredRuntimeInfoHook()
    read = hook.read
    monkeypatch.setattr(hook, 'read', lambda runner: (reads.append(runner.iter), read(runner)))
    hub = train(hook, 'reads', 13)
    assert reads == [0, 3, 4, 9]  # two for new names
    assert len(hub.log_scalars['train/loss'].data[0]) == 10


@pytest.mark.parametrize('how', ['epoch', 'checkpoint'])
def test_nothing_is_left_behind(how):
    hook, checkpoint = DeferredRuntimeInfoHook(), {}

    def end(runner):
        if how == 'epoch':
            hook.after_train_epoch(runner)
        else:
            checkpoint['message_hub'] = runner.message_hub.state_dict()
            hook.before_save_checkpoint(runner, checkpoint)

    hub = train(hook, f'end {how}', 13, before=end)
    expected = logged(train(RuntimeInfoHook(), f'theirs {how}', 13))
    assert logged(hub) == expected
    if checkpoint:
        saved = checkpoint['message_hub']['log_scalars']
        assert {name: len(buffer.data[0]) for name, buffer in saved.items()} == {
            name: len(values) for name, (values, _) in expected.items()
        }
