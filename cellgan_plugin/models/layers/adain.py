"""Adaptive instance normalisation."""

from typing import Optional

import torch.nn.functional as F
from torch import Tensor, nn

from .spectral_norm import sn_linear


class AdaIN(nn.Module):
    """Adaptive instance normalisation, steered by a class embedding (CellGAN, Sec. 2.1).

    y = (1 + scale(c)) * instance_norm(x) + bias(c), where one learnable affine layer makes scale
    and bias. The 1 keeps the map alive before training; the paper is silent, the authors' program
    has it.

    Args:
        channels (int): Channels of the feature map.
        embed_size (int): Size of the class embedding c.
    """

    def __init__(self, channels: int, embed_size: int):
        super().__init__()
        self.affine = sn_linear(embed_size, 2 * channels)

    def forward(self, x: Tensor, embedding: Tensor, shift: Optional[Tensor] = None) -> Tensor:
        """Normalise and modulate.

        Args:
            x (Tensor): Feature map (N, C, H, W).
            embedding (Tensor): Class embedding (N, embed_size).
            shift (Tensor, optional): Added to scale and bias, (N, 2C), e.g. the global context of
                a skip connection. Defaults to None.

        Returns:
            Tensor: (N, C, H, W).
        """
        style = self.affine(embedding)
        if shift is not None:
            style = style + shift
        scale, bias = style[:, :, None, None].chunk(2, dim=1)
        return F.instance_norm(x) * (1 + scale) + bias
