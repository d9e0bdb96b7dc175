"""Objects made visible: outlined in a coloured mask, and drawn over their image."""

import colorsys
from typing import Optional, Sequence

import cv2
import numpy as np

from cellgan_plugin.visualization.mask_colours import class_colour, mask_picture

_LINE = 40  # grey level of outlines in masks
_TRUTH = (0, 0, 0)
# Outlines of classes 1, 2, ... over haematoxylin and eosin: colours that tissue does not have.
_OUTLINES = np.array(
    [(255, 225, 0), (0, 230, 255), (120, 255, 60), (255, 255, 255), (255, 130, 0), (60, 90, 255)],
    dtype=np.uint8,
)


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


def outline_instances(image: np.ndarray, mask: np.ndarray, tint: float = 0.0) -> np.ndarray:
    """Draw the outline of every instance, a pixel wide, over an image.

    Args:
        image (np.ndarray): uint8 RGB (H, W, 3).
        mask (np.ndarray): Whole numbers (H, W), 0 is background.
        tint (float): How much of its colour each instance gets, 0 to 1. Defaults to 0.

    Returns:
        np.ndarray: uint8 RGB (H, W, 3).
    """
    if mask.shape != image.shape[:2]:
        raise ValueError(f'a mask of {mask.shape} over an image of {image.shape[:2]}')
    colours = paint_instances(mask)
    inside = (mask > 0)[..., None]
    drawn = np.where(inside, (1 - tint) * image + tint * colours, image)
    drawn = np.where(object_borders(mask)[..., None], colours, drawn)
    return drawn.round().astype(np.uint8)


def outlined_mask(semantic: np.ndarray, instances: Optional[np.ndarray] = None) -> np.ndarray:
    """A mask in the colours of its classes, with a dark line around every object.

    Args:
        semantic (np.ndarray): Class ids (H, W).
        instances (np.ndarray, optional): Object ids (H, W). Defaults to None: no lines.

    Returns:
        np.ndarray: uint8 RGB (H, W, 3).
    """
    picture = mask_picture(semantic)
    if instances is not None:
        picture[object_borders(instances)] = _LINE
    return picture


def object_borders(instances: np.ndarray, width: int = 1) -> np.ndarray:
    """Pixels of objects that have a neighbour of another object, or of none.

    Args:
        instances (np.ndarray): Object ids (H, W), 0 background.
        width (int): Of the line in pixels, inside of the object. Defaults to 1.

    Returns:
        np.ndarray: bool (H, W).
    """
    labels = np.asarray(instances)
    if labels.max(initial=0) > 65535:  # what OpenCV can compare
        labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    labels = labels.astype(np.float32)
    kernel = np.ones((2 * width + 1, 2 * width + 1), dtype=np.uint8)
    # An object at the border of the image goes on beyond it: no line there.
    high, low = (change(labels, kernel) for change in (cv2.dilate, cv2.erode))
    return (labels > 0) & (high != low)


def outline_colours(labels: np.ndarray) -> np.ndarray:
    """RGB of the outlines of classes, uint8 (..., 3); more than six classes share colours."""
    return _OUTLINES[(np.asarray(labels, dtype=np.int64) - 1) % len(_OUTLINES)]


def draw_overlay(
    image: np.ndarray,
    semantic: np.ndarray,
    instances: np.ndarray,
    true_instances: Optional[np.ndarray] = None,
    width: int = 2,
) -> np.ndarray:
    """Outlines of objects drawn over their image.

    Args:
        image (np.ndarray): uint8 RGB (H, W, 3).
        semantic (np.ndarray): Predicted class ids (H, W); they colour the outlines.
        instances (np.ndarray): Predicted object ids (H, W).
        true_instances (np.ndarray, optional): True object ids, drawn in black below. Defaults to
            None.
        width (int): Of the lines in pixels. Defaults to 2.

    Returns:
        np.ndarray: uint8 RGB (H, W, 3).
    """
    shapes = {np.shape(a)[:2] for a in (image, semantic, instances)}
    if len(shapes) > 1:
        raise ValueError(f'image and masks differ in size: {sorted(shapes)}')
    picture = np.array(image)
    if true_instances is not None:
        picture[object_borders(true_instances, width)] = _TRUTH
    border = object_borders(instances, width)
    picture[border] = outline_colours(semantic[border])
    return picture


def legend_text(classes: Sequence[str]) -> str:
    """What the colours of masks and of outlines mean, in words, for a caption."""

    def named(colours) -> str:
        return ', '.join(f'{name} #{"".join(f"{v:02x}" for v in rgb)}' for name, rgb in colours)

    masks = named((name, class_colour(i)) for i, name in enumerate(classes))
    outlines = named((name, outline_colours(i)) for i, name in enumerate(classes) if i)
    return f'masks: {masks}\noverlays: {outlines}, true objects #000000'
