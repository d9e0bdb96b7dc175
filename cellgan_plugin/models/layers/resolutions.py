"""Which resolutions a pyramid network has, and how many channels at each."""

from typing import Dict, List, Sequence, Tuple, Union

MIN_SIZE, MAX_SIZE = 32, 1024

# Multiples of base_channels. 4 to 256: CellGAN, Sec. 2.1 and Fig. 1 (with base_channels 32:
# 512, 512, 256, 256, 128, 64, 32). 512 and 1024: FastGAN's halving carried on.
_MULTIPLES: Dict[int, float] = {
    4: 16,
    8: 16,
    16: 8,
    32: 8,
    64: 4,
    128: 2,
    256: 1,
    512: 0.5,
    1024: 0.25,
}


def check_image_size(name: str, size: int) -> int:
    """Return ``size``, or raise ValueError when it is not a power of two from 32 to 1024."""
    if size not in _MULTIPLES or size < MIN_SIZE:
        allowed = ', '.join(str(s) for s in _MULTIPLES if s >= MIN_SIZE)
        raise ValueError(f'{name}={size!r}: must be a power of two, one of {allowed} (pixels)')
    return size


def height_and_width(name: str, size: Union[int, Sequence[int]]) -> Tuple[int, int]:
    """(height, width) of ``size``, one number for a square or two; ValueError for anything else."""
    sides = (size, size) if isinstance(size, int) else size
    try:
        height, width = (int(side) for side in sides)
        whole = height >= 1 and width >= 1 and (height, width) == tuple(sides)
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(f'{name}={size!r}: must be a number of pixels, or (height, width)')
    return height, width


def resolutions_between(low: int, high: int) -> List[int]:
    """Powers of two from ``low`` to ``high``, both included, in pixels."""
    return [size for size in _MULTIPLES if low <= size <= high]


def channels_by_resolution(base_channels: int) -> Dict[int, int]:
    """Channels of the feature map at each resolution (pixels), at least 1."""
    if base_channels < 1:
        raise ValueError(f'base_channels={base_channels!r}: must be at least 1')
    return {size: max(1, int(base_channels * multiple)) for size, multiple in _MULTIPLES.items()}
