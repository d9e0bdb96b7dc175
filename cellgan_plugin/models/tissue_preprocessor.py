"""Batches of tissue images and masks for the models that generate or segment."""

from typing import Any, List, Sequence, Union

import torch
from mmagic.registry import MODELS
from torch import Tensor

from cellgan_plugin.models.data_preprocessor import CellDataPreprocessor, to_model_range


@MODELS.register_module()
class TissueDataPreprocessor(CellDataPreprocessor):
    """Moves images and masks to the device as uint8, and makes the images float there.

    Args:
        non_blocking (bool): Copy to the device asynchronously (pinned memory). Defaults to True.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch of ``TissueMaskDataset``.

        Args:
            data (dict): ``inputs``: a dict, or a list of one dict per sample, with ``img`` (uint8
                (3, H, W) RGB each, or stacked) and, where there are masks, ``mask`` (uint8 (H, W)
                class ids, 255 for pixels without a class), ``labelled`` (bool) and ``instances``
                (int32 (H, W)). ``data_samples``: passed on.
            training (bool): Images of a training batch have one size and are stacked. Defaults to
                False: ``img`` and ``mask`` are lists, since whole images differ in size.

        Returns:
            dict: ``inputs`` with ``img`` float in [-1, 1] and ``mask`` on the device; ``labelled``
            (N,) bool stays on the CPU, since it decides what is computed; and ``data_samples``.
        """
        inputs = data['inputs']
        if isinstance(inputs, Tensor):
            inputs = dict(img=inputs)
        if isinstance(inputs, (list, tuple)):
            inputs = {key: [item[key] for item in inputs] for key in inputs[0]}
        prepared = dict(inputs)
        prepared['img'] = self._images(inputs['img'], training)
        if 'mask' in inputs:
            prepared['mask'] = self._moved(inputs['mask'], training)
        if 'labelled' in inputs:
            prepared['labelled'] = torch.as_tensor(inputs['labelled']).cpu().bool().reshape(-1)
        return dict(inputs=prepared, data_samples=data.get('data_samples'))

    def _moved(self, batch: Union[Tensor, Sequence[Tensor]], training: bool) -> Any:
        if training and not isinstance(batch, Tensor):
            batch = torch.stack(list(batch))
        return self.cast_data(batch if isinstance(batch, Tensor) else list(batch))

    def _images(
        self, batch: Union[Tensor, Sequence[Tensor]], training: bool
    ) -> Union[Tensor, List[Tensor]]:
        batch = self._moved(batch, training)
        if isinstance(batch, Tensor):
            if batch.dtype == torch.uint8:
                batch = batch.contiguous(memory_format=torch.channels_last)
            return to_model_range(batch) if batch.dtype == torch.uint8 else batch
        return [to_model_range(img) if img.dtype == torch.uint8 else img for img in batch]
