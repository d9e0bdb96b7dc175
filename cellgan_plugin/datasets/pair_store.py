"""Decode image + mask pairs: once into memory that loader workers share, or when asked for."""

import os
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.logging import print_log

from cellgan_plugin.datasets.image_io import ImageFileError
from cellgan_plugin.datasets.inspection import Reader, in_threads, with_progress
from cellgan_plugin.datasets.mask_io import load_mask
from cellgan_plugin.datasets.mask_sources import TissuePair
from cellgan_plugin.datasets.memory import PixelCache, require_memory
from cellgan_plugin.datasets.problems import (
    ERROR,
    WARNING,
    DatasetError,
    Problem,
    raise_or_say,
)
from cellgan_plugin.datasets.segmentation_labels import (
    IGNORE_INDEX,
    MaskRule,
    UnknownMaskValues,
)


class PairPixels(NamedTuple):
    """One decoded pair; arrays may be read-only.

    Attributes:
        image (np.ndarray): uint8 RGB (H, W, 3).
        mask (np.ndarray | None): uint8 (H, W) class ids; None where the image is unlabelled.
        instances (np.ndarray | None): uint8 or uint16 (H, W), when they are asked for.
    """

    image: np.ndarray
    mask: Optional[np.ndarray]
    instances: Optional[np.ndarray]


def read_mask(
    reader: Reader, rule: MaskRule, classes: Sequence[str], pair: TissuePair
) -> Tuple[np.ndarray, np.ndarray]:
    """Decode the mask of a pair.

    Returns:
        tuple[np.ndarray, np.ndarray]: Class ids, uint8 (H, W), and the numbers as stored.

    Raises:
        DatasetError: When the file cannot be read or holds values without a class.
    """
    where = os.path.join(reader.root, pair.mask)
    try:
        raw = load_mask(reader.path(pair.mask), reader.max_pixels)
        label = classes.index(pair.label) if rule.instances == 'label' else None
        return rule.classes_of(raw, label), raw
    except ImageFileError as error:
        raise DatasetError([Problem(ERROR, error.kind, where, error.reason)]) from error
    except UnknownMaskValues as error:
        message = (
            f'{error}. Give them a class with mask_map={{value: class id}} ({IGNORE_INDEX}: '
            "ignored), or set instances='binary' where values are instance ids"
        )
        raise DatasetError([Problem(ERROR, 'mask value', where, message)]) from error


class PairStore:
    """The pixels of a data set's pairs.

    Args:
        reader (Reader): How files are found and read.
        rule (MaskRule): From stored numbers to class ids.
        classes (Sequence[str]): Class names in the order of the ids.
        pairs (Sequence[TissuePair]): The pairs.
        labelled (np.ndarray): bool (N,); masks of the others are never opened.
        sizes (Sequence[tuple[int, int]]): (height, width) of every image, from its header.
        with_instances (bool): Keep instance ids too.
    """

    def __init__(
        self,
        reader: Reader,
        rule: MaskRule,
        classes: Sequence[str],
        pairs: Sequence[TissuePair],
        labelled: np.ndarray,
        sizes: Sequence[Tuple[int, int]],
        with_instances: bool,
    ):
        self.reader = reader
        self.rule = rule
        self.classes = tuple(classes)
        self.pairs = pairs
        self.labelled = labelled
        self.sizes = sizes
        self.with_instances = with_instances
        self._images: Optional[PixelCache] = None
        self._masks: Optional[PixelCache] = None
        self._last: Tuple[int, Optional[PairPixels]] = (-1, None)

    def read(self, row: int) -> PairPixels:
        """Decode one pair; DatasetError when a file cannot be used."""
        pair = self.pairs[row]
        try:
            image = self.reader.image(pair.file)
        except ImageFileError as error:
            where = os.path.join(self.reader.root, pair.file)
            raise DatasetError([Problem(ERROR, error.kind, where, error.reason)]) from error
        if not self.labelled[row]:
            return PairPixels(image, None, None)
        mask, raw = read_mask(self.reader, self.rule, self.classes, pair)
        if mask.shape != image.shape[:2]:  # changed since the headers were read
            (height, width), (rows, columns) = mask.shape, image.shape[:2]
            message = f'is {width}x{height}, but its image {pair.file} is {columns}x{rows}'
            where = os.path.join(self.reader.root, pair.mask)
            raise DatasetError([Problem(ERROR, 'mask size', where, message)])
        return PairPixels(image, mask, raw if self.with_instances else None)

    def check(self, decode_images: bool) -> None:
        """Decode the masks, and the images if asked, keeping nothing.

        Raises:
            DatasetError: With everything that cannot be used.
        """

        def look(row: int) -> np.ndarray:
            if decode_images:
                mask = self.read(row).mask
            else:
                mask, _ = read_mask(self.reader, self.rule, self.classes, self.pairs[row])
            return np.zeros(0, np.int64) if mask is None else np.bincount(mask.ravel())

        rows = np.arange(len(self.pairs))
        self._for_every(rows if decode_images else rows[self.labelled], look, 'Checking masks')

    def fill_cache(self) -> None:
        """Decode everything into memory.

        Raises:
            DatasetError: With everything that cannot be used.
            MemoryError: When it would not fit.
        """
        # Instance ids lie as two bytes beside the class of each pixel.
        planes = 3 if self.with_instances else 1
        shapes = [
            (*size, planes) if known else (0, 0, planes)
            for size, known in zip(self.sizes, self.labelled, strict=True)
        ]
        needed = sum(3 * h * w for h, w in self.sizes) + sum(h * w * p for h, w, p in shapes)
        count, root = len(self.pairs), self.reader.root
        require_memory(
            needed,
            f'TissueMaskDataset: keeping {count} decoded images of {root} in memory',
            'Set cache=None (an image is then decoded for each of its tiles, by num_workers)',
        )
        size = f'{needed / 2**20:.0f} MiB'
        print_log(f'Decoding {count} images of {root} into memory ({size})', 'current')
        images, masks = PixelCache([(*size, 3) for size in self.sizes]), PixelCache(shapes)

        def fill(row: int) -> np.ndarray:
            found = self.read(row)
            images.fill(row, lambda: found.image)
            if found.mask is None:
                return np.zeros(0, np.int64)
            parts = [found.mask[..., None]]
            if self.with_instances:
                parts.append(found.instances.astype('<u2')[..., None].view(np.uint8))
            masks.fill(row, lambda: np.concatenate(parts, axis=2))
            return np.bincount(found.mask.ravel())

        self._for_every(np.arange(count), fill, 'Decoding images')
        self._images, self._masks = images, masks

    def _for_every(self, rows: np.ndarray, look: Callable[[int], np.ndarray], title: str) -> None:
        """``look`` at every row on a few threads; it returns the pixels per class id."""
        problems: List[Problem] = []
        counts = np.zeros(IGNORE_INDEX + 1, dtype=np.int64)

        def guarded(row: int) -> Union[np.ndarray, DatasetError]:
            try:
                return look(row)
            except DatasetError as error:
                return error

        looks = in_threads(guarded, rows.tolist())
        for found in with_progress(looks, len(rows), title):
            if isinstance(found, DatasetError):
                problems += found.problems
            else:
                counts[: len(found)] += found
        if not problems:
            problems = class_coverage(self.classes, counts, self.reader.root)
        raise_or_say(problems, self.reader.root)

    def pixels(self, row: int) -> PairPixels:
        """One pair, from memory or from its files."""
        if self._images is None:
            # Tiles of one image that are asked for in a row are decoded once.
            if self._last[0] != row:
                self._last = row, self.read(row)
            return self._last[1]
        if not self.labelled[row]:
            return PairPixels(self._images[row], None, None)
        planes = self._masks[row]
        instances = None
        if self.with_instances:
            instances = np.ascontiguousarray(planes[..., 1:]).view('<u2')[..., 0]
        return PairPixels(self._images[row], planes[..., 0], instances)


def class_coverage(classes: Sequence[str], counts: np.ndarray, root: str) -> List[Problem]:
    """Which classes have no pixel in the masks that are used; ``counts`` are pixels by class id."""
    empty = [name for name, count in zip(classes, counts, strict=False) if not count]
    if not empty or not counts.sum():
        return []
    message = f'no pixel of {", ".join(empty)} in the masks that are used: it cannot be learnt'
    return [Problem(WARNING, 'empty class', root, message)]
