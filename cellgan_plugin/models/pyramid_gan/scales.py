"""The schedule over scales, and how images and masks get from one size to another."""

from typing import Any, List, Mapping, NamedTuple, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class Scale(NamedTuple):
    """One entry of a schedule.

    Attributes:
        size (int): Side of the training tiles at this scale, px.
        batch_size (int): Images in a step.
        epochs (float | None): Passes over the training set, or None with ``iters``.
        iters (int | None): Steps, or None with ``epochs``.
        labelled (int | None): Of the images of a step, those with a mask, where the sampler mixes
            labelled and unlabelled ones; None: half of them, rounded up.
        checkpoint (bool): Recompute activations in the backward at this scale.
    """

    size: int
    batch_size: int
    epochs: Optional[float] = None
    iters: Optional[int] = None
    labelled: Optional[int] = None
    checkpoint: bool = False

    @property
    def labelled_size(self) -> int:
        """Images with a mask in a step."""
        return (self.batch_size + 1) // 2 if self.labelled is None else self.labelled

    def steps(self, images: int) -> int:
        """Training steps of this scale, at least 1, where an epoch is so many images.

        A last, smaller batch of an epoch counts as a step.
        """
        if self.iters is not None:
            return self.iters
        return max(1, round(self.epochs * self.steps_per_epoch(images)))

    def steps_per_epoch(self, images: int) -> int:
        """Steps that see as many images as there are."""
        return max(1, -(-images // self.batch_size))


def parse_scales(entries: Sequence[Mapping[str, Any]]) -> List[Scale]:
    """Check a schedule, coarsest first; see :class:`Scale` for the keys.

    Raises:
        ValueError: It is empty or not from coarse to fine, or an entry cannot be.
    """
    if not entries:
        raise ValueError('scales is empty: it needs a dict(size=, batch_size=, epochs=) per scale')
    scales = []
    for number, entry in enumerate(entries):
        where = f'scales[{number}]={dict(entry)}'
        unknown = set(entry) - set(Scale._fields)
        if unknown or not {'size', 'batch_size'} <= set(entry):
            raise ValueError(
                f'{where}: needs size and batch_size, and either epochs or iters; may say labelled '
                f'and checkpoint{"; unknown: " + ", ".join(sorted(unknown)) if unknown else ""}'
            )
        scale = Scale(**entry)
        for name in ('size', 'batch_size', 'iters', 'labelled'):
            value = getattr(scale, name)
            if value is not None and (int(value) != value or value < 1):
                raise ValueError(f'{where}: {name} must be a whole number of at least 1')
        if (scale.epochs is None) == (scale.iters is None):
            raise ValueError(f'{where}: say either epochs or iters')
        if scale.epochs is not None and not scale.epochs > 0:
            raise ValueError(f'{where}: epochs must be above 0')
        if scale.labelled is not None and scale.labelled > scale.batch_size:
            raise ValueError(f'{where}: more labelled images than images in the batch')
        if scales and scale.size <= scales[-1].size:
            raise ValueError(
                f'{where}: scales go from coarse to fine, but the one before has size '
                f'{scales[-1].size}'
            )
        scales.append(scale)
    return scales


def side_at(side: int, size: int, of: int) -> int:
    """Length, px, at the scale ``size`` of a side that has ``side`` px where a tile has ``of``."""
    return max(1, round(side * size / of))


def resize_images(img: Tensor, height: int, width: int) -> Tensor:
    """Bilinear (Sec. 4.1.3), anti-aliased when shrinking; float (N, C, H, W)."""
    if img.shape[-2:] == (height, width):
        return img
    smaller = height < img.shape[-2] or width < img.shape[-1]
    # Interpolation in bfloat16 would lose grey levels that the coarser scale has made.
    return F.interpolate(
        img.float(), size=(height, width), mode='bilinear', align_corners=False, antialias=smaller
    )


def resize_masks(masks: Tensor, height: int, width: int) -> Tensor:
    """Nearest neighbour (Sec. 4.1.3) of the centre of every pixel; class ids (N, H, W)."""
    if masks.shape[-2:] == (height, width):
        return masks
    rows = _nearest(masks.shape[-2], height, masks.device)
    columns = _nearest(masks.shape[-1], width, masks.device)
    return masks[..., rows[:, None], columns]


def _nearest(length: int, wanted: int, device: torch.device) -> Tensor:
    centres = (torch.arange(wanted, device=device, dtype=torch.float64) + 0.5) * (length / wanted)
    return centres.floor().long().clamp_(max=length - 1)
