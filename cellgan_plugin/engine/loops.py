"""A training loop that resumes at once and can be asked to stop."""

from typing import Optional, Union

import torch
from mmagic.registry import LOOPS
from mmengine.dist import get_rank, get_world_size
from mmengine.runner import BaseLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from cellgan_plugin.engine.random_state import unchanged_random_state
from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.models.model_checks import check_model_and_data
from cellgan_plugin.randomness import derive_seed, generator_for

# Key of MMEngine's message hub: the iteration that was validated last, 0 before the first.
_VALIDATED = 'validated'


@LOOPS.register_module()
class ResumableTrainLoop(IterBasedTrainLoop):
    """MMEngine's iteration loop without its catch-up: a resumed run starts with its next batch.

    MMEngine draws and discards every batch that was already trained on. Here the sampler is told
    its position (:meth:`ResumableInfiniteSampler.set_position`) and the workers start there.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): With a ``ResumableInfiniteSampler``.
        max_iters (int): Training iterations.
        val_begin (int): First iteration after which validation may run. Defaults to 1.
        val_interval (int): Iterations between validations. Defaults to 1000.

    Attributes:
        stop_reason (str | None): Why the run was stopped before ``max_iters``, if it was.

    A validation that was due at the iteration of the checkpoint, but had not run when that was
    saved, is made up for after a resume. What it draws from the global random generators does not
    show in the training.

    Raises:
        TypeError: When the sampler cannot be told its position.
        ValueError: When data set and model do not fit together.
    """

    def __init__(
        self,
        runner,
        dataloader: Union[DataLoader, dict],
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
    ):
        # Not IterBasedTrainLoop's own: it starts the workers here, at the first image, before the
        # iteration of a resumed run is known.
        BaseLoop.__init__(self, runner, dataloader)
        self._max_iters = int(max_iters)
        self._max_epochs = 1
        self._epoch = 0
        self._iter = 0
        self.val_begin = val_begin
        self.val_interval = val_interval
        self.stop_training = False
        self.runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, 'metainfo', None)
        if not hasattr(self.dataloader.sampler, 'set_position'):
            raise TypeError(
                f'train_dataloader.sampler is {type(self.dataloader.sampler).__name__}, which '
                "cannot resume: use sampler=dict(type='ResumableInfiniteSampler', shuffle=True)"
            )
        if self.dataloader.batch_size is None:
            raise ValueError('train_dataloader has a batch_sampler: give it a batch_size instead')
        wanted = getattr(self.dataloader.sampler, 'batch_size', self.dataloader.batch_size)
        if wanted != self.dataloader.batch_size:
            raise ValueError(
                f'train_dataloader.batch_size is {self.dataloader.batch_size}, but its sampler '
                f'({type(self.dataloader.sampler).__name__}) deals batches of {wanted}; give both '
                'the same number'
            )
        with unchanged_random_state():  # transforms of other packages draw from it
            check_model_and_data(unwrap(runner.model), self.dataloader.dataset)
        self.stop_reason: Optional[str] = None
        self._hurry = False

    def request_stop(self, reason: str, hurry: bool = False) -> None:
        """Stop after the current iteration; hooks still run their ``after_train``.

        Args:
            reason (str): For the log.
            hurry (bool): Leave out a validation that is due; the resumed run makes up for it.
                Defaults to False.
        """
        self.stop_reason = reason
        self.stop_training = True
        self._hurry = hurry

    def run(self):
        """Train from the current iteration to the last.

        Returns:
            nn.Module: The model.
        """
        runner = self.runner
        hub = runner.message_hub
        global_batch = self.dataloader.batch_size * get_world_size()
        # In samples, since a run may be resumed with another batch size or number of processes.
        samples_seen = hub.get_info('samples_seen', self._iter * global_batch)
        sampler = self.dataloader.sampler
        # The seed of a resumed run is known only now; the sampler was built before.
        sampler.seed = runner.seed
        sampler.set_position(samples_seen)
        self._prepare_training()
        runner.call_hook('before_train')
        runner.call_hook('before_train_epoch')
        self._make_up_validation()
        batches = iter(self.dataloader)
        while self._iter < self._max_iters and not self.stop_training:
            runner.model.train()
            samples_seen += global_batch
            hub.update_info('samples_seen', samples_seen)
            self.run_iter(next(batches))
            self._validate_when_due()
        runner.call_hook('after_train_epoch')
        runner.call_hook('after_train')
        return runner.model

    def _prepare_training(self) -> None:
        """Settle seeds and weights, which of a resumed run are loaded now."""
        runner = self.runner
        runner.message_hub.update_info('seed', runner.seed)  # for the model, see StepRandom
        if not self._iter:
            self.mark_validated()
        # Starting the workers draws a number; from torch's global generator it would leave that one
        # elsewhere than in a run that was never stopped.
        self.dataloader.generator = generator_for(runner.seed, 'loader_workers', self._iter)
        if get_rank() > 0:
            # MMEngine seeds every rank alike, and MMagic's own GANs draw their noise from torch's
            # generator: all ranks would generate the same images. A resumed state wins over this.
            torch.manual_seed(derive_seed(runner.seed, 'rank', get_rank(), self._iter))
        model = unwrap(runner.model)
        if hasattr(model, 'prepare_training'):
            model.prepare_training()

    def validate(self) -> None:
        """Validate now; the random numbers of the training stay what they are."""
        self.mark_validated()
        with unchanged_random_state():
            self.runner.val_loop.run()

    def mark_validated(self) -> None:
        """Remember that this iteration needs no validation any more."""
        self.runner.message_hub.update_info(_VALIDATED, self._iter)

    def _is_due(self) -> bool:
        return self._iter % self.val_interval == 0 or self._iter == self._max_iters

    def _validate_when_due(self) -> None:
        if self.runner.val_loop is None or self._iter < self.val_begin or not self._is_due():
            return
        if not self._hurry:
            self.validate()

    def _make_up_validation(self) -> None:
        # None: a checkpoint of an earlier version, or of a run that has never validated.
        if self._iter and self.runner.message_hub.get_info(_VALIDATED) not in (None, self._iter):
            self._validate_when_due()
