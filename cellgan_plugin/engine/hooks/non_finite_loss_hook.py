"""Stopping when a loss is not finite, without waiting for the device to find out."""

from collections import deque
from typing import Deque, List, NamedTuple, Optional

import torch
from mmagic.registry import HOOKS
from mmengine.hooks import Hook
from torch import Tensor

from .run_info_hook import stacked_scalars


class NonFiniteLossError(RuntimeError):
    """A loss, or the weights after an update, became NaN or infinite."""


class _Verdict(NamedTuple):
    """Which scalars of an iteration are finite, on its way to the host.

    Attributes:
        iteration (int): Counted from 1.
        names (list[str]): Of the scalars.
        finite (Tensor): bool (n,), on the host; holds values once ``arrived``.
        arrived (torch.cuda.Event | None): None: it is there.
    """

    iteration: int
    names: List[str]
    finite: Tensor
    arrived: Optional[torch.cuda.Event]


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop the run when a loss is not finite, before the weights it spoilt are saved.

    On a GPU the host does not wait for the losses: what the device has found of an iteration is
    looked at as soon as it has arrived, in the iterations that follow (as many as the host is
    ahead), and at the latest before a checkpoint is saved, before validation and at the end. The
    error names the iteration of the loss. Elsewhere the run stops in that iteration itself.

    Args:
        interval (int): Iterations between those whose losses are looked at. Defaults to 1.
    """

    priority = 'VERY_HIGH'  # before anything is logged or saved

    def __init__(self, interval: int = 1):
        self.interval = interval
        self._verdicts: Deque[_Verdict] = deque()

    def before_train(self, runner) -> None:
        """Forget what a run before has left."""
        self._verdicts.clear()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Ask for every logged scalar of this iteration; look at what has arrived."""
        if outputs and (runner.iter + 1) % self.interval == 0:
            self._ask(runner.iter + 1, outputs)
        while self._verdicts and self._is_there(self._verdicts[0]):
            self._look(runner, self._verdicts.popleft())

    def _ask(self, iteration: int, outputs: dict) -> None:
        finite = torch.isfinite(stacked_scalars(list(outputs.values())))
        arrived = None
        if finite.device.type == 'cuda':
            # Into page-locked memory, which non_blocking makes it.
            finite = finite.to('cpu', non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        self._verdicts.append(_Verdict(iteration, list(outputs), finite, arrived))

    @staticmethod
    def _is_there(verdict: _Verdict) -> bool:
        return verdict.arrived is None or verdict.arrived.query()

    def settle(self, runner) -> None:
        """Look at all iterations so far, waiting for them.

        Raises:
            NonFiniteLossError: A loss of one of them is not finite.
        """
        while self._verdicts:
            verdict = self._verdicts.popleft()
            if verdict.arrived is not None:
                verdict.arrived.synchronize()
            self._look(runner, verdict)

    def before_val(self, runner) -> None:
        """Weights that a loss has spoilt are not validated."""
        self.settle(runner)

    def after_train_epoch(self, runner) -> None:
        """The last iterations."""
        self.settle(runner)

    def _look(self, runner, verdict: _Verdict) -> None:
        flags = zip(verdict.names, verdict.finite.tolist(), strict=True)
        bad = [name for name, finite in flags if not finite]
        if not bad:
            return
        self._verdicts.clear()
        last = runner.message_hub.get_info('last_ckpt')
        raise NonFiniteLossError(
            f'iteration {verdict.iteration}: {", ".join(bad)} is not finite. Last good '
            f'checkpoint: {last or "none was saved yet"}. Lower the learning rate or, with --amp, '
            'train without it; then run again with --resume.'
        )


def settle_losses(runner) -> None:
    """Before weights are kept: :meth:`NonFiniteLossHook.settle` of a runner that has the hook."""
    for hook in runner.hooks:
        if isinstance(hook, NonFiniteLossHook):
            hook.settle(runner)
