"""CellGAN (Shen et al., MICCAI 2023)."""

from .cellgan import CellGAN
from .discriminator import CellGANDiscriminator
from .generator import CellGANGenerator

__all__ = ['CellGAN', 'CellGANDiscriminator', 'CellGANGenerator']
