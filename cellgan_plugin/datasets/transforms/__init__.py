"""Registered transforms."""

from cellgan_plugin.datasets.transforms.cell_transforms import (
    FitCellPatch,
    PackCellInputs,
    RandomCellFlip,
)

__all__ = ['FitCellPatch', 'PackCellInputs', 'RandomCellFlip']
