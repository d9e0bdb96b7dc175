"""Latent diffusion of a few thousand parameters, and what a step of it needs."""

import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine.optim import OptimWrapper, OptimWrapperDict
from tiny_generators import LATENT_AUTOENCODER as AUTOENCODER
from tiny_generators import LATENT_UNET as UNET

from cellgan_plugin.randomness import generator_for

SIZE = AUTOENCODER['sample_size']
VQ = dict(AUTOENCODER, type='VQModel', num_vq_embeddings=8)
SCHEDULE = dict(
    num_train_timesteps=1000, beta_schedule='scaled_linear', beta_start=0.0015, beta_end=0.0195
)


def latent_diffusion(trained=True, seed=0, **options):
    """Stage 2; with ``trained`` its random autoencoder is taken for a trained one."""
    torch.manual_seed(seed)
    config = dict(
        type='LatentDiffusion',
        num_classes=3,
        generator=dict(UNET),
        autoencoder=dict(AUTOENCODER),
        scheduler=SCHEDULE,
        sampling=dict(num_inference_steps=4),
        ema_config=dict(type='ExponentialMovingAverage', momentum=0.1),
    )
    config.update(options)
    model = MODELS.build(config)
    if trained:
        model.autoencoder_is_trained.fill_(True)
    return model


def latent_autoencoder(seed=0, **options):
    """Stage 1."""
    torch.manual_seed(seed)
    config = dict(
        type='LatentAutoencoder',
        autoencoder=dict(AUTOENCODER),
        discriminator=dict(type='PatchDiscriminator', in_channels=3, base_channels=4, num_conv=1),
    )
    config.update(options)
    return MODELS.build(config)


def optimizers(model, lr=0.01):
    names = ('autoencoder', 'discriminator')
    if hasattr(model, 'generator'):
        names = ('generator',)
    return OptimWrapperDict(
        **{
            name: OptimWrapper(torch.optim.Adam(getattr(model, name).parameters(), lr))
            for name in names
            if getattr(model, name) is not None
        }
    )


def batch(count=4, iteration=0, size=SIZE):
    draws = generator_for(0, 'batch', iteration)
    img = torch.randint(0, 256, (count, 3, size, size), generator=draws, dtype=torch.uint8)
    samples = []
    for label in torch.randint(0, 3, (count,), generator=draws):
        samples.append(DataSample())
        samples[-1].set_gt_label(int(label))
    return dict(inputs=dict(img=list(img)), data_samples=samples)


def copy_of(module):
    """Every weight and buffer as it is now."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def changed(before, module):
    """Names of the weights and buffers that are others than before."""
    return {name for name, value in module.state_dict().items() if not before[name].equal(value)}
