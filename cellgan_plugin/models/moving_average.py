"""Exponential moving average of all weights in a few calls."""

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
    """

    _is_averaging = False

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._is_averaging = False  # the number of steps is another now

    def _is_plain(self, model: nn.Module) -> bool:
        own, theirs = next(self.module.parameters()), next(model.parameters())
        return not self.update_buffers and self.interval == 1 and own.device == theirs.device

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take up the weights of ``model``, of which the average was made; copy its buffers."""
        if not self._is_plain(model):
            super().update_parameters(model)
            return
        own, theirs = list(self.module.parameters()), list(model.parameters())
        self._is_averaging = self._is_averaging or bool(self.steps > 0)
        if self._is_averaging:
            torch._foreach_mul_(own, 1 - self.momentum)
            torch._foreach_add_(own, theirs, alpha=self.momentum)
        else:
            torch._foreach_copy_(own, theirs)
        self.sync_buffers(model)
        self.steps += 1

    @torch.no_grad()
    def sync_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of ``model``; MMagic's GANs call it after each update, too."""
        buffers = list(self.module.buffers())
        if buffers:
            torch._foreach_copy_(buffers, list(model.buffers()))
