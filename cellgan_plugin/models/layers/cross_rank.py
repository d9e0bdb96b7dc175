"""Sums and rows of all processes, differentiable as often as needed.

Layers whose output for one image depends on the others of the batch (batch normalisation, minibatch
discrimination) need these for two processes with half the batch each to compute what one computes.
PyTorch's ``SyncBatchNorm`` has no second derivative, which a gradient penalty takes, and no CPU.
"""

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from torch import Tensor


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        # The loss is the sum over the processes: each one's loss depends on every one's x.
        return _SumOverRanks.apply(gradient)


def sum_over_ranks(x: Tensor) -> Tensor:
    """Sum of a tensor over all processes; the tensor itself where there is only one.

    Args:
        x (Tensor): Of the same shape on every process.

    Returns:
        Tensor: Same shape.
    """
    return x if get_world_size() == 1 else _SumOverRanks.apply(x)


def gather_rows(x: Tensor) -> Tensor:
    """Rows of all processes in the order of their ranks; the tensor itself where there is one.

    Args:
        x (Tensor): (N, ...), of the same shape on every process.

    Returns:
        Tensor: (N * world size, ...).
    """
    world_size = get_world_size()
    if world_size == 1:
        return x
    rows = [x if rank == get_rank() else torch.zeros_like(x) for rank in range(world_size)]
    return sum_over_ranks(torch.cat(rows))
