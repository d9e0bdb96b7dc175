"""A run's scalars, read from the device when somebody looks at them."""

from typing import List, Optional, Tuple

import torch
from mmagic.registry import HOOKS
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from torch import Tensor

# Names of an iteration's scalars, and their values: numbers of the host, or one tensor.
_Row = Tuple[List[str], Tensor]


def log_interval(runner) -> int:
    """Iterations between two lines of the log; 1 where nothing logs."""
    intervals = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
    return min(intervals, default=1)


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """MMEngine's hook, which reads every loss at every iteration, with one reading per log line.

    Reading a loss makes the host wait until a GPU has finished the step, so that the next step is
    not prepared meanwhile. Here the losses of an iteration are kept on the device as one small
    tensor, and all are read at once: at the log's interval, before a checkpoint is saved, before
    validation and at the end. The message hub then holds the same values in the same order.
    """

    def __init__(self):
        super().__init__()
        self._rows: List[_Row] = []

    def before_train(self, runner) -> None:
        """Forget what a run before has left."""
        self._rows.clear()
        super().before_train(runner)

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs: Optional[dict] = None
    ) -> None:
        """Keep the scalars of this iteration; read them where they are looked at."""
        if outputs:
            self._rows.append((list(outputs), _stacked(list(outputs.values()))))
        known = runner.message_hub.log_scalars
        # A new name is read at once, which gives it its place in the order of the log.
        new = outputs and any(f'train/{name}' not in known for name in outputs)
        if new or self.every_n_inner_iters(batch_idx, log_interval(runner)):
            self.read(runner)

    def read(self, runner) -> None:
        """Bring all scalars that are kept into the message hub."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        # One copy for all: what it waits for is the last step.
        values = iter(torch.cat([row for _, row in rows]).tolist())
        for names, _ in rows:
            for name in names:
                runner.message_hub.update_scalar(f'train/{name}', next(values))

    def before_val(self, runner) -> None:
        """Validation may stop or select by what was logged."""
        self.read(runner)
        super().before_val(runner)

    def after_train_epoch(self, runner) -> None:
        """The last iterations need not be at an interval."""
        self.read(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """A checkpoint holds the scalars of all iterations so far."""
        self.read(runner)
        if 'message_hub' in checkpoint:
            checkpoint['message_hub'] = runner.message_hub.state_dict()


def _stacked(values: list) -> Tensor:
    """Scalars as one float64 tensor (n,), where the first of them is; host numbers go there."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    on_device = [value for value in tensors if value.device.type != 'cpu']
    device = on_device[0].device if on_device else torch.device('cpu')
    parts = [
        value.detach().double().reshape(())
        if isinstance(value, Tensor) and value.device == device
        # Filled, not copied: the number of a host tensor is known here.
        else torch.full((), float(value), dtype=torch.float64, device=device)
        for value in values
    ]
    return torch.stack(parts)
