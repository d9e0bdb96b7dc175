"""Many small images on one, with titles."""

from typing import List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_WHITE = 255
_FONT_SIZE = 14
_MARGIN = 6


def _as_rgb(image: np.ndarray, where: str) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise TypeError(f'image_grid: {where} is {image.dtype}, expected uint8')
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(
            f'image_grid: {where} has shape {image.shape}, expected (H, W), (H, W, 1) or (H, W, 3)'
        )
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _scaled(image: np.ndarray, scale: Optional[float]) -> np.ndarray:
    if scale is None or scale == 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    # Whole pixels when enlarging (what is there is shown), averages when shrinking.
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize((width, height), how))


def _text_size(text: str, font: ImageFont.ImageFont) -> Tuple[int, int]:
    left, top, right, bottom = font.getbbox(text)
    return int(np.ceil(right - min(left, 0))), int(np.ceil(bottom - min(top, 0)))


def _spans(titles: Sequence[str]) -> List[int]:
    """Columns that every title may use: its own and those without a title after it."""
    spans = [1] * len(titles)
    for column in reversed(range(len(titles) - 1)):
        if not titles[column + 1]:
            spans[column] = spans[column + 1] + 1
    return spans


def image_grid(
    rows: Sequence[Sequence[np.ndarray]],
    row_titles: Optional[Sequence[str]] = None,
    column_titles: Optional[Sequence[str]] = None,
    pad: int = 2,
    scale: Optional[float] = None,
) -> np.ndarray:
    """Lay images out in rows on white.

    Args:
        rows (Sequence[Sequence[np.ndarray]]): uint8 images, (H, W), (H, W, 1) or RGB (H, W, 3).
            Rows may differ in length and images in size; every cell is as large as the largest
            image.
        row_titles (Sequence[str] | None): One per row, written left of it.
        column_titles (Sequence[str] | None): One per column, written above it; a title with empty
            ones after it may reach over their columns.
        pad (int): White pixels around every image. Defaults to 2.
        scale (float | None): Enlarge (whole pixels) or shrink (averages) every image.

    Returns:
        np.ndarray: uint8 RGB array of shape (H, W, 3).
    """
    images: List[List[np.ndarray]] = [
        [_scaled(_as_rgb(image, f'row {r}, column {c}'), scale) for c, image in enumerate(row)]
        for r, row in enumerate(rows)
    ]
    num_columns = max((len(row) for row in images), default=0)
    if not num_columns:
        raise ValueError('image_grid: there is no image')
    for name, titles, count in (
        ('row_titles', row_titles, len(images)),
        ('column_titles', column_titles, num_columns),
    ):
        if titles is not None and len(titles) != count:
            raise ValueError(f'image_grid: {len(titles)} {name} for {count}')

    font = ImageFont.load_default(_FONT_SIZE)
    row_texts = [str(title) for title in row_titles or ()]
    column_texts = [str(title) for title in column_titles or ()]
    row_sizes = [_text_size(text, font) for text in row_texts]
    column_sizes = [_text_size(text, font) for text in column_texts]
    cell_height = max(image.shape[0] for row in images for image in row) + 2 * pad
    cell_width = max(image.shape[1] for row in images for image in row) + 2 * pad
    # Cells grow rather than cut a title off.
    cell_height = max([cell_height] + [height + 2 for _, height in row_sizes])
    spans = _spans(column_texts)
    needed = [-(-(width + _MARGIN) // n) for (width, _), n in zip(column_sizes, spans, strict=True)]
    cell_width = max([cell_width] + needed)
    left = max((width for width, _ in row_sizes), default=-2 * _MARGIN) + 2 * _MARGIN
    top = max((height for _, height in column_sizes), default=-_MARGIN) + _MARGIN

    shape = (top + cell_height * len(images), left + cell_width * num_columns, 3)
    sheet = np.full(shape, _WHITE, dtype=np.uint8)
    for r, row in enumerate(images):
        for c, image in enumerate(row):
            y, x = top + r * cell_height + pad, left + c * cell_width + pad
            sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
    if not row_texts and not column_texts:
        return sheet

    canvas = Image.fromarray(sheet)
    draw = ImageDraw.Draw(canvas)
    for r, (text, (_, height)) in enumerate(zip(row_texts, row_sizes, strict=True)):
        y = top + r * cell_height + (cell_height - height) // 2
        draw.text((_MARGIN, y), text, fill=(0, 0, 0), font=font)
    for c, (text, (width, _)) in enumerate(zip(column_texts, column_sizes, strict=True)):
        x = left + c * cell_width + (pad if spans[c] > 1 else (cell_width - width) // 2)
        draw.text((x, _MARGIN // 2), text, fill=(0, 0, 0), font=font)
    return np.array(canvas)
