"""Registered transforms."""

from cellgan_plugin.datasets.transforms.cell_transforms import (
    FitCellPatch,
    PackCellInputs,
    RandomCellFlip,
)
from cellgan_plugin.datasets.transforms.tissue_transforms import (
    FitTissue,
    PackTissueInputs,
    RandomTissueColor,
    RandomTissueFlip,
)

__all__ = [
    'FitCellPatch',
    'FitTissue',
    'PackCellInputs',
    'PackTissueInputs',
    'RandomCellFlip',
    'RandomTissueColor',
    'RandomTissueFlip',
]
