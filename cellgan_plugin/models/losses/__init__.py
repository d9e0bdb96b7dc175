"""Losses and differentiable augmentation, registered in MMagic's MODELS."""

from .cellgan_losses import HingeGANLoss, R1Penalty, ReconstructionLoss
from .diff_augment import DiffAugment

__all__ = ['DiffAugment', 'HingeGANLoss', 'R1Penalty', 'ReconstructionLoss']
