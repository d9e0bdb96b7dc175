"""Differentiable augmentation whose probability follows the discriminator (Karras et al. 2020)."""

from typing import Optional, Sequence

import torch
from mmagic.registry import MODELS
from torch import Tensor

from cellgan_plugin.models.layers.cross_rank import sum_over_ranks
from cellgan_plugin.models.losses.diff_augment import DiffAugment


@MODELS.register_module()
class AdaptiveAugment(DiffAugment):
    """:class:`DiffAugment` that augments more as the discriminator overfits (not in the paper).

    Adaptive discriminator augmentation of Karras et al. 2020, "Training generative adversarial
    networks with limited data", Sec. 3.1: every operation changes an image with the probability
    p. Every ``interval`` discriminator steps, p rises if the mean sign of the discriminator's
    logits of real images, r_t, is above ``target``, else it falls. A discriminator that is certain
    of every training image has r_t = 1, one that is at chance has r_t = 0.

    The logits of :class:`RelativisticLoss` mean nothing but in pairs; with it, the sign is that of
    the difference of a pair of real and generated images.

    ``probability`` and the sums of a part of an interval are buffers, so that a resumed run goes
    on exactly.

    Args:
        policy (Sequence[str]): See :class:`DiffAugment`. Defaults to ('color', 'translation').
        target (float): r_t to hold, in (-1, 1). Defaults to 0.6 (Sec. 3.1).
        ramp_images (int): Real images in which p goes from 0 to 1 if r_t stays above the target.
            Defaults to 500,000 (Sec. 3.1); sets of a few hundred images in short runs want less.
        interval (int): Discriminator steps between changes of p. Defaults to 4 (Sec. 3.1).
        initial (float): First p, in [0, 1]. Defaults to 0.0.

    Raises:
        ValueError: An argument is outside its range; the message names it.
    """

    adapts = True

    def __init__(
        self,
        policy: Sequence[str] = ('color', 'translation'),
        target: float = 0.6,
        ramp_images: int = 500_000,
        interval: int = 4,
        initial: float = 0.0,
    ):
        super().__init__(policy)
        if not self.policy:
            raise ValueError('AdaptiveAugment: policy is empty: there is nothing to adapt')
        if not -1 < target < 1:
            raise ValueError(f'AdaptiveAugment: target={target!r}: must be in (-1, 1)')
        if ramp_images < 1:
            raise ValueError(f'AdaptiveAugment: ramp_images={ramp_images!r}: must be at least 1')
        if interval < 1:
            raise ValueError(f'AdaptiveAugment: interval={interval!r}: must be at least 1')
        if not 0 <= initial <= 1:
            raise ValueError(f'AdaptiveAugment: initial={initial!r}: must be in [0, 1]')
        self.target = target
        self.ramp_images = ramp_images
        self.interval = interval
        self.register_buffer('probability', torch.tensor(float(initial)))
        # Since the last change of p: sum of the signs, logits, images, steps.
        self.register_buffer('observed', torch.zeros(4))

    @property
    def num_numbers(self) -> int:
        """How many random numbers an image needs: one more for every operation."""
        return super().num_numbers + len(self.policy)

    def forward(self, img: Tensor, numbers: Tensor) -> Tensor:
        """Augment (N, C, H, W) in [-1, 1] by numbers (N, num_numbers) uniform in [0, 1).

        An operation leaves an image as it is where its own number is not below ``probability``.
        """
        chosen, numbers = numbers.split([len(self.policy), super().num_numbers], dim=1)
        chosen = chosen.to(img.device) < self.probability
        for operation, applied in zip(self.operations(numbers), chosen.unbind(1), strict=True):
            img = torch.where(applied[:, None, None, None], operation(img), img)
        return img

    @torch.no_grad()
    def observe(self, real_logits: Tensor, fake_logits: Optional[Tensor] = None) -> Tensor:
        """Take notice of a discriminator step, on several processes of all their images.

        Args:
            real_logits (Tensor): (N, ...) of augmented real images.
            fake_logits (Tensor, optional): Of the same shape, where logits count in pairs only.
                Defaults to None.

        Returns:
            Tensor: The probability from the next step on, a scalar.
        """
        if fake_logits is not None:
            real_logits = real_logits - fake_logits
        signs = real_logits.float().sign()
        counts = [signs.new_full((), float(count)) for count in (signs.numel(), len(signs))]
        step = torch.stack([signs.sum(), *counts])
        self.observed[:3] += sum_over_ranks(step)
        self.observed[3] += 1
        # By arithmetic in place of a branch, which would wait for the GPU.
        total, logits, images, steps = self.observed.unbind()
        due = (steps >= self.interval).float()
        change = (total / logits - self.target).sign() * images / self.ramp_images
        self.probability.add_(due * change).clamp_(0, 1)
        self.observed.mul_(1 - due)
        return self.probability.clone()
