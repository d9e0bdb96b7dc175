"""Instances made visible: a colour for each, alone or over their image."""

import colorsys

import numpy as np

from cellgan_plugin.visualization.masks import object_borders


def instance_colours(count: int) -> np.ndarray:
    """RGB of instances 0..count, uint8 (count + 1, 3): 0 is grey, neighbours in number differ.

    Args:
        count (int): Highest instance id.
    """
    colours = [(110, 110, 110)]
    for number in range(count):
        # The golden ratio spreads any number of hues; two lightnesses tell close ones apart.
        hue = (0.13 + number * 0.618034) % 1.0
        red, green, blue = colorsys.hls_to_rgb(hue, (0.45, 0.62)[number % 2], 0.85)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return np.array(colours, dtype=np.uint8)


def paint_instances(mask: np.ndarray) -> np.ndarray:
    """A mask in colours.

    Args:
        mask (np.ndarray): Whole numbers (H, W), 0 is background.

    Returns:
        np.ndarray: uint8 RGB (H, W, 3).
    """
    return instance_colours(int(mask.max(initial=0)))[mask]


def outline_instances(
    image: np.ndarray, mask: np.ndarray, tint: float = 0.0, width: int = 1
) -> np.ndarray:
    """Draw the outline of every instance over an image.

    Args:
        image (np.ndarray): uint8 RGB (H, W, 3).
        mask (np.ndarray): Whole numbers (H, W), 0 is background.
        tint (float): How much of its colour each instance gets, 0 to 1. Defaults to 0.
        width (int): Of the lines, px. Defaults to 1.

    Returns:
        np.ndarray: uint8 RGB (H, W, 3).
    """
    if mask.shape != image.shape[:2]:
        raise ValueError(f'a mask of {mask.shape} over an image of {image.shape[:2]}')
    colours = paint_instances(mask)
    inside = (mask > 0)[..., None]
    drawn = np.where(inside, (1 - tint) * image + tint * colours, image)
    drawn = np.where(object_borders(mask, width)[..., None], colours, drawn)
    return drawn.round().astype(np.uint8)
