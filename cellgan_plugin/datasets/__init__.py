"""Data sets, samplers and transforms; importing this package registers them in MMagic."""

from cellgan_plugin.datasets.cell_patches import CellPatchDataset
from cellgan_plugin.datasets.checks import check_dataset
from cellgan_plugin.datasets.classes import BETHESDA_CLASSES, check_class_names, resolve_class
from cellgan_plugin.datasets.collate import stack_cell_batch, stack_tissue_batch
from cellgan_plugin.datasets.image_io import ImageFileError, load_image
from cellgan_plugin.datasets.labelled_sampler import LabelledBatchSampler
from cellgan_plugin.datasets.labelled_split import choose_labelled
from cellgan_plugin.datasets.mask_io import load_mask
from cellgan_plugin.datasets.problems import DatasetError, Problem
from cellgan_plugin.datasets.report import DatasetReport
from cellgan_plugin.datasets.samplers import (
    PretrainingSampler,
    ResumableInfiniteSampler,
    SampleIndex,
)
from cellgan_plugin.datasets.segmentation_labels import IGNORE_INDEX
from cellgan_plugin.datasets.tissue_masks import TissueMaskDataset
from cellgan_plugin.datasets.transforms import (
    FitCellPatch,
    FitTissue,
    PackCellInputs,
    PackTissueInputs,
    RandomCellFlip,
    RandomTissueColor,
    RandomTissueFlip,
)

__all__ = [
    'BETHESDA_CLASSES',
    'CellPatchDataset',
    'DatasetError',
    'DatasetReport',
    'FitCellPatch',
    'FitTissue',
    'IGNORE_INDEX',
    'ImageFileError',
    'LabelledBatchSampler',
    'PackCellInputs',
    'PackTissueInputs',
    'Problem',
    'RandomCellFlip',
    'RandomTissueColor',
    'RandomTissueFlip',
    'PretrainingSampler',
    'ResumableInfiniteSampler',
    'SampleIndex',
    'TissueMaskDataset',
    'check_class_names',
    'check_dataset',
    'choose_labelled',
    'load_image',
    'load_mask',
    'resolve_class',
    'stack_cell_batch',
    'stack_tissue_batch',
]
