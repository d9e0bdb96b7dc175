"""Stopping well: on a signal, and on a loss that is not finite."""

import math
import signal
from typing import Dict, Optional, Sequence

import torch
from mmagic.registry import HOOKS
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import Hook

from .checkpoint_hook import NonFiniteLossError, SafeCheckpointHook


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Save and stop when the scheduler asks (SIGTERM, SIGUSR1), so that ``--resume`` goes on.

    Args:
        signals (Sequence[str]): Names of the signals. Defaults to ('SIGTERM', 'SIGUSR1').
    """

    priority = 'LOWEST'  # the iteration is logged and, where due, saved before this runs

    def __init__(self, signals: Sequence[str] = ('SIGTERM', 'SIGUSR1')):
        self.signals = [signal.Signals[name] for name in signals]
        self._received: Optional[str] = None
        self._previous: Dict[signal.Signals, object] = {}

    def _receive(self, number, frame) -> None:
        self._received = signal.Signals(number).name

    def before_train(self, runner) -> None:
        """Install the handlers."""
        for number in self.signals:
            self._previous[number] = signal.signal(number, self._receive)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Save and ask the loop to stop, when any rank was told to."""
        asked = self._received is not None
        if is_distributed():
            flag = torch.tensor([float(asked)])
            if torch.cuda.is_available():
                flag = flag.cuda()
            all_reduce(flag, op='max')
            asked = bool(flag.item())
        if not asked or runner.train_loop.stop_training:
            return
        hook = next((h for h in runner.hooks if isinstance(h, SafeCheckpointHook)), None)
        name = self._received or 'signal on another rank'
        if hook is None:
            runner.logger.warning(f'{name}: stopping; no SafeCheckpointHook, nothing is saved')
        else:
            path = hook.save_now(runner)
            runner.logger.info(
                f'{name}: saved {path}, stopping; the same command with --resume goes on'
            )
        runner.train_loop.request_stop(name)

    def after_train(self, runner) -> None:
        """Put the former handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop the run when a loss is not finite, before the weights it spoilt are saved.

    Args:
        interval (int): Iterations between checks. Defaults to 1.
    """

    priority = 'VERY_HIGH'  # before anything is logged or saved

    def __init__(self, interval: int = 1):
        self.interval = interval

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Check every logged scalar of this iteration."""
        if not outputs or (runner.iter + 1) % self.interval:
            return
        names = list(outputs)
        values = torch.stack([torch.as_tensor(outputs[n]).detach().float().mean() for n in names])
        bad = [n for n, v in zip(names, values.tolist(), strict=True) if not math.isfinite(v)]
        if not bad:
            return
        last = runner.message_hub.get_info('last_ckpt')
        raise NonFiniteLossError(
            f'iteration {runner.iter + 1}: {", ".join(bad)} is not finite. Last good checkpoint: '
            f'{last or "none was saved yet"}. Lower the learning rate or, with --amp, train '
            'without it; then run again with --resume.'
        )
