"""The rewrites of CellGAN's training step, each with code that undoes only this one.

``train_step.py --rewrites`` uses them to measure the gain of each.
"""

import contextlib
from typing import Dict, Tuple
from unittest import mock

import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from cellgan_plugin.models.cellgan import CellGAN, CellGANDiscriminator, CellGANGenerator
from cellgan_plugin.models.cellgan import cellgan as cellgan_module
from cellgan_plugin.models.cellgan.generator import UpBlock
from cellgan_plugin.models.layers import LEAKY_SLOPE, AdaIN, UpsamplingConv2d


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode='nearest')


def _convolve_enlarged(layer: UpsamplingConv2d, x: Tensor) -> Tensor:
    return F.conv2d(_upsample(x), layer.weight, padding=1)


def _normalise_enlarged(block: UpBlock, x: Tensor, embedding: Tensor, shift=None) -> Tensor:
    x = F.leaky_relu(block.adain(_upsample(x), embedding, shift), LEAKY_SLOPE)
    return F.conv2d(x, block.conv.weight, padding=1)


def _normalise_in_three_passes(layer: AdaIN, x: Tensor, embedding: Tensor, shift=None) -> Tensor:
    style = layer.affine(embedding)
    style = style if shift is None else style + shift
    scale, bias = style[:, :, None, None].chunk(2, dim=1)
    return F.instance_norm(x) * (1 + scale) + bias


def rewrites(model: CellGAN) -> Dict[str, Tuple]:
    """{what a step does instead: (owner, name of the attribute, literal form)}."""
    turn, evaluate = CellGAN.train_discriminator, CellGANDiscriminator.forward
    generate = CellGANGenerator.forward

    def generate_with_graph(net, *args, **kwargs):
        with torch.enable_grad():
            return generate(net, *args, **kwargs)

    def turn_with_graph(model, *args, **kwargs):
        with mock.patch.object(CellGANGenerator, 'forward', generate_with_graph):
            log = turn(model, *args, **kwargs)
        model.generator.zero_grad()
        return log

    def decode_always(net, img, label=None, crop_offset=None):
        found = evaluate(net, img, label, crop_offset or (0, 0))
        return found if crop_offset is not None else found.logits

    def once_per_pass(network):
        return contextlib.nullcontext()

    return {
        'R1 by double backward': (model, '_input_gradient', None),
        'convolution after upsampling': (UpsamplingConv2d, 'forward', _convolve_enlarged),
        'AdaIN and convolution after it': (UpBlock, 'forward', _normalise_enlarged),
        'AdaIN in three passes': (AdaIN, 'forward', _normalise_in_three_passes),
        "G with a graph in D's turn": (CellGAN, 'train_discriminator', turn_with_graph),
        'decoders in every pass of D': (CellGANDiscriminator, 'forward', decode_always),
        'spectral norm at every pass': (cellgan_module, 'normalised_once', once_per_pass),
    }


def contiguous(model: CellGAN) -> None:
    """Let a model train in PyTorch's default memory order instead of channels-last."""
    model.to(memory_format=torch.contiguous_format)
    preprocess = model.data_preprocessor.forward

    def in_default_order(*args, **kwargs):
        data = preprocess(*args, **kwargs)
        data['inputs']['img'] = data['inputs']['img'].contiguous()
        return data

    model.data_preprocessor.forward = in_default_order


def plain_adam(optimizers: OptimWrapperDict) -> None:
    """Let optimizers go weight by weight."""
    for wrapper in optimizers.values():
        for group in wrapper.optimizer.param_groups:
            group.update(fused=False, foreach=False)
