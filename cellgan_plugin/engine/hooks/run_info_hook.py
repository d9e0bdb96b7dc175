"""A run's scalars, read from the device when somebody looks at them."""

from typing import Any, List, Optional, Sequence, Tuple

import torch
from mmagic.registry import HOOKS
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from torch import Tensor

# Names of an iteration's scalars, and their values in one tensor.
_Row = Tuple[List[str], Tensor]


def is_logged(runner, batch_idx: int) -> bool:
    """Whether a line of the log is written after this iteration; True where nothing logs."""
    loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
    due = [hook for hook in loggers if hook.every_n_inner_iters(batch_idx, hook.interval)]
    # A logger writes what an epoch leaves over as well.
    return not loggers or bool(due) or loggers[0].end_of_epoch(runner.train_dataloader, batch_idx)


def stacked_scalars(values: Sequence[Any]) -> Tensor:
    """Scalars (n,) as one float64 tensor, on the device of those that are on one.

    Args:
        values (Sequence[Tensor | float]): Tensors of one element, and numbers.
    """
    tensors = [value for value in values if isinstance(value, Tensor)]
    on_device = [value for value in tensors if value.device.type != 'cpu']
    device = on_device[0].device if on_device else torch.device('cpu')
    parts = [
        value.detach().reshape(())
        if isinstance(value, Tensor) and value.device == device
        # Filled, not copied: the number of a host tensor is known here.
        else torch.full((), float(value), dtype=torch.float64, device=device)
        for value in values
    ]
    if len({part.dtype for part in parts}) > 1:
        parts = [part.double() for part in parts]
    return torch.stack(parts).double()


def read_scalars(runner) -> None:
    """Bring the message hub up to date, for who looks at it between two lines of the log."""
    for hook in runner.hooks:
        if isinstance(hook, DeferredRuntimeInfoHook):
            hook.read(runner)


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """MMEngine's hook, which reads every loss at every iteration, with one reading per log line.

    Reading a loss makes the host wait until a GPU has finished the step, so that the next step is
    not prepared meanwhile. Here the losses of an iteration are kept on the device as one small
    tensor, and all are read at once: for a line of the log, before a checkpoint is saved, before
    validation and at the end. The message hub then holds the same values in the same order. Others
    who look into it call :func:`read_scalars` first.
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
            self._rows.append((list(outputs), stacked_scalars(list(outputs.values()))))
        known = runner.message_hub.log_scalars
        # A new name is read at once, which gives it its place in the order of the log.
        new = outputs and any(f'train/{name}' not in known for name in outputs)
        if new or is_logged(runner, batch_idx):
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
