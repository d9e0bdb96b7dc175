"""How fast, how much memory, and what the run has cost so far."""

import time
from dataclasses import replace
from typing import Optional, Tuple

import torch
from mmagic.registry import HOOKS
from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from cellgan_plugin.engine.training_cost import COST_KEY, TrainingCost, device_name, peak_memory

from .run_info_hook import is_logged


class _RestartClock(Hook):
    """Runs after all other hooks of an iteration: what they do is not training."""

    priority = 'LOWEST'

    def __init__(self, owner: 'ThroughputHook'):
        self.owner = owner

    def before_train_epoch(self, runner) -> None:
        self.owner.start()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.owner.start()


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Logs ``it_per_s``, ``img_per_s`` (all ranks together) and, on a CPU, ``memory_mb``.

    MMEngine logs the memory of CUDA devices by itself. The logged rates are of the time between two
    lines of the log, so that waiting for data, validation and saving count: the host may be ahead
    of a GPU, and the time between single iterations then says nothing.

    The cost of the run (:class:`~cellgan_plugin.engine.training_cost.TrainingCost`) is kept in the
    message hub, and so goes into every checkpoint and on when the run is resumed.
    """

    priority = 'ABOVE_NORMAL'  # before the logger reads, which resets CUDA's peak memory

    def __init__(self):
        self._last: Optional[float] = None
        self._since_last = 0
        self._started: Optional[Tuple[float, float]] = None
        self._device = ''

    # The clock ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Count from here."""
        self._started = (time.perf_counter(), time.process_time())

    def _stop(self) -> Tuple[float, float]:
        """Seconds since the start, of the clock and of the processor; the clock stands then."""
        if self._started is None:
            return 0.0, 0.0
        clock, processor = self._started
        self._started = None
        return time.perf_counter() - clock, time.process_time() - processor

    def before_run(self, runner) -> None:
        """Register what starts the clock again after the other hooks."""
        if not any(isinstance(hook, _RestartClock) for hook in runner.hooks):
            runner.register_hook(_RestartClock(self))

    def before_train(self, runner) -> None:
        """Forget the clock of an earlier run; take up the cost of a resumed one."""
        self._last = self._started = None
        self._since_last = 0
        hub = runner.message_hub
        values = hub.get_info(COST_KEY) if runner.iter > 0 else None
        cost = TrainingCost.from_dict(values or dict(first_iteration=runner.iter))
        device, self._device = device_name(), cost.device
        if device not in self._device.split(' + '):
            self._device = ' + '.join(filter(None, [self._device, device]))
        hub.update_info(COST_KEY, replace(cost, device=self._device).as_dict())

    def before_val(self, runner) -> None:
        """Validation is not training."""
        self._add(runner, self._stop())

    def after_val(self, runner) -> None:
        """Neither is its memory."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self.start()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Update the scalars and the cost."""
        batch = runner.train_dataloader.batch_size * get_world_size()
        memory, kind = peak_memory()
        self._add(runner, self._stop(), batch, memory, kind)
        self._rate(runner, batch_idx, batch)
        if kind == 'process':
            runner.message_hub.update_scalar('train/memory_mb', memory)

    def _rate(self, runner, batch_idx: int, batch: int) -> None:
        now = time.perf_counter()
        if self._last is None:  # the first iteration starts workers and chooses kernels
            self._last = now
            return
        self._since_last += 1
        if not is_logged(runner, batch_idx):
            return
        rate = self._since_last / max(now - self._last, 1e-9)
        runner.message_hub.update_scalar('train/it_per_s', rate)
        runner.message_hub.update_scalar('train/img_per_s', batch * rate)
        self._last, self._since_last = now, 0

    @staticmethod
    def _add(
        runner,
        spent: Tuple[float, float],
        images: int = 0,
        memory: float = 0.0,
        kind: str = '',
    ) -> None:
        values = runner.message_hub.get_info(COST_KEY)
        if values is None:  # validation alone
            return
        cost = TrainingCost.from_dict(values)
        if kind and kind != cost.memory_kind:  # a run that moved between CPU and GPU
            cost = replace(cost, peak_memory_mb=0.0, memory_kind=kind)
        cost = replace(
            cost,
            seconds=cost.seconds + spent[0],
            cpu_seconds=cost.cpu_seconds + spent[1],
            iterations=cost.iterations + (images > 0),
            images=cost.images + images,
            peak_memory_mb=max(cost.peak_memory_mb, memory),
            processes=max(cost.processes, get_world_size()),
        )
        runner.message_hub.update_info(COST_KEY, cost.as_dict())
