"""Saving and resuming so that a lost run loses no more than the last interval."""

import random
from collections import deque
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

import numpy as np
import torch
from mmagic.registry import HOOKS
from mmengine.dist import all_gather_object, get_rank, is_main_process, master_only
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook

from cellgan_plugin.compat import drop_file_client_warnings
from cellgan_plugin.engine.average_statistics import settle_average_of
from cellgan_plugin.engine.checkpoint import from_plain, to_plain, without_wrappers
from cellgan_plugin.files import atomic_write
from cellgan_plugin.models.conditional_gan import unwrap


def _random_state() -> Dict[str, Any]:
    """State of the global generators of this process, as plain containers and tensors."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss = random.getstate()
    return dict(
        python=[version, list(internal), gauss],
        numpy=[name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    )


def _set_random_state(state: Dict[str, Any]) -> None:
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state['torch'].cpu().to(torch.uint8))
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu().to(torch.uint8))


class NonFiniteLossError(RuntimeError):
    """A loss, or the weights after an update, became NaN or infinite."""


def _refuse_other_weights(expected: Iterable[str], found: Iterable[str]) -> None:
    """Raise ValueError when a run would be resumed with weights missing or left over."""
    expected, found = set(expected), set(found)
    if expected == found:
        return
    parts = []
    for what, names in (('missing', expected - found), ('not of this model', found - expected)):
        if names:
            parts.append(f'{len(names)} weights {what}, e.g. {min(names)}')
    raise ValueError(
        f'the checkpoint is of another model: {"; ".join(parts)}. Resume with the config of the '
        'run, or start anew from its weights with load_from.'
    )


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook with checkpoints that are safe to load and safe to lose power on.

    - The file is written whole or not at all (temporary file, fsync, rename), and an old one is
      removed only after the new one stands.
    - It holds tensors and plain containers only, so it loads with ``weights_only=True``.
    - The state of every rank's random generators travels with it.
    - Averaged weights have batch statistics of their own in it, and when they are validated.

    Args:
        **kwargs: Of :class:`mmengine.hooks.CheckpointHook`. ``backend_args`` defaults to the atomic
            backend.
    """

    def __init__(self, **kwargs):
        kwargs.setdefault('backend_args', dict(backend='cellgan_atomic'))
        super().__init__(**kwargs)
        self._random_states: Optional[List[dict]] = None
        self._resumed_random_states: Optional[List[dict]] = None

    def before_run(self, runner) -> None:
        """Keep a warning that no user can act on out of the log."""
        runner.logger.addFilter(drop_file_client_warnings)

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
            self.best_ckpt_path = hub.get_info('best_ckpt')
        elif self.save_best is not None:
            for name in self.key_indicators:
                self.best_ckpt_path_dict[name] = hub.get_info(f'best_ckpt_{name}')
        self.keep_ckpt_ids = deque(hub.get_info('keep_ckpt_ids') or [])
        self._remove_leftovers()
        runner.logger.info(f'Checkpoints go to {self.out_dir}')
        if self._resumed_random_states is not None:
            states, self._resumed_random_states = self._resumed_random_states, None
            if get_rank() < len(states):
                _set_random_state(states[get_rank()])

    @master_only
    def _remove_leftovers(self) -> None:
        # Of a run that was killed in the middle of a write.
        for path in Path(self.out_dir).glob('.*.pth.*.tmp'):
            path.unlink()

    def save_now(self, runner, step: Optional[int] = None) -> str:
        """Save outside the interval. Every rank must call it.

        Args:
            runner (Runner): The runner.
            step (int, optional): Iterations that have been trained. Defaults to None: this one, in
                a hook's ``after_train_iter``.

        Returns:
            str: Path of the checkpoint.
        """
        if step is None:
            self._save_checkpoint(runner)
        else:
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=step))
        return self.last_ckpt

    def before_val_epoch(self, runner) -> None:
        """Let an average be judged by batch statistics of its own."""
        if runner.iter > 0:
            settle_average_of(runner)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        self._refuse_spoilt_weights(runner, step)
        settle_average_of(runner)
        # Every rank takes part here; before_save_checkpoint runs on the first one only.
        self._random_states = all_gather_object(_random_state())
        keep = list(self.keep_ckpt_ids) if self.max_keep_ckpts > 0 else []
        if self.max_keep_ckpts > 0:
            keep = [kept for kept in keep if kept != step] + [step]
            outdated, keep = keep[: -self.max_keep_ckpts], keep[-self.max_keep_ckpts :]
            runner.message_hub.update_info('keep_ckpt_ids', keep)
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
            with atomic_write(Path(runner.work_dir) / 'last_checkpoint', 'w') as file:
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
        checkpoint['random_states'] = self._random_states or [_random_state()]
        plain = to_plain(checkpoint)
        checkpoint.clear()
        checkpoint.update(plain)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Rebuild MMEngine's own objects from the plain ones."""
        if 'message_hub' in checkpoint:
            checkpoint['message_hub'] = from_plain(checkpoint['message_hub'])
        model = unwrap(runner.model)
        if 'state_dict' in checkpoint:
            checkpoint['state_dict'] = without_wrappers(model, checkpoint['state_dict'])
        if runner._resume:
            self._resumed_random_states = checkpoint.get('random_states')
            expected = without_wrappers(model, model.state_dict()).keys()
            _refuse_other_weights(expected, checkpoint['state_dict'].keys())
