"""Adaptive instance normalisation."""

from typing import Optional

import torch
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
        # Under autocast the map is in half precision; the statistics and these stay in float32.
        scale, bias = style.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, dim=1)
        # Instance normalisation is batch normalisation of one image whose channels are all those
        # of the batch; that one takes a scale and a bias for each of them, in one pass over the
        # map, and keeps nothing but the map for the backward.
        count, channels, height, width = x.shape
        if count > 1:
            # Contiguous: of a view of a channels-last map torch 2.11 computes a wrong gradient.
            x = x.contiguous().view(1, count * channels, height, width)
        x = F.batch_norm(x, None, None, (1 + scale).flatten(), bias.flatten(), training=True)
        return x if count == 1 else x.view(count, channels, height, width)
