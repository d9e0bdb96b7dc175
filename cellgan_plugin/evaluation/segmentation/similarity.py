"""How alike the images of one mask are: MS-SSIM among them, and to the original."""

from dataclasses import dataclass
from typing import List, Optional, Tuple

import torch
from torch import Tensor

# Wang et al. 2003, Sec. 3.2: exponents of the scales, the finest first.
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11


@dataclass(frozen=True)
class Similarity:
    """Mean MS-SSIM of the samples of one mask.

    Attributes:
        among (float): Mean over all pairs of samples; NaN with one sample.
        to_original (float | None): Mean over samples, each against the original; None without one.
        scales (int): Of the measure: 5, or fewer where the images are too small for five.
    """

    among: float
    to_original: Optional[float]
    scales: int


def scales_that_fit(height: int, width: int) -> int:
    """How many of the five scales of MS-SSIM an image has room for, by torchmetrics' rule.

    Raises:
        ValueError: Not even one.
    """
    side = min(height, width)
    for scales in range(len(_WEIGHTS), 0, -1):
        if side // max(1, scales - 1) ** 2 >= _WINDOW and side >= 2**scales:
            return scales
    raise ValueError(
        f'an image of {height}x{width} pixels is smaller than the window of MS-SSIM ({_WINDOW})'
    )


def _as_float(images: Tensor, name: str) -> Tensor:
    if images.ndim != 4:
        raise ValueError(f'{name}: images (N, C, H, W), got shape {tuple(images.shape)}')
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise ValueError(f'{name}: uint8 images, or floats in [-1, 1], got {images.dtype}')
    return (images.float() + 1) / 2


def ms_ssim(first: Tensor, second: Tensor, scales: Optional[int] = None) -> Tensor:
    """Multi-scale structural similarity of pairs of images (Wang et al. 2003).

    torchmetrics computes it. With fewer than five scales the exponents that are left are scaled
    to sum to one, so that values stay on the same range; they are not those of five scales.

    Args:
        first (Tensor): uint8 (N, C, H, W), or floats in [-1, 1].
        second (Tensor): Of the same shape.
        scales (int, optional): 1 to 5. Defaults to None: five, or as many as fit.

    Returns:
        Tensor: float32 (N,), at most 1.

    Raises:
        ValueError: Shapes differ, or the images are too small for so many scales.
    """
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as measure,
    )

    if first.shape != second.shape:
        raise ValueError(
            f'images of shape {tuple(first.shape)} and {tuple(second.shape)} cannot be compared'
        )
    first, second = _as_float(first, 'first'), _as_float(second, 'second')
    fit = scales_that_fit(*first.shape[-2:])
    scales = fit if scales is None else scales
    if not 1 <= scales <= fit:
        raise ValueError(
            f'scales={scales}: images of {first.shape[-2]}x{first.shape[-1]} pixels have room for '
            f'1 to {fit}'
        )
    weights = _WEIGHTS[:scales]
    total = sum(weights)
    return measure(
        first,
        second,
        kernel_size=_WINDOW,
        data_range=1.0,
        betas=tuple(weight / total for weight in weights),
        normalize='relu',  # a negative term has no real power
        reduction='none',
    )


def sample_similarity(samples: Tensor, original: Optional[Tensor] = None) -> Similarity:
    """MS-SSIM among the samples of one mask and to the original (Li et al. 2022, Sec. 4.2.2).

    Args:
        samples (Tensor): uint8 (N, C, H, W), or floats in [-1, 1], all made from one mask.
        original (Tensor, optional): (C, H, W), the image that the mask is of. Defaults to None.
    """
    scales = scales_that_fit(*samples.shape[-2:])
    pairs: List[Tuple[int, int]] = torch.combinations(torch.arange(len(samples)), 2).tolist()
    among = float('nan')
    if pairs:
        # One row of pairs at a time: memory for N images, not for N^2 / 2.
        rows = [
            ms_ssim(samples[i : i + 1].expand(len(samples) - i - 1, -1, -1, -1), samples[i + 1 :])
            for i in range(len(samples) - 1)
        ]
        among = float(torch.cat([row.reshape(-1) for row in rows]).double().mean())
    to_original = None
    if original is not None:
        repeated = original[None].expand(len(samples), -1, -1, -1)
        to_original = float(ms_ssim(samples, repeated).double().mean())
    return Similarity(among, to_original, scales)
