"""Models, their layers and losses, registered in MMagic's MODELS."""

from .cellgan import CellGAN, CellGANDiscriminator, CellGANGenerator
from .conditional_gan import ConditionalGAN
from .data_preprocessor import CellDataPreprocessor, generated_pixels
from .losses import DiffAugment, HingeGANLoss, R1Penalty, ReconstructionLoss

__all__ = [
    'CellDataPreprocessor',
    'CellGAN',
    'CellGANDiscriminator',
    'CellGANGenerator',
    'ConditionalGAN',
    'DiffAugment',
    'HingeGANLoss',
    'R1Penalty',
    'ReconstructionLoss',
    'generated_pixels',
]
