"""CellGAN's generator in a form that only samples, and does so with half the work."""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellgan_plugin.models.cellgan.generator import UpBlock
from cellgan_plugin.models.layers import LEAKY_SLOPE
from cellgan_plugin.models.layers.fold import upsampling_conv_weight


class FoldedUpBlock(nn.Module):
    """What :class:`UpBlock` computes, to rounding, without gradients.

    Upsampling and convolution are one transposed convolution (4/9 of the multiplications), and
    normalisation and modulation one pass over the map, where AdaIN makes three and two copies.

    Args:
        block (UpBlock): With plain weights (``fold_spectral_norm``).
    """

    def __init__(self, block: UpBlock):
        super().__init__()
        self.affine = block.adain.affine
        with torch.no_grad():
            weight = upsampling_conv_weight(block.conv.weight)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor, embedding: Tensor, shift: Optional[Tensor] = None) -> Tensor:
        """Map (N, in, H, W) to (N, out, 2H, 2W); ``shift`` (N, 2 in) is added to the style."""
        count, channels, height, width = x.shape
        style = self.affine(embedding)
        if shift is not None:
            style = style + shift
        # Under autocast the map is in half precision; the statistics and these stay in float32.
        scale, bias = style.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, dim=1)
        # Instance normalisation is batch normalisation of one image whose channels are all those
        # of the batch; that one takes a scale and a bias for each of them.
        x = F.batch_norm(
            x.reshape(1, count * channels, height, width),
            None,
            None,
            (1 + scale).flatten(),
            bias.flatten(),
            training=True,
        ).view(count, channels, height, width)
        x = F.leaky_relu_(x, LEAKY_SLOPE)
        return F.conv_transpose2d(x, self.weight, stride=2, padding=1)


def fold_up_blocks(model: nn.Module) -> int:
    """Replace every :class:`UpBlock` below a module, in place; returns their number."""
    folded = 0
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, UpBlock):
                setattr(module, name, FoldedUpBlock(child))
                folded += 1
    return folded
