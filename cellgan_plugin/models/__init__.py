"""Models, their layers and losses, registered in MMagic's MODELS."""

from .augmented_discriminator import AugmentedDiscriminator
from .cellgan import CellGAN, CellGANDiscriminator, CellGANGenerator
from .conditional_gan import ConditionalGAN
from .data_preprocessor import CellDataPreprocessor, generated_pixels
from .losses import DiffAugment, HingeGANLoss, R1Penalty, ReconstructionLoss
from .sampling import draw_noise, sample_pixels, truncate_noise

__all__ = [
    'AugmentedDiscriminator',
    'CellDataPreprocessor',
    'CellGAN',
    'CellGANDiscriminator',
    'CellGANGenerator',
    'ConditionalGAN',
    'DiffAugment',
    'HingeGANLoss',
    'R1Penalty',
    'ReconstructionLoss',
    'draw_noise',
    'generated_pixels',
    'sample_pixels',
    'truncate_noise',
]
