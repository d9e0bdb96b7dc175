"""Images of a list in batches, decoded ahead by threads, each once."""

import copy
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Deque, Iterator, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from cellgan_plugin.datasets.inspection import Reader
from cellgan_plugin.datasets.transforms import FitCellPatch
from cellgan_plugin.machine import usable_cores

_THREADS = 16  # Pillow releases the GIL while it decodes


class ImageStream:
    """The images of a list as uint8 batches, in order; memory for two batches.

    Args:
        reader (Reader): How files are read.
        files (Sequence[str]): Relative to the reader's root.
        size (int | Sequence[int], optional): Side, or (height, width), that images are fitted to as
            :class:`~cellgan_plugin.datasets.transforms.FitCellPatch` does in training. Defaults to
            None: as they are; all must have one size.
        batch_size (int): Images at a time. Defaults to 32.
        threads (int, optional): That decode. Defaults to None: the usable cores, at most 16.
    """

    def __init__(
        self,
        reader: Reader,
        files: Sequence[str],
        size: Optional[Union[int, Sequence[int]]] = None,
        batch_size: int = 32,
        threads: Optional[int] = None,
    ):
        self.reader, self.files, self.batch_size = reader, files, batch_size
        self.fit = None if size is None else FitCellPatch(size)
        self.threads = threads or min(_THREADS, usable_cores())

    def part(self, files: Sequence[str]) -> 'ImageStream':
        """Some of the files, read in the same way."""
        found = copy.copy(self)
        found.files = files
        return found

    def read(self, file: str) -> np.ndarray:
        """One image, uint8 (H, W, 3)."""
        image = self.reader.image(file)
        return image if self.fit is None else self.fit.transform(dict(img=image))['img']

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Tuple[slice, Tensor]]:
        """Yield which files a batch is of, and its pixels, uint8 (N, 3, H, W)."""
        waiting: Deque[Future] = deque()
        following = iter(self.files)
        with ThreadPoolExecutor(self.threads) as pool:
            try:
                for start in range(0, len(self.files), self.batch_size):
                    while len(waiting) < 2 * self.batch_size:
                        file = next(following, None)
                        if file is None:
                            break
                        waiting.append(pool.submit(self.read, file))
                    rows = slice(start, min(start + self.batch_size, len(self.files)))
                    images = [waiting.popleft().result() for _ in range(rows.stop - rows.start)]
                    yield rows, self._stacked(images, rows)
            finally:
                for future in waiting:
                    future.cancel()

    def _stacked(self, images: Sequence[np.ndarray], rows: slice) -> Tensor:
        for image, file in zip(images, self.files[rows], strict=True):
            if image.shape != images[0].shape:
                raise ValueError(
                    f'{os.path.join(self.reader.root, file)} is {image.shape[1]}x{image.shape[0]}, '
                    f'others are {images[0].shape[1]}x{images[0].shape[0]}, and the config of the '
                    'classifier fits images to no size: say which with --input-size'
                )
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
