"""Models, their layers and losses, registered in MMagic's MODELS."""

from .augmented_discriminator import AugmentedDiscriminator
from .cellgan import CellGAN, CellGANDiscriminator, CellGANGenerator, CellGANGlobalDiscriminator
from .conditional_gan import ConditionalGAN
from .data_preprocessor import CellDataPreprocessor, generated_pixels
from .histogan import HistoGAN, HistoGANDiscriminator, HistoGANGenerator
from .latent_diffusion import LatentAutoencoder, LatentDiffusion, LatentUNet
from .losses import (
    AdaptiveAugment,
    ClassifierPerceptualLoss,
    DiffAugment,
    FeatureMatchingLoss,
    GradientPenalty,
    HingeGANLoss,
    ImageReconstructionLoss,
    PatchAdversarialLoss,
    R1Penalty,
    ReconstructionLoss,
    RelativisticLoss,
    VGGPerceptualLoss,
    WassersteinLoss,
)
from .mc_dropout import mc_dropout_backbone
from .moving_average import ForeachEMA
from .pyramid_gan import (
    FCDenseNet,
    LibrarySegmenter,
    MaskUNetGenerator,
    MeanTeacher,
    PyramidDiscriminator,
    PyramidGAN,
    PyramidGenerator,
)
from .sampling import draw_noise, sample_pixels, truncate_noise
from .tissue_preprocessor import TissueDataPreprocessor

__all__ = [
    'AdaptiveAugment',
    'AugmentedDiscriminator',
    'CellDataPreprocessor',
    'CellGAN',
    'CellGANDiscriminator',
    'CellGANGenerator',
    'CellGANGlobalDiscriminator',
    'ClassifierPerceptualLoss',
    'ConditionalGAN',
    'DiffAugment',
    'FCDenseNet',
    'FeatureMatchingLoss',
    'ForeachEMA',
    'GradientPenalty',
    'HingeGANLoss',
    'HistoGAN',
    'HistoGANDiscriminator',
    'HistoGANGenerator',
    'ImageReconstructionLoss',
    'LatentAutoencoder',
    'LatentDiffusion',
    'LatentUNet',
    'LibrarySegmenter',
    'MaskUNetGenerator',
    'MeanTeacher',
    'PyramidDiscriminator',
    'PatchAdversarialLoss',
    'PyramidGAN',
    'PyramidGenerator',
    'R1Penalty',
    'ReconstructionLoss',
    'RelativisticLoss',
    'TissueDataPreprocessor',
    'VGGPerceptualLoss',
    'WassersteinLoss',
    'draw_noise',
    'generated_pixels',
    'mc_dropout_backbone',
    'sample_pixels',
    'truncate_noise',
]
