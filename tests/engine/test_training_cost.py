"""The cost of a run in its checkpoints, and stopping when the time is spent; a clock we turn."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub

from cellgan_plugin.engine import training_cost
from cellgan_plugin.engine.checkpoint import to_plain
from cellgan_plugin.engine.hooks import SafeCheckpointHook, ThroughputHook, TimeBudgetHook
from cellgan_plugin.engine.hooks import throughput_hook as module
from cellgan_plugin.engine.training_cost import (
    COST_KEY,
    TrainingCost,
    device_name,
    read_training_cost,
)

STEP, DATA, PICTURES, VALIDATION = 2.0, 1.0, 100.0, 50.0


class Clock:
    def __init__(self):
        self.now = 1000.0

    def perf_counter(self):
        return self.now

    def process_time(self):
        return self.now / 4  # three others have the processor, too


class Slow(Hook):
    """What other hooks do: not training."""

    priority = 'VERY_LOW'

    def __init__(self, clock):
        self.clock = clock

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.clock.now += PICTURES


class Saver(SafeCheckpointHook):
    """Notes what it was asked to save, with the cost that would be in the file."""

    def __init__(self):
        super().__init__(interval=1000, by_epoch=False)
        self.saved = []

    def before_train(self, runner):
        self.out_dir = 'run'
        self.file_backend = SimpleNamespace(join_path=lambda *parts: '/'.join(parts))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        pass

    def _save_checkpoint_with_step(self, runner, step, meta):
        self.saved.append((step, meta['iter'], runner.message_hub.get_info(COST_KEY)['seconds']))
        self.last_ckpt = f'run/iter_{step}.pth'
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)


class Loop:
    stop_training = False

    def request_stop(self, reason):
        self.stop_reason, self.stop_training = reason, True


class FakeRunner:
    """The order in which MMEngine calls hooks, over a loop in which time passes as we say."""

    def __init__(self, clock, hooks, iteration=0, cost=None):
        self.clock, self.iter, self.epoch, self.max_iters = clock, iteration, 0, 20
        self.hooks = []
        for hook in hooks:
            self.register_hook(hook)
        self.message_hub = MessageHub(f'hub {id(self)}')
        if cost is not None:
            self.message_hub.update_info(COST_KEY, cost)
        self.train_dataloader = SimpleNamespace(batch_size=4)
        self.train_loop = Loop()
        self.lines = []
        self.logger = SimpleNamespace(info=self.lines.append, addFilter=lambda keep: None)

    def load_checkpoint(self, filename):
        """Replaced by the checkpoint hook, which refuses weights that do not fit."""

    def resume(self, filename):
        """Likewise."""

    def register_hook(self, hook):
        order = ['ABOVE_NORMAL', 'NORMAL', 'VERY_LOW', 'LOWEST']
        self.hooks.append(hook)
        self.hooks.sort(key=lambda h: order.index(h.priority))

    def call(self, name, *args):
        for hook in list(self.hooks):
            getattr(hook, name)(self, *args)

    def train(self, validate_at=()):
        self.call('before_run')
        self.call('before_train')
        self.clock.now += 30  # what lies between, e.g. a validation that is made up for
        self.call('before_train_epoch')
        while self.iter < self.max_iters and not self.train_loop.stop_training:
            self.clock.now += DATA
            self.call('before_train_iter', 0)
            self.clock.now += STEP
            self.call('after_train_iter', 0)
            self.iter += 1
            if self.iter in validate_at:
                self.call('before_val')
                self.clock.now += VALIDATION
                self.call('after_val')
        self.call('after_train_epoch')
        self.call('after_train')
        return self

    @property
    def cost(self):
        return TrainingCost.from_dict(self.message_hub.get_info(COST_KEY))


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, 'time', clock)
    return clock


def test_data_and_steps_count_and_nothing_else(clock):
    runner = FakeRunner(clock, [ThroughputHook(), Slow(clock)]).train(validate_at=(3, 7))
    cost = runner.cost
    assert cost.seconds == pytest.approx(20 * (DATA + STEP))
    assert (cost.iterations, cost.images, cost.processes, cost.first_iteration) == (20, 80, 1, 0)
    assert cost.images_per_second == pytest.approx(80 / 60)
    assert cost.device_hours == pytest.approx(60 / 3600)
    assert cost.device == device_name() and cost.peak_memory_mb > 50


def test_the_cost_goes_through_a_checkpoint_and_on(clock, tmp_path):
    first = FakeRunner(clock, [ThroughputHook()]).train()
    path = tmp_path / 'iter_20.pth'
    torch.save(to_plain(dict(message_hub=first.message_hub.state_dict())), path)
    assert read_training_cost(path) == first.cost
    second = FakeRunner(clock, [ThroughputHook()], iteration=20, cost=first.cost.as_dict())
    second.max_iters = 25
    clock.now += 5000  # between the two runs
    cost = second.train().cost
    assert cost.seconds == pytest.approx(25 * (DATA + STEP))
    assert (cost.iterations, cost.images) == (25, 100)
    assert cost.device == first.cost.device

    torch.save(dict(state_dict={}), path)
    assert read_training_cost(path) is None


def test_a_run_whose_start_was_not_counted_says_so(clock):
    cost = FakeRunner(clock, [ThroughputHook()], iteration=15).train().cost
    assert (cost.first_iteration, cost.iterations) == (15, 5)


def test_a_run_that_moved_names_both_devices(clock):
    before = TrainingCost(seconds=1.0, iterations=1, device='Other', peak_memory_mb=1e9).as_dict()
    cost = FakeRunner(clock, [ThroughputHook()], iteration=1, cost=before).train().cost
    assert cost.device == f'Other + {device_name()}'
    assert cost.peak_memory_mb == 1e9  # of the same kind: the peak of both


@pytest.mark.parametrize('before, now', [('CUDA', 'process'), ('process', 'CUDA')])
def test_memory_of_a_gpu_and_of_a_process_are_not_compared(clock, monkeypatch, before, now):
    monkeypatch.setattr(module, 'peak_memory', lambda: (70.0, now))
    cost = TrainingCost(seconds=1.0, iterations=1, peak_memory_mb=9000.0, memory_kind=before)
    runner = FakeRunner(clock, [ThroughputHook()], iteration=1, cost=cost.as_dict())
    runner.max_iters = 3
    cost = runner.train().cost
    assert (cost.peak_memory_mb, cost.memory_kind) == (70.0, now)


def test_memory_that_the_system_does_not_tell_is_not_measured(clock, monkeypatch):
    monkeypatch.setattr(training_cost, 'resource', None)  # Windows
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    cost = FakeRunner(clock, [ThroughputHook()]).train().cost
    assert (cost.peak_memory_mb, cost.memory_kind) == (0.0, 'not measured')
    assert cost.iterations > 0 and cost.seconds > 0


def budget_run(clock, minutes, kind='wall', **kwargs):
    saver = Saver()
    hooks = [ThroughputHook(), TimeBudgetHook(minutes, kind), Slow(clock), saver]
    return FakeRunner(clock, hooks, **kwargs).train(), saver


def test_the_budget_stops_the_run_and_saves_it(clock):
    runner, saver = budget_run(clock, minutes=0.5)  # 30 s: ten iterations
    assert runner.iter == 10
    assert saver.saved == [(10, 10, pytest.approx(30.0))]
    budget = next(hook for hook in runner.hooks if isinstance(hook, TimeBudgetHook))
    assert budget.spent
    reason = 'time budget: 0.50 of 0.5 min of training are spent after iteration 10'
    assert runner.train_loop.stop_reason == reason
    assert runner.lines[-2:] == [
        f'{reason}; stopping',
        'time budget: the end of the run is run/iter_10.pth',
    ]
    assert runner.lines[0] == 'time budget: 0.05 of 0.5 min (10 %) after iteration 1'


def test_the_budget_is_that_of_all_resumes(clock):
    before = TrainingCost(seconds=21.0, iterations=7, images=28, device=device_name()).as_dict()
    runner, saver = budget_run(clock, minutes=0.5, iteration=7, cost=before)
    assert runner.iter == 10 and saver.saved == [(10, 10, pytest.approx(30.0))]


def test_a_spent_run_trains_no_further_when_resumed(clock):
    before = TrainingCost(seconds=30.0, iterations=10, images=40, device=device_name()).as_dict()
    runner, saver = budget_run(clock, minutes=0.5, iteration=10, cost=before)
    assert runner.iter == 10 and runner.cost.iterations == 10
    assert next(h for h in runner.hooks if isinstance(h, TimeBudgetHook)).spent
    # Resumed from a checkpoint elsewhere: its end belongs into this work directory as well.
    assert [step for step, *_ in saver.saved] == [10]


def test_a_budget_that_is_not_needed_changes_nothing(clock):
    runner, saver = budget_run(clock, minutes=60)
    assert runner.iter == 20 and not saver.saved
    assert not next(h for h in runner.hooks if isinstance(h, TimeBudgetHook)).spent


def test_a_budget_of_processor_time(clock):
    runner, saver = budget_run(clock, minutes=0.125, kind='cpu')  # 7.5 s: ten iterations
    assert runner.iter == 10 and runner.cost.cpu_seconds == pytest.approx(7.5)
    assert runner.cost.seconds == pytest.approx(30.0)
    before = TrainingCost(seconds=9.0, iterations=3, cpu_seconds=6.75, device=device_name())
    runner, _ = budget_run(clock, 0.125, 'cpu', iteration=3, cost=before.as_dict())
    assert runner.iter == 4
    with pytest.raises(ValueError, match="clock='gpu'"):
        TimeBudgetHook(1, 'gpu')


@pytest.mark.parametrize('minutes', [0, -1, float('nan')])
def test_a_budget_must_be_positive(minutes):
    with pytest.raises(ValueError, match='minutes must be positive'):
        TimeBudgetHook(minutes)


def test_what_the_budget_needs_is_named(clock):
    with pytest.raises(ValueError, match=r"needs ThroughputHook: add dict\(type='ThroughputHook'"):
        FakeRunner(clock, [TimeBudgetHook(1), Saver()]).train()
    with pytest.raises(ValueError, match='needs SafeCheckpointHook'):
        FakeRunner(clock, [TimeBudgetHook(1), ThroughputHook()]).train()
    runner = FakeRunner(clock, [TimeBudgetHook(1), ThroughputHook(), Saver()])
    runner.train_loop = SimpleNamespace()
    with pytest.raises(ValueError, match='cannot stop a SimpleNamespace: say train_cfg=dict'):
        runner.train()
