"""Mixed precision for models with several optimizers."""

import contextlib
from typing import Iterator, Tuple

import torch
from mmagic.registry import OPTIM_WRAPPERS
from mmengine.config import ConfigDict
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import autocast
from torch import nn


class _BackwardOutsideAutocast:
    """Leaves autocast for the backward.

    MMagic updates the weights inside ``optim_context``. Each operation's backward runs in the
    precision of its forward by itself; but R1's second backward runs operations anew, which
    autocast would cast down.
    """

    def backward(self, loss: torch.Tensor, **kwargs) -> None:
        """Propagate back with autocast off."""
        with torch.autocast(loss.device.type, enabled=False):
            super().backward(loss, **kwargs)


@OPTIM_WRAPPERS.register_module()
class Float16OptimWrapper(_BackwardOutsideAutocast, AmpOptimWrapper):
    """MMEngine's AmpOptimWrapper (float16 autocast, loss scaling), R1's backward in float32."""


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(_BackwardOutsideAutocast, OptimWrapper):
    """Runs the forward in bfloat16 autocast; weights, gradients and optimizer stay float32.

    bfloat16 has the range of float32, so no loss scaling is needed; works on CPUs too, where
    MMEngine's AmpOptimWrapper does not. Its arguments are those of
    :class:`mmengine.optim.OptimWrapper`.
    """

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter bfloat16 autocast."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield


def amp_wrapper() -> Tuple[str, dict]:
    """The optimizer wrapper for mixed precision on this machine's device.

    Returns:
        tuple[str, dict]: What to tell the user, and the wrapper's config without its optimizer:
        bfloat16 where the device has it, else float16 with dynamic loss scaling.
    """
    device = get_device()
    if device not in ('cuda', 'cpu'):
        raise ValueError(f'--amp is for CUDA devices and CPUs; here is {device}: train without it')
    if device == 'cpu' or torch.cuda.is_bf16_supported(including_emulation=False):
        return 'bfloat16 autocast', dict(type='BFloat16OptimWrapper')
    return (
        'float16 autocast with dynamic loss scaling',
        dict(type='Float16OptimWrapper', dtype='float16', loss_scale='dynamic'),
    )


def enable_amp(optim_wrapper: ConfigDict) -> str:
    """Switch every optimizer wrapper of a config to mixed precision, in place.

    Args:
        optim_wrapper (ConfigDict): Either one wrapper, or one per network (``generator``,
            ``discriminator``) with a ``constructor``.

    Returns:
        str: What was switched on, for the log.
    """
    message, wrapper = amp_wrapper()
    if 'optimizer' in optim_wrapper:
        optim_wrapper.update(wrapper)
        return message
    names = [k for k, v in optim_wrapper.items() if isinstance(v, dict) and 'optimizer' in v]
    if not names:
        raise ValueError('--amp: optim_wrapper has no entry with an optimizer to switch')
    for name in names:
        optim_wrapper[name].update(wrapper)
    return f'{message} for {", ".join(names)}'
