"""Decode a data set once, into memory."""

from typing import List, NamedTuple, Optional, Union

import numpy as np
from mmengine.device import get_device
from mmengine.logging import print_log

from cellgan_plugin.datasets.batches import BatchImages
from cellgan_plugin.datasets.content_hash import HASH_BYTES, content_hash
from cellgan_plugin.datasets.inspection import in_threads, with_progress
from cellgan_plugin.datasets.interfaces import ListedPatches
from cellgan_plugin.datasets.memory import PixelCache, require_memory
from cellgan_plugin.datasets.problems import DatasetError, Problem, raise_or_say


class CachedImages(NamedTuple):
    """The images of a data set and of its subsets.

    Attributes:
        pixels (BatchImages | PixelCache): Images by slot; the second where they have several sizes.
        slots (np.ndarray): Row of the list -> slot, int32.
        hashes (np.ndarray | None): Content hashes of the files by slot, uint8 (N, 16); None for
            grey data sets, whose files are hashed as RGB.
    """

    pixels: Union[BatchImages, PixelCache]
    slots: np.ndarray
    hashes: Optional[np.ndarray]

    def __deepcopy__(self, memo: dict) -> 'CachedImages':
        return self  # read-only: a subset of the data set shares it


def cache_images(dataset: ListedPatches, shapes: np.ndarray) -> CachedImages:
    """Decode every file, fit it, and hash it, since it is decoded anyway.

    Args:
        dataset (ListedPatches): Listed, with ``cache`` 'ram' or 'device'.
        shapes (np.ndarray): (N, 2): height and width of every image after the cacheable transforms.

    Returns:
        CachedImages: On the device that ``cache`` asks for.

    Raises:
        MemoryError: They do not fit.
        DatasetError: With every file that cannot be decoded.
        ValueError: Images of several sizes are to lie on the device.
    """
    count, root, channels = dataset.stored_length(), dataset.root, dataset.channels
    what = f'CellPatchDataset: keeping {count} decoded images of {root}'
    needed = int(shapes.astype(np.int64).prod(axis=1).sum()) * channels
    require_memory(
        needed,
        f'{what} in memory',
        'Set cache=None (images are then decoded in every epoch, by num_workers), or put '
        "dict(type='FitCellPatch', out_size=...) with a smaller size first in the pipeline",
    )
    one_size = bool((shapes == shapes[0]).all())
    if dataset.cache == 'device' and not one_size:
        raise ValueError(
            f"CellPatchDataset: cache='device' needs images of one size, and {root} has several. "
            "Put dict(type='FitCellPatch', out_size=...) first in the pipeline"
        )
    size = f'{needed / 2**20:.0f} MiB'
    print_log(f'Decoding {count} images of {root} into memory ({size})', 'current')
    cache = PixelCache([(height, width, channels) for height, width in shapes])
    rows = [dataset.stored_info(index)['row'] for index in range(count)]
    slots = np.full(max(rows) + 1, -1, np.int32)
    slots[rows] = np.arange(count)
    hashes = np.zeros((count, HASH_BYTES), np.uint8) if channels == 3 else None
    problems: List[Problem] = []

    def fill(index: int) -> None:
        info = dataset.stored_info(index)
        try:
            image = dataset.decode(info)
        except DatasetError as error:
            problems.extend(error.problems)
            return
        if hashes is not None:
            hashes[index] = np.frombuffer(content_hash(image), np.uint8)
        cache.fill(index, lambda: dataset.fit(info, image)['img'])

    for _ in with_progress(in_threads(fill, range(count)), count, 'Decoding images'):
        pass
    raise_or_say(problems, root)
    if not one_size:
        return CachedImages(cache, slots, hashes)
    device = get_device() if dataset.cache == 'device' else None
    return CachedImages(BatchImages(cache, device, what), slots, hashes)
