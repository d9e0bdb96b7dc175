"""A model made ready to do nothing but sample."""

import torch
from torch import nn

from cellgan_plugin.models.cellgan.fusing import fuse_generators
from cellgan_plugin.models.layers.fuse import fuse_spectral_norm


def fuse_for_sampling(model: nn.Module) -> nn.Module:
    """Fuse into the weights what does not change between images, in place.

    Spectral norm in every model; upsampling, normalisation and modulation in CellGAN's generator.
    Batch normalisation is left as it is. The images stay the same to rounding.

    Args:
        model (nn.Module): A conditional GAN of MMagic or a model of this plugin. It cannot be
            trained or saved as a checkpoint afterwards.

    Returns:
        nn.Module: ``model``, in evaluation mode, without gradients, its convolution weights in
        channels-last order.
    """
    model.eval().requires_grad_(False)
    fuse_spectral_norm(model)
    fuse_generators(model)
    return model.to(memory_format=torch.channels_last)
