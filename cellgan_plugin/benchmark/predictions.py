"""Predictions of a classifier as a file: one row per test image."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.files import atomic_write


class PredictionError(ValueError):
    """Predictions that do not belong to the images they are compared with."""


@dataclass
class Predictions:
    """What a classifier says of N images.

    Attributes:
        files (list[str]): As the list of test images names them.
        labels (np.ndarray): True classes, int64 (N,).
        probabilities (np.ndarray): (N, K), rows of sum 1.
        classes (tuple[str]): K names in the order of the labels.
    """

    files: List[str]
    labels: np.ndarray
    probabilities: np.ndarray
    classes: Tuple[str, ...]


def _column(name: str) -> str:
    return f'p({name})'


def write_predictions(path: Union[str, Path], predictions: Predictions) -> Path:
    """Write ``file, label, p(<class>), ...``, whole or not at all."""
    classes = predictions.classes
    with atomic_write(path, 'w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['file', 'label', *map(_column, classes)])
        for name, label, row in zip(
            predictions.files, predictions.labels, predictions.probabilities, strict=True
        ):
            # Nine digits give back the float32 exactly.
            writer.writerow([name, classes[label], *(f'{value:.9g}' for value in row)])
    return Path(path)


def read_predictions(path: Union[str, Path], classes: Sequence[str]) -> Predictions:
    """Read what :func:`write_predictions` wrote.

    Args:
        path (str | Path): The file.
        classes (Sequence[str]): Class names in the order of the labels.

    Returns:
        Predictions: Probabilities are float64.

    Raises:
        PredictionError: Columns or labels of other classes, or a value that is no number.
    """
    with open(path, encoding='utf-8', newline='') as file:
        reader = csv.DictReader(file)
        wanted = ['file', 'label', *map(_column, classes)]
        if reader.fieldnames != wanted:
            raise PredictionError(
                f'{path}: the columns are {reader.fieldnames}, expected {wanted}; delete the '
                'folder, and the job is done again'
            )
        rows = list(reader)
    names = list(classes)
    try:
        labels = np.array([names.index(row['label']) for row in rows], dtype=np.int64)
        values = [[float(row[name]) for name in wanted[2:]] for row in rows]
    except (ValueError, TypeError) as error:
        raise PredictionError(f'{path}: {error}') from None
    probabilities = np.array(values).reshape(len(rows), len(names))
    return Predictions([row['file'] for row in rows], labels, probabilities, tuple(names))
