"""The discriminator of CellGAN (Sec. 2.2, Fig. 1, Suppl. Fig. 1b and 1c)."""

from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.models.layers import (
    LEAKY_SLOPE,
    OFFICIAL_INIT_GAIN,
    channels_by_resolution,
    check_image_size,
    remove_spectral_norm_for_training,
    resolutions_between,
    scale_initial_weights,
    sn_conv,
    sn_linear,
    sn_upsampling_conv,
)
from cellgan_plugin.models.layers.arguments import check_at_least, check_one_of

HEADS = ('patch', 'global')
# Side of the last feature map, and of the window that is cut from the map before it (Sec. 2.2).
LAST_SIZE = 8
CROP_SOURCE_SIZE = 16
# The authors' program, for 256 pixels: four upsampling stages from 8 to 128.
DECODER_CHANNELS = (128, 64, 64, 32)


class Reconstruction(NamedTuple):
    """What the discriminator gives with ``crop_offset``: logits, and its two reconstructions.

    Attributes:
        logits (Tensor): (N, 1, 8, 8), or (N, 1, 1, 1) with the global head.
        crop (Tensor): The rebuilt crop, (N, C, in_size / 2, in_size / 2) in [-1, 1].
        half (Tensor): The rebuilt half-size image, same shape.
    """

    logits: Tensor
    crop: Tensor
    half: Tensor


class BlockWeights(NamedTuple):
    """Normalised weights of a :class:`DownBlock`, by its layers' names."""

    conv1: Tensor
    conv2: Tensor
    shortcut: Tensor


class DownBlock(nn.Module):
    """ResNet-like block that halves the map (Suppl. Fig. 1b).

    Main: LeakyReLU, 3x3 convolution of stride 2, LeakyReLU, 3x3 convolution. Shortcut: average
    pool, 1x1 convolution. The shortcut reads the *activated* input, as in the authors' program
    (its LeakyReLU works in place); with the bare input the same weights give other logits.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = sn_conv(in_channels, out_channels, 3, stride=2)
        self.conv2 = sn_conv(out_channels, out_channels, 3)
        self.shortcut = sn_conv(in_channels, out_channels, 1)

    def forward(self, activated: Tensor) -> Tensor:
        """Map the activated input (N, in, H, W) to (N, out, H/2, W/2), not activated."""
        main = self.conv2(F.leaky_relu_(self.conv1(activated), LEAKY_SLOPE))
        return main + self.shortcut(F.avg_pool2d(activated, 2))

    def weights(self) -> BlockWeights:
        """The normalised weights, each computed once."""
        return BlockWeights(self.conv1.weight, self.conv2.weight, self.shortcut.weight)


class Decoder(nn.Module):
    """Rebuilds an image from an 8x8 feature map (Suppl. Fig. 1c).

    One stage per doubling: LeakyReLU, nearest upsampling, 3x3 convolution; then a 3x3 convolution
    to the image and tanh.

    Args:
        in_channels (int): Channels of the feature map.
        stage_channels (Sequence[int]): Channels after each doubling.
        out_channels (int): Image channels.
    """

    def __init__(self, in_channels: int, stage_channels: Sequence[int], out_channels: int):
        super().__init__()
        sizes = [in_channels, *stage_channels]
        pairs = zip(sizes, sizes[1:], strict=False)
        self.convs = nn.ModuleList(sn_upsampling_conv(a, b) for a, b in pairs)
        self.to_image = sn_conv(sizes[-1], out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, 8, 8) to an image in [-1, 1]."""
        for conv in self.convs:
            x = conv(F.leaky_relu(x, LEAKY_SLOPE))
        return self.to_image(x).tanh()


def leaky_relu_gradient(gradient: Tensor, positive: Tensor) -> Tensor:
    """Pass a gradient back through LeakyReLU, given where its input was positive (bool)."""
    return torch.ops.aten.leaky_relu_backward(gradient, positive, LEAKY_SLOPE, False)


def draw_logit_weights(to_logits: nn.Module, class_embedding: nn.Linear) -> None:
    """Draw the weights of a projection (without spectral norm) so that logits begin near 1."""
    for head in (to_logits, class_embedding):
        nn.init.normal_(head.weight, std=to_logits.weight[0].numel() ** -0.5)


def decoder_stages(in_size: int, channels: Sequence[int] = DECODER_CHANNELS) -> List[int]:
    """Channels of the decoder stages from 8 to ``in_size / 2`` pixels.

    The last ones of ``channels`` are used; a larger image repeats the first one.
    """
    count = len(resolutions_between(2 * LAST_SIZE, in_size // 2))
    padded = [channels[0]] * max(0, count - len(channels)) + list(channels)
    return padded[len(padded) - count :]


@MODELS.register_module()
class CellGANDiscriminator(nn.Module):
    """Projection discriminator with a map of logits and two reconstruction decoders.

    A stem convolution at full size, DownBlocks to 8x8 (five at 256), then 8x8 logits by a 1x1
    convolution plus the inner product of a learned class embedding at every position (Sec. 2.2).

    Args:
        in_size (int): Side of the image in pixels: a power of two from 32 to 1024.
            Defaults to 256.
        num_classes (int): Number of classes. Defaults to 5.
        base_channels (int): Channels at 256 pixels; the others are multiples of it.
            Defaults to 32 (Fig. 1).
        in_channels (int): Image channels, 1 or 3. Defaults to 3.
        head (str): ``'patch'``: one logit for each of the 8x8 positions. ``'global'``: LeakyReLU
            and sum over the positions, then one logit, as in the projection discriminator that
            the paper builds on (Miyato & Koyama 2018): the ablation without PatchGAN (Table 2
            a). Defaults to ``'patch'``.
        decoder_channels (Sequence[int], optional): Channels of the decoder stages for 256 pixels
            (see :func:`decoder_stages`); None leaves the decoders out.
            Defaults to (128, 64, 64, 32).
        init_gain (float): Gain of the Xavier initialisation (see :func:`scale_initial_weights`).
            Defaults to 0.02 (the authors' program).
        spectral_norm (bool): False for plain layers (:func:`remove_spectral_norm_for_training`),
            which R1 alone holds back. Defaults to True (Sec. 3.1).

    Raises:
        ValueError: For an argument outside its range; the message names it.
    """

    def __init__(
        self,
        in_size: int = 256,
        num_classes: int = 5,
        base_channels: int = 32,
        in_channels: int = 3,
        head: str = 'patch',
        decoder_channels: Optional[Sequence[int]] = DECODER_CHANNELS,
        init_gain: float = OFFICIAL_INIT_GAIN,
        spectral_norm: bool = True,
    ):
        super().__init__()
        self.in_size = check_image_size('in_size', in_size)
        check_at_least(1, num_classes=num_classes)
        check_one_of((1, 3), in_channels=in_channels)
        check_one_of(HEADS, head=head)
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.head = head
        channels = channels_by_resolution(base_channels)
        self.stem = sn_conv(in_channels, channels[in_size], 3)
        self.down_blocks = nn.ModuleDict(
            {
                str(size): DownBlock(channels[2 * size], channels[size])
                for size in reversed(resolutions_between(LAST_SIZE, in_size // 2))
            }
        )
        self.to_logits = sn_conv(channels[LAST_SIZE], 1, 1)
        self.class_embedding = sn_linear(num_classes, channels[LAST_SIZE], bias=False)
        self.has_decoders = decoder_channels is not None
        if self.has_decoders:
            stages = decoder_stages(in_size, decoder_channels)
            self.crop_decoder = Decoder(channels[CROP_SOURCE_SIZE], stages, in_channels)
            self.half_decoder = Decoder(channels[LAST_SIZE], stages, in_channels)
        scale_initial_weights(self, init_gain)
        if not spectral_norm:
            remove_spectral_norm_for_training(self)
            draw_logit_weights(self.to_logits, self.class_embedding)

    def features(self, img: Tensor) -> Tuple[Tensor, Tensor]:
        """Encode images (N, in_channels, in_size, in_size) in [-1, 1].

        Returns:
            tuple[Tensor, Tensor]: The activated map (N, C, 16, 16), and the map (N, C', 8, 8)
            before its activation.
        """
        x = self.stem(img)
        for block in self.down_blocks.values():
            activated = F.leaky_relu_(x, LEAKY_SLOPE)
            x = block(activated)
        return activated, x

    def logits(self, last: Tensor, label: Tensor) -> Tensor:
        """Logits of the 8x8 map (N, C, 8, 8) for the labels (N,): (N, 1, 8, 8) or (N, 1, 1, 1)."""
        if self.head == 'global':
            last = F.leaky_relu(last, LEAKY_SLOPE).sum(dim=(2, 3), keepdim=True)
        one_hot = F.one_hot(label.reshape(-1).long(), self.num_classes).to(last.dtype)
        embedding = self.class_embedding(one_hot)[:, :, None, None]
        return self.to_logits(last) + (last * embedding).sum(dim=1, keepdim=True)

    def input_gradient(self, img: Tensor, label: Tensor) -> Tensor:
        """Gradient of each image's sum of logits with respect to the image, for R1.

        With LeakyReLU as its only nonlinearity the network is piecewise linear: given which
        activations are positive, the gradient is a linear network of the transposed layers. It is
        written out here, so that its own gradient with respect to the weights is one ordinary
        backward (R1 then costs four passes through the network instead of six, and keeps half as
        much). Exact; to be called outside of autocast (see :class:`R1Penalty`).

        Args:
            img (Tensor): (N, in_channels, in_size, in_size) in [-1, 1].
            label (Tensor): Class indices (N,).

        Returns:
            Tensor: Like ``img``; differentiable with respect to the weights, not the images.
        """
        stem, to_logits = self.stem.weight, self.to_logits.weight
        blocks = [block.weights() for block in self.down_blocks.values()]
        positive = []  # of every LeakyReLU, in the order of the forward
        with torch.no_grad():
            x = F.conv2d(img, stem, padding=1)
            for block in blocks:
                positive.append(x > 0)
                activated = F.leaky_relu_(x, LEAKY_SLOPE)
                x = F.conv2d(activated, block.conv1, stride=2, padding=1)
                positive.append(x > 0)
                x = F.conv2d(F.leaky_relu_(x, LEAKY_SLOPE), block.conv2, padding=1)
                x += F.conv2d(F.avg_pool2d(activated, 2), block.shortcut)
        one_hot = F.one_hot(label.reshape(-1).long(), self.num_classes).to(img.dtype)
        gradient = to_logits + self.class_embedding(one_hot)[:, :, None, None]
        gradient = gradient.expand_as(x)
        if self.head == 'global':
            gradient = leaky_relu_gradient(gradient, x > 0)
        for block in reversed(blocks):
            main = F.conv_transpose2d(gradient, block.conv2, padding=1)
            main = leaky_relu_gradient(main, positive.pop())
            main = F.conv_transpose2d(main, block.conv1, stride=2, padding=1, output_padding=1)
            pooled = F.conv_transpose2d(gradient, block.shortcut / 4)
            gradient = main + F.interpolate(pooled, scale_factor=2, mode='nearest')
            gradient = leaky_relu_gradient(gradient, positive.pop())
        return F.conv_transpose2d(gradient, stem, padding=1)

    @property
    def max_crop_offset(self) -> int:
        """Largest crop offset in positions of the 16x16 map: the window is 8 wide."""
        return CROP_SOURCE_SIZE - LAST_SIZE

    def crop_box(self, crop_offset: Sequence[int]) -> Tuple[slice, slice]:
        """The pixels (rows, columns) of the image that belong to a crop of the 16x16 map."""
        scale = self.in_size // CROP_SOURCE_SIZE
        side = LAST_SIZE * scale
        top, left = (offset * scale for offset in crop_offset)
        return slice(top, top + side), slice(left, left + side)

    def forward(
        self,
        img: Tensor,
        label: Optional[Tensor] = None,
        crop_offset: Optional[Sequence[int]] = None,
    ) -> Union[Tensor, Reconstruction]:
        """Evaluate images, and rebuild them when asked.

        Args:
            img (Tensor): (N, in_channels, in_size, in_size) in [-1, 1].
            label (Tensor): Class indices (N,) or (N, 1).
            crop_offset (Sequence[int], optional): Row and column, 0 to 8, of the 8x8 window of the
                16x16 map from which the crop is rebuilt. None does no decoder work.

        Returns:
            Tensor | Reconstruction: Logits (N, 1, 8, 8), or with ``crop_offset`` also the rebuilt
            crop and half-size image.
        """
        if label is None:
            raise ValueError('CellGANDiscriminator needs label: class indices of shape (N,)')
        if img.shape[1:] != (self.in_channels, self.in_size, self.in_size):
            raise ValueError(
                f'images of shape {tuple(img.shape)} given; expected '
                f'(N, {self.in_channels}, {self.in_size}, {self.in_size})'
            )
        if label.numel() != len(img):
            raise ValueError(f'{len(img)} images but {label.numel()} labels')
        activated, last = self.features(img)
        logits = self.logits(last, label)
        if crop_offset is None:
            return logits
        if not self.has_decoders:
            raise ValueError('crop_offset given, but decoder_channels=None left the decoders out')
        if len(crop_offset) != 2 or not all(0 <= o <= self.max_crop_offset for o in crop_offset):
            raise ValueError(
                f'crop_offset={tuple(crop_offset)}: must be row and column, each 0 to '
                f'{self.max_crop_offset}'
            )
        top, left = crop_offset
        window = activated[:, :, top : top + LAST_SIZE, left : left + LAST_SIZE]
        return Reconstruction(logits, self.crop_decoder(window), self.half_decoder(last))
