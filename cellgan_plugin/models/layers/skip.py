"""Skip-layer modules: global context (CellGAN) and excitation (FastGAN)."""

import torch.nn.functional as F
from torch import Tensor, nn

from .spectral_norm import sn_conv, with_spectral_norm

LEAKY_SLOPE = 0.2  # the authors' program


class SkipLayerGlobalContext(nn.Module):
    """Skip-layer Global Context, SGC (CellGAN, Sec. 2.1 and Suppl. Fig. 2).

    Softmax-attention pools the low-resolution map to one vector per image, a bottleneck of two 1x1
    convolutions transforms it. What is done with the vector is the generator's choice
    (``sgc_fusion``).

    Args:
        in_channels (int): Channels of the low-resolution map.
        out_channels (int): Length of the vector that comes out.
        bottleneck (int): Channels between the two convolutions. The paper is silent; the authors'
            program takes a quarter of the high-resolution map's channels.
    """

    def __init__(self, in_channels: int, out_channels: int, bottleneck: int):
        super().__init__()
        self.attention = sn_conv(in_channels, 1, 1)
        self.squeeze = sn_conv(in_channels, bottleneck, 1)
        self.expand = sn_conv(bottleneck, out_channels, 1)

    def forward(self, low: Tensor) -> Tensor:
        """Low-resolution map (N, in_channels, h, w) to global context (N, out_channels, 1, 1)."""
        weights = self.attention(low).flatten(2).softmax(dim=-1)  # (N, 1, hw)
        context = (low.flatten(2) * weights).sum(dim=-1)[:, :, None, None]
        return self.expand(F.leaky_relu(self.squeeze(context), LEAKY_SLOPE))


class SkipLayerExcitation(nn.Module):
    """Skip-layer Excitation, SLE, of FastGAN (Liu et al. 2021, Fig. 3).

    Stands in for SGC in the ablation (CellGAN, Table 2 c). FastGAN's own order: adaptive average
    pool to 4x4, 4x4 convolution, Swish, 1x1 convolution, sigmoid; with this house's spectral norm.

    Args:
        in_channels (int): Channels of the low-resolution map, at least 4x4 pixels.
        out_channels (int): Channels of the high-resolution map.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.squeeze = with_spectral_norm(nn.Conv2d(in_channels, out_channels, 4, bias=False))
        self.expand = sn_conv(out_channels, out_channels, 1)

    def forward(self, low: Tensor) -> Tensor:
        """Low-resolution map (N, in_channels, h, w) to gates (N, out_channels, 1, 1) in (0, 1)."""
        pooled = F.adaptive_avg_pool2d(low, 4)
        return self.expand(F.silu(self.squeeze(pooled))).sigmoid()
