"""HistoGAN (Xue et al., Medical Image Analysis 2021): a multi-stage conditional GAN for tissue."""

from .discriminator import HistoGANDiscriminator
from .generator import HistoGANGenerator
from .histogan import HistoGAN

__all__ = ['HistoGAN', 'HistoGANDiscriminator', 'HistoGANGenerator']
