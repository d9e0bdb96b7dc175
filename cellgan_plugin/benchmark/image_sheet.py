"""Real images of every class beside those that each arm adds."""

import os
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from mmengine.logging import print_log

from cellgan_plugin.benchmark.fold_plan import FoldPlan
from cellgan_plugin.benchmark.synthetic import Arm
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import ImageFileError, load_image
from cellgan_plugin.datasets.manifest import iter_manifest
from cellgan_plugin.visualization.block_sheet import block_sheet

IMAGES_NAME = 'images.png'
_COLUMNS, _MOST_COLUMNS = 4, 16  # of a block, of a sheet


def draw_image_sheet(
    out: Path, plan: FoldPlan, arms: Sequence[Arm], shown: Mapping[str, str], real: str
) -> Optional[Path]:
    """Draw ``images.png``: the first training images of the first fold, and of each arm.

    Args:
        out (Path): Work directory of the benchmark.
        plan (FoldPlan): Its folds.
        arms (Sequence[Arm]): The rows of its table.
        shown (Mapping[str, str]): Name of an arm in the tables.
        real (str): Title of the real images.

    Returns:
        Path | None: None where no arm has images yet.
    """
    first = next((f for f in plan.folds if f.train), None)
    blocks: List[Tuple[str, Dict[str, List[str]]]] = []
    seen = set()
    for arm in arms:
        part = arm.parts[0]
        if part is None or not Path(part['ann_file']).is_file() or part['ann_file'] in seen:
            continue
        seen.add(part['ann_file'])  # an arm with the images of another shows them once
        files: Dict[str, List[str]] = {name: [] for name in plan.classes}
        for _, row in iter_manifest(part['ann_file']):
            own = files.get(row['label'], [])
            if len(own) < _COLUMNS:
                own.append(os.path.join(part['data_root'], row['file']))
        if any(files.values()):
            blocks.append((shown[arm.name], files))
    if not blocks or first is None:
        return None
    files = {name: [] for name in plan.classes}
    for index in first.train:
        sample = plan.samples[index]
        own = files[plan.classes[sample.label]]
        if len(own) < _COLUMNS:
            own.append(sample.file)
    blocks.insert(0, (real, files))
    columns = max(1, min(_COLUMNS, _MOST_COLUMNS // len(blocks)))
    pictures: List[Tuple[str, Dict[str, List[np.ndarray]]]] = [
        (title, {name: _loaded(own[:columns]) for name, own in files.items()})
        for title, files in blocks
    ]
    write_png(out / IMAGES_NAME, block_sheet(pictures, columns))
    return out / IMAGES_NAME


def _loaded(files: Sequence[str]) -> List[np.ndarray]:
    """Images that can be read: a file that was moved since must not stop a table that is done."""
    images = []
    for file in files:
        try:
            images.append(load_image(file))
        except ImageFileError as error:
            print_log(f'{IMAGES_NAME}: left out: {error}', level=30)
    return images
