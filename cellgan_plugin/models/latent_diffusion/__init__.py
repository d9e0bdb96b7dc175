"""Class-conditional latent diffusion (Rombach et al. 2022) in two stages."""

from .autoencoder import ImageAutoencoder, KLAutoencoder, VQAutoencoder, build_autoencoder
from .latent_autoencoder import LatentAutoencoder
from .latent_diffusion import LatentDiffusion
from .unet import LatentUNet

__all__ = [
    'ImageAutoencoder',
    'KLAutoencoder',
    'LatentAutoencoder',
    'LatentDiffusion',
    'LatentUNet',
    'VQAutoencoder',
    'build_autoencoder',
]
