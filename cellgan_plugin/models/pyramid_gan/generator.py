"""The generator of one scale: tissue from a mask, noise and the coarser image (Eq. 1)."""

from typing import Optional

import torch
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.models.layers import check_at_least, check_one_of, checkpointed


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions, with instance norms or none, beside a shortcut."""

    def __init__(self, channels: int, norm: str):
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, channels, 3, norm=norm),
            nn.ReLU(),
            *_convolution(channels, channels, 3, norm=norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _norm(channels: int, norm: str) -> list:
    return [nn.InstanceNorm2d(channels)] if norm == 'IN' else []


def _convolution(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, norm: str = 'IN'
) -> list:
    """Convolution that keeps the size (mirrored border), and its norm."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, padding_mode='reflect'),
        *_norm(out_channels, norm),
    ]


def _doubling(channels: int, upsample: str, norm: str) -> list:
    """Twice the size and half the channels, and the norm."""
    if upsample == 'nearest':
        return [nn.Upsample(scale_factor=2), *_convolution(channels, channels // 2, 3, norm=norm)]
    return [
        nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1),
        *_norm(channels // 2, norm),
    ]


@MODELS.register_module()
class PyramidGenerator(nn.Module):
    """Residual generator of one scale, after pix2pixHD's global generator (Wang et al. 2018).

    ``image = coarser + Phi(mask, noise + coarser)`` (Eq. 1), at the coarsest scale ``image =
    Phi(mask, noise)``. Phi: 7x7 convolution, ``num_downsamples`` strided 3x3 ones, ``num_blocks``
    residual blocks, as many doublings, 7x7 convolution, tanh; instance norm and ReLU between. The
    paper leaves Phi to an appendix.

    Args:
        num_classes (int): Classes of the mask.
        image_channels (int): Defaults to 3.
        base_channels (int): Of the first convolution; doubled by every down-sampling.
            Defaults to 32.
        num_downsamples (int): Defaults to 2.
        num_blocks (int): Defaults to 6.
        upsample (str): 'nearest': nearest neighbour and a 3x3 convolution, which leaves no
            checkerboard (Odena et al. 2016); 'transposed': pix2pixHD's transposed convolution.
            Defaults to 'nearest'.
        norm (str): 'IN' (pix2pixHD): instance norm, which takes the mean out of every map, and with
            it what all pixels of an image share, e.g. its stain; 'none'. Defaults to 'IN'.
        checkpoint (bool): Recompute the inside of every stage in the backward: less memory, more
            time, the same numbers. Defaults to False.
    """

    def __init__(
        self,
        num_classes: int,
        image_channels: int = 3,
        base_channels: int = 32,
        num_downsamples: int = 2,
        num_blocks: int = 6,
        upsample: str = 'nearest',
        norm: str = 'IN',
        checkpoint: bool = False,
    ):
        super().__init__()
        check_at_least(1, num_classes=num_classes, base_channels=base_channels)
        check_at_least(0, num_downsamples=num_downsamples, num_blocks=num_blocks)
        check_one_of(('nearest', 'transposed'), upsample=upsample)
        check_one_of(('IN', 'none'), norm=norm)
        self.image_channels = image_channels
        self.checkpoint = checkpoint
        self.stride = 2**num_downsamples
        channels = base_channels
        stages = [
            nn.Sequential(
                *_convolution(num_classes + image_channels, channels, 7, norm=norm), nn.ReLU()
            )
        ]
        for _ in range(num_downsamples):
            stages.append(
                nn.Sequential(*_convolution(channels, 2 * channels, 3, 2, norm), nn.ReLU())
            )
            channels *= 2
        stages += [_ResidualBlock(channels, norm) for _ in range(num_blocks)]
        for _ in range(num_downsamples):
            stages.append(nn.Sequential(*_doubling(channels, upsample, norm), nn.ReLU()))
            channels //= 2
        self.stages = nn.ModuleList(stages)
        self.last = nn.Conv2d(channels, image_channels, 7, padding=3, padding_mode='reflect')
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                if norm == 'IN' or module is self.last:
                    nn.init.normal_(module.weight, std=0.02)  # pix2pixHD
                else:
                    nn.init.kaiming_normal_(module.weight, nonlinearity='relu')
                nn.init.zeros_(module.bias)
        if norm == 'none':
            for block in self.stages:
                if isinstance(block, _ResidualBlock):
                    nn.init.zeros_(block.body[-1].weight)  # Fixup (Zhang et al. 2019)

    @torch.no_grad()
    def begin_as_identity(self) -> None:
        """Make Phi zero: the image is then the coarser one, and details are learned onto it."""
        self.last.weight.zero_()
        self.last.bias.zero_()

    def forward(self, mask: Tensor, noise: Tensor, coarser: Optional[Tensor] = None) -> Tensor:
        """Generate.

        Args:
            mask (Tensor): One-hot (N, num_classes, H, W), float; H and W multiples of
                :attr:`stride`.
            noise (Tensor): (N, image_channels, H, W).
            coarser (Tensor, optional): Image of the coarser scale, up-sampled to (N,
                image_channels, H, W). Defaults to None: this is the coarsest scale.

        Returns:
            Tensor: (N, image_channels, H, W), in [-1, 1] at the coarsest scale, about so at finer
            ones.
        """
        x = torch.cat([mask, noise if coarser is None else noise + coarser], dim=1)
        for stage in self.stages:
            if self.checkpoint and self.training:
                x = checkpointed(stage, stage, x)
            else:
                x = stage(x)
        detail = torch.tanh(self.last(x))
        return detail if coarser is None else coarser + detail


@MODELS.register_module()
class MaskUNetGenerator(nn.Module):
    """MMagic's pix2pix generator (U-Net) in the place of a :class:`PyramidGenerator`.

    For pix2pix (Isola et al. 2017) as one scale under the same runner. pix2pix draws no z; its
    dropout would be its noise. Here the noise joins the mask, so that one mask gives many images.

    Args:
        num_classes (int): Classes of the mask.
        image_channels (int): Defaults to 3.
        num_down (int): Halvings, at least 5; sides must be multiples of ``2**num_down``.
            Defaults to 8.
        base_channels (int): Defaults to 64.
        use_dropout (bool): Dropout of the inner blocks, in training. Defaults to True.
    """

    def __init__(
        self,
        num_classes: int,
        image_channels: int = 3,
        num_down: int = 8,
        base_channels: int = 64,
        use_dropout: bool = True,
    ):
        super().__init__()
        check_at_least(5, num_down=num_down)
        self.image_channels = image_channels
        self.stride = 2**num_down
        self.unet = MODELS.build(
            dict(
                type='mmagic.UnetGenerator',
                in_channels=num_classes + image_channels,
                out_channels=image_channels,
                num_down=num_down,
                base_channels=base_channels,
                norm_cfg=dict(type='BN'),
                use_dropout=use_dropout,
            )
        )
        self.unet.init_weights()

    def forward(self, mask: Tensor, noise: Tensor, coarser: Optional[Tensor] = None) -> Tensor:
        """Generate; see :meth:`PyramidGenerator.forward`. There is no coarser scale.

        Raises:
            ValueError: A coarser image is given: pix2pix has one scale.
        """
        if coarser is not None:
            raise ValueError('MaskUNetGenerator has one scale: give the model one entry of scales')
        return self.unet(torch.cat([mask, noise], dim=1))
