"""Losses and differentiable augmentation, registered in MMagic's MODELS."""

from .adaptive_augment import AdaptiveAugment
from .cellgan_losses import HingeGANLoss, R1Penalty, ReconstructionLoss, RelativisticLoss
from .diff_augment import DiffAugment
from .gradient_penalty import GradientPenalty, WassersteinLoss
from .perceptual import ClassifierPerceptualLoss, VGGPerceptualLoss
from .pyramid_losses import FeatureMatchingLoss, ImageReconstructionLoss, PatchAdversarialLoss

__all__ = [
    'AdaptiveAugment',
    'ClassifierPerceptualLoss',
    'DiffAugment',
    'FeatureMatchingLoss',
    'GradientPenalty',
    'HingeGANLoss',
    'ImageReconstructionLoss',
    'PatchAdversarialLoss',
    'R1Penalty',
    'ReconstructionLoss',
    'RelativisticLoss',
    'VGGPerceptualLoss',
    'WassersteinLoss',
]
