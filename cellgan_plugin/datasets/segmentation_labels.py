"""From the numbers in a mask file to class ids."""

from typing import Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

# A pixel without a class: not annotated, or of an image that counts as unlabelled. No loss and no
# metric looks at it.
IGNORE_INDEX = 255
INSTANCE_MODES = ('binary', 'label')
_UNKNOWN = -1


class UnknownMaskValues(ValueError):
    """Mask values that the configuration gives no class.

    Attributes:
        counts (dict[int, int]): Value -> number of pixels.
    """

    def __init__(self, counts: Dict[int, int], known: str):
        self.counts = counts
        shown = ', '.join(f'{value} ({count} px)' for value, count in list(counts.items())[:8])
        more = f' and {len(counts) - 8} more' if len(counts) > 8 else ''
        super().__init__(f'holds values that have no class: {shown}{more}; known are {known}')


class MaskRule(NamedTuple):
    """How the numbers of mask files become class ids; made by :func:`make_mask_rule`.

    Attributes:
        instances (str | None): None for class numbers, else ``'binary'`` or ``'label'``.
        table (np.ndarray): int16 (65536,), value -> class id, -1 where there is none.
        known (str): The values that have a class, in words.
    """

    instances: Optional[str]
    table: np.ndarray
    known: str

    def classes_of(self, raw: np.ndarray, label: Optional[int] = None) -> np.ndarray:
        """Class ids of one mask.

        Args:
            raw (np.ndarray): uint8 or uint16 (H, W) as stored.
            label (int | None): Class of the image's instances, with ``instances='label'``.

        Returns:
            np.ndarray: uint8 (H, W): class ids, and :data:`IGNORE_INDEX`.

        Raises:
            UnknownMaskValues: When the mask holds a value without a class.
        """
        if self.instances is not None:
            inside = 1 if self.instances == 'binary' else label
            return (raw != 0).astype(np.uint8) * np.uint8(inside)
        ids = self.table[raw]
        if ids.min(initial=0) == _UNKNOWN:
            values, counts = np.unique(raw[ids == _UNKNOWN], return_counts=True)
            found = dict(zip(values.tolist(), counts.tolist(), strict=True))
            raise UnknownMaskValues(found, self.known)
        return ids.astype(np.uint8)


def make_mask_rule(
    classes: Sequence[str],
    mask_map: Optional[Mapping[int, int]] = None,
    instances: Optional[str] = None,
) -> MaskRule:
    """Check the configuration of masks and make the rule that is applied to each.

    Args:
        classes (Sequence[str]): Class names; class 0 is the background (stroma).
        mask_map (Mapping[int, int] | None): Stored value -> class id or :data:`IGNORE_INDEX`, e.g.
            ``{0: 0, 255: 1}`` for a black and white mask. Defaults to None: values are class ids.
        instances (str | None): ``'binary'``: values are instance ids, 0 is class 0 and everything
            else class 1. ``'label'``: everything else is the class that the manifest names for the
            image. Defaults to None: values are not instance ids.

    Raises:
        ValueError: On a combination or a number that cannot be meant.
    """
    count = len(classes)
    if not 2 <= count <= IGNORE_INDEX:
        raise ValueError(
            f'segmentation needs 2 to {IGNORE_INDEX} classes (class 0 is the background), got '
            f'{list(classes)}'
        )
    if instances not in (None, *INSTANCE_MODES):
        raise ValueError(f'instances must be None or one of {INSTANCE_MODES}, got {instances!r}')
    if instances is not None and mask_map is not None:
        raise ValueError(
            f'mask_map is for masks of class numbers; with instances={instances!r} values are '
            'instance ids. Give one of the two'
        )
    if instances == 'binary' and count != 2:
        raise ValueError(f"instances='binary' gives two classes, but classes are {list(classes)}")
    table = np.full(65536, _UNKNOWN, dtype=np.int16)
    if mask_map is None:
        mask_map = {number: number for number in range(count)}
    for value, number in mask_map.items():
        value, number = _whole(value, 65535, 'value'), _whole(number, IGNORE_INDEX, 'class id')
        if number >= count and number != IGNORE_INDEX:
            raise ValueError(
                f'mask_map: value {value} becomes class {number}, but classes are numbered 0 to '
                f'{count - 1} ({", ".join(classes)}); {IGNORE_INDEX} means not annotated'
            )
        table[value] = number
    known = ', '.join(
        f'{value} ({"ignored" if number == IGNORE_INDEX else classes[number]})'
        for value, number in list(mask_map.items())[:12]
    )
    return MaskRule(instances, table, known)


def _whole(value: object, highest: int, what: str) -> int:
    # Keys come as text from --cfg-options and from JSON.
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
        raise ValueError(f'mask_map: {what} {value!r} is not a whole number')
    if not 0 <= number <= highest:
        raise ValueError(f'mask_map: {what} {value!r} is not between 0 and {highest}')
    return int(number)


def class_pixels(ids: np.ndarray, num_classes: int) -> Tuple[np.ndarray, int]:
    """Number of pixels per class, int64 (num_classes,), and of ignored ones."""
    counts = np.bincount(ids.ravel(), minlength=IGNORE_INDEX + 1)
    return counts[:num_classes], int(counts[IGNORE_INDEX])
