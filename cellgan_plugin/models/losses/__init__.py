"""Losses and differentiable augmentation, registered in MMagic's MODELS."""

from .cellgan_losses import HingeGANLoss, R1Penalty, ReconstructionLoss
from .diff_augment import DiffAugment
from .perceptual import VGGPerceptualLoss

__all__ = ['DiffAugment', 'HingeGANLoss', 'R1Penalty', 'ReconstructionLoss', 'VGGPerceptualLoss']
