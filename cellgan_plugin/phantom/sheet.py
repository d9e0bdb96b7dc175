"""A picture of a phantom data set: a row of images per class."""

from pathlib import Path
from typing import Dict, List, Union

import numpy as np

from cellgan_plugin.datasets.image_encoding import check_format, write_image
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, read_manifest
from cellgan_plugin.visualization.contact_sheet import image_grid


def draw_phantom_sheet(
    folder: Union[str, Path], path: Union[str, Path], columns: int = 5, side: int = 96
) -> Path:
    """Draw the first patches of every class of a data set of :func:`write_phantom_dataset`.

    Args:
        folder (str | Path): The data set.
        path (str | Path): The picture; its ending says the format (``.png``, ``.jpg``, ...).
        columns (int): Patches per class. Defaults to 5.
        side (int): Largest side of a patch on the sheet in pixels. Defaults to 96.

    Returns:
        Path: ``path``.

    Raises:
        ManifestError: ``folder`` holds no data set.
        ValueError: The ending is no format that is written.
    """
    path = Path(path)
    check_format(path.suffix)
    rows: Dict[str, List[np.ndarray]] = {}
    for row in read_manifest(Path(folder) / MANIFEST_NAME):
        images = rows.setdefault(row['label'], [])
        if len(images) < columns:
            images.append(load_image(str(Path(folder) / row['file'])))
    largest = max(max(image.shape[:2]) for images in rows.values() for image in images)
    sheet = image_grid(list(rows.values()), list(rows), scale=min(1.0, side / largest))
    write_image(path, sheet)
    return path
