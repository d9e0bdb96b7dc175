"""CellGAN's discriminator with a second opinion, on the image as a whole (not in the paper)."""

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.models.cellgan.discriminator import (
    LAST_SIZE,
    CellGANDiscriminator,
    DownBlock,
    draw_logit_weights,
)
from cellgan_plugin.models.layers import (
    LEAKY_SLOPE,
    MinibatchDeviation,
    channels_by_resolution,
    remove_spectral_norm_for_training,
    scale_initial_weights,
    sn_conv,
    sn_linear,
)

# Side of the map that the fully connected layer reads.
_GLOBAL_SIZE = 4


class GlobalHead(nn.Module):
    """One logit for an image from its 8x8 map, which sees the other images of the batch.

    DownBlock to 4x4, minibatch deviation, 3x3 convolution, fully connected layer (the end of
    StyleGAN2's discriminator; Karras et al. 2020), then a projection on the class as in the rest
    of CellGAN's discriminator.

    Args:
        in_channels (int): Channels of the 8x8 map.
        channels (int): Channels of the head.
        num_classes (int): Number of classes.
        group_size (int): See :class:`MinibatchDeviation`.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int, group_size: int):
        super().__init__()
        self.num_classes = num_classes
        self.block = DownBlock(in_channels, channels)
        self.deviation = MinibatchDeviation(group_size)
        self.conv = sn_conv(channels + 1, channels, 3)
        self.linear = sn_linear(channels * _GLOBAL_SIZE**2, channels)
        self.to_logit = sn_linear(channels, 1)
        self.class_embedding = sn_linear(num_classes, channels, bias=False)

    def forward(self, last: Tensor, label: Tensor) -> Tensor:
        """Map (N, in_channels, 8, 8) and labels (N,) to logits (N, 1)."""
        x = F.leaky_relu(self.block(F.leaky_relu(last, LEAKY_SLOPE)), LEAKY_SLOPE)
        x = F.leaky_relu(self.conv(self.deviation(x)), LEAKY_SLOPE)
        x = F.leaky_relu(self.linear(x.flatten(1)), LEAKY_SLOPE)
        one_hot = F.one_hot(label.reshape(-1).long(), self.num_classes).to(x.dtype)
        return self.to_logit(x) + (x * self.class_embedding(one_hot)).sum(dim=1, keepdim=True)


@MODELS.register_module()
class CellGANGlobalDiscriminator(CellGANDiscriminator):
    """:class:`CellGANDiscriminator` whose logits are half of patches, half of the whole image.

    A logit of the 8x8 map sees most of an image of 64 pixels, but only as a sum over positions,
    and nothing of the other images: that all images of a class have the same two colours, a patch
    cannot tell. :class:`GlobalHead` can.

    R1 takes the double backward, since minibatch deviation makes the images of a batch depend on
    one another (``input_gradient`` is that of the patches alone).

    Args:
        in_size (int): Side of the image in pixels: a power of two from 32 to 1024.
            Defaults to 256.
        num_classes (int): Number of classes. Defaults to 5.
        base_channels (int): Channels at 256 pixels. Defaults to 32.
        group_size (int): Images whose deviation is taken, see :class:`MinibatchDeviation`.
            Defaults to 4.
        init_gain (float): See :class:`CellGANDiscriminator`. Defaults to 1.0.
        spectral_norm (bool): See :class:`CellGANDiscriminator`. Defaults to True.
        **kwargs: Of :class:`CellGANDiscriminator` (``in_channels``, ``decoder_channels``,
            ``head``, which must be ``'patch'``).

    Raises:
        ValueError: For an argument outside its range; the message names it.
    """

    def __init__(
        self,
        in_size: int = 256,
        num_classes: int = 5,
        base_channels: int = 32,
        group_size: int = 4,
        init_gain: float = 1.0,
        spectral_norm: bool = True,
        **kwargs,
    ):
        super().__init__(
            in_size,
            num_classes,
            base_channels,
            init_gain=init_gain,
            spectral_norm=spectral_norm,
            **kwargs,
        )
        if self.head != 'patch':
            raise ValueError(f"head={self.head!r}: must be 'patch', there is a global head besides")
        channels = channels_by_resolution(base_channels)
        self.global_head = GlobalHead(
            channels[LAST_SIZE], channels[_GLOBAL_SIZE], num_classes, group_size
        )
        scale_initial_weights(self.global_head, init_gain)
        if not spectral_norm:
            remove_spectral_norm_for_training(self.global_head)
            draw_logit_weights(self.global_head.to_logit, self.global_head.class_embedding)

    def logits(self, last: Tensor, label: Tensor) -> Tensor:
        """Logits (N, 2, 8, 8) of the 8x8 map: of each position, and 64 times the global one."""
        local = super().logits(last, label)
        whole = self.global_head(last, label)[:, :, None, None].expand_as(local)
        return torch.cat([local, whole], dim=1)
