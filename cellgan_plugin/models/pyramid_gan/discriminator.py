"""The multi-layer discriminator of one scale, on image-mask pairs (Sec. 3.1.2)."""

from typing import List

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.models.layers import check_at_least, check_one_of, checkpointed


class _PatchDiscriminator(nn.ModuleList):
    """PatchGAN of pix2pixHD: 4x4 convolutions, LeakyReLU 0.2, every stage's output is kept."""

    def __init__(self, in_channels: int, base_channels: int, num_layers: int, norm: str):
        norms = dict(IN=nn.InstanceNorm2d, BN=nn.BatchNorm2d, none=None)
        widths = [base_channels * min(2**i, 8) for i in range(num_layers + 1)]
        stages = [nn.Sequential(nn.Conv2d(in_channels, widths[0], 4, 2, 2), nn.LeakyReLU(0.2))]
        for number, width in enumerate(widths[1:], start=1):
            stride = 1 if number == num_layers else 2
            stages.append(
                nn.Sequential(
                    nn.Conv2d(widths[number - 1], width, 4, stride, 2),
                    *([norms[norm](width)] if norms[norm] else []),
                    nn.LeakyReLU(0.2),
                )
            )
        stages.append(nn.Conv2d(widths[-1], 1, 4, 1, 2))
        super().__init__(stages)


@MODELS.register_module()
class PyramidDiscriminator(nn.Module):
    """PatchGANs of one architecture on the pair at factors 1, 2, 4 (Sec. 3.1.2, Fig. 1d).

    Layers and widths are pix2pixHD's; the paper leaves them to an appendix.

    Args:
        num_classes (int): Classes of the mask.
        image_channels (int): Defaults to 3.
        base_channels (int): Defaults to 64.
        num_layers (int): Convolutions between the first and the last. Defaults to 3.
        num_discriminators (int): Factors 1, 2, 4, ... Defaults to 3 (Sec. 3.1.2).
        norm (str): 'IN' (pix2pixHD), 'BN' (pix2pix) or 'none': a logit is then a function of its
            patch, colour and contrast included. Defaults to 'IN'.
        checkpoint (bool): Recompute the inside of every stage in the backward. Defaults to False.
    """

    def __init__(
        self,
        num_classes: int,
        image_channels: int = 3,
        base_channels: int = 64,
        num_layers: int = 3,
        num_discriminators: int = 3,
        norm: str = 'IN',
        checkpoint: bool = False,
    ):
        super().__init__()
        check_at_least(
            1,
            num_classes=num_classes,
            base_channels=base_channels,
            num_layers=num_layers,
            num_discriminators=num_discriminators,
        )
        check_one_of(('IN', 'BN', 'none'), norm=norm)
        self.checkpoint = checkpoint
        self.discriminators = nn.ModuleList(
            _PatchDiscriminator(image_channels + num_classes, base_channels, num_layers, norm)
            for _ in range(num_discriminators)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if norm == 'none':
                    nn.init.kaiming_normal_(module.weight, a=0.2)
                else:
                    nn.init.normal_(module.weight, std=0.02)  # pix2pixHD
                nn.init.zeros_(module.bias)

    def forward(self, img: Tensor, mask: Tensor) -> List[List[Tensor]]:
        """Evaluate pairs.

        Args:
            img (Tensor): (N, image_channels, H, W), about [-1, 1].
            mask (Tensor): (N, num_classes, H, W), one-hot or probabilities.

        Returns:
            list[list[Tensor]]: For every factor the features of each stage; the last of them are
            the logits (N, 1, h, w), larger for pairs held to be real.
        """
        pair = torch.cat([img, mask], dim=1)
        maps = []
        for number, discriminator in enumerate(self.discriminators):
            if number:
                pair = F.avg_pool2d(pair, 3, 2, padding=1, count_include_pad=False)
            x, stages = pair, []
            for stage in discriminator:
                if self.checkpoint and self.training:
                    x = checkpointed(stage, stage, x)
                else:
                    x = stage(x)
                stages.append(x)
            maps.append(stages)
        return maps
