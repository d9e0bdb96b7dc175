"""A pyramid of tiny networks, and batches for it."""

import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper

from cellgan_plugin.models import PyramidGAN

SCALES = (
    dict(size=8, batch_size=4, iters=3),
    dict(size=16, batch_size=3, iters=3),
    dict(size=32, batch_size=2, iters=3),
)
GENERATOR = dict(type='mmagic.PyramidGenerator', base_channels=4, num_downsamples=1, num_blocks=1)
DISCRIMINATOR = dict(type='mmagic.PyramidDiscriminator', base_channels=4, num_layers=2)
SEGMENTER = dict(
    type='mmagic.FCDenseNet',
    first_channels=6,
    growth_rate=4,
    block_layers=(1, 1),
    bottleneck_layers=1,
)
ADAM = dict(type='Adam', betas=(0.5, 0.999))
OPTIMIZERS = ConfigDict(
    constructor='ScaleOptimWrapperConstructor',
    generator=dict(optimizer=dict(ADAM, lr=1e-3)),
    discriminator=dict(optimizer=dict(ADAM, lr=1e-3)),
    segmenter=dict(optimizer=dict(ADAM, lr=1e-3)),
)


def tiny_model(num_classes=2, scales=SCALES, segmenter=SEGMENTER, **kwargs):
    """A PyramidGAN of all three players, with the same weights every time."""
    torch.manual_seed(0)
    kwargs = {**dict(generator=GENERATOR, discriminator=DISCRIMINATOR), **kwargs}
    return PyramidGAN(num_classes, scales=scales, segmenter=segmenter, **kwargs)


def optimizers(model):
    """Of the current scale."""
    return build_optim_wrapper(model, OPTIMIZERS)


def tissue_batch(count=4, size=32, num_classes=2, unlabelled=0, seed=0):
    """A collated batch: the last ``unlabelled`` images have no mask."""
    numbers = torch.Generator().manual_seed(seed)
    img = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=numbers)
    blocks = torch.randint(0, num_classes, (count, 4, 4), dtype=torch.uint8, generator=numbers)
    mask = blocks.repeat_interleave(size // 4, 1).repeat_interleave(size // 4, 2)
    labelled = torch.arange(count) < count - unlabelled
    mask[~labelled] = 255
    return dict(inputs=dict(img=img, mask=mask, labelled=labelled), data_samples=None)
