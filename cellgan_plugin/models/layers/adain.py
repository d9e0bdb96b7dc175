"""Adaptive instance normalisation."""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .spectral_norm import sn_linear


def norm_all_images(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Instance normalisation with a scale and a bias (N, C) for each image, in one call.

    It is batch normalisation of one image whose channels are all those of the batch, which takes
    them in one pass over the map and keeps nothing but the map for the backward.
    """
    count, channels, height, width = x.shape
    # Contiguous: of a view of a channels-last map torch 2.11 computes a wrong gradient.
    flat = x.contiguous().view(1, count * channels, height, width)
    flat = F.batch_norm(flat, None, None, scale.flatten(), bias.flatten(), training=True)
    return flat.view(count, channels, height, width)


def norm_image_by_image(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """What :func:`norm_all_images` computes, without leaving the channels-last order.

    Calls cost nothing on a CPU, reordering a map does.
    """
    images = [
        F.batch_norm(image, None, None, image_scale, image_bias, training=True)
        for image, image_scale, image_bias in zip(
            x.split(1), scale.unbind(), bias.unbind(), strict=True
        )
    ]
    return images[0] if len(images) == 1 else torch.cat(images)


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
        """Normalise a map (N, C, H, W) and modulate it by the class embedding (N, embed_size).

        ``shift`` (N, 2C), e.g. the global context of a skip connection, is added to scale and bias.
        """
        style = self.affine(embedding)
        if shift is not None:
            style = style + shift
        # Under autocast the map is in half precision; the statistics and these stay in float32.
        scale, bias = style.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, dim=1)
        normalise = norm_image_by_image if x.device.type == 'cpu' else norm_all_images
        return normalise(x, 1 + scale, bias)
