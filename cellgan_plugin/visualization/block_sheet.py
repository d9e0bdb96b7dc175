"""Sheets with a row per class and blocks of columns: real images beside those of each source."""

from typing import Dict, List, Sequence, Tuple

import numpy as np
from PIL import Image

from cellgan_plugin.visualization.contact_sheet import image_grid

CELL = 96  # pixels


def fitted(image: np.ndarray, cell: int = CELL) -> np.ndarray:
    """An image (H, W, 3) of uint8 whose longer side is ``cell`` pixels.

    Small ones are enlarged by whole pixels as far as that goes; what is left to the cell is white.
    """
    height, width = image.shape[:2]
    scale = cell / max(height, width)
    if scale > 1:
        scale = max(1, int(scale))
        how = Image.Resampling.NEAREST
    else:
        how = Image.Resampling.BOX
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(image).resize(size, how))
    if small.shape[:2] == (cell, cell):
        return small
    canvas = np.full((cell, cell, 3), 255, np.uint8)
    top, left = ((cell - side) // 2 for side in small.shape[:2])
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def block_sheet(
    blocks: Sequence[Tuple[str, Dict[str, List[np.ndarray]]]], columns: int = 4
) -> np.ndarray:
    """Rows of classes, blocks of columns; every image in a square of about 96 pixels.

    Args:
        blocks (Sequence[tuple[str, dict]]): Title, and per class name up to ``columns`` uint8 RGB
            images (H, W, 3) of any size. The classes are those of the first block.
        columns (int): Images per block. Defaults to 4.

    Returns:
        np.ndarray: uint8 RGB (H, W, 3).
    """
    images = [image for _, block in blocks for row in block.values() for image in row]
    side = max((max(image.shape[:2]) for image in images), default=CELL)
    cell = side * round(CELL / side) if side < CELL else CELL  # the largest one fills it
    blank = np.full((cell, cell, 3), 255, np.uint8)
    gap = blank[:, : cell // 6]
    titles: List[str] = []
    for number, (title, _) in enumerate(blocks):
        titles += ([''] if number else []) + [title] + [''] * (columns - 1)
    rows = []
    for name in blocks[0][1]:
        row: List[np.ndarray] = []
        for number, (_, block) in enumerate(blocks):
            images = [fitted(image, cell) for image in block.get(name, ())[:columns]]
            row += ([gap] if number else []) + images + [blank] * (columns - len(images))
        rows.append(row)
    return image_grid(rows, row_titles=list(blocks[0][1]), column_titles=titles)
