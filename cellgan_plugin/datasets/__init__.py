"""Data sets, samplers and transforms; importing this package registers them in MMagic."""

from cellgan_plugin.datasets.cell_patches import CellPatchDataset
from cellgan_plugin.datasets.checks import DatasetReport, check_dataset
from cellgan_plugin.datasets.classes import BETHESDA_CLASSES, check_class_names, resolve_class
from cellgan_plugin.datasets.collate import stack_cell_batch
from cellgan_plugin.datasets.image_io import ImageFileError, load_image
from cellgan_plugin.datasets.problems import DatasetError, Problem
from cellgan_plugin.datasets.samplers import ResumableInfiniteSampler, SampleIndex
from cellgan_plugin.datasets.transforms import FitCellPatch, PackCellInputs, RandomCellFlip

__all__ = [
    'BETHESDA_CLASSES',
    'CellPatchDataset',
    'DatasetError',
    'DatasetReport',
    'FitCellPatch',
    'ImageFileError',
    'PackCellInputs',
    'Problem',
    'RandomCellFlip',
    'ResumableInfiniteSampler',
    'SampleIndex',
    'check_class_names',
    'check_dataset',
    'load_image',
    'resolve_class',
    'stack_cell_batch',
]
