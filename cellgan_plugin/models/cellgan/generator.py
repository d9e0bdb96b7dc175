"""The generator of CellGAN (Sec. 2.1, Fig. 1, Suppl. Fig. 1a and 2)."""

from typing import Callable, Dict, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.models.layers import (
    LEAKY_SLOPE,
    OFFICIAL_INIT_GAIN,
    AdaIN,
    SkipLayerExcitation,
    SkipLayerGlobalContext,
    channels_by_resolution,
    check_image_size,
    class_weights,
    noise_and_label,
    resolutions_between,
    scale_initial_weights,
    sn_conv,
    sn_linear,
    sn_upsampling_conv,
    with_spectral_norm,
)
from cellgan_plugin.models.layers.arguments import check_at_least, check_one_of

SKIP_TYPES = ('sgc', 'sle', None)
SGC_FUSIONS = ('add', 'modulate')
STYLES = ('class', 'class_noise')


class ClassMapping(nn.Module):
    """The class mapping network: one-hot label to class embedding c (Sec. 2.1).

    Args:
        num_classes (int): Number of classes.
        embed_size (int): Size of c.
        depth (int): Groups of (fully connected, LeakyReLU). 0 leaves one linear layer, a plain
            table of class embeddings: the ablation without the mapping network (Table 2 b).
    """

    def __init__(self, num_classes: int, embed_size: int, depth: int):
        super().__init__()
        sizes = [num_classes] + [embed_size] * max(depth, 1)
        self.layers = nn.ModuleList(sn_linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.nonlinear = depth > 0

    def forward(self, one_hot: Tensor) -> Tensor:
        """Map (N, num_classes) float to (N, embed_size)."""
        for layer in self.layers:
            one_hot = layer(one_hot)
            if self.nonlinear:
                one_hot = F.leaky_relu(one_hot, LEAKY_SLOPE)
        return one_hot


class StyleMapping(nn.Module):
    """Class and noise to the style that steers every AdaIN (not in the paper).

    Instance normalisation takes the mean and the deviation of every channel out of every image;
    what the class embedding alone puts back is the same for all images of a class. Colours of an
    image as a whole are such means: with the paper's AdaIN every image of a class holds all of its
    colours, and z can only move them about. Here z has a word in them, too (Karras et al. 2019,
    "A style-based generator architecture", Sec. 2; normalised inputs as Karras et al. 2020).

    Args:
        embed_size (int): Size of the class embedding and of the style.
        noise_size (int): Size of z.
        depth (int): Groups of (fully connected, LeakyReLU). Defaults to 2.
    """

    def __init__(self, embed_size: int, noise_size: int, depth: int = 2):
        super().__init__()
        sizes = [embed_size + noise_size] + [embed_size] * depth
        self.layers = nn.ModuleList(sn_linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))

    def forward(self, embedding: Tensor, noise: Tensor) -> Tensor:
        """Map (N, embed_size) and z (N, noise_size) to a style (N, embed_size) of mean square 1."""
        style = torch.cat([unit_mean_square(embedding), unit_mean_square(noise)], dim=1)
        for layer in self.layers:
            style = F.leaky_relu(layer(style), LEAKY_SLOPE)
        return unit_mean_square(style)


def unit_mean_square(x: Tensor) -> Tensor:
    """Scale each row of (N, C) to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class UpBlock(nn.Module):
    """Upsample x2, AdaIN(c), LeakyReLU, 3x3 convolution (Suppl. Fig. 1a).

    AdaIN and the activation run before the nearest-neighbour upsampling instead of after it:
    repeating every pixel four times changes neither the statistics nor the values, so the result
    is the same and three quarters of the work is not done. Upsampling and convolution are one
    layer, which never makes the enlarged map.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        embed_size (int): Size of the class embedding.
        depth (int): 2 for a second AdaIN, LeakyReLU and convolution after the upsampling.
            Defaults to 1 (the paper).
    """

    def __init__(self, in_channels: int, out_channels: int, embed_size: int, depth: int = 1):
        super().__init__()
        self.adain = AdaIN(in_channels, embed_size)
        self.conv = sn_upsampling_conv(in_channels, out_channels)
        self.depth = depth
        if depth > 1:
            self.second_adain = AdaIN(out_channels, embed_size)
            self.second_conv = sn_conv(out_channels, out_channels, 3)

    def forward(self, x: Tensor, embedding: Tensor, shift: Optional[Tensor] = None) -> Tensor:
        """Map (N, in, H, W) to (N, out, 2H, 2W); ``shift`` (N, 2 in) goes to the AdaIN."""
        x = self.conv(F.leaky_relu_(self.adain(x, embedding, shift), LEAKY_SLOPE))
        if self.depth > 1:
            x = F.leaky_relu_(self.second_adain(x, embedding), LEAKY_SLOPE)
            x = self.second_conv(x)
        return x


class _TanhOfLeastSlope(torch.autograd.Function):
    """tanh whose slope counts as at least ``least`` in the backward."""

    @staticmethod
    def forward(ctx, x: Tensor, least: float) -> Tensor:
        ctx.least = least
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return gradient * (1 - y.square()).clamp(min=ctx.least), None


def default_skips(out_size: int) -> Tuple[Tuple[int, int], ...]:
    """Skip pairs (from, to) in pixels: 8->64, 16->128, 32->256 at 256 (Fig. 1).

    Other sizes keep the factor of 8; 32 pixels, too small for 8->64, gets 4->32.
    """
    pairs = tuple((low, 8 * low) for low in resolutions_between(8, out_size) if 8 * low <= out_size)
    return pairs or ((4, 32),)


@MODELS.register_module()
class CellGANGenerator(nn.Module):
    r"""Class-conditional generator of CellGAN.

    .. code-block:: text

        label -> one-hot -> 4 x (FC, LeakyReLU) -> c -> every UpBlock
        noise -> transposed conv 4x4 -> UpBlock 8 -> 16 -> 32 -> 64 -> 128 -> 256 -> conv -> tanh
                                                '------ SGC ------^   (and 16->128, 32->256)

    Args:
        out_size (int): Side of the image in pixels: a power of two from 32 to 1024.
            Defaults to 256.
        num_classes (int): Number of classes, at least 1. Defaults to 5.
        noise_size (int): Size of z. Defaults to 128 (Sec. 2.1).
        embed_size (int, optional): Size of c. Defaults to None: the noise size (Sec. 2.1).
        mapping_depth (int): Groups in the class mapping network; 0 for a plain linear embedding.
            Defaults to 4 (Sec. 2.1).
        base_channels (int): Channels at 256 pixels; the others are multiples of it.
            Defaults to 32 (Fig. 1).
        out_channels (int): Image channels, 1 or 3. Defaults to 3.
        skip_type (str, optional): ``'sgc'``, ``'sle'`` (FastGAN's, for the ablation) or None.
            Defaults to ``'sgc'``.
        skips (Sequence[Tuple[int, int]], optional): Pairs (from, to) of resolutions in pixels.
            Defaults to None: :func:`default_skips`.
        sgc_fusion (str): What the global context does. ``'add'``: it is added to the
            high-resolution map, as the authors' program does; the instance normalisation of the
            next block then cancels it everywhere but at the last resolution. ``'modulate'``: it is
            added to the scale and bias of the next block's AdaIN, after the normalisation, so that
            every SGC module reaches the image. Defaults to ``'add'``.
        init_gain (float): Gain of the Xavier initialisation (see :func:`scale_initial_weights`).
            Defaults to 0.02 (the authors' program).
        style (str): What steers the AdaINs. ``'class'``: the class embedding, as in the paper.
            ``'class_noise'``: z as well (:class:`StyleMapping`). Defaults to ``'class'``.
        block_depth (int): Groups of (AdaIN, LeakyReLU, convolution) in an UpBlock, 1 or 2. With 1,
            as in the paper, nothing but two convolutions in a row follows the last upsampling, so
            that the last nonlinearity is at half the image's size. Defaults to 1.
        least_slope (float): The backward takes the slope of the last tanh for at least this much.
            Where an image is white or black the slope is almost 0 and nothing can be learned: a
            background that has become white stays so. Defaults to 0.0: the true slope.

    Raises:
        ValueError: For an argument outside its range; the message names it.
    """

    def __init__(
        self,
        out_size: int = 256,
        num_classes: int = 5,
        noise_size: int = 128,
        embed_size: Optional[int] = None,
        mapping_depth: int = 4,
        base_channels: int = 32,
        out_channels: int = 3,
        skip_type: Optional[str] = 'sgc',
        skips: Optional[Sequence[Tuple[int, int]]] = None,
        sgc_fusion: str = 'add',
        init_gain: float = OFFICIAL_INIT_GAIN,
        style: str = 'class',
        block_depth: int = 1,
        least_slope: float = 0.0,
    ):
        super().__init__()
        self.out_size = check_image_size('out_size', out_size)
        check_at_least(1, num_classes=num_classes, noise_size=noise_size)
        check_at_least(0, mapping_depth=mapping_depth)
        if embed_size is not None:
            check_at_least(1, embed_size=embed_size)
        check_one_of((1, 3), out_channels=out_channels)
        check_one_of(SKIP_TYPES, skip_type=skip_type)
        check_one_of(SGC_FUSIONS, sgc_fusion=sgc_fusion)
        check_one_of(STYLES, style=style)
        check_one_of((1, 2), block_depth=block_depth)
        if not 0 <= least_slope <= 1:
            raise ValueError(f'least_slope={least_slope!r}: must be in [0, 1]')
        self.least_slope = least_slope
        self.num_classes = num_classes
        self.noise_size = noise_size
        self.out_channels = out_channels
        self.skip_type = skip_type
        self.sgc_fusion = sgc_fusion
        embed_size = embed_size or noise_size

        self.mapping = ClassMapping(num_classes, embed_size, mapping_depth)
        self.style = StyleMapping(embed_size, noise_size) if style == 'class_noise' else None
        channels = channels_by_resolution(base_channels)
        self.init = with_spectral_norm(nn.ConvTranspose2d(noise_size, channels[4], 4, bias=False))
        self.up_blocks = nn.ModuleDict(
            {
                str(size): UpBlock(channels[size // 2], channels[size], embed_size, block_depth)
                for size in resolutions_between(8, out_size)
            }
        )
        self.skip_sources = self._check_skips(skips)
        self.skips = nn.ModuleDict(
            {
                str(target): self._build_skip(channels[source], channels[target], target)
                for target, source in self.skip_sources.items()
            }
        )
        self.to_image = sn_conv(channels[out_size], out_channels, 3)
        scale_initial_weights(self, init_gain)

    def _check_skips(self, skips: Optional[Sequence[Tuple[int, int]]]) -> Dict[int, int]:
        """Return {target: source} in pixels."""
        if self.skip_type is None:
            return {}
        pairs = default_skips(self.out_size) if skips is None else skips
        known = resolutions_between(4, self.out_size)
        sources: Dict[int, int] = {}
        for source, target in pairs:
            if source not in known or target not in known or source >= target:
                raise ValueError(
                    f'skips: ({source}, {target}) must go from a smaller to a larger one of {known}'
                )
            if target in sources:
                raise ValueError(f'skips: resolution {target} is the target of two pairs')
            sources[target] = source
        return sources

    def _modulates(self, target: int) -> bool:
        # After the last resolution no AdaIN follows that the context could steer (or that could
        # cancel it): there it is added in either mode.
        return self.skip_type == 'sgc' and self.sgc_fusion == 'modulate' and target < self.out_size

    def _build_skip(self, source_channels: int, target_channels: int, target: int) -> nn.Module:
        if self.skip_type == 'sle':
            return SkipLayerExcitation(source_channels, target_channels)
        length = target_channels * (2 if self._modulates(target) else 1)
        return SkipLayerGlobalContext(source_channels, length, max(1, target_channels // 4))

    def forward(
        self,
        noise: Optional[Union[Tensor, Callable]] = None,
        num_batches: int = 0,
        label: Optional[Union[Tensor, Callable]] = None,
        return_noise: bool = False,
        truncation: float = 1.0,
    ) -> Union[Tensor, dict]:
        """Generate images.

        Args:
            noise (Tensor | callable, optional): z, (N, noise_size) standard normal. A callable is
                called with the shape; None draws from torch's global generator.
            num_batches (int): N, where ``noise`` is not a tensor. Defaults to 0.
            label (Tensor | callable, optional): Class indices (N,) or (N, 1), or class weights
                (N, num_classes) float to mix classes. None draws uniformly.
            return_noise (bool): Return a dict with ``fake_img``, ``noise_batch`` and ``label``.
                Defaults to False.
            truncation (float): z is multiplied by it: below 1 the images are more typical and less
                varied. Defaults to 1.0.

        Returns:
            Tensor | dict: Images (N, out_channels, out_size, out_size) in [-1, 1].
        """
        noise, label = noise_and_label(self, noise, label, num_batches)
        one_hot = class_weights(label, self.num_classes).to(noise.dtype)
        image = self.synthesis(noise * truncation, one_hot)
        if return_noise:
            return dict(fake_img=image, noise_batch=noise, label=label)
        return image

    def synthesis(self, noise: Tensor, one_hot: Tensor) -> Tensor:
        """The network itself: z (N, noise_size), class weights (N, num_classes) -> images."""
        embedding = self.mapping(one_hot)
        if self.style is not None:
            embedding = self.style(embedding, noise)
        maps = {4: self.init(noise[:, :, None, None])}
        shift = None
        for key, block in self.up_blocks.items():
            size = int(key)
            x = block(maps[size // 2], embedding, shift)
            shift = None
            if size in self.skip_sources:
                gate = self.skips[key](maps[self.skip_sources[size]])
                if self.skip_type == 'sle':
                    x = x * gate
                elif self._modulates(size):
                    shift = gate.flatten(1)
                else:
                    x += gate
            maps[size] = x
        image = self.to_image(maps[self.out_size])
        if self.least_slope and torch.is_grad_enabled():
            return _TanhOfLeastSlope.apply(image, self.least_slope)
        return torch.tanh(image)
