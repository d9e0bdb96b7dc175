"""Losses and differentiable augmentation, registered in MMagic's MODELS."""

from .cellgan_losses import HingeGANLoss, R1Penalty, ReconstructionLoss
from .diff_augment import DiffAugment
from .gradient_penalty import GradientPenalty, WassersteinLoss
from .perceptual import VGGPerceptualLoss

__all__ = [
    'DiffAugment',
    'GradientPenalty',
    'HingeGANLoss',
    'R1Penalty',
    'ReconstructionLoss',
    'VGGPerceptualLoss',
    'WassersteinLoss',
]
