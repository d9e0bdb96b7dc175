"""Exponential moving average of all weights in a few calls."""

import torch
from mmagic.models.base_models import ExponentialMovingAverage
from mmagic.registry import MODELS
from torch import nn


@MODELS.register_module()
class ForeachEMA(ExponentialMovingAverage):
    """MMagic's average, the same numbers, without kernels of its own for every weight.

    A generator has over a hundred weights and buffers; on a GPU, launching two kernels for each
    takes longer than the arithmetic.

    Args:
        **kwargs: Of MMagic's ``ExponentialMovingAverage``. With ``update_buffers``, an interval
            or a device of its own it is exactly that one.
    """

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
        if self.steps == 0:
            torch._foreach_copy_(own, theirs)
        else:
            torch._foreach_mul_(own, 1 - self.momentum)
            torch._foreach_add_(own, theirs, alpha=self.momentum)
        self.steps += 1

    @torch.no_grad()
    def sync_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of ``model``; MMagic calls it after each update."""
        buffers = list(self.module.buffers())
        if buffers:
            torch._foreach_copy_(buffers, list(model.buffers()))
