"""Convolution after nearest-neighbour upsampling, without the enlarged map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Input side in pixels up to which the layer is bound by its weights, not by its map: the merged
# weights are 16/9 as many.
_SMALL = 4


def upsampling_conv_weight(weight: Tensor) -> Tensor:
    """A 3x3 convolution after nearest x2 upsampling as one transposed convolution.

    Each output pixel sees only 2x2 different inputs, so that the nine weights add up to four:
    ``conv_transpose2d(x, upsampling_conv_weight(w), stride=2, padding=1)`` is
    ``conv2d(interpolate(x, scale_factor=2), w, padding=1)`` with 4/9 of the multiplications and
    without the enlarged map. Differentiable.

    Args:
        weight (Tensor): (out_channels, in_channels, 3, 3).

    Returns:
        Tensor: (in_channels, out_channels, 4, 4).
    """
    if weight.shape[2:] != (3, 3):
        raise ValueError(f'a weight of shape {tuple(weight.shape)}: needs a 3x3 kernel')
    weight = weight.flip(2, 3).transpose(0, 1)
    rows = F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))
    return F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))


class UpsamplingConv2d(nn.Conv2d):
    """Nearest-neighbour upsampling x2 and a 3x3 convolution without bias, as one layer.

    The parameter is the 3x3 weight, so that checkpoints, initialisation and spectral norm are those
    of a plain convolution after an upsampling; the merged weights are made of it at each forward.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, 2H, 2W)."""
        if x.shape[-1] <= _SMALL:
            return super().forward(F.interpolate(x, scale_factor=2, mode='nearest'))
        return F.conv_transpose2d(x, upsampling_conv_weight(self.weight), stride=2, padding=1)

    @torch.no_grad()
    def merged(self, side: int) -> nn.Module:
        """A layer without gradient that computes the same for maps of this side, in pixels."""
        if side <= _SMALL:
            return self
        weight = upsampling_conv_weight(self.weight).contiguous()
        layer = nn.ConvTranspose2d(self.in_channels, self.out_channels, 4, 2, 1, bias=False)
        layer.weight = nn.Parameter(weight, requires_grad=False)
        return layer.train(self.training)
