"""CellGAN (Shen et al., MICCAI 2023)."""

from .cellgan import CellGAN
from .discriminator import CellGANDiscriminator
from .generator import CellGANGenerator
from .global_discriminator import CellGANGlobalDiscriminator

__all__ = ['CellGAN', 'CellGANDiscriminator', 'CellGANGenerator', 'CellGANGlobalDiscriminator']
