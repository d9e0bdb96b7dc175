"""Batches made as one tensor from images that are kept decoded, instead of one by one."""

from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch
from torch.utils.data import get_worker_info

from cellgan_plugin.datasets.interfaces import ListedPatches
from cellgan_plugin.datasets.memory import PixelCache, require_device_memory


class BatchImages:
    """Decoded images of one size as one uint8 tensor, in RAM or in the memory of a device.

    Args:
        cache (PixelCache): The decoded images; all of one shape.
        device (str | torch.device, optional): Where to keep them. Defaults to None: in RAM, where
            the tensor is the cache's own memory.
        what (str): What is kept, for an error message. Defaults to ''.
    """

    def __init__(self, cache: PixelCache, device: Optional[str] = None, what: str = ''):
        shape = tuple(cache.shapes[0].tolist())
        if not (cache.shapes == cache.shapes[0]).all():
            raise ValueError('BatchImages: the images are of several sizes')
        images = torch.from_numpy(cache.pixels.reshape(len(cache), *shape))
        self.device = torch.device(device or 'cpu')
        require_device_memory(images.nbytes, self.device, what)
        self.images = images.to(self.device)

    def gather(self, slots: Sequence[int]) -> torch.Tensor:
        """The images of some slots, uint8 (N, C, H, W), channels last in memory, a copy."""
        if self.device.type == 'cuda' and get_worker_info() is not None:
            raise RuntimeError(
                "cache='device' keeps the images on the GPU, which a loader worker cannot read: "
                'set num_workers=0 (and persistent_workers=False, pin_memory=False); nothing is '
                'left for workers to do'
            )
        index = torch.as_tensor(slots, dtype=torch.long).to(self.device, non_blocking=True)
        return self.images.index_select(0, index).permute(0, 3, 1, 2)

    def __getitem__(self, slot: int) -> np.ndarray:
        """One image as a read-only array (H, W, C)."""
        array = self.images[slot].cpu().numpy()
        array.flags.writeable = False
        return array

    def __deepcopy__(self, memo: dict) -> 'BatchImages':
        return self


class CellBatch(Sequence):
    """The samples of a batch, made in one piece or one by one, whichever is asked for.

    :func:`~cellgan_plugin.datasets.stack_cell_batch` asks for the whole; any other collate function
    finds a list of samples. Both hold the same numbers.

    Args:
        dataset (ListedPatches): With ``cache``.
        indices (Sequence[int]): Of the samples.
    """

    def __init__(self, dataset: ListedPatches, indices: Sequence[int]):
        self.dataset, self.indices = dataset, indices
        self._samples: Optional[List[dict]] = None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index):
        """The sample after the pipeline."""
        if self._samples is None:
            self._samples = [self.dataset[i] for i in self.indices]
        return self._samples[index]

    def stacked(self) -> Dict[str, Any]:
        """What ``stack_cell_batch`` makes of the samples."""
        return self.dataset.prepare_batch(self.indices)
