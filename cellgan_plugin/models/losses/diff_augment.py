"""Differentiable augmentation (Zhao et al. 2020), as a pure function of images and numbers."""

from functools import partial
from typing import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn


def adjust_color(img: Tensor, numbers: Tensor) -> Tensor:
    """Brightness by -0.5..0.5, saturation by 0..2, contrast by 0.5..1.5, in this order.

    Of images (N, C, H, W) in [-1, 1] by numbers (N, 3) in [0, 1); values may leave [-1, 1].
    """
    brightness, saturation, contrast = numbers[:, :, None, None, None].to(img.dtype).unbind(dim=1)
    img = img + (brightness - 0.5)
    grey = img.mean(dim=1, keepdim=True)
    img = (img - grey) * (saturation * 2) + grey
    mean = img.mean(dim=(1, 2, 3), keepdim=True)
    return (img - mean) * (contrast + 0.5) + mean


def translate(img: Tensor, numbers: Tensor, ratio: float = 0.125) -> Tensor:
    """Shift (N, C, H, W) by whole pixels, up to ``ratio`` of each side; mid-grey (0) flows in.

    By numbers (N, 2) in [0, 1): rows, columns.
    """
    n, _, height, width = img.shape
    numbers = numbers.to(img.device)

    def sources(length: int, number: Tensor) -> Tensor:
        reach = int(length * ratio + 0.5)
        shift = (number * (2 * reach + 1)).floor().long() - reach
        position = torch.arange(length, device=img.device)
        return (position + shift[:, None] + 1).clamp(0, length + 1)

    rows, columns = sources(height, numbers[:, 0]), sources(width, numbers[:, 1])
    padded = F.pad(img, (1, 1, 1, 1))
    batch = torch.arange(n, device=img.device)[:, None, None]
    picked = padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)  # channels-last in memory, as the networks want it


def cutout(img: Tensor, numbers: Tensor, ratio: float = 0.5) -> Tensor:
    """Blank (0) a window of ``ratio`` of each side of (N, C, H, W) around a random centre.

    By numbers (N, 2) in [0, 1): row and column of the centre.
    """
    _, _, height, width = img.shape
    numbers = numbers.to(img.device)

    def inside(length: int, number: Tensor) -> Tensor:
        side = int(length * ratio + 0.5)
        start = (number * (length + (1 - side % 2))).floor() - side // 2
        position = torch.arange(length, device=img.device)
        return (position >= start[:, None]) & (position < start[:, None] + side)

    window = inside(height, numbers[:, 0])[:, :, None] & inside(width, numbers[:, 1])[:, None, :]
    return img * (~window)[:, None].to(img.dtype)


# name: (function, how many numbers per image it takes)
_OPERATIONS = {'color': (adjust_color, 3), 'translation': (translate, 2), 'cutout': (cutout, 2)}


@MODELS.register_module()
class DiffAugment(nn.Module):
    """Differentiable augmentation of what the discriminator sees (Sec. 3.1; Zhao et al. 2020).

    Args:
        policy (Sequence[str]): Any of ``'color'``, ``'translation'``, ``'cutout'``, applied in
            this order. Empty: no augmentation. Defaults to ('color', 'translation').
    """

    def __init__(self, policy: Sequence[str] = ('color', 'translation')):
        super().__init__()
        unknown = [name for name in policy if name not in _OPERATIONS]
        if isinstance(policy, str) or unknown:
            raise ValueError(f'policy={policy!r}: must be a list of {list(_OPERATIONS)}')
        self.policy = tuple(policy)

    @property
    def num_numbers(self) -> int:
        """How many random numbers an image needs."""
        return sum(_OPERATIONS[name][1] for name in self.policy)

    def forward(self, img: Tensor, numbers: Tensor) -> Tensor:
        """Augment (N, C, H, W) in [-1, 1] by numbers (N, num_numbers) uniform in [0, 1).

        The same numbers give the same augmentation; the shape stays.
        """
        for operation in self.operations(numbers):
            img = operation(img)
        return img

    def operations(self, numbers: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
        """The operations of the policy in order, each with its own of the numbers of an image."""
        start = 0
        for name in self.policy:
            function, count = _OPERATIONS[name]
            yield partial(function, numbers=numbers[:, start : start + count])
            start += count
