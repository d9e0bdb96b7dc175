"""The segmenter of one scale: a small FC-DenseNet (Jegou et al. 2017, "Tiramisu")."""

from typing import List, Sequence

import torch
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.models.layers import check_at_least, checkpointed


class _DenseLayer(nn.Sequential):
    """Batch norm, ReLU, 3x3 convolution, dropout: ``growth_rate`` new features of all so far."""

    def __init__(self, in_channels: int, growth_rate: int, dropout: float):
        super().__init__(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, growth_rate, 3, padding=1),
            nn.Dropout2d(dropout),
        )


class _DenseBlock(nn.ModuleList):
    """Layers that each read the features of the block's input and of all layers before."""

    def __init__(self, in_channels: int, layers: int, growth_rate: int, dropout: float):
        super().__init__(
            _DenseLayer(in_channels + i * growth_rate, growth_rate, dropout) for i in range(layers)
        )


@MODELS.register_module()
class FCDenseNet(nn.Module):
    """Fully convolutional DenseNet.

    Layers are counted as Jegou et al. do for FC-DenseNet56, 67 and 103: the first convolution, one
    convolution per dense layer, one per transition down and up, and the last 1x1 convolution. The
    default counts 1 + (3+3+4+4) + 4 + 4 + 4 + (4+4+3+3) + 1 = 42; Li et al. say 42 layers and
    roughly 1 M parameters (Sec. 3.2), the rest is in an appendix; this one has 1.04 M (RGB and 2
    classes). :attr:`num_layers` holds the count.

    Args:
        in_channels (int): Image channels plus those of the coarser prediction.
        out_channels (int): Classes.
        first_channels (int): Of the first convolution. Defaults to 48 (Jegou et al.).
        growth_rate (int): New features per layer. Defaults to 14.
        block_layers (Sequence[int]): Layers of the dense blocks on the way down; one transition
            each. The way up mirrors them. Defaults to (3, 3, 4, 4).
        bottleneck_layers (int): Defaults to 4.
        dropout (float): Of whole feature maps. Defaults to 0.2 (Jegou et al.).
        checkpoint (bool): Recompute the inside of every layer in the backward: less memory, more
            time, the same numbers. Defaults to False.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        first_channels: int = 48,
        growth_rate: int = 14,
        block_layers: Sequence[int] = (3, 3, 4, 4),
        bottleneck_layers: int = 4,
        dropout: float = 0.2,
        checkpoint: bool = False,
    ):
        super().__init__()
        check_at_least(
            1,
            in_channels=in_channels,
            out_channels=out_channels,
            growth_rate=growth_rate,
            bottleneck_layers=bottleneck_layers,
            **{f'block_layers[{i}]': layers for i, layers in enumerate(block_layers)},
        )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.checkpoint = checkpoint
        self.num_layers = 2 + 2 * len(block_layers) + 2 * sum(block_layers) + bottleneck_layers
        self.first = nn.Conv2d(in_channels, first_channels, 3, padding=1)
        channels, skips = first_channels, []
        self.down_blocks, self.transitions_down = nn.ModuleList(), nn.ModuleList()
        for layers in block_layers:
            self.down_blocks.append(_DenseBlock(channels, layers, growth_rate, dropout))
            channels += layers * growth_rate
            skips.append(channels)
            self.transitions_down.append(_transition_down(channels, dropout))
        self.bottleneck = _DenseBlock(channels, bottleneck_layers, growth_rate, dropout)
        fresh = bottleneck_layers * growth_rate
        self.transitions_up, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        for layers, skip in zip(reversed(block_layers), reversed(skips), strict=True):
            self.transitions_up.append(nn.ConvTranspose2d(fresh, fresh, 3, stride=2))
            self.up_blocks.append(_DenseBlock(skip + fresh, layers, growth_rate, dropout))
            channels, fresh = skip + fresh, layers * growth_rate
        self.last = nn.Conv2d(channels + fresh, out_channels, 1)
        self.init_weights()

    def init_weights(self) -> None:
        """He's uniform initialisation (Jegou et al., Sec. 4.1)."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, out_channels, H, W) of (N, in_channels, H, W).

        Raises:
            ValueError: A side is below 2**len(block_layers): the network halves it so often.
        """
        least = 2 ** len(self.down_blocks)
        if min(x.shape[-2:]) < least:
            raise ValueError(
                f'FCDenseNet halves {len(self.down_blocks)} times: images need at least {least} '
                f'pixels a side, these have {tuple(x.shape[-2:])}; give it fewer block_layers'
            )
        features, skips = [self.first(x)], []
        for block, transition in zip(self.down_blocks, self.transitions_down, strict=True):
            features = features + self._dense(block, features)
            skips.append(features)
            features = [self._run(transition, features)]
        fresh = self._dense(self.bottleneck, features)
        for transition, block in zip(self.transitions_up, self.up_blocks, strict=True):
            skip = skips.pop()
            up = self._run(transition, fresh)
            # The transposed convolution makes 2 s + 1 rows of s; an odd map had 2 s + 1.
            height, width = skip[0].shape[-2:]
            features = skip + [up[..., :height, :width]]
            fresh = self._dense(block, features)
        return self._run(self.last, features + fresh)

    def _dense(self, block: _DenseBlock, features: List[Tensor]) -> List[Tensor]:
        """The new features of a block's layers."""
        fresh: List[Tensor] = []
        for layer in block:
            fresh.append(self._run(layer, features + fresh))
        return fresh

    def _run(self, module: nn.Module, features: Sequence[Tensor]) -> Tensor:
        def joined(*parts: Tensor) -> Tensor:
            return module(torch.cat(parts, dim=1))

        if self.checkpoint and self.training:
            return checkpointed(module, joined, *features)
        return joined(*features)


def _transition_down(channels: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 1),
        nn.Dropout2d(dropout),
        nn.MaxPool2d(2),
    )
