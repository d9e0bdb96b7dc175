"""Small image + mask pairs for the tests of tissue data."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from cellgan_plugin.datasets import TissueMaskDataset

COLUMNS = ('file', 'label', 'mask', 'split', 'group')


def pair_arrays(index: int, height: int, width: int):
    """An image whose red channel is 10 x the instance id of its mask, so that pairs can be told."""
    rng = np.random.default_rng(index)
    ids = np.zeros((height, width), np.uint8)
    ids[: height // 2, : width // 2] = 1
    ids[height // 2 + 2 :, width // 2 + 2 :] = 2 + index % 3
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image[..., 0] = ids * 10
    return image, ids


def write_pairs(root: Path, rows, size=(40, 56)) -> Path:
    """Pairs and a manifest; ``rows`` hold (name, label, split, group[, size])."""
    lines = []
    for index, (name, label, split, group, *own) in enumerate(rows):
        image, ids = pair_arrays(index, *(own[0] if own else size))
        for folder, array in (('images', image), ('masks', ids)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / folder / f'{name}.png')
        lines.append((f'images/{name}.png', label, f'masks/{name}.png', split, group))
    write_manifest(root, lines)
    return root


def write_manifest(root: Path, lines) -> None:
    with open(root / 'manifest.csv', 'w', newline='') as file:
        csv.writer(file).writerows([COLUMNS, *lines])


def edit_manifest(root: Path, **changes) -> None:
    """Change fields of the first row."""
    with open(root / 'manifest.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    rows[0].update(changes)
    write_manifest(root, [[row[name] for name in COLUMNS] for row in rows])


def ten_patients(root: Path, per_patient: int = 2) -> Path:
    """Twenty training images of ten patients and two grades, four test images of two others."""
    rows = [
        (f'p{p}_{i}', ('low', 'high')[p % 2], 'train', f'p{p}')
        for p in range(10)
        for i in range(per_patient)
    ]
    rows += [(f'q{p}_{i}', 'low', 'test', f'q{p}') for p in range(2) for i in range(2)]
    return write_pairs(root, rows)


def tissue(root: Path, **kwargs) -> TissueMaskDataset:
    options = dict(
        data_root=str(root), ann_file='manifest.csv', split='train', instances='binary',
        pipeline=[dict(type='PackTissueInputs')],
    )  # fmt: skip
    return TissueMaskDataset(**{**options, **kwargs})
