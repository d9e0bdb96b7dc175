"""Images of several class-folder trees on one sheet, a row for each (HistoGAN, Fig. 6 to 8)."""

from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.manifest import MANIFEST_NAME
from cellgan_plugin.runs.evaluate_folders import ListedFolder, classes_of, folder_dataset
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
        rows (Mapping[str, str | Path]): Title -> ``DIR`` of class folders, ``DIR:SPLIT`` of the
            manifest in DIR, or ``DIR:LIST.csv``, a manifest whose files lie below DIR (what a
            selection kept of a pool).
        out (str | Path): PNG to write.
        classes (Sequence[str], optional): Defaults to None: those of the first tree.
        per_class (int): Images of each class, evenly chosen. Defaults to 4.
        size (int, optional): Cut and resize images to this side. Defaults to None: as they are.

    Returns:
        Path: ``out``.

    Raises:
        DatasetError: A folder or list cannot be read, or has no image of the classes.
        ValueError: There is no row.
    """
    if not rows or per_class < 1:
        raise ValueError('a sheet needs at least one row NAME=DIR, and one image per class')
    first = str(next(iter(rows.values())))
    if classes is None:
        root, ann_file, split = _parts(first)
        classes = classes_of(ListedFolder(root, ann_file or '', split))
    cells: List[List[np.ndarray]] = []
    for folder in rows.values():
        root, ann_file, split = _parts(str(folder))
        dataset = folder_dataset(root, classes, size, ann_file or '', split)
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


def _parts(folder: str) -> Tuple[str, Optional[str], Optional[str]]:
    """Folder, manifest and split of ``DIR``, ``DIR:SPLIT`` or ``DIR:LIST.csv``."""
    root, colon, rest = folder.rpartition(':')
    if not colon or Path(folder).is_dir() or not Path(root).is_dir():
        return folder, None, None
    if rest.endswith('.csv'):
        return root, str(Path(rest).absolute()), None
    return root, MANIFEST_NAME, rest


def _pixels(sample: dict) -> np.ndarray:
    image = sample['inputs']
    image = image['img'] if isinstance(image, dict) else image
    return image.permute(1, 2, 0).numpy()
