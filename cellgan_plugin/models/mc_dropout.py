"""Monte-Carlo dropout before the last block of a classifier's backbone (HistoGAN, Sec. 4.2.2)."""

from typing import Dict, List, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.randomness import generator_for

PURPOSE = 'mc_dropout'


class BackboneError(ValueError):
    """A backbone that is not known how to cut before its last block."""


class BlockDropout:
    """Forward pre-hook: dropout of a block's input while the block trains.

    A hook rather than a layer: the names of all weights stay, so that checkpoints of the network
    with and without dropout are the same.

    Args:
        p (float): Probability that an element is dropped.
    """

    def __init__(self, p: float):
        self.p = p

    def __call__(self, block: nn.Module, inputs: Tuple[Tensor, ...]) -> Tuple[Tensor, ...]:
        """The inputs that the block sees."""
        return (F.dropout(inputs[0], self.p, block.training), *inputs[1:])


def check_probability(p: float) -> float:
    """ValueError unless 0 <= p < 1."""
    if not 0 <= p < 1:
        raise ValueError(f'the dropout probability is at least 0 and below 1, got {p}')
    return float(p)


class SplitBackbone:
    """A ResNet or DenseNet of MMPretrain in two parts, cut before its last block.

    For a ResNet the last residual block of the last stage (Sec. 4.2.2: "before the last residual
    block right above the fully-connected layer"). For a DenseNet, which the paper does not use,
    the last dense block: what is dropped at its input is missing in its output too, as a residual
    block's shortcut also passes the dropped input on.

    Args:
        backbone (nn.Module): The network; not copied.

    Attributes:
        num_stages (int): Maps that :meth:`trunk` and :meth:`top` give together.
        map_names (list[str]): Of these maps: stages '1', '2', ..., or blocks '1.1', '1.2', ...
        block (nn.Module): The block before which elements are dropped.

    Raises:
        BackboneError: Another kind of network.
    """

    def __init__(self, backbone: nn.Module):
        from mmpretrain.models.backbones import DenseNet, ResNet

        self.backbone = backbone
        forward = type(backbone).forward
        # Subclasses with a forward of their own (ResNet_CIFAR, ...) are cut otherwise.
        if forward is ResNet.forward:
            self.dense = False
            self._stages = [getattr(backbone, name) for name in backbone.res_layers]
            if len(self._stages[-1]) < 2:
                raise BackboneError(
                    'the last stage of this ResNet has one residual block only, which the maps '
                    'before it cannot be told apart from; use ResNet-18 or deeper'
                )
            self.block = self._stages[-1][-1]
        elif forward is DenseNet.forward:
            self.dense = True
            self._stages = list(backbone.stages)
            self.block = self._stages[-1]
        else:
            raise BackboneError(
                f'Monte-Carlo dropout is known for ResNets (ResNeXt, SE-ResNet, ... that share '
                f"ResNet's forward) and DenseNets of MMPretrain, not for {type(backbone).__name__}"
            )
        self.set_blocks(False)

    def set_blocks(self, blocks: bool) -> None:
        """Whether maps are those after every residual block, or after every stage.

        A dense block of a DenseNet is one block.
        """
        self.blocks = blocks
        names = [str(number + 1) for number in range(len(self._stages))]
        if blocks:
            sizes = [1 if self.dense else len(stage) for stage in self._stages]
            pairs = zip(names, sizes, strict=True)
            names = [f'{name}.{block + 1}' for name, size in pairs for block in range(size)]
        self.map_names = names
        self.num_stages = len(names)

    def trunk(self, x: Tensor) -> Tuple[List[Tensor], Tensor]:
        """What no dropout changes.

        Args:
            x (Tensor): Normalised images (N, 3, H, W).

        Returns:
            tuple: Maps after all stages (or blocks) but the last, each (N, C_l, H_l, W_l), and the
            input (N, C, h, w) of the last block.
        """
        net, maps = self.backbone, []
        if self.dense:
            x = net.stem(x)
            for stage, transition in zip(self._stages[:-1], net.transitions, strict=False):
                x = transition(stage(x))
                maps.append(x)
            return maps, x
        x = net.stem(x) if net.deep_stem else net.relu(net.norm1(net.conv1(x)))
        x = net.maxpool(x)
        for stage in self._stages[:-1]:
            for block in stage:
                x = block(x)
                if self.blocks:
                    maps.append(x)
            if not self.blocks:
                maps.append(x)
        for block in list(self._stages[-1])[:-1]:
            x = block(x)
            if self.blocks:
                maps.append(x)
        return maps, x

    def top(self, x: Tensor) -> Tensor:
        """Map after the last stage (N, C_L, H_L, W_L) from the input of the last block."""
        x = self.block(x)
        return self.backbone.transitions[-1](x) if self.dense else x


@MODELS.register_module(name='MCDropoutBackbone')
def mc_dropout_backbone(backbone: Union[Dict, nn.Module], p: float = 0.5) -> nn.Module:
    """A ResNet or DenseNet that trains with dropout before its last block.

    In a classifier's config: ``backbone=dict(type='mmagic.MCDropoutBackbone', p=0.5,
    backbone=dict(type='ResNet', depth=34))``. In evaluation mode it is the plain network; the
    passes of :class:`~cellgan_plugin.selection.McDropoutClassifier` bring their own masks. The
    weights have the names of the plain network, so checkpoints of both fit each other.

    Args:
        backbone (dict | nn.Module): Config in MMPretrain's registry, or the network, which is
            changed.
        p (float): Probability that an element of the block's input is dropped. Defaults to 0.5
            (HistoGAN, Sec. 4.2.2).

    Returns:
        nn.Module: The backbone itself.

    Raises:
        BackboneError: Neither a ResNet nor a DenseNet.
    """
    check_probability(p)
    if not isinstance(backbone, nn.Module):
        from mmengine.registry import DefaultScope
        from mmpretrain.registry import MODELS as CLASSIFIERS

        with DefaultScope.overwrite_default_scope('mmpretrain'):
            backbone = CLASSIFIERS.build(dict(backbone))
    SplitBackbone(backbone).block.register_forward_pre_hook(BlockDropout(p))
    return backbone


def trained_dropout(backbone: nn.Module) -> Union[float, None]:
    """The probability a backbone was built with by ``MCDropoutBackbone``, else None."""
    for module in backbone.modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BlockDropout):
                return hook.p
    return None


def draw_masks(
    shape: Sequence[int], p: float, seed: int, pass_name: Union[int, str], keys: Sequence[str]
) -> Tensor:
    """Which elements survive one pass: a mask per image, from its key alone.

    Args:
        shape (Sequence[int]): (C, h, w) of one image's map.
        p (float): Probability that an element is dropped.
        seed (int): Base seed.
        pass_name (int | str): Which pass.
        keys (Sequence[str]): Names of the images.

    Returns:
        Tensor: bool (len(keys), C, h, w), True where the element stays, on the CPU.
    """
    rows = [
        torch.rand(tuple(shape), generator=generator_for(seed, PURPOSE, pass_name, key)) >= p
        for key in keys
    ]
    return torch.stack(rows)
