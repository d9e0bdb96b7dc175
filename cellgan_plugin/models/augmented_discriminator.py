"""Differentiable augmentation in front of any discriminator."""

from typing import Any, Optional, Union

from mmagic.registry import MODELS
from mmengine import MessageHub
from mmengine.dist import get_rank, get_world_size
from torch import Tensor, nn

from cellgan_plugin.randomness import StepRandom


@MODELS.register_module()
class AugmentedDiscriminator(nn.Module):
    """Puts :class:`DiffAugment` in front of a discriminator, MMagic's own ones included.

    Zhao et al. 2020, Eq. (4) to (6): real and generated images are augmented in the
    discriminator's step, and generated ones in the generator's step, whose gradient runs back
    through the augmentation. Every call draws numbers of its own, as the three of a step should.
    To put a discriminator of a config into it::

        model = dict(discriminator=dict(
            _delete_=True,
            type='AugmentedDiscriminator',
            discriminator={{_base_.model.discriminator}},
            augment=dict(type='DiffAugment', policy=['color', 'translation', 'cutout'])))

    Images are augmented in training mode only: in evaluation mode it scores what it is given.
    Everything else that is asked of this module (``num_classes``, ``init_weights``, ...) is the
    discriminator's. Weights of a bare discriminator load too. CellGAN augments by itself and needs
    the augmented images as targets of its reconstruction: give that one its ``augment`` option.

    Args:
        discriminator (dict | nn.Module): Called with the images first.
        augment (dict | nn.Module, optional): Defaults to ``dict(type='DiffAugment')``.
        num_classes (int, optional): For the discriminator's config where that does not say it;
            MMagic's GANs pass theirs. Defaults to None.
        seed (int): Base seed where no Runner has said one. Defaults to 0.

    Raises:
        ValueError: ``num_classes`` differs from the discriminator's, or ``augment`` adapts.
    """

    def __init__(
        self,
        discriminator: Union[dict, nn.Module],
        augment: Optional[Union[dict, nn.Module]] = None,
        num_classes: Optional[int] = None,
        seed: int = 0,
    ):
        super().__init__()
        if isinstance(discriminator, dict):
            default = {} if num_classes is None else dict(num_classes=num_classes)
            discriminator = MODELS.build(discriminator, default_args=default)
        found = getattr(discriminator, 'num_classes', None)
        if num_classes is not None and found is not None and found != num_classes:
            raise ValueError(
                f'num_classes={num_classes} but the discriminator inside has {found}: '
                'say it once, in the config of the model'
            )
        self.discriminator = discriminator
        augment = augment or dict(type='DiffAugment')
        self.augment = MODELS.build(augment) if isinstance(augment, dict) else augment
        if getattr(self.augment, 'adapts', False):
            raise ValueError(
                f'augment={type(self.augment).__name__} adapts to the logits of real images, and a '
                'discriminator is not told which images are real: use DiffAugment'
            )
        self.seed = seed
        self._random: Optional[StepRandom] = None

    def __getattr__(self, name: str) -> Any:
        """What this module does not have is the discriminator's."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == 'discriminator' or name.startswith('__'):
                raise
            return getattr(self.discriminator, name)

    def _numbers(self, images: Tensor) -> Tensor:
        hub = MessageHub.get_current_instance()
        # As in ConditionalGAN: outside of a Runner's training loop the hub's count is another's.
        if hub.get_info('loop_stage') == 'train':
            seed, iteration = hub.get_info('seed', self.seed), hub.get_info('iter')
        else:
            seed, iteration = self.seed, -1
        if self._random is None or (self._random.seed, self._random.iteration) != (seed, iteration):
            # It counts the calls of an iteration, so that each has a stream of its own.
            self._random = StepRandom(seed, iteration, get_rank(), get_world_size(), images.device)
        return self._random.uniform('diff_augment', len(images), self.augment.num_numbers)

    def forward(self, images: Tensor, *args, **kwargs) -> Any:
        """What the discriminator returns for images (N, C, H, W) in [-1, 1], augmented in training.

        Other arguments, such as ``label`` (N,), go to the discriminator.
        """
        if self.training and self.augment.num_numbers > 0:
            images = self.augment(images, self._numbers(images))
        return self.discriminator(images, *args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # PyTorch's hook for a module whose saved names changed: a bare discriminator's have no
        # 'discriminator.' in front.
        own = f'{prefix}discriminator.'
        names = [name for name in state_dict if name.startswith(prefix)]
        if not any(name.startswith(own) for name in names):
            for name in names:
                state_dict[own + name[len(prefix) :]] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args)
