"""Images of several class-folder trees on one sheet, a row for each (HistoGAN, Fig. 6 to 8)."""

from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Union

import numpy as np

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.runs.evaluate_folders import classes_of, find_folder, folder_dataset
from cellgan_plugin.visualization import image_grid


def folder_sheet(
    rows: Mapping[str, Union[str, Path]],
    out: Union[str, Path],
    classes: Optional[Sequence[str]] = None,
    per_class: int = 4,
    size: Optional[int] = None,
) -> Path:
    """Draw images of every tree: a row for each, the classes side by side.

    Args:
        rows (Mapping[str, str | Path]): Title -> ``DIR``, ``DIR:SPLIT`` of the manifest in DIR, or
            ``DIR:LIST.csv``, a manifest whose files lie below DIR (what a selection kept of a
            pool).
        out (str | Path): PNG to write.
        classes (Sequence[str], optional): Defaults to None: those of the first tree.
        per_class (int): Images of each class, evenly chosen. Defaults to 4.
        size (int, optional): Cut and resize images to this side. Defaults to None: as they are.

    Returns:
        Path: ``out``.

    Raises:
        FileNotFoundError: There is no such folder.
        DatasetError: A folder or list cannot be read, or has no image of the classes.
        ValueError: There is no row, or a split and no manifest.
    """
    if not rows or per_class < 1:
        raise ValueError('a sheet needs at least one row NAME=DIR, and one image per class')
    folders = [find_folder(folder) for folder in rows.values()]
    classes = classes_of(folders[0]) if classes is None else classes
    cells: List[List[np.ndarray]] = []
    for root, ann_file, split in folders:
        dataset = folder_dataset(root, classes, size, ann_file, split)
        labels = np.array([dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))])
        row: List[np.ndarray] = []
        for label in range(len(classes)):
            own = np.flatnonzero(labels == label)
            chosen = own[np.linspace(0, len(own) - 1, min(per_class, len(own))).astype(int)]
            images = [_pixels(dataset[int(i)]) for i in chosen]
            row += images + [np.full((1, 1, 3), 255, np.uint8)] * (per_class - len(images))
        cells.append(row)
    titles = [t for name in classes for t in (name, *[''] * (per_class - 1))]
    write_png(Path(out), image_grid(cells, list(rows), titles))
    return Path(out)


def _pixels(sample: dict) -> np.ndarray:
    image = sample['inputs']
    image = image['img'] if isinstance(image, dict) else image
    return image.permute(1, 2, 0).numpy()
