"""Class masks as pictures."""

from typing import Tuple

import numpy as np

# Paul Tol's bright scheme, told apart by colour-blind readers too; class 0, the background, is
# light so that it does not shout.
_PALETTE = np.array(
    [
        (238, 230, 224),
        (68, 119, 170),
        (238, 102, 119),
        (34, 136, 51),
        (204, 187, 68),
        (102, 204, 238),
        (170, 51, 119),
        (153, 92, 46),
    ],
    dtype=np.uint8,
)
_IGNORED = (0, 0, 0)


def class_colour(number: int) -> Tuple[int, int, int]:
    """RGB of a class id; more than eight classes share colours."""
    return tuple(int(value) for value in _PALETTE[number % len(_PALETTE)])


def mask_picture(mask: np.ndarray, ignore_index: int = 255) -> np.ndarray:
    """Colour a mask.

    Args:
        mask (np.ndarray): Class ids (H, W), integers from 0.
        ignore_index (int): Id of pixels without a class: black. Defaults to 255.

    Returns:
        np.ndarray: uint8 RGB (H, W, 3).
    """
    mask = np.asarray(mask)
    picture = _PALETTE[mask % len(_PALETTE)]
    picture[mask == ignore_index] = _IGNORED
    return picture
