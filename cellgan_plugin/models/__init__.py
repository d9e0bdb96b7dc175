"""Models, their layers and losses, registered in MMagic's MODELS."""

from .augmented_discriminator import AugmentedDiscriminator
from .cellgan import CellGAN, CellGANDiscriminator, CellGANGenerator
from .conditional_gan import ConditionalGAN
from .data_preprocessor import CellDataPreprocessor, generated_pixels
from .histogan import HistoGAN, HistoGANDiscriminator, HistoGANGenerator
from .latent_diffusion import LatentAutoencoder, LatentDiffusion, LatentUNet
from .losses import (
    DiffAugment,
    GradientPenalty,
    HingeGANLoss,
    R1Penalty,
    ReconstructionLoss,
    VGGPerceptualLoss,
    WassersteinLoss,
)
from .mc_dropout import mc_dropout_backbone
from .sampling import draw_noise, sample_pixels, truncate_noise

__all__ = [
    'AugmentedDiscriminator',
    'CellDataPreprocessor',
    'CellGAN',
    'CellGANDiscriminator',
    'CellGANGenerator',
    'ConditionalGAN',
    'DiffAugment',
    'GradientPenalty',
    'HingeGANLoss',
    'HistoGAN',
    'HistoGANDiscriminator',
    'HistoGANGenerator',
    'LatentAutoencoder',
    'LatentDiffusion',
    'LatentUNet',
    'R1Penalty',
    'ReconstructionLoss',
    'VGGPerceptualLoss',
    'WassersteinLoss',
    'draw_noise',
    'generated_pixels',
    'mc_dropout_backbone',
    'sample_pixels',
    'truncate_noise',
]
