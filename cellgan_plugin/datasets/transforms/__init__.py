"""Registered transforms."""

from cellgan_plugin.datasets.transforms.cell_transforms import (
    FitCellPatch,
    PackCellInputs,
    RandomCellFlip,
)
from cellgan_plugin.datasets.transforms.stain_transforms import NormalizeStain, RandomStain
from cellgan_plugin.datasets.transforms.tissue_transforms import (
    FitTissue,
    PackTissueInputs,
    RandomTissueColor,
    RandomTissueFlip,
)

__all__ = [
    'FitCellPatch',
    'FitTissue',
    'NormalizeStain',
    'PackCellInputs',
    'PackTissueInputs',
    'RandomCellFlip',
    'RandomStain',
    'RandomTissueColor',
    'RandomTissueFlip',
]
