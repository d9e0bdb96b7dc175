"""How samples become a batch."""

from typing import Dict, List, Sequence

import torch
from mmagic.structures import DataSample
from mmengine.registry import FUNCTIONS

from cellgan_plugin.datasets.batches import CellBatch


@FUNCTIONS.register_module()
def stack_cell_batch(batch: Sequence[Dict]) -> Dict:
    """Stack samples in the loader worker.

    MMEngine's ``pseudo_collate`` sends every image and every label to the training process as a
    shared-memory file of its own; this sends one for each. The package's data preprocessor takes
    both forms, MMagic's takes ``pseudo_collate`` only.

    Args:
        batch (Sequence[dict]): Results of ``PackCellInputs``, or a
            :class:`~cellgan_plugin.datasets.batches.CellBatch`, whose images are gathered and
            flipped as one tensor.

    Returns:
        dict: ``inputs=dict(img=...)`` with a uint8 (N, C, H, W) tensor, and ``data_samples``, one
        ``DataSample`` with ``gt_label.label`` of shape (N, 1) and lists as metainfo.
    """
    if isinstance(batch, CellBatch):
        return batch.stacked()
    keys = batch[0]['inputs'].keys()
    inputs = {key: torch.stack([sample['inputs'][key] for sample in batch]) for key in keys}
    samples = [sample['data_samples'] for sample in batch]
    with_gt_img = all('gt_img' in sample for sample in samples)
    if with_gt_img:  # the same tensor as the input: stacked once
        for sample in samples:
            del sample.gt_img
    stacked = DataSample.stack(samples)
    if with_gt_img:
        stacked.gt_img = inputs['img']
    return dict(inputs=inputs, data_samples=stacked)


@FUNCTIONS.register_module()
def stack_tissue_batch(batch: List[Dict]) -> Dict:
    """Stack image + mask pairs in the loader worker.

    Args:
        batch (list[dict]): Results of ``PackTissueInputs``, all of one size.

    Returns:
        dict: ``inputs``: ``img`` uint8 (N, 3, H, W), ``mask`` uint8 (N, H, W), ``labelled`` bool
        (N,), perhaps ``instances`` int32 (N, H, W); ``data_samples``: a list of N ``DataSample``.

    Raises:
        ValueError: When sizes differ.
    """
    shapes = {tuple(sample['inputs']['img'].shape[1:]) for sample in batch}
    if len(shapes) > 1:
        raise ValueError(
            f'a batch of pairs of different sizes {sorted(shapes)}: use batch_size=1 for whole '
            'images, or tiles'
        )
    keys = batch[0]['inputs'].keys()
    inputs = {key: torch.stack([sample['inputs'][key] for sample in batch]) for key in keys}
    return dict(inputs=inputs, data_samples=[sample['data_samples'] for sample in batch])
