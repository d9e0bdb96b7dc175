"""PatchCamelyon as Kaggle has it ("Histopathologic Cancer Detection"): without the duplicates.

``train_labels.csv`` (``id,label``) and ``train/<id>.tif``, 220,025 patches of which 40.5 % are
tumour; the labels of ``test/`` were never published. HistoGAN's Table 2 fits this edition: its
accuracy, sensitivity and specificity imply 40 to 43 % of positives, where the test set of
PatchCamelyon as published has 50 %.
"""

from collections import Counter
from pathlib import Path
from typing import List, Sequence

import numpy as np

from cellgan_plugin.converters.common import ConverterError, read_table, some_of
from cellgan_plugin.converters.pcam_files import SIDE, PcamSplit
from cellgan_plugin.converters.splits import check_fractions
from cellgan_plugin.datasets.image_io import ImageFileError, load_image
from cellgan_plugin.datasets.sources import SPLITS
from cellgan_plugin.randomness import rng_for

LABELS_NAME, FOLDER = 'train_labels.csv', 'train'


def is_kaggle(root: Path) -> bool:
    """Whether a folder holds Kaggle's edition."""
    return (root / LABELS_NAME).is_file()


def open_kaggle(root: Path, fractions: Sequence[float], seed: int) -> List[PcamSplit]:
    """Divide the labelled patches, each class by itself; no image is read.

    Args:
        root (Path): The folder with ``train_labels.csv`` and ``train/``.
        fractions (Sequence[float]): Of train, val and test; 0 leaves a split out.
        seed (int): Of the draw.

    Returns:
        list[PcamSplit]: Those with patches. No patch has a slide: Kaggle does not say it.

    Raises:
        ConverterError: A file is missing, a label is neither 0 nor 1, an id is none or named twice.
    """
    fractions = check_fractions(fractions)
    path = root / LABELS_NAME
    names: List[str] = []
    labels: List[int] = []
    for where, row in read_table(path, ('id', 'label')):
        name, label = row['id'].strip(), row['label'].strip()
        if not name.isalnum():
            raise ConverterError(
                f'{path}, {where}: id is {row["id"]!r}; expected letters and digits'
            )
        if label not in ('0', '1'):
            raise ConverterError(
                f'{path}, {where}: label is {row["label"]!r}; expected 0 (normal) or 1 (tumor)'
            )
        names.append(name)
        labels.append(int(label))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConverterError(f'{path}: names {some_of(twice)} twice')
    missing = [n for n in names if not (root / FOLDER / f'{n}.tif').is_file()]
    if missing:
        raise ConverterError(
            f'{root / FOLDER}: {len(missing)} of {len(names)} patches of {LABELS_NAME} are not '
            f'there ({some_of([f"{name}.tif" for name in missing])}); unpack the archive again'
        )
    every = np.array(labels, dtype=np.uint8)
    chosen: List[List[np.ndarray]] = [[] for _ in SPLITS]
    for value in (0, 1):
        members = np.flatnonzero(every == value)
        order = rng_for(seed, 'pcam/kaggle', value).permutation(members)
        ends = np.round(np.cumsum(fractions) * len(members)).astype(int)
        for part, found in zip(chosen, np.split(order, ends[:-1]), strict=True):
            part.append(found)
    sides = []
    for split, parts in zip(SPLITS, chosen, strict=True):
        rows = np.sort(np.concatenate(parts))
        if len(rows):
            files = [f'{names[row]}.tif' for row in rows.tolist()]
            sides.append(PcamSplit(split, root / FOLDER, every[rows], None, '', files))
    return sides


def read_patch(path: Path) -> np.ndarray:
    """One patch, uint8 RGB (96, 96, 3).

    Raises:
        ConverterError: It cannot be read, or has another size.
    """
    try:
        image = load_image(str(path))
    except ImageFileError as error:
        raise ConverterError(str(error)) from error
    if image.shape != (SIDE, SIDE, 3):
        raise ConverterError(
            f'{path}: is {image.shape[1]}x{image.shape[0]}; expected {SIDE}x{SIDE} px'
        )
    return image
