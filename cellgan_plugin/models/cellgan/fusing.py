"""CellGAN's generator in a form that only samples: nothing is left to compute but its layers."""

from torch import nn

from cellgan_plugin.models.cellgan.generator import CellGANGenerator
from cellgan_plugin.models.layers import UpsamplingConv2d


def fuse_generators(model: nn.Module) -> int:
    """Merge the weights of every :class:`CellGANGenerator` of a model once, in place.

    The weights are plain ones (``fuse_spectral_norm``). Returns how many convolutions were
    replaced.
    """
    fused = 0
    for module in list(model.modules()):
        if not isinstance(module, CellGANGenerator):
            continue
        for size, block in module.up_blocks.items():  # by output side
            if isinstance(block.conv, UpsamplingConv2d):
                plain = block.conv
                block.conv = plain.merged(int(size) // 2)
                fused += block.conv is not plain
    return fused
