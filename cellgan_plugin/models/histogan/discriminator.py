"""The discriminators of HistoGAN, one per stage (Sec. 3.1.1, 4.2.1 and Fig. 3)."""

from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cellgan_plugin.models.layers import (
    LEAKY_SLOPE,
    BatchStatistics,
    GlobalBatchNorm2d,
    MinibatchDiscrimination,
    SelfAttention,
    at_least_float32,
    class_norm,
    class_weights,
    sn_conv,
)

from .stages import FIRST_STAGE_BLOCKS, Size, stage_sizes

# The attention layer of every critic works on the map three halvings before the last one: 32x16
# for 256x128. SAGAN's best is 32x32 of 128 px, whose last map is 4x4: three halvings as well.
_HALVINGS_AFTER_ATTENTION = 3


class DownBlock(nn.Module):
    """4x4 convolution of stride 2, class-conditional batch norm (Sec. 4.2.1), LeakyReLU.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        num_classes (int): Of the norm; 0 for one that does not see the class.
        sync_bn (bool): See :class:`GlobalBatchNorm2d`.
        batch_norm (bool): False: the convolution has a bias, and nothing is normalised.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_classes: int,
        sync_bn: bool,
        batch_norm: bool = True,
    ):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, 4, stride=2, padding=1, bias=not batch_norm
        )
        nn.init.xavier_normal_(self.conv.weight)
        self.norm: Optional[nn.Module] = None
        if batch_norm:
            self.norm = class_norm(
                out_channels, num_classes, track_running_stats=False, sync=sync_bn
            )

    def forward(
        self, x: Tensor, weights: Tensor, statistics: Optional[BatchStatistics]
    ) -> Tuple[Tensor, Optional[BatchStatistics]]:
        """Map (N, in, H, W) and class weights (N, num_classes) to (N, out, H/2, W/2).

        Returns:
            tuple[Tensor, BatchStatistics | None]: The map, and the statistics that it was
            normalised by: the batch's own where None are given, None without a norm.
        """
        x = self.conv(x)
        if self.norm is None:
            return F.leaky_relu(x, LEAKY_SLOPE), None
        statistics = statistics or self.norm.statistics(x)
        return F.leaky_relu(self.norm(x, weights, statistics), LEAKY_SLOPE), statistics


class StageCritic(nn.Module):
    """The critic of one stage: DownBlocks with self-attention, then the head of Sec. 4.2.1.

    Head: 3x3 convolution with spectral norm, batch norm, LeakyReLU, minibatch discrimination, fully
    connected layer. (A batch norm takes the size out of what comes before it, so the spectral norm
    changes how far an optimizer step turns the convolution, not what it computes.)

    Args:
        in_size (tuple[int, int]): Height and width of the stage's images.
        channels (Sequence[int]): Channels after each DownBlock.
        in_channels (int): Image channels.
        num_classes (int): Number of classes.
        num_kernels (int): See :class:`MinibatchDiscrimination`; 0 leaves it out.
        kernel_size (int): See :class:`MinibatchDiscrimination`.
        projection (bool): Add the inner product of a class embedding with the pooled features.
        sync_bn (bool): Batch statistics, and minibatch discrimination, over all processes.
        attention (bool): Self-attention. Defaults to True.
        spectral_norm (bool): Of the head's convolution. Defaults to True.
        conditional_norm (bool): The norms of the DownBlocks see the class. Defaults to True.
        batch_norm (bool): False: no norm, biases in their place. Defaults to True.
    """

    def __init__(
        self,
        in_size: Tuple[int, int],
        channels: Sequence[int],
        in_channels: int,
        num_classes: int,
        num_kernels: int,
        kernel_size: int,
        projection: bool,
        sync_bn: bool,
        attention: bool = True,
        spectral_norm: bool = True,
        conditional_norm: bool = True,
        batch_norm: bool = True,
    ):
        super().__init__()
        widths = [in_channels, *channels]
        norm_classes = num_classes if conditional_norm else 0
        self.blocks = nn.ModuleList(
            DownBlock(a, b, norm_classes, sync_bn, batch_norm)
            for a, b in zip(widths, widths[1:], strict=False)
        )
        self.attention_after = len(channels) - _HALVINGS_AFTER_ATTENTION
        # The gradient penalty goes through twice.
        self.attention: Optional[SelfAttention] = None
        if attention:
            self.attention = SelfAttention(widths[self.attention_after], fused=False)
        self.conv = sn_conv(widths[-1], widths[-1], 3)
        if not spectral_norm:
            parametrize.remove_parametrizations(self.conv, 'weight', leave_parametrized=False)
        self.norm: Optional[nn.Module] = None
        if batch_norm:
            self.norm = GlobalBatchNorm2d(widths[-1], track_running_stats=False, sync=sync_bn)
        height, width = (side // 2 ** len(channels) for side in in_size)
        features = widths[-1] * height * width
        self.minibatch: Optional[MinibatchDiscrimination] = None
        if num_kernels:
            self.minibatch = MinibatchDiscrimination(features, num_kernels, kernel_size, sync_bn)
            features = self.minibatch.out_features
        self.to_logit = nn.Linear(features, 1)
        self.class_embedding = (
            nn.Linear(num_classes, widths[-1], bias=False) if projection else None
        )

    def forward(
        self,
        x: Tensor,
        weights: Tensor,
        groups: int = 1,
        statistics: Optional[List[BatchStatistics]] = None,
    ) -> Tuple[Tensor, List[BatchStatistics]]:
        """Evaluate images; arguments as of :meth:`HistoGANDiscriminator.forward`.

        Args:
            x (Tensor): Images of the stage (N, C, H, W).
            weights (Tensor): Class weights (N, num_classes).
            groups (int): Equal parts of the batch, each evaluated for variety by itself.
            statistics (list[BatchStatistics], optional): Of another batch, for every norm.

        Returns:
            tuple[Tensor, list[BatchStatistics]]: Logits (N,), and the statistics of every norm.
        """
        given = iter(statistics or [None] * (len(self.blocks) + 1))
        used = []
        for number, block in enumerate(self.blocks, start=1):
            x, of_block = block(x, weights, next(given))
            used.append(of_block)
            if number == self.attention_after and self.attention is not None:
                x = self.attention(x)
        x = self.conv(x)
        if self.norm is not None:
            used.append(next(given) or self.norm.statistics(x))
            x = self.norm(x, used[-1])
        last = F.leaky_relu(x, LEAKY_SLOPE)
        # A Wasserstein critic's logits have no bounds: bfloat16 would round away what tells two
        # images apart.
        with torch.autocast(x.device.type, enabled=False):
            last = at_least_float32(last)
            features = last.flatten(1)
            if self.minibatch is not None:
                features = torch.cat([self.minibatch(part) for part in features.chunk(groups)])
            logits = self.to_logit(features).flatten()
            if self.class_embedding is not None:
                pooled = last.mean(dim=(2, 3))
                logits = logits + (self.class_embedding(weights.to(pooled.dtype)) * pooled).sum(
                    dim=1
                )
        return logits, used


@MODELS.register_module()
class HistoGANDiscriminator(nn.Module):
    """The critics of all stages of HistoGAN, each for its own image size.

    The label enters through the class-conditional batch norm after every down-sampling convolution,
    the only place that the paper names; ``projection`` adds SAGAN's second one. Channels are
    StackGAN++'s (64 after the first convolution, doubled by each), up to 512, which is where
    StackGAN++ returns to.

    Batch normalisation takes each channel's mean and spread out of a batch. A critic that saw real
    and generated images in batches of their own could not tell them by their colour or contrast,
    so both are scored in one batch (Sec. 4.2.1: they are fed "together"), each group compared for
    variety (minibatch discrimination) within itself. The mixtures of a gradient penalty are scored
    by the statistics of that batch: the critic then is a function of one image (but for the
    minibatch discrimination), as the penalty takes it to be, and the same one. There are no running
    statistics: a logit is meant within its batch.

    Args:
        in_size (int | Sequence[int]): Last stage's image, a side or (height, width).
            Defaults to (256, 128).
        num_stages (int): As the generator's. Defaults to 3.
        num_classes (int): Number of classes. Defaults to 4.
        base_channels (int): Channels after the first convolution of every critic. Defaults to 64.
        max_channels (int): No map has more. Defaults to 512.
        in_channels (int): Image channels, 1 or 3. Defaults to 3.
        num_kernels (int): Of the minibatch discrimination; 0 leaves it out. Defaults to 100.
        kernel_size (int): Of the minibatch discrimination. Defaults to 5.
        projection (bool): Add the inner product of a class embedding with the pooled features of
            the last map to the logit (Miyato & Koyama 2018, as SAGAN). Defaults to False.
        sync_bn (bool): Batch statistics, and minibatch discrimination, over all processes.
            Defaults to True.
        attention (bool): Self-attention in every critic. Defaults to True (Sec. 3.1.1).
        spectral_norm (bool): On the convolution of every head. Defaults to True (Sec. 4.2.1).
        conditional_norm (bool): The label enters through the batch norms. With False it needs
            ``projection``. Defaults to True (Sec. 4.2.1).
        batch_norm (bool): In the critics. False leaves it out, so that a logit is a function of
            its image alone (with ``num_kernels=0``), as penalties of each image's gradient take it
            to be; the label then enters by ``projection``. Not in the paper. Defaults to True.

    Raises:
        ValueError: For an argument outside its range; the message names it.
    """

    def __init__(
        self,
        in_size: Size = (256, 128),
        num_stages: int = 3,
        num_classes: int = 4,
        base_channels: int = 64,
        max_channels: int = 512,
        in_channels: int = 3,
        num_kernels: int = 100,
        kernel_size: int = 5,
        projection: bool = False,
        sync_bn: bool = True,
        attention: bool = True,
        spectral_norm: bool = True,
        conditional_norm: bool = True,
        batch_norm: bool = True,
    ):
        super().__init__()
        self.stage_sizes = stage_sizes('in_size', in_size, num_stages)
        for name, value, least in (
            ('num_classes', num_classes, 1),
            ('base_channels', base_channels, 1),
            ('max_channels', max_channels, base_channels),
            ('num_kernels', num_kernels, 0),
            ('kernel_size', kernel_size, 1),
        ):
            if value < least:
                raise ValueError(f'{name}={value!r}: must be at least {least}')
        if in_channels not in (1, 3):
            raise ValueError(f'in_channels={in_channels!r}: must be 1 or 3')
        if num_classes > 1 and not ((conditional_norm and batch_norm) or projection):
            option = 'batch_norm' if conditional_norm else 'conditional_norm'
            raise ValueError(
                f'{option}=False: the critics would not see the label at all; say '
                'projection=True as well'
            )
        self.in_size = self.stage_sizes[-1]
        self.num_stages = num_stages
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.batch_norm = batch_norm
        self.critics = nn.ModuleList()
        for stage, size in enumerate(self.stage_sizes):
            downs = range(FIRST_STAGE_BLOCKS + stage)
            self.critics.append(
                StageCritic(
                    size,
                    [min(max_channels, base_channels * 2**i) for i in downs],
                    in_channels,
                    num_classes,
                    num_kernels,
                    kernel_size,
                    projection,
                    sync_bn,
                    attention,
                    spectral_norm,
                    conditional_norm,
                    batch_norm,
                )
            )

    def forward(
        self,
        images: Sequence[Tensor],
        label: Optional[Tensor] = None,
        groups: int = 1,
        statistics: Optional[List[List[BatchStatistics]]] = None,
    ) -> Tuple[List[Tensor], List[List[BatchStatistics]]]:
        """Evaluate the images of every stage.

        Args:
            images (Sequence[Tensor]): (N, in_channels, height, width) in [-1, 1], one batch per
                stage, smallest first.
            label (Tensor): Class indices (N,) or (N, 1), the same for all stages.
            groups (int): Equal parts of the batch, in its order, each of them compared for variety
                within itself, e.g. 2 for real and generated images. Defaults to 1.
            statistics (list[list[BatchStatistics]], optional): Normalise by these, which an
                earlier call returned, in place of the batch's own. Defaults to None.

        Returns:
            tuple[list[Tensor], list[list[BatchStatistics]]]: Logits (N,) of every stage, and the
            statistics of every stage's norms.
        """
        if label is None:
            raise ValueError('HistoGANDiscriminator needs label: class indices of shape (N,)')
        if isinstance(images, Tensor) or len(images) != self.num_stages:
            raise ValueError(
                f'HistoGANDiscriminator needs a list of {self.num_stages} batches, one per stage'
            )
        for batch, size in zip(images, self.stage_sizes, strict=True):
            expected = (self.in_channels, *size)
            if batch.shape[1:] != expected:
                raise ValueError(
                    f'images of shape {tuple(batch.shape)} given; expected (N, '
                    f'{", ".join(map(str, expected))})'
                )
        weights = class_weights(label, self.num_classes)
        if len(weights) != len(images[0]):
            raise ValueError(f'{len(images[0])} images but {len(weights)} labels')
        evaluated = [
            critic(batch, weights, groups, of_stage)
            for critic, batch, of_stage in zip(
                self.critics, images, statistics or [None] * self.num_stages, strict=True
            )
        ]
        return [logits for logits, _ in evaluated], [used for _, used in evaluated]
