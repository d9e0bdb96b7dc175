"""Models whose images are grey frames: they are best in nothing."""

import statistics
from typing import Dict, List, Mapping, Sequence

import numpy as np

# Of the contrast and the variety of real images, below which a model makes grey frames: a tenth of
# a cell's stain is not seen on a screen.
_GREY = 0.25


def grey_frames(
    made: Mapping[str, np.ndarray], real: Sequence[Sequence[np.ndarray]]
) -> Dict[str, str]:
    """Models whose images show hardly anything, or hardly anything different, and why.

    Args:
        made (Mapping[str, np.ndarray]): By model, uint8 (classes, images, H, W, C).
        real (Sequence[Sequence[np.ndarray]]): Real images of each class, uint8 (H, W, C).

    Returns:
        dict[str, str]: By model what to say of it; empty where real images are too few.
    """
    shown = [np.stack(images) for images in real if len({i.shape for i in images}) == 1]
    contrast = [_contrast(images) for images in shown]
    variety = [_variety(images) for images in shown if len(images) > 1]
    found = {}
    for name, classes in made.items():
        shares = []
        if contrast:
            share = statistics.fmean(map(_contrast, classes)) / max(np.mean(contrast), 1e-9)
            shares.append((share, 'contrast'))
        if variety and classes.shape[1] > 1:
            share = statistics.fmean(map(_variety, classes)) / max(np.mean(variety), 1e-9)
            shares.append((share, 'variety'))
        words: List[str] = [
            f'{share:.0%} of the {what} of real images' for share, what in shares if share < _GREY
        ]
        if words:
            found[name] = f'grey frames: its images have {" and ".join(words)}; best in nothing'
    return found


def _contrast(images: np.ndarray) -> float:
    """Grey levels that the pixels of an image differ by: (images, H, W, C) -> mean deviation."""
    return float(images.astype(np.float32).mean(axis=-1).std(axis=(1, 2)).mean())


def _variety(images: np.ndarray) -> float:
    """Grey levels that the images of a class differ by at a pixel."""
    return float(images.astype(np.float32).mean(axis=-1).std(axis=0).mean())
