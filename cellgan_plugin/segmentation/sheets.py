"""Pictures of segmented images: predicted masks, and pairs of both networks (Fig. 5)."""

from pathlib import Path
from typing import List, Sequence, Union

import cv2
import numpy as np
import torch
from torch import nn

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.whole_images import MaskMeaning, WholeImage, mask_at
from cellgan_plugin.files import atomic_write
from cellgan_plugin.models.data_preprocessor import to_uint8
from cellgan_plugin.randomness import derive_seed
from cellgan_plugin.segmentation.evaluate_masks import PredictedMasks
from cellgan_plugin.visualization.contact_sheet import image_grid
from cellgan_plugin.visualization.mask_colours import mask_picture
from cellgan_plugin.visualization.mask_overlay import legend_text, outlined_mask

PathLike = Union[str, Path]
SHEET_NAME, PAIRS_NAME = 'masks.png', 'pairs.png'
_SHEET_COLUMNS, _SHEET_ROWS, _SHEET_SIDE = 4, 3, 260
_PAIR_TITLES = ('image', 'segmented', 'true mask', 'generated from it')


def as_cell(picture: np.ndarray) -> np.ndarray:
    """Every n-th pixel of a mask's picture, so that it is no larger than the cell of a sheet."""
    step = max(1, -(-max(picture.shape) // _SHEET_SIDE))
    return picture[::step, ::step]


def mask_sheet(out: PathLike, images: Sequence[WholeImage], classes: Sequence[str]) -> Path:
    """Draw the predicted masks of the first images, without the images; ``masks.png``."""
    predicted = PredictedMasks(out)
    cells, names = [], []
    for image in images[: _SHEET_COLUMNS * _SHEET_ROWS]:
        cells.append(as_cell(outlined_mask(*predicted.read(image))))
        names.append(image.name)
    rows = [cells[i : i + _SHEET_COLUMNS] for i in range(0, len(cells), _SHEET_COLUMNS)]
    path = Path(out) / SHEET_NAME
    write_png(path, image_grid(rows))
    with atomic_write(path.with_suffix('.txt'), 'w', encoding='utf-8') as file:
        file.write(f'{legend_text(classes)}\nrow by row: {", ".join(names)}\n')
    return path


def images_with_pairs(model: nn.Module, images: Sequence[WholeImage]) -> List[WholeImage]:
    """The images that :func:`draw_pairs` can draw.

    Raises:
        ValueError: The model generates nothing, or no image has a mask.
    """
    if getattr(model, 'generators', None) is None or not hasattr(model, 'mask_unit'):
        raise ValueError(
            f'{type(model).__name__} generates no images from masks: pairs are drawn of models of '
            'Algorithm 2 or 3, such as configs/pyramid_gan/pyramid_glas.py'
        )
    known = [image for image in images if image.mask is not None]
    if not known:
        raise ValueError('no image has a true mask to generate from: give --masks or a manifest')
    return known


def draw_pairs(
    model: nn.Module,
    out: PathLike,
    images: Sequence[WholeImage],
    meaning: MaskMeaning,
    count: int = 4,
    scale: float = 1.0,
) -> Path:
    """Images, their predicted and true masks, and images made of the true masks; ``pairs.png``.

    Fig. 5 of Li et al. 2022, one column per image: x_0, S_0(x_0), y_0, G_0(y_0). Generated images
    have the resolution of the model's training and are enlarged to the others.

    Args:
        model (nn.Module): A pyramid with segmenters and generators.
        out (str | Path): Folder of :func:`~cellgan_plugin.segmentation.segment.segment`.
        images (Sequence[WholeImage]): Those of the folder, evenly chosen from those with a mask.
        meaning (MaskMeaning): Of the true masks.
        count (int): Columns. Defaults to 4.
        scale (float): The model was trained on images resized by it. Defaults to 1.

    Returns:
        Path: The picture.

    Raises:
        ValueError: The model generates nothing, no image has a mask, or a mask is too small.
    """
    known = images_with_pairs(model, images)
    known = known[:: max(1, len(known) // count)][:count]
    predicted = PredictedMasks(Path(out))
    rows: List[List[np.ndarray]] = [[] for _ in _PAIR_TITLES]
    for image in known:
        pixels, truth = load_image(str(image.image)), meaning.read(image)[0]
        semantic, _ = predicted.read(image)
        mask = mask_at(truth, scale * model.size / model.tile_size, model.mask_unit(), image.mask)
        noise = derive_seed(0, 'pairs', image.name)
        made = to_uint8(model.generate(torch.from_numpy(mask)[None], [noise]))[0]
        shrink = min(1.0, _SHEET_SIDE / max(pixels.shape[:2]))
        sides = tuple(max(1, round(side * shrink)) for side in pixels.shape[1::-1])
        for row, picture, how in zip(
            rows,
            (pixels, mask_picture(semantic), mask_picture(truth),
             made.permute(1, 2, 0).cpu().numpy()),
            (cv2.INTER_AREA, cv2.INTER_NEAREST, cv2.INTER_NEAREST, cv2.INTER_LINEAR),
            strict=True,
        ):  # fmt: skip
            row.append(cv2.resize(picture, sides, interpolation=how))
    path = Path(out) / PAIRS_NAME
    write_png(path, image_grid(rows, list(_PAIR_TITLES)))
    return path
