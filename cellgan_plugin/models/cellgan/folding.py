"""CellGAN's generator in a form that only samples, and does so with half the work."""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellgan_plugin.models.cellgan.generator import CellGANGenerator, UpBlock
from cellgan_plugin.models.layers import LEAKY_SLOPE
from cellgan_plugin.models.layers.fold import upsampling_conv_weight

# Input side in pixels up to which a block is bound by reading its weights, not by multiplying.
_SMALL = 4


class FoldedUpBlock(nn.Module):
    """What :class:`UpBlock` computes, to rounding, without gradients.

    Upsampling and convolution are one transposed convolution (4/9 of the multiplications), and
    normalisation and modulation one pass over the map, where AdaIN makes three and two copies.

    Args:
        block (UpBlock): With plain weights (``fold_spectral_norm``).
        merge (bool): False keeps upsampling and convolution apart: the merged weights are 16/9 as
            many, and for the smallest maps reading them takes the time. Defaults to True.
    """

    def __init__(self, block: UpBlock, merge: bool = True):
        super().__init__()
        self.affine = block.adain.affine
        self.merge = merge
        with torch.no_grad():
            weight = block.conv.weight
            weight = upsampling_conv_weight(weight) if merge else weight.clone()
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
        if self.merge:
            return F.conv_transpose2d(x, self.weight, stride=2, padding=1)
        return F.conv2d(F.interpolate(x, scale_factor=2, mode='nearest'), self.weight, padding=1)


def fold_generators(model: nn.Module) -> int:
    """Replace the blocks of every :class:`CellGANGenerator` of a model; returns their number."""
    folded = 0
    for module in list(model.modules()):
        if not isinstance(module, CellGANGenerator):
            continue
        for size, block in list(module.up_blocks.items()):  # by output side
            if isinstance(block, UpBlock):
                module.up_blocks[size] = FoldedUpBlock(block, int(size) // 2 > _SMALL)
                folded += 1
    return folded
