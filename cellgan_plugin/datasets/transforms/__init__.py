"""Registered transforms."""

from cellgan_plugin.datasets.transforms.cell_transforms import (
    FitCellPatch,
    PackCellInputs,
    RandomCellColorJitter,
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
    'RandomCellColorJitter',
    'RandomCellFlip',
    'RandomTissueColor',
    'RandomTissueFlip',
]
