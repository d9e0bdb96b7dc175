"""Label maps of objects: from semantic masks, and in the form that the object metrics work on."""

from typing import Tuple

import cv2
import numpy as np


def split_instances(
    semantic: np.ndarray,
    min_area: int = 0,
    fill_holes: bool = False,
    connectivity: int = 8,
    background: int = 0,
) -> np.ndarray:
    """Split a semantic mask into objects: the connected components of each class.

    Objects that touch become one, which no rule on the mask alone can undo; touching objects of
    different classes stay apart. First small objects are removed, then holes are filled, so that a
    speck in a lumen does not keep it from being filled.

    Args:
        semantic (np.ndarray): Class ids (H, W), integers.
        min_area (int): Objects of fewer pixels are removed. Defaults to 0: none.
        fill_holes (bool): Fill background that an object encloses. Defaults to False.
        connectivity (int): 4 or 8 neighbours. Holes have the other one. Defaults to 8.
        background (int): Class that is no object. Defaults to 0.

    Returns:
        np.ndarray: int32 (H, W); 0: no object; objects 1..n, class by class, by their first pixel.

    Raises:
        ValueError: A mask that is not (H, W) of integers, or another connectivity.
    """
    semantic = np.asarray(semantic)
    if semantic.ndim != 2 or semantic.dtype.kind not in 'iub':
        raise ValueError(
            f'a semantic mask has shape (H, W) and integer class ids, got {semantic.dtype} of '
            f'shape {semantic.shape}'
        )
    if connectivity not in (4, 8):
        raise ValueError(f'connectivity={connectivity!r}: 4 or 8')
    if min_area < 0:
        raise ValueError(f'min_area={min_area!r}: a number of pixels, 0 or more')
    result = np.zeros(semantic.shape, dtype=np.int32)
    count = 0
    for value in np.unique(semantic):
        if value == background or not semantic.size:
            continue
        foreground = semantic == value
        labels, kept = _components(foreground.astype(np.uint8), connectivity, min_area)
        if fill_holes:  # other classes inside a hole keep their pixels
            labels = _filled(labels, foreground | (semantic == background), connectivity)
        mask = labels > 0
        result[mask] = labels[mask] + count
        count += kept
    return result


def _components(mask: np.ndarray, connectivity: int, min_area: int) -> Tuple[np.ndarray, int]:
    """Components of a binary mask that are large enough, int32 1..n, and n."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area
    keep[0] = False
    new = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return new[labels], int(keep.sum())


def _filled(labels: np.ndarray, free: np.ndarray, connectivity: int) -> np.ndarray:
    """Labels with the free pixels that single objects enclose made theirs.

    A hole is a component of "no object" that does not touch the image's border. Its free pixels
    take the label of the object around it, which is that left of the hole's first pixel.
    """
    outside = (labels == 0).astype(np.uint8)
    # A hole of an 8-connected object is 4-connected, else it would leak out through a diagonal.
    _, holes, stats, _ = cv2.connectedComponentsWithStats(
        outside, connectivity=4 if connectivity == 8 else 8
    )
    height, width = labels.shape
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right = left + stats[:, cv2.CC_STAT_WIDTH]
    bottom = top + stats[:, cv2.CC_STAT_HEIGHT]
    enclosed = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    enclosed[0] = False  # the objects themselves
    if not enclosed.any():
        return labels
    owner = np.zeros(len(stats), dtype=np.int32)
    flat = holes.ravel()
    seen, first = np.unique(flat, return_index=True)  # in reading order: left of it lies an object
    inside = enclosed[seen]
    owner[seen[inside]] = labels.ravel()[first[inside] - 1]
    return np.where((labels == 0) & free, owner[holes], labels)


def dense_labels(labels: np.ndarray, name: str = 'label map') -> Tuple[np.ndarray, int]:
    """Renumber the objects of a label map 1..n, in the order of their ids.

    Args:
        labels (np.ndarray): (H, W), any integer type; 0 is background.
        name (str): For the error message.

    Returns:
        tuple[np.ndarray, int]: int32 (H, W) and n.

    Raises:
        ValueError: Not (H, W), not integers, or a negative id.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in 'iub':
        raise ValueError(
            f'{name}: object ids are integers of shape (H, W), got {labels.dtype} of shape '
            f'{labels.shape}'
        )
    if labels.size == 0:
        raise ValueError(f'{name}: is empty, shape {labels.shape}')
    if labels.dtype.kind == 'b' or labels.dtype == np.uint64:
        labels = labels.astype(np.int64)
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise ValueError(f'{name}: object id {low} is negative; 0 is background, objects are 1..')
    if high <= 4 * labels.size:
        present = np.bincount(labels.ravel(), minlength=high + 1) > 0
        present[0] = False
        new = np.where(present, np.cumsum(present), 0).astype(np.int32)
        return new[labels], int(present.sum())
    ids, inverse = np.unique(labels, return_inverse=True)
    new = inverse.reshape(labels.shape).astype(np.int32)
    return (new, len(ids) - 1) if ids[0] == 0 else (new + 1, len(ids))
