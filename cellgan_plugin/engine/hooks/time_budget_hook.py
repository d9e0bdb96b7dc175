"""Stopping when the time is spent."""

import torch
from mmagic.registry import HOOKS
from mmengine.dist import broadcast, is_distributed
from mmengine.hooks import Hook

from cellgan_plugin.engine.training_cost import COST_KEY, TrainingCost

from .checkpoint_hook import SafeCheckpointHook
from .throughput_hook import ThroughputHook


@HOOKS.register_module()
class TimeBudgetHook(Hook):
    """Stop, and save, when the training time of a run is spent, whatever its ``max_iters``.

    The time is that of :class:`~cellgan_plugin.engine.training_cost.TrainingCost`: data and steps,
    over all resumes, without validation, saving and pictures. The iteration that crosses the limit
    is the last one; the first process decides for all. A run that is resumed with its budget spent
    trains no further. :attr:`spent` says whether the run ended this way.

    Needs ``ThroughputHook``, ``SafeCheckpointHook`` and ``ResumableTrainLoop``.

    Args:
        minutes (float): Training time, above 0.
        clock (str): ``'wall'``, or ``'cpu'``: the processor time of the process, so that runs on a
            machine with other work on it are given the same. Defaults to 'wall'.

    Raises:
        ValueError: ``minutes`` is not positive, there is no such clock, or something that it needs
            is missing.
    """

    # Before the hooks that draw and schedule, which look whether this was the last iteration.
    priority = 'NORMAL'

    def __init__(self, minutes: float, clock: str = 'wall'):
        if clock not in ('wall', 'cpu'):
            raise ValueError(f"TimeBudgetHook: clock={clock!r}: must be 'wall' or 'cpu'")
        self.clock = clock
        if not minutes > 0:
            raise ValueError(f'TimeBudgetHook: minutes must be positive, got {minutes}')
        self.minutes = float(minutes)
        self.spent = False
        self._said = 0

    def _minutes_used(self, runner) -> float:
        cost = TrainingCost.from_dict(runner.message_hub.get_info(COST_KEY))
        return (cost.seconds if self.clock == 'wall' else cost.cpu_seconds) / 60

    def before_train(self, runner) -> None:
        """Check what is needed; stop at once where nothing is left."""
        found = {type(hook) for hook in runner.hooks}
        for needed in (ThroughputHook, SafeCheckpointHook):
            if not any(issubclass(hook, needed) for hook in found):
                raise ValueError(
                    f"TimeBudgetHook needs {needed.__name__}: add dict(type='{needed.__name__}') "
                    'to the hooks of the config'
                )
        if not hasattr(runner.train_loop, 'request_stop'):
            raise ValueError(
                f'TimeBudgetHook cannot stop a {type(runner.train_loop).__name__}: say '
                "train_cfg=dict(type='ResumableTrainLoop', ...)"
            )
        self.spent = False
        self._said = int(20 * self._minutes_used(runner) / self.minutes)
        if self._over(runner):
            self._stop(runner, runner.iter)

    def _over(self, runner) -> bool:
        over = self._minutes_used(runner) >= self.minutes
        if is_distributed():
            flag = torch.tensor([float(over)])
            if torch.cuda.is_available():
                flag = flag.cuda()
            broadcast(flag, src=0)
            over = bool(flag.item())
        return over

    def _stop(self, runner, iteration: int) -> None:
        self.spent = True
        reason = (
            f'time budget: {self._minutes_used(runner):.2f} of {self.minutes:g} min of training '
            f'are spent after iteration {iteration}'
        )
        runner.logger.info(f'{reason}; stopping')
        runner.train_loop.request_stop(reason)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Ask the loop to stop when the time is over; say every twentieth of it."""
        if self._over(runner):
            self._stop(runner, runner.iter + 1)
            return
        used = self._minutes_used(runner)
        if int(20 * used / self.minutes) > self._said:
            self._said = int(20 * used / self.minutes)
            runner.logger.info(
                f'time budget: {used:.2f} of {self.minutes:g} min ({100 * used / self.minutes:.0f} '
                f'%) after iteration {runner.iter + 1}'
            )

    def after_train_epoch(self, runner) -> None:
        """Save the end of the run, unless it was due anyway or nothing was trained."""
        if not self.spent:
            return
        hook = next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
        due = hook.file_backend.join_path(hook.out_dir, hook.filename_tmpl.format(runner.iter))
        saved = runner.message_hub.get_info('last_ckpt')
        if saved != due:
            saved = hook.save_now(runner, runner.iter)
        runner.logger.info(f'time budget: the end of the run is {saved}')
