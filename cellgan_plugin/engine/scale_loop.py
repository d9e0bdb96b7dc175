"""Training a pyramid of networks scale by scale, with exact resume inside and between scales."""

import copy
from typing import Dict, List, Optional, Union

from mmagic.registry import LOOPS
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from torch.utils.data import DataLoader

from cellgan_plugin.engine.loops import ResumableTrainLoop
from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.randomness import derive_seed, generator_for

_SCHEDULE = 'scale_schedule'


class _ResumeScale(Hook):
    """Puts the model of a resumed run into the scale that its optimizers are of."""

    priority = 'VERY_HIGH'

    def __init__(self, loop: 'ScaleTrainLoop'):
        self.loop = loop

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        checkpoint[_SCHEDULE] = self.loop.schedule()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        # Before weights and optimizers are loaded.
        state = checkpoint.get('state_dict', {})
        if runner._resume and 'scale_index' in state:
            index = int(state['scale_index'])
            self.loop.enter_resumed(
                index, int(checkpoint['meta']['iter']), checkpoint.get(_SCHEDULE)
            )


@LOOPS.register_module()
class ScaleTrainLoop(ResumableTrainLoop):
    """:class:`ResumableTrainLoop` for models whose schedule over scales is data.

    The model (:class:`~cellgan_plugin.models.pyramid_gan.Pyramid`) says its ``scales``: size, batch
    size and length of each. At the end of one the loop begins the next: the model freezes what is
    finished, the optimizers are built anew for the networks of the new scale, and the loader gets
    its batch size. Iterations are counted through. Every scale reads a stream of samples of its
    own, so that iteration k of a scale sees the same samples however often the run was stopped.

    A checkpoint is of one scale, its optimizers too. One at the end of a scale is resumed by
    beginning the next, as the run would have done.

    Args:
        runner (Runner): The runner, with ``ScaleOptimWrapperConstructor``.
        dataloader (DataLoader | dict): With a sampler that has ``set_position``, e.g.
            ``ResumableInfiniteSampler``; one with ``set_batch`` is told the labelled and the
            unlabelled images of a batch. Its ``batch_size`` is that of no scale in particular.
        val_begin (int): First iteration after which validation may run. Defaults to 1.
        val_interval (int): Iterations between validations; the end of every scale is validated as
            well. Defaults to 1000.
        epoch_images (int, optional): Samples that are one epoch, for runs on training sets of
            different length that are to have the same number of steps. Defaults to None: those of
            the training set, labelled or not.

    Attributes:
        ends (list[int]): Iteration at which each scale ends.

    Raises:
        TypeError: The model has no schedule.
        ValueError: Something that would not survive the change of scales is configured, or images
            without a mask that no sampler mixes with labelled ones.
    """

    def __init__(
        self,
        runner,
        dataloader: Union[DataLoader, dict],
        val_begin: int = 1,
        val_interval: int = 1000,
        epoch_images: Optional[int] = None,
    ):
        model = unwrap(runner.model)
        if not hasattr(model, 'begin_scale'):
            raise TypeError(
                f'ScaleTrainLoop trains models with scales, not {type(model).__name__}: use '
                "train_cfg=dict(type='ResumableTrainLoop', max_iters=...)"
            )
        if get_world_size() > 1:
            raise ValueError('ScaleTrainLoop trains in one process: start it without a launcher')
        if runner.param_schedulers is not None:
            raise ValueError(
                'param_scheduler is set, but ScaleTrainLoop builds new optimizers for every scale, '
                'at the rates of optim_wrapper: remove it'
            )
        super().__init__(runner, dataloader, 1, val_begin, val_interval)
        _refuse_unmixed(self.dataloader)
        self._images = len(self.dataloader.dataset)
        if epoch_images is not None and epoch_images < 1:
            raise ValueError(f'train_cfg.epoch_images={epoch_images!r}: must be at least 1')
        self._epoch_images = epoch_images or self._images
        self.ends: List[int] = []
        for scale in model.scales:
            self.ends.append(sum(self.ends[-1:]) + scale.steps(self._epoch_images))
        self._max_iters = self.ends[-1]
        self._optimizers = copy.deepcopy(runner.optim_wrapper)
        runner.register_hook(_ResumeScale(self))
        runner.logger.info(f'Schedule: {_in_words(self.schedule())}')

    def schedule(self) -> Dict[str, Union[int, List[int]]]:
        """What decides which images an iteration sees, at which size: goes into checkpoints.

        Returns:
            dict: Per scale the lists ``sizes``, ``batch_sizes`` and ``ends``; ``images``, the
            length of the training set; ``perceptual``, SHA-256 of the weights of a perceptual loss
            ('' where it is off or there is none).
        """
        model = unwrap(self.runner.model)
        scales = model.scales
        return dict(
            sizes=[scale.size for scale in scales],
            batch_sizes=[scale.batch_size for scale in scales],
            ends=list(self.ends),
            images=self._images,
            perceptual=getattr(getattr(model, 'perceptual_loss', None), 'weights_sha256', None)
            or '',
        )

    def scale_of(self, iteration: int) -> int:
        """The scale that an iteration, from 0, trains; the last one for what comes after it."""
        return sum(iteration >= end for end in self.ends[:-1])

    @property
    def scale_start(self) -> int:
        """First iteration of the model's current scale."""
        index = unwrap(self.runner.model).scale
        return self.ends[index - 1] if index else 0

    @property
    def scale_end(self) -> int:
        """Iteration at which the model's current scale is finished."""
        return self.ends[unwrap(self.runner.model).scale]

    def enter_resumed(self, index: int, iteration: int, trained: Optional[dict] = None) -> None:
        """Build the optimizers that a checkpoint's state is for.

        The scale of the checkpoint and those to come may have become longer or shorter.

        Args:
            index (int): The checkpoint's scale.
            iteration (int): Iterations it was trained for.
            trained (dict, optional): :meth:`schedule` of the run that saved it. Defaults to None:
                not known.

        Raises:
            ValueError: The schedule up to here is not the one that the checkpoint was trained by.
        """
        model, ours = unwrap(self.runner.model), self.schedule()
        way_out = (
            'resume with the scales (and the training set) of the run, or start anew from its '
            'weights with load_from'
        )
        # At the end of a scale the next one has not begun.
        expected = self.scale_of(max(iteration - 1, 0))
        if index != expected:
            raise ValueError(
                f'the checkpoint was training scale {index} at iteration {iteration}, but by '
                f'{_in_words(ours)} that is scale {expected}: {way_out}'
            )
        if trained is not None and _up_to(trained, index) != _up_to(ours, index):
            raise ValueError(
                f'the checkpoint was trained by another schedule ({_in_words(trained)}) than this '
                f'run has ({_in_words(ours)}): {way_out}'
            )
        perceptual = (trained or {}).get('perceptual', ours['perceptual'])
        if perceptual != ours['perceptual']:
            before, now = (
                f'with VGG weights {digest[:12]}' if digest else 'without a perceptual term'
                for digest in (perceptual, ours['perceptual'])
            )
            raise ValueError(
                f'the checkpoint was trained {before}, and this run is {now}: set or unset '
                'CELLGAN_VGG_WEIGHTS as it was, or start anew from its weights with load_from'
            )
        model.enter_scale(index)
        self._build_optimizers()

    def _build_optimizers(self) -> None:
        runner = self.runner
        runner.optim_wrapper = runner.build_optim_wrapper(copy.deepcopy(self._optimizers))
        runner.optim_wrapper.initialize_count_status(runner.model, self._iter, self._max_iters)

    def _go_to_scale(self) -> None:
        """Begin the scale of the next iteration where it is another one, and set up its loader."""
        runner, model = self.runner, unwrap(self.runner.model)
        index = self.scale_of(self._iter)
        if index > model.scale:
            model.begin_scale(index)
            self._build_optimizers()
        elif index < model.scale:  # a new run from the weights of a finished one
            model.enter_scale(index)
            self._build_optimizers()
        scale = model.scales[index]
        self.dataloader = _with_batch_size(self.dataloader, scale.batch_size)
        sampler = self.dataloader.sampler
        if hasattr(sampler, 'set_batch'):
            unlabelled = scale.batch_size - scale.labelled_size if sampler.numbers[1] else 0
            sampler.set_batch(scale.batch_size - unlabelled, unlabelled)
        sampler.seed = derive_seed(runner.seed, 'scale', index)
        sampler.set_position((self._iter - self.scale_start) * scale.batch_size)
        self.dataloader.generator = generator_for(runner.seed, 'loader_workers', self._iter)
        runner.logger.info(
            f'Scale {index + 1} of {len(model.scales)}: {scale.size} px, iterations '
            f'{self._iter + 1} to {self.scale_end}'
        )

    def run(self):
        """Train from the current iteration to the last.

        Returns:
            nn.Module: The model.
        """
        runner, model = self.runner, unwrap(self.runner.model)
        self._prepare_training()
        self._go_to_scale()
        runner.call_hook('before_train')
        runner.call_hook('before_train_epoch')
        self._make_up_validation()
        batches: Optional[iter] = None
        while self._iter < self._max_iters and not self.stop_training:
            if batches is None or self._iter == self.scale_end:
                del batches  # its workers end before those of the next scale begin
                if self._iter == self.scale_end:
                    self._go_to_scale()
                batches = iter(self.dataloader)
                per_epoch = model.scales[model.scale].steps_per_epoch(self._epoch_images)
            runner.model.train()
            model.scale_epoch = (self._iter - self.scale_start) / per_epoch
            self.run_iter(next(batches))
            self._validate_when_due()
        runner.call_hook('after_train_epoch')
        runner.call_hook('after_train')
        return runner.model

    def _is_due(self) -> bool:
        return self._iter % self.val_interval == 0 or self._iter in self.ends


def _refuse_unmixed(loader: DataLoader) -> None:
    """ValueError when some batch would, by chance, have no labelled image."""
    dataset, sampler = loader.dataset, loader.sampler
    if not hasattr(dataset, 'labelled_flags') or hasattr(sampler, 'set_batch'):
        return
    flags = dataset.labelled_flags()
    if not flags.all():
        raise ValueError(
            f'{int((~flags).sum())} of {len(flags)} training samples are unlabelled, and '
            f'{type(sampler).__name__} does not see to it that every batch has labelled ones: set '
            'train_dataloader.dataset.labelled_only=True to train without them, or for '
            'semi-supervised training sampler=dict(type="LabelledBatchSampler", ...), see '
            'configs/pyramid_gan/pyramid_glas_semi.py'
        )


def _up_to(schedule: dict, index: int) -> tuple:
    """The part of a schedule that iterations of the scale ``index`` depend on."""
    until = index + 1
    return (
        list(schedule['sizes'][:until]),
        list(schedule['batch_sizes'][:until]),
        list(schedule['ends'][:index]),
        schedule['images'],
    )


def _in_words(schedule: dict) -> str:
    ends = schedule['ends']
    parts = zip(schedule['sizes'], schedule['batch_sizes'], [0, *ends[:-1]], ends, strict=True)
    return '; '.join(
        f'{size} px: {end - start} iterations of {batch} of {schedule["images"]} images'
        for size, batch, start, end in parts
    )


def _with_batch_size(loader: DataLoader, batch_size: int) -> DataLoader:
    """A new loader of the same data set and sampler."""
    kept = (
        'dataset', 'sampler', 'num_workers', 'collate_fn', 'pin_memory', 'drop_last', 'timeout',
        'worker_init_fn', 'multiprocessing_context', 'prefetch_factor', 'persistent_workers',
    )  # fmt: skip
    return DataLoader(batch_size=batch_size, **{name: getattr(loader, name) for name in kept})
