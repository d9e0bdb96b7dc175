"""A picture of a folder of phantom glands: images, and the outlines of the last ones."""

from pathlib import Path
from typing import Dict, List, Union

from cellgan_plugin.datasets.image_encoding import check_format, write_image
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, read_manifest
from cellgan_plugin.datasets.mask_io import load_mask
from cellgan_plugin.visualization.contact_sheet import image_grid
from cellgan_plugin.visualization.mask_overlay import outline_instances, paint_instances

_COLUMNS = 4  # images per category
_SIDE = 160  # px, the largest on the sheet


def draw_gland_sheet(folder: Union[str, Path], path: Union[str, Path]) -> Path:
    """Draw the first images of every category of a folder of :func:`write_gland_phantom`.

    The last column shows the glands of the image before it in colours.

    Args:
        folder (str | Path): The data set.
        path (str | Path): The picture; its ending says the format (``.png``, ``.jpg``, ...).

    Returns:
        Path: ``path``.
    """
    path = Path(path)
    check_format(path.suffix)
    by_category: Dict[str, List[Dict[str, str]]] = {}
    for row in read_manifest(Path(folder) / MANIFEST_NAME):
        rows = by_category.setdefault(row['category'], [])
        if len(rows) < _COLUMNS:
            rows.append(row)
    lines = []
    for rows in by_category.values():
        masks = [load_mask(str(Path(folder) / row['mask'])) for row in rows]
        if rows[0]['file'] == rows[0]['mask']:
            lines.append([paint_instances(mask) for mask in masks])
            continue
        images = [load_image(str(Path(folder) / row['file'])) for row in rows]
        lines.append([*images, outline_instances(images[-1], masks[-1], tint=0.35)])
    largest = max(max(image.shape[:2]) for line in lines for image in line)
    titles = [name.replace(' differentiated', '') for name in by_category]
    sheet = image_grid(lines, titles, scale=min(1.0, _SIDE / largest))
    write_image(path, sheet)
    return path
