"""Activation checkpointing that leaves the running statistics of batch norms as they would be."""

import contextlib
import functools
from typing import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextlib.contextmanager
def running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """Within it, batch norms in training mode leave their running statistics as they are."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    before = [dict(norm._buffers) for norm in norms]
    for norm in norms:  # they record into copies, which are thrown away
        for name, value in norm._buffers.items():
            norm._buffers[name] = None if value is None else value.clone()
    try:
        yield
    finally:
        for norm, buffers in zip(norms, before, strict=True):
            norm._buffers.update(buffers)


def checkpointed(module: nn.Module, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """``function(*inputs)``, whose inner results are computed again in the backward.

    Same numbers, gradients and buffers as without: the second forward sees the random numbers of
    the first (dropout), and its batch norms record nothing.

    Args:
        module (nn.Module): Holds the batch norms that ``function`` runs.
        function (Callable): Of tensors alone.
        *inputs (Tensor): What is kept for the backward.

    Returns:
        Tensor: The result. Without gradients (evaluation) the function is simply called.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    if inputs[0].device.type == 'meta':
        # torch 2.4 would look for the random numbers of that device.
        function, inputs = functools.partial(function, *inputs), ()
    return checkpoint(
        function,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (contextlib.nullcontext(), running_statistics_kept(module)),
    )
