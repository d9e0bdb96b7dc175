"""From the loader's uint8 images to the models' [-1, 1], and back: the one place for it."""

from typing import List, Optional, Sequence, Union

import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine.model import BaseDataPreprocessor
from torch import Tensor


def to_model_range(img: Tensor) -> Tensor:
    """Map uint8 grey levels 0..255 (any shape) to float32 in [-1, 1]."""
    return img.float().div_(127.5).sub_(1.0)


def to_grey_levels(img: Tensor) -> Tensor:
    """Map [-1, 1] to float32 grey levels in [0, 255], not rounded; values outside are clamped."""
    return img.float().add(1.0).mul_(127.5).clamp_(0, 255)


def to_uint8(img: Tensor) -> Tensor:
    """Map [-1, 1] to uint8 as a saved image holds it: rounded to the nearest grey level."""
    return to_grey_levels(img).round_().to(torch.uint8)


@MODELS.register_module()
class CellDataPreprocessor(BaseDataPreprocessor):
    """Stacks a batch, moves it to the device as uint8, and makes it float in [-1, 1] there.

    Serves this plugin's models and MMagic's own conditional GANs: the labels of the stacked data
    sample have shape (N,) (MMagic's own preprocessor leaves (N, 1), which its BigGAN broadcasts
    against (N,) logits without an error), and ``data_samples.gt_img`` is the same tensor as
    ``inputs['img']``. Batches are RGB, as the models see them; :meth:`destruct` gives BGR, since
    that is what MMagic's visualizer and metrics take ``fake_img`` to be
    (:func:`generated_pixels` turns it back).

    Args:
        non_blocking (bool): Copy to the device asynchronously (pinned memory). Defaults to True.
    """

    def __init__(self, non_blocking: bool = True):
        super().__init__(non_blocking)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data (dict): ``inputs``: a dict (``img``: list of uint8 (C, H, W), or one (N, C, H, W);
                ``noise``, ``labels``, ``num_batches``, ``sample_model``, ``sample_kwargs`` pass
                through) or a noise tensor. ``data_samples``: list of DataSample, DataSample, None.
            training (bool): Not used; MMEngine passes it.

        Returns:
            dict: ``inputs`` and ``data_samples`` (stacked DataSample or None). Float images given
            in place of uint8 ones are taken to be in [-1, 1] already.
        """
        inputs = self._stack_images(data.get('inputs'))
        inputs = self.cast_data(inputs)
        data_samples = self._stack_samples(data.get('data_samples'))
        if isinstance(inputs, dict) and 'img' in inputs:
            img = inputs['img']
            img = img.contiguous(memory_format=torch.channels_last)
            inputs['img'] = to_model_range(img) if img.dtype == torch.uint8 else img
            if data_samples is not None:
                data_samples.gt_img = inputs['img']
        return dict(inputs=inputs, data_samples=data_samples)

    @staticmethod
    def _stack_images(inputs: Union[dict, Sequence[dict], Tensor]) -> Union[dict, Tensor]:
        if isinstance(inputs, (list, tuple)) and inputs and isinstance(inputs[0], dict):
            inputs = {key: [item[key] for item in inputs] for key in inputs[0]}
        if isinstance(inputs, dict) and isinstance(inputs.get('img'), (list, tuple)):
            inputs = {**inputs, 'img': torch.stack(list(inputs['img']))}
        return dict(inputs) if isinstance(inputs, dict) else inputs

    def _stack_samples(
        self, data_samples: Optional[Union[DataSample, List[DataSample]]]
    ) -> Optional[DataSample]:
        if data_samples is None or (isinstance(data_samples, (list, tuple)) and not data_samples):
            return None
        if isinstance(data_samples, (list, tuple)):
            labels = [
                sample.gt_label.label.reshape(-1) for sample in data_samples if 'gt_label' in sample
            ]
            stacked = DataSample()
            if labels:
                stacked.set_gt_label(torch.cat(labels))
            return stacked.to(self.device, non_blocking=self._non_blocking)
        data_samples = data_samples.to(self.device, non_blocking=self._non_blocking)
        if 'gt_label' in data_samples:
            data_samples.gt_label.label = data_samples.gt_label.label.reshape(-1)
        return data_samples

    def destruct(
        self, outputs: Tensor, data_samples: Optional[DataSample] = None, key: str = 'img'
    ) -> Tensor:
        """Map RGB images in [-1, 1] to float grey levels in [0, 255], BGR (MMagic calls this)."""
        return _reverse_colours(to_grey_levels(outputs))


def _reverse_colours(img: Tensor) -> Tensor:
    """RGB to BGR or back, (..., C, H, W); grey images stay as they are."""
    return img.flip(-3) if img.shape[-3] == 3 else img


def generated_pixels(samples: Sequence[DataSample]) -> Tensor:
    """The images of sampled data samples as a saved PNG would hold them.

    Args:
        samples (Sequence[DataSample]): What a MMagic GAN returns; ``fake_img`` (C, H, W) float in
            [0, 255], BGR.

    Returns:
        Tensor: uint8 (N, C, H, W), RGB, rounded to the nearest grey level.
    """
    batch = torch.stack([sample.fake_img for sample in samples])
    return _reverse_colours(batch).round().clamp(0, 255).to(torch.uint8)
