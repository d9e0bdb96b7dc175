"""Saving and resuming so that a lost run loses no more than the last interval."""

from collections import deque
from pathlib import Path
from typing import List, Optional

import torch
from mmagic.registry import HOOKS
from mmengine.dist import all_gather_object, get_rank, is_main_process, master_only
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook

from cellgan_plugin.checkpoint_files import LAST_CHECKPOINT, own_file
from cellgan_plugin.compat import drop_file_client_warnings
from cellgan_plugin.engine.average_statistics import settle_average_of
from cellgan_plugin.engine.checkpoint import from_plain, to_plain, without_wrappers
from cellgan_plugin.engine.loading import load_strictly, refuse_other_run, resume_with_reasons
from cellgan_plugin.engine.random_state import random_state, set_random_state
from cellgan_plugin.files import atomic_write, remove_temporary
from cellgan_plugin.models.conditional_gan import unwrap

from .non_finite_loss_hook import NonFiniteLossError, settle_losses

# Key of MMEngine's message hub: checkpoints that the one being saved replaces.
_OUTDATED = 'outdated_ckpt_ids'
# How the files begin that a training run alone writes into its work directory.
_WRITTEN = (
    'iter_', 'epoch_', 'best_', LAST_CHECKPOINT, 'model_selection', 'curves', 'distances',
    'training_images',
)  # fmt: skip


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook with checkpoints that are safe to load and safe to lose power on.

    - The file is written whole or not at all (temporary file, fsync, rename), and an old one is
      removed only after the new one stands.
    - It holds tensors and plain containers only, so it loads with ``weights_only=True``.
    - The state of every rank's random generators travels with it.
    - Averaged weights have batch statistics of their own in it, and when they are validated.
    - Of the files that a checkpoint names only those of this work directory are ever removed, so
      that a copy of a run can go on without touching the original.
    - Weights that do not fit are refused, both by ``--resume`` and by ``load_from``; MMEngine only
      says so and trains on.

    Args:
        partial_load_from (bool): Take from ``load_from`` what fits, e.g. for a classifier of other
            classes. Defaults to False: refuse a checkpoint of another model.
        **kwargs: Of :class:`mmengine.hooks.CheckpointHook`. ``backend_args`` defaults to the atomic
            backend.
    """

    def __init__(self, partial_load_from: bool = False, **kwargs):
        kwargs.setdefault('backend_args', dict(backend='cellgan_atomic'))
        super().__init__(**kwargs)
        self.partial_load_from = partial_load_from
        self._random_states: Optional[List[dict]] = None
        self._resumed_random_states: Optional[List[dict]] = None

    def before_run(self, runner) -> None:
        """Let weights be loaded strictly, and keep a warning nobody can act on out of the log."""
        runner.logger.addFilter(drop_file_client_warnings)
        # MMEngine has no option for either.
        runner.load_checkpoint = load_strictly(runner, self.partial_load_from)
        runner.resume = resume_with_reasons(runner)

    def before_train(self, runner) -> None:
        """Find out where to save, and take up the random state of a resumed run.

        Not CheckpointHook's own: it asks for a FileClient that MMEngine itself warns about.
        """
        self.out_dir = self.out_dir or runner.work_dir
        self.file_backend = get_file_backend(self.out_dir, backend_args=self.backend_args)
        if self.out_dir != runner.work_dir:
            self.out_dir = self.file_backend.join_path(self.out_dir, Path(runner.work_dir).name)
        hub = runner.message_hub
        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = self._own_best(hub.get_info('best_ckpt'))
        elif self.save_best is not None:
            for name in self.key_indicators:
                best = self._own_best(hub.get_info(f'best_ckpt_{name}'))
                self.best_ckpt_path_dict[name] = best
        self.keep_ckpt_ids = deque(_steps(hub.get_info('keep_ckpt_ids')))
        # A run that was killed after saving, before it removed what the new one replaces.
        self._remove([s for s in _steps(hub.get_info(_OUTDATED)) if s not in self.keep_ckpt_ids])
        self._remove_leftovers()
        runner.logger.info(f'Checkpoints go to {self.out_dir}')
        if self._resumed_random_states is not None:
            states, self._resumed_random_states = self._resumed_random_states, None
            try:
                if get_rank() < len(states):
                    set_random_state(states[get_rank()])
            except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
                raise ValueError(
                    'the random_states of the checkpoint are not those of a run of this plugin '
                    f'({error!r}); start anew from its weights with load_from'
                ) from error

    def _own_best(self, stored: object) -> Optional[str]:
        """Path of a best checkpoint that may be replaced: in this directory, whatever is stored."""
        path = own_file(self.out_dir, stored)
        return None if path is None else self.file_backend.join_path(self.out_dir, path.name)

    @master_only
    def _remove_leftovers(self) -> None:
        # Of a run that was killed in the middle of a write. Other tools write here as well.
        remove_temporary(self.out_dir, prefixes=_WRITTEN)

    def save_now(self, runner, step: Optional[int] = None) -> str:
        """Save outside the interval, and return the path. Every rank must call it.

        ``step`` is the number of iterations that have been trained; None: this one, in a hook's
        ``after_train_iter``.
        """
        if step is None:
            self._save_checkpoint(runner)
        else:
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=step))
        return self.last_ckpt

    def before_val_epoch(self, runner) -> None:
        """Let an average be evaluated by batch statistics of its own."""
        if runner.iter > 0:
            settle_average_of(runner)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        settle_losses(runner)
        self._refuse_spoilt_weights(runner, step)
        settle_average_of(runner)
        # Every rank takes part here; before_save_checkpoint runs on the first one only.
        self._random_states = all_gather_object(random_state())
        keep = list(self.keep_ckpt_ids) if self.max_keep_ckpts > 0 else []
        if self.max_keep_ckpts > 0:
            keep = [kept for kept in keep if kept != step] + [step]
            outdated, keep = keep[: -self.max_keep_ckpts], keep[-self.max_keep_ckpts :]
            runner.message_hub.update_info('keep_ckpt_ids', keep)
            runner.message_hub.update_info(_OUTDATED, outdated)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler and runner.param_schedulers is not None,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            with atomic_write(Path(runner.work_dir) / LAST_CHECKPOINT, 'w') as file:
                file.write(self.last_ckpt)
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(keep)
            self._remove(outdated)

    @master_only
    def _remove(self, steps: List[int]) -> None:
        for step in steps:
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)

    @staticmethod
    def _refuse_spoilt_weights(runner, step: int) -> None:
        # The losses of an iteration are those before its update: they can be finite while the
        # update is not. All ranks hold the same weights, so all of them raise, or none.
        for name, value in runner.model.state_dict().items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                last = runner.message_hub.get_info('last_ckpt')
                raise NonFiniteLossError(
                    f'iteration {step}: the weights {name} are not finite, so nothing was saved. '
                    f'Last good checkpoint: {last or "none was saved yet"}. Lower the learning '
                    'rate.'
                )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Make the checkpoint plain and free of wrappers, and add the random states."""
        checkpoint['state_dict'] = without_wrappers(unwrap(runner.model), checkpoint['state_dict'])
        checkpoint['random_states'] = self._random_states or [random_state()]
        plain = to_plain(checkpoint)
        checkpoint.clear()
        checkpoint.update(plain)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Rebuild MMEngine's own objects from the plain ones; refuse another run's checkpoint."""
        if 'message_hub' in checkpoint:
            checkpoint['message_hub'] = from_plain(checkpoint['message_hub'])
        if 'state_dict' in checkpoint:
            checkpoint['state_dict'] = without_wrappers(
                unwrap(runner.model), checkpoint['state_dict']
            )
        refuse_other_run(runner, checkpoint, runner._resume, self.partial_load_from)
        if runner._resume:
            self._resumed_random_states = checkpoint.get('random_states')


def _steps(stored: object) -> List[int]:
    """Numbers of checkpoints that a checkpoint lists; anything may stand there."""
    values = stored if isinstance(stored, (list, tuple)) else []
    return [value for value in values if type(value) is int and value >= 0]
