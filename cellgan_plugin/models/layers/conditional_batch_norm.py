"""Batch normalisation with a scale and bias per class, over the global batch."""

from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from torch import Tensor, nn

from .cross_rank import sum_over_ranks
from .precision import at_least_float32


class BatchStatistics(NamedTuple):
    """Of a batch, each (C,), at least float32.

    Attributes:
        mean (Tensor): Per channel.
        variance (Tensor): Per channel, biased.
    """

    mean: Tensor
    variance: Tensor


class GlobalBatchNorm2d(nn.Module):
    """Batch normalisation over the batches of all processes (Ioffe & Szegedy 2015).

    On one process, or with ``sync=False``, it computes what ``torch.nn.BatchNorm2d`` does. Can be
    differentiated twice in either case, and a batch can be normalised by the statistics of another
    one.

    Args:
        channels (int): Channels of the feature map.
        affine (bool): A learned scale and bias per channel. Defaults to True.
        track_running_stats (bool): Keep running statistics, used in evaluation mode. With False
            the statistics are the batch's in either mode. Defaults to True.
        sync (bool): Statistics of the global batch, so that the number of processes does not
            change the model. Defaults to True.
        momentum (float): Of the running statistics. Defaults to 0.1.
        eps (float): Added to the variance. Defaults to 1e-5.
    """

    def __init__(
        self,
        channels: int,
        affine: bool = True,
        track_running_stats: bool = True,
        sync: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ):
        super().__init__()
        self.sync = sync
        self.momentum = momentum
        self.eps = eps
        self.weight: Optional[nn.Parameter] = None
        self.bias: Optional[nn.Parameter] = None
        if affine:
            self.weight = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))
        zeros, ones = torch.zeros(channels), torch.ones(channels)
        self.register_buffer('running_mean', zeros if track_running_stats else None)
        self.register_buffer('running_var', ones if track_running_stats else None)

    def statistics(self, x: Tensor) -> BatchStatistics:
        """Statistics of a batch (N, C, H, W), of all processes together with ``sync``."""
        x, dims = at_least_float32(x), (0, 2, 3)
        world_size = get_world_size() if self.sync else 1
        if world_size == 1:
            variance, mean = torch.var_mean(x, dims, correction=0)
            return BatchStatistics(mean, variance)
        count = x[:, 0].numel() * world_size
        mean = sum_over_ranks(x.sum(dims)) / count
        centred = x - mean[:, None, None]
        return BatchStatistics(mean, sum_over_ranks(centred.square().sum(dims)) / count)

    def normalise(
        self,
        x: Tensor,
        statistics: Optional[BatchStatistics] = None,
        weight: Optional[Tensor] = None,
        bias: Optional[Tensor] = None,
    ) -> Tensor:
        """Zero mean and unit variance per channel, then ``weight`` and ``bias``.

        Args:
            x (Tensor): (N, C, H, W).
            statistics (BatchStatistics, optional): Use these, and keep no running ones. Defaults
                to None: the batch's or the running ones, by the mode.
            weight (Tensor, optional): Broadcast to x. Defaults to None: 1.
            bias (Tensor, optional): Broadcast to x, given with ``weight``. Defaults to None: 0.

        Returns:
            Tensor: (N, C, H, W).
        """
        if statistics is None:
            of_batch = self.training or self.running_mean is None
            if not (of_batch and self.sync and get_world_size() > 1):
                x = F.batch_norm(
                    x,
                    self.running_mean,
                    self.running_var,
                    training=of_batch,
                    momentum=self.momentum,
                    eps=self.eps,
                )
                return x if weight is None else torch.addcmul(bias.to(x), x, weight.to(x))
            statistics = self.statistics(x)
            self._track(statistics, x[:, 0].numel() * get_world_size())
        # One multiplication and one addition per element, and no map but x kept for the backward.
        mean, variance = (number[:, None, None] for number in statistics)
        scale = torch.rsqrt(variance + self.eps)
        if weight is not None:
            scale = scale * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        return torch.addcmul(shift, at_least_float32(x), scale).to(x.dtype)

    @torch.no_grad()
    def _track(self, statistics: BatchStatistics, count: int) -> None:
        if self.running_mean is not None:
            unbiased = statistics.variance * (count / max(count - 1, 1))
            self.running_mean.lerp_(statistics.mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)

    def forward(self, x: Tensor, statistics: Optional[BatchStatistics] = None) -> Tensor:
        """Normalise (N, C, H, W); ``statistics`` as in :meth:`normalise`."""
        if self.weight is None:
            return self.normalise(x, statistics)
        return self.normalise(x, statistics, self.weight[:, None, None], self.bias[:, None, None])


class ConditionalBatchNorm2d(GlobalBatchNorm2d):
    """Batch normalisation whose scale and bias are looked up by class (De Vries et al. 2017).

    y = scale(class) * batch_norm(x) + bias(class). The statistics are those of all classes of the
    batch together; scales start at 1 and biases at 0, so that the classes start alike.

    Args:
        channels (int): Channels of the feature map.
        num_classes (int): Number of classes.
        **kwargs: Of :class:`GlobalBatchNorm2d`, except ``affine``.
    """

    def __init__(self, channels: int, num_classes: int, **kwargs):
        super().__init__(channels, affine=False, **kwargs)
        self.scale = nn.Parameter(torch.ones(num_classes, channels))
        self.shift = nn.Parameter(torch.zeros(num_classes, channels))

    def forward(
        self, x: Tensor, class_weights: Tensor, statistics: Optional[BatchStatistics] = None
    ) -> Tensor:
        """Normalise a map (N, C, H, W) and modulate it by class weights, float (N, num_classes).

        ``statistics`` as in :meth:`normalise`.
        """
        scale, shift = (
            (class_weights.to(table.dtype) @ table)[:, :, None, None]
            for table in (self.scale, self.shift)
        )
        return self.normalise(x, statistics, scale, shift)


class ClassBlindBatchNorm2d(GlobalBatchNorm2d):
    """Batch normalisation that is called as the conditional one and does not see the class."""

    def forward(
        self, x: Tensor, class_weights: Tensor, statistics: Optional[BatchStatistics] = None
    ) -> Tensor:
        """Normalise (N, C, H, W); ``class_weights`` are not looked at."""
        return super().forward(x, statistics)


def class_norm(channels: int, num_classes: int, **kwargs) -> GlobalBatchNorm2d:
    """A :class:`ConditionalBatchNorm2d`, or with ``num_classes=0`` the same without the class."""
    if num_classes:
        return ConditionalBatchNorm2d(channels, num_classes, **kwargs)
    return ClassBlindBatchNorm2d(channels, **kwargs)
