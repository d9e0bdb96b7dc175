"""A folder of phantom glands: image + mask pairs with a manifest."""

from pathlib import Path
from typing import Dict, Mapping, NamedTuple, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.inspection import with_progress
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.processes import run_in_processes

from ..writer import PARAMETERS_NAME, check_split_name, open_folder
from .grades import GLAND_CATEGORIES, GLAND_TRAITS, check_category
from .patch import Size, check_gland_size, generate_gland_phantom
from .patients import gland_patient

# Raised whenever the same key gives other pixels than before: a folder is never filled by two.
GENERATOR = 'phantom glands 1'
COLUMNS = ('file', 'label', 'mask', 'split', 'group', 'category', 'classes')


class _Task(NamedTuple):
    """One image to make."""

    out_dir: str
    category: str
    size: Tuple[int, int]
    seed: int
    split: str
    index: int
    masks_only: bool


def _stem(category: str, split: str, index: int) -> str:
    return f'{split}_{category.replace(" ", "_")}_{index:05d}'


def _make(task: _Task) -> None:
    """Make one pair and write it, masks first: an image on disk has its masks."""
    made = generate_gland_phantom(*task[1:])
    out_dir, name = Path(task.out_dir), f'{_stem(task.category, task.split, task.index)}.png'
    write_png(out_dir / 'classes' / name, made.class_mask)
    write_png(out_dir / 'masks' / name, made.instance_mask)
    if made.image is not None:
        write_png(out_dir / 'images' / name, made.image)


def _check_amounts(
    splits: Mapping[str, int], categories: Sequence[str]
) -> Tuple[Dict[str, int], Tuple[str, ...]]:
    if not splits:
        raise ValueError("splits is empty: name at least one, such as {'train': 20}")
    for split, number in splits.items():
        check_split_name(split)
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise ValueError(
                f'split {split!r}: the number of images per category must be a whole number of at '
                f'least 1, got {number!r}'
            )
    names = tuple(dict.fromkeys(check_category(name) for name in categories))
    if not names:
        raise ValueError(f'no category is asked for: choose of {", ".join(GLAND_CATEGORIES)}')
    return {split: int(number) for split, number in splits.items()}, names


@writes_folder('out_dir', deep=True)
def write_gland_phantom(
    out_dir: Union[str, Path],
    splits: Mapping[str, int],
    size: Size = 256,
    categories: Sequence[str] = GLAND_CATEGORIES,
    seed: int = 0,
    masks_only: bool = False,
    workers: int = 1,
    progress: bool = False,
) -> Path:
    """Write a data set that :class:`~cellgan_plugin.datasets.TissueMaskDataset` reads as it is.

    ::

        out_dir/
          manifest.csv     file, label (benign, malignant), mask, split, group (patient), category
          parameters.json  what the folder was made with
          images/*.png     RGB
          masks/*.png      instance ids, 0 = stroma
          classes/*.png    0 stroma, 1 epithelium, 2 lumen

    A run that was stopped goes on where it was: pairs on disk are not made again. Numbers may grow
    between runs; any other change of parameters is refused.

    Args:
        out_dir (str | Path): Where to; new, empty, or an unfinished run of the same.
        splits (Mapping[str, int]): Images per category by split, e.g. ``dict(train=40, test=10)``.
            Splits share no patient.
        size (int | Sequence[int]): Side in px or (height, width). Defaults to 256.
        categories (Sequence[str]): Of the five. Defaults to all.
        seed (int): Base seed. Defaults to 0.
        masks_only (bool): Write masks alone, for generation from masks; ``file`` of the manifest
            then is the mask. Defaults to False.
        workers (int): Processes. The files are the same for any number. Defaults to 1.
        progress (bool): Whether to show a progress bar. Defaults to False.

    Returns:
        Path: The manifest.

    Raises:
        ValueError: On an unknown category, a bad size, number or split name.
        RecordError: When ``out_dir`` holds something else.
    """
    out_dir = Path(out_dir)
    size = check_gland_size(size)
    splits, categories = _check_amounts(splits, categories)
    if workers < 1:
        raise ValueError(f'workers must be 1 or more, got {workers}')
    parameters = {
        'generator': GENERATOR,
        'seed': int(seed),
        'size': list(size),
        'categories': list(categories),
        'masks_only': bool(masks_only),
    }
    open_folder(out_dir, PARAMETERS_NAME, parameters, {'splits': splits})
    rows, tasks = [], []
    needed = ('masks', 'classes') if masks_only else ('masks', 'classes', 'images')
    on_disk = {
        folder: {path.name for path in (out_dir / folder).glob('*.png')} for folder in needed
    }
    for split, number in splits.items():
        for category in categories:
            for index in range(number):
                name = f'{_stem(category, split, index)}.png'
                rows.append(
                    {
                        'file': f'{"masks" if masks_only else "images"}/{name}',
                        'label': GLAND_TRAITS[category].grade,
                        'mask': f'masks/{name}',
                        'split': split,
                        'group': gland_patient(seed, split, index).name,
                        'category': category,
                        'classes': f'classes/{name}',
                    }
                )
                if not all(name in on_disk[folder] for folder in needed):
                    tasks.append(
                        _Task(str(out_dir), category, size, seed, split, index, masks_only)
                    )
    done = run_in_processes(_make, tasks, workers)
    if progress and tasks:
        text = 'x'.join(map(str, size))
        done = with_progress(done, len(tasks), f'Phantom glands {text} px')
    for _ in done:
        pass
    return write_manifest(out_dir / MANIFEST_NAME, rows, COLUMNS)
