"""Segmenting whole images of any size with a model of tiles."""

from typing import List, Optional, Sequence, Union

import numpy as np
import torch
from mmagic.structures import DataSample
from torch import Tensor

from cellgan_plugin.datasets.tiling import Stitcher, tile_grid
from cellgan_plugin.models.calibration import calibration_sums


class SegmentsWholeImages:
    """Mixin for models with ``segment``, ``tile_size``, ``min_overlap`` and a ``device``.

    An image of the size of a tile is segmented as a whole; a smaller one is mirrored at its lower
    and right edges; of a larger one, the probabilities of overlapping tiles are averaged.
    """

    tiles_per_call: int = 4

    def segment(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, 3, H, W) in [-1, 1]."""
        raise NotImplementedError

    @torch.no_grad()
    def segment_whole(self, image: Tensor) -> Tensor:
        """Class probabilities of one image.

        Args:
            image (Tensor): RGB (3, H, W) in [-1, 1].

        Returns:
            Tensor: float32 (num_classes, H, W).
        """
        height, width = image.shape[-2:]
        image = _mirrored(image.to(self.device), self.tile_size)
        positions = tile_grid(*image.shape[-2:], self.tile_size, self.min_overlap)
        if len(positions) == 1:
            return self.segment(image[None])[0].softmax(dim=0)[:, :height, :width]
        stitcher = Stitcher(image.shape[-2:])
        tile = self.tile_size
        for start in range(0, len(positions), self.tiles_per_call):
            corners = positions[start : start + self.tiles_per_call].tolist()
            tiles = torch.stack([image[:, y : y + tile, x : x + tile] for y, x in corners])
            parts = self.segment(tiles).softmax(dim=1)
            for part, (y, x) in zip(parts, corners, strict=True):
                stitcher.add(part, y, x)
        return stitcher.result()[:, :height, :width]

    def forward(
        self,
        inputs: Union[dict, Tensor],
        data_samples: Optional[Sequence[DataSample]] = None,
        mode: str = 'tensor',
    ) -> Union[Tensor, List[DataSample]]:
        """Segment.

        Args:
            inputs (dict | Tensor): ``img``: images in [-1, 1], a list of (3, H, W) of any sizes or
                (N, 3, H, W); ``mask`` and ``instances``, where there are, go on as ground truth.
            data_samples (Sequence[DataSample], optional): One per image; their metainfo goes on.
            mode (str): ``'tensor'``: the logits of :meth:`segment`; ``'predict'``: whole images.

        Returns:
            Tensor | list[DataSample]: Logits (N, num_classes, H, W), or for every image on the CPU
            ``pred_sem_seg`` (H, W) uint8 class ids and, where given, ``gt_sem_seg`` (H, W) uint8,
            with it ``calibration`` (see
            :func:`~cellgan_plugin.models.calibration.calibration_sums`), ``gt_instances`` (H, W)
            int32, ``img_path``.
        """
        inputs = inputs if isinstance(inputs, dict) else dict(img=inputs)
        if mode == 'tensor':
            return self.segment(inputs['img'])
        if mode != 'predict':
            raise ValueError(f"mode={mode!r}: must be 'tensor' or 'predict'")
        results = []
        for number, image in enumerate(inputs['img']):
            probabilities = self.segment_whole(image)
            fields = dict(pred_sem_seg=probabilities.argmax(dim=0).to(torch.uint8))
            if 'mask' in inputs:
                fields['gt_sem_seg'] = mask = inputs['mask'][number]
                fields['calibration'] = calibration_sums(
                    probabilities, mask.to(probabilities.device)
                )
            if 'instances' in inputs:
                fields['gt_instances'] = torch.as_tensor(np.asarray(inputs['instances'][number]))
            sample = DataSample(**{name: value.cpu() for name, value in fields.items()})
            if data_samples is not None:
                sample.set_metainfo(dict(data_samples[number].metainfo_items()))
            results.append(sample)
        return results


def _mirrored(image: Tensor, least: int) -> Tensor:
    """Mirror (3, H, W) at its lower and right edges until both sides have ``least`` px."""
    height, width = image.shape[-2:]
    rows, columns = (
        _reflected(length, max(length, least), image.device) for length in (height, width)
    )
    if len(rows) == height and len(columns) == width:
        return image
    return image[:, rows[:, None], columns]


def _reflected(length: int, wanted: int, device: torch.device) -> Tensor:
    """Indices 0 ... length-1, length-1 ... 0, 0 ... and so on."""
    index = torch.arange(wanted, device=device) % (2 * length)
    return torch.where(index < length, index, 2 * length - 1 - index)
