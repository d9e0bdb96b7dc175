"""Which image sizes the stages of HistoGAN work at."""

from typing import List, Sequence, Tuple, Union

import torch.nn.functional as F
from torch import Tensor

from cellgan_plugin.models.layers import height_and_width

# Up-sampling blocks of the first stage (Sec. 4.2.1).
FIRST_STAGE_BLOCKS = 4

Size = Union[int, Sequence[int]]


def stage_sizes(name: str, size: Size, num_stages: int) -> List[Tuple[int, int]]:
    """Image size of every stage: each doubles the one before.

    256x128 in three stages is 64x32, 128x64, 256x128, from a map of 4x2; 96x96 in two is 48x48,
    96x96, from a map of 3x3.

    Args:
        name (str): Of the argument, for the message.
        size (int | Sequence[int]): Of the last stage: a side, or (height, width).
        num_stages (int): At least 1.

    Returns:
        list[tuple[int, int]]: (height, width) of the stages, smallest first.

    Raises:
        ValueError: The size cannot be halved down to a first map of whole positions.
    """
    if not isinstance(num_stages, int) or num_stages < 1:
        raise ValueError(f'num_stages={num_stages!r}: must be at least 1')
    height, width = height_and_width(name, size)
    factor = 2 ** (FIRST_STAGE_BLOCKS + num_stages - 1)
    if height % factor or width % factor:
        raise ValueError(
            f'{name}=({height}, {width}): with num_stages={num_stages} both must be multiples of '
            f'{factor}; {FIRST_STAGE_BLOCKS} blocks of the first stage and each further stage '
            'double the size'
        )
    scales = [2 ** (num_stages - 1 - stage) for stage in range(num_stages)]
    return [(height // scale, width // scale) for scale in scales]


def image_pyramid(images: Tensor, num_stages: int) -> List[Tensor]:
    """Images (N, C, H, W) at the size of every stage by area averaging, smallest first.

    H and W are multiples of 2^(num_stages - 1); the last is ``images`` itself.
    """
    pyramid = [images]
    for _ in range(num_stages - 1):
        pyramid.insert(0, F.avg_pool2d(pyramid[0], 2))
    return pyramid
