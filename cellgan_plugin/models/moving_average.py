"""Exponential moving average of all weights in a few calls."""

from typing import Optional

import torch
from mmagic.models.base_models import ExponentialMovingAverage
from mmagic.registry import MODELS
from torch import nn


@MODELS.register_module()
class ForeachEMA(ExponentialMovingAverage):
    """MMagic's average, the same numbers, without kernels of its own for every weight.

    A generator has over a hundred weights and buffers; on a GPU, launching two kernels for each
    takes longer than the arithmetic. Nor does it wait for the GPU to say how many steps it has
    taken, once it averages.

    Its arguments are those of MMagic's ``ExponentialMovingAverage``. With ``update_buffers``, an
    interval or a device of its own it is exactly that one.

    Args:
        *args: Of MMagic's ``ExponentialMovingAverage``.
        power (float, optional): Begin with a shorter memory: step t takes up the share
            ``max(momentum, power / (t + power))``, so that the average reaches back over a part of
            the steps so far (a mean age of ``t / (power + 1)``; the power function of Karras et
            al. 2024, "Analyzing and improving the training dynamics of diffusion models", Eq. (3))
            until that is longer than the memory of ``momentum``. Defaults to None: ``momentum``
            from the first step.
        **kwargs: Of MMagic's ``ExponentialMovingAverage``.

    Raises:
        ValueError: ``power`` is not positive, or comes with what only MMagic's own code does.
    """

    _steps_taken = -1  # not known yet

    def __init__(self, *args, power: Optional[float] = None, **kwargs):
        super().__init__(*args, **kwargs)
        if power is not None and not power > 0:
            raise ValueError(f'ForeachEMA: power={power!r}: must be above 0')
        if power is not None and (self.update_buffers or self.interval != 1):
            raise ValueError('ForeachEMA: power works with update_buffers=False and interval=1')
        self.power = power

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._steps_taken = -1  # the number of steps is another now

    def _is_plain(self, model: nn.Module) -> bool:
        own, theirs = next(self.module.parameters()), next(model.parameters())
        return not self.update_buffers and self.interval == 1 and own.device == theirs.device

    def _share(self) -> float:
        """What the next step takes up of the new weights."""
        if self.power is None:
            return self.momentum
        return max(self.momentum, self.power / (self._steps_taken + self.power))

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take up the weights of ``model``, of which the average was made; copy its buffers."""
        if not self._is_plain(model):
            if self.power is not None:
                raise ValueError('ForeachEMA: power needs the average on the device of the model')
            super().update_parameters(model)
            return
        own, theirs = list(self.module.parameters()), list(model.parameters())
        if self._steps_taken < 0:
            self._steps_taken = int(self.steps)
        if self._steps_taken > 0:
            share = self._share()
            torch._foreach_mul_(own, 1 - share)
            torch._foreach_add_(own, theirs, alpha=share)
        else:
            torch._foreach_copy_(own, theirs)
        self.sync_buffers(model)
        self.steps += 1
        self._steps_taken += 1

    @torch.no_grad()
    def sync_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of ``model``; MMagic's GANs call it after each update, too."""
        buffers = list(self.module.buffers())
        if buffers:
            torch._foreach_copy_(buffers, list(model.buffers()))
