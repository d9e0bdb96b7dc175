"""The generator of HistoGAN (Sec. 3.1.1, 4.2.1 and Fig. 3)."""

from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.models.layers import SelfAttention, class_norm, class_weights, noise_and_label

from .stages import FIRST_STAGE_BLOCKS, Size, stage_sizes


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3x3 convolution that keeps the size; a normalisation follows, so no bias."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


class UpBlock(nn.Module):
    """Bilinear up-sampling x2, 3x3 convolution, conditional batch norm (Sec. 4.2.1), gated units.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        num_classes (int): Of the norm; 0 for one that does not see the class.
        sync_bn (bool): See :class:`GlobalBatchNorm2d`.
        spatial_noise (bool): A map of noise joins the convolution's output, each channel with a
            weight of its own, 0 at first (StyleGAN, Karras et al. 2019). Defaults to False.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_classes: int,
        sync_bn: bool,
        spatial_noise: bool = False,
    ):
        super().__init__()
        self.conv = conv3x3(in_channels, 2 * out_channels)
        self.norm = class_norm(2 * out_channels, num_classes, sync=sync_bn)
        self.noise_weight: Optional[nn.Parameter] = None
        if spatial_noise:
            self.noise_weight = nn.Parameter(torch.zeros(2 * out_channels, 1, 1))

    def forward(self, x: Tensor, weights: Tensor, noise: Optional[Tensor] = None) -> Tensor:
        """Map (N, in, H, W), class weights (N, num_classes) and noise (N, 1, 2H, 2W) to the output.

        Returns:
            Tensor: (N, out, 2H, 2W).
        """
        x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
        x = self.conv(x)
        if self.noise_weight is not None:
            x = x + self.noise_weight * noise
        return F.glu(self.norm(x, weights), dim=1)


class ResidualBlock(nn.Module):
    """x + (conv, norm, gated units, conv, norm)(x): StackGAN++'s block, with conditional norms.

    Args:
        channels (int): Channels in and out.
        num_classes (int): Of the norms; 0 for norms that do not see the class.
        sync_bn (bool): See :class:`GlobalBatchNorm2d`.
    """

    def __init__(self, channels: int, num_classes: int, sync_bn: bool):
        super().__init__()
        self.conv1 = conv3x3(channels, 2 * channels)
        self.norm1 = class_norm(2 * channels, num_classes, sync=sync_bn)
        self.conv2 = conv3x3(channels, channels)
        self.norm2 = class_norm(channels, num_classes, sync=sync_bn)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Map (N, C, H, W) and class weights (N, num_classes) to the same shape."""
        main = F.glu(self.norm1(self.conv1(x), weights), dim=1)
        return x + self.norm2(self.conv2(main), weights)


class FirstStage(nn.Module):
    """Noise and label to the first feature map: embedding, four UpBlocks, self-attention.

    Args:
        start (tuple[int, int]): Height and width of the embedding's map.
        noise_size (int): Length of z.
        channels (int): Channels at the end; the map before an UpBlock has twice those after it.
        num_classes (int): Number of classes.
        norm_classes (int): Of the norms; 0 for norms that do not see the class.
        attention_pool (int): See :class:`SelfAttention`; 0 leaves the attention out.
        sync_bn (bool): See :class:`GlobalBatchNorm2d`.
        spatial_noise (bool): See :class:`UpBlock`.
    """

    def __init__(
        self,
        start: Tuple[int, int],
        noise_size: int,
        channels: int,
        num_classes: int,
        norm_classes: int,
        attention_pool: int,
        sync_bn: bool,
        spatial_noise: bool,
    ):
        super().__init__()
        widths = [channels * 2 ** (FIRST_STAGE_BLOCKS - i) for i in range(FIRST_STAGE_BLOCKS + 1)]
        self.embedding = nn.ConvTranspose2d(
            noise_size + num_classes, 2 * widths[0], start, bias=False
        )
        self.norm = class_norm(2 * widths[0], norm_classes, sync=sync_bn)
        self.blocks = nn.ModuleList(
            UpBlock(a, b, norm_classes, sync_bn, spatial_noise)
            for a, b in zip(widths, widths[1:], strict=False)
        )
        self.attention: Optional[SelfAttention] = None
        if attention_pool:
            self.attention = SelfAttention(channels, pool=attention_pool)

    def before_attention(
        self, noise: Tensor, weights: Tensor, maps: Sequence[Optional[Tensor]]
    ) -> Tensor:
        """The map that the attention layer sees, (N, channels, 16 h, 16 w)."""
        x = torch.cat([noise, weights.to(noise.dtype)], dim=1)[:, :, None, None]
        x = F.glu(self.norm(self.embedding(x), weights), dim=1)
        for block, of_block in zip(self.blocks, maps, strict=True):
            x = block(x, weights, of_block)
        return x


class NextStage(nn.Module):
    """Residual blocks and one UpBlock on the feature map of the stage before.

    Args:
        channels (int): Channels in; half of them come out.
        num_blocks (int): Residual blocks.
        num_classes (int): Of the norms; 0 for norms that do not see the class.
        sync_bn (bool): See :class:`GlobalBatchNorm2d`.
        spatial_noise (bool): See :class:`UpBlock`.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        num_classes: int,
        sync_bn: bool,
        spatial_noise: bool,
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            ResidualBlock(channels, num_classes, sync_bn) for _ in range(num_blocks)
        )
        self.up = UpBlock(channels, channels // 2, num_classes, sync_bn, spatial_noise)

    def forward(self, x: Tensor, weights: Tensor, noise: Optional[Tensor] = None) -> Tensor:
        """Map (N, C, H, W), class weights and noise (N, 1, 2H, 2W) to (N, C / 2, 2H, 2W)."""
        for block in self.blocks:
            x = block(x, weights)
        return self.up(x, weights, noise)


@MODELS.register_module()
class HistoGANGenerator(nn.Module):
    r"""Multi-stage class-conditional generator of HistoGAN.

    .. code-block:: text

        [z, one-hot] -> transposed conv -> 4 x UpBlock -> self-attention -> conv, tanh: stage 1
                                                                |
                             residual blocks -> UpBlock <-------+
                                                   +----> conv, tanh: stage 2
                                                   +----> the next stage

    The label also steers every batch normalisation. A stage hands its feature map, not its image,
    to the next, as in StackGAN++ (Zhang et al. 2018), and the next ones get no noise of their own
    (Sec. 3.1.1). Where the paper is silent, StackGAN++ is followed: channels, gated linear units
    (half of a normalised map is multiplied by the sigmoid of the other half), two residual blocks a
    stage, z of 100 numbers, and the last 3x3 convolution with tanh.

    Args:
        out_size (int | Sequence[int]): Last stage's image in pixels, a side or (height, width);
            multiples of 2^(num_stages + 3). Defaults to (256, 128) (Sec. 4.1).
        num_stages (int): 3 for 256x128, 2 for 96x96 (Sec. 4.2.1). Defaults to 3.
        num_classes (int): Number of classes. Defaults to 4.
        noise_size (int): Length of z. Defaults to 100.
        base_channels (int): Channels at the end of stage 1; 16 times as many at its start, half as
            many after each further stage. Defaults to 64.
        num_residual_blocks (int): Before the UpBlock of each later stage. Defaults to 2.
        attention (bool): Self-attention at the end of stage 1. Defaults to True (Sec. 3.1.1).
        attention_pool (int): See :class:`SelfAttention`. Defaults to 1.
        conditional_norm (bool): The label steers every batch norm. With False it enters beside the
            noise alone. Defaults to True (Sec. 3.1.1).
        out_channels (int): Image channels, 1 or 3. Defaults to 3.
        sync_bn (bool): Batch statistics over all processes. Defaults to True.
        spatial_noise (bool): The end of z is cut into maps, one for every UpBlock, of the size that
            the block gives out (:attr:`map_sizes`); see :class:`UpBlock`. ``noise_size`` is the
            length of all of z. Not in the paper, whose nuclei all come from the first 4x2 map.
            Defaults to False.

    Raises:
        ValueError: For an argument outside its range; the message names it.
    """

    def __init__(
        self,
        out_size: Size = (256, 128),
        num_stages: int = 3,
        num_classes: int = 4,
        noise_size: int = 100,
        base_channels: int = 64,
        num_residual_blocks: int = 2,
        attention: bool = True,
        attention_pool: int = 1,
        conditional_norm: bool = True,
        out_channels: int = 3,
        sync_bn: bool = True,
        spatial_noise: bool = False,
    ):
        super().__init__()
        self.stage_sizes = stage_sizes('out_size', out_size, num_stages)
        self.out_size = self.stage_sizes[-1]
        for name, value, least in (
            ('num_classes', num_classes, 1),
            ('noise_size', noise_size, 1),
            ('base_channels', base_channels, 2 ** (num_stages - 1)),
            ('num_residual_blocks', num_residual_blocks, 0),
        ):
            if value < least:
                raise ValueError(f'{name}={value!r}: must be at least {least}')
        if out_channels not in (1, 3):
            raise ValueError(f'out_channels={out_channels!r}: must be 1 or 3')
        height, width = self.stage_sizes[0]
        if attention_pool < 1 or height % attention_pool or width % attention_pool:
            raise ValueError(
                f'attention_pool={attention_pool!r}: must divide the first stage, {height}x{width}'
            )
        self.num_stages = num_stages
        self.num_classes = num_classes
        self.noise_size = noise_size
        self.out_channels = out_channels
        start = tuple(side // 2**FIRST_STAGE_BLOCKS for side in self.stage_sizes[0])
        self.map_sizes: List[Tuple[int, int]] = []
        if spatial_noise:
            blocks = FIRST_STAGE_BLOCKS + num_stages - 1
            self.map_sizes = [
                tuple(side * 2**block for side in start) for block in range(1, blocks + 1)
            ]
        in_maps = sum(h * w for h, w in self.map_sizes)
        if noise_size <= in_maps:
            raise ValueError(
                f'noise_size={noise_size}: with spatial_noise=True {in_maps} numbers of z are maps '
                f'of noise; say {in_maps} more than the embedding is to have, e.g. {in_maps + 100} '
                '(noise_size of the model likewise)'
            )
        self.embedded_size = noise_size - in_maps
        norm_classes = num_classes if conditional_norm else 0
        self.first = FirstStage(
            start,
            self.embedded_size,
            base_channels,
            num_classes,
            norm_classes,
            attention_pool if attention else 0,
            sync_bn,
            spatial_noise,
        )
        channels = [base_channels // 2**stage for stage in range(num_stages)]
        self.stages = nn.ModuleList(
            NextStage(count, num_residual_blocks, norm_classes, sync_bn, spatial_noise)
            for count in channels[:-1]
        )
        self.to_images = nn.ModuleList(
            nn.Conv2d(count, out_channels, 3, padding=1, bias=False) for count in channels
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.xavier_normal_(module.weight)

    def forward(
        self,
        noise: Optional[Union[Tensor, Callable]] = None,
        num_batches: int = 0,
        label: Optional[Union[Tensor, Callable]] = None,
        return_noise: bool = False,
        truncation: float = 1.0,
        return_stages: bool = False,
        return_attention: bool = False,
    ) -> Union[Tensor, List[Tensor], Dict[str, Union[Tensor, List[Tensor]]]]:
        """Generate images.

        Args:
            noise (Tensor | callable, optional): z, (N, noise_size) standard normal. A callable is
                called with the shape; None draws from torch's global generator.
            num_batches (int): N, where ``noise`` is not a tensor. Defaults to 0.
            label (Tensor | callable, optional): Class indices (N,) or (N, 1), or class weights
                (N, num_classes) float to mix classes. None draws uniformly.
            return_noise (bool): Return a dict. Defaults to False.
            truncation (float): z is multiplied by it: below 1 the images are more typical and less
                varied. Defaults to 1.0.
            return_stages (bool): Return the images of every stage. Defaults to False.
            return_attention (bool): Return a dict, with the attention map. Defaults to False.

        Returns:
            Tensor | list[Tensor] | dict: Images (N, out_channels, height, width) in [-1, 1] of the
            last stage, or of all stages, smallest first. The dict has ``fake_img`` (last stage),
            ``stages``, ``noise_batch``, ``label``, and ``attention`` where asked for: float (N,
            positions of stage 1, positions that are looked at), see
            :meth:`SelfAttention.attention`.
        """
        noise, label = noise_and_label(self, noise, label, num_batches)
        weights = class_weights(label, self.num_classes)
        embedded, maps = self.split_noise(noise * truncation)
        before = self.first.before_attention(embedded, weights, maps[:FIRST_STAGE_BLOCKS])
        images = self.stages_from(before, weights, maps[FIRST_STAGE_BLOCKS:])
        if not (return_noise or return_attention):
            return images if return_stages else images[-1]
        result = dict(fake_img=images[-1], stages=images, noise_batch=noise, label=label)
        if return_attention:
            if self.first.attention is None:
                raise ValueError('this generator was built with attention=False: it has no map')
            result['attention'] = self.first.attention.attention(before)
        return result

    def split_noise(self, noise: Tensor) -> Tuple[Tensor, List[Optional[Tensor]]]:
        """Split z (N, noise_size): what is embedded, and a map (N, 1, H, W) or None per UpBlock."""
        if not self.map_sizes:
            return noise, [None] * (FIRST_STAGE_BLOCKS + self.num_stages - 1)
        embedded, *maps = noise.split([self.embedded_size, *(h * w for h, w in self.map_sizes)], 1)
        return embedded, [
            values.unflatten(1, (1, *size))
            for values, size in zip(maps, self.map_sizes, strict=True)
        ]

    def stages_from(
        self, before: Tensor, weights: Tensor, maps: Sequence[Optional[Tensor]]
    ) -> List[Tensor]:
        """Images of every stage from the map before the attention, class weights and noise maps."""
        x = before if self.first.attention is None else self.first.attention(before)
        images = [torch.tanh(self.to_images[0](x))]
        for stage, to_image, noise in zip(self.stages, list(self.to_images)[1:], maps, strict=True):
            x = stage(x, weights, noise)
            images.append(torch.tanh(to_image(x)))
        return images
