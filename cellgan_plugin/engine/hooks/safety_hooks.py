"""Stopping well on a signal."""

import os
import signal
from typing import Dict, Optional, Sequence

import torch
from mmagic.registry import HOOKS
from mmengine.dist import all_reduce, barrier, is_distributed
from mmengine.hooks import Hook

from cellgan_plugin.engine.loader_workers import leave_signals_to_the_trainer

from .checkpoint_hook import SafeCheckpointHook


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Save and stop when the scheduler asks (SIGTERM, SIGUSR1), so that ``--resume`` goes on.

    A rank of torchrun does the same when torchrun has ended without a word to it (SIGKILL), instead
    of training on with nobody waiting.

    Args:
        signals (Sequence[str]): Names of the signals. Defaults to ('SIGTERM', 'SIGUSR1').

    Attributes:
        stopped (bool): Whether the run was stopped this way.
    """

    priority = 'LOWEST'  # the iteration is logged and, where due, saved before this runs

    def __init__(self, signals: Sequence[str] = ('SIGTERM', 'SIGUSR1')):
        self.signals = [signal.Signals[name] for name in signals]
        self.stopped = False
        self._received: Optional[str] = None
        self._previous: Dict[signal.Signals, object] = {}
        self._launcher: Optional[int] = None  # process id of torchrun, in its ranks

    def _receive(self, number, frame) -> None:
        self._received = signal.Signals(number).name

    def before_train(self, runner) -> None:
        """Install the handlers, which the loader's workers are kept from."""
        leave_signals_to_the_trainer(runner)
        if 'TORCHELASTIC_RUN_ID' in os.environ:
            self._launcher = os.getppid()
        for number in self.signals:
            self._previous[number] = signal.signal(number, self._receive)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Save and ask the loop to stop, when any rank was told to."""
        if self._launcher not in (None, os.getppid()):
            self._received = self._received or 'torchrun has ended'
        asked = self._received is not None
        if is_distributed():
            flag = torch.tensor([float(asked)])
            if torch.cuda.is_available():
                flag = flag.cuda()
            all_reduce(flag, op='max')
            asked = bool(flag.item())
        if not asked or runner.train_loop.stop_training or self.is_last_train_iter(runner):
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
        barrier()  # the end of one rank lets launchers kill the others, which might still write
        self.stopped = True
        runner.train_loop.request_stop(name, hurry=True)

    def after_train(self, runner) -> None:
        """Put the former handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
