"""Classes x metrics: every distance of two feature sets, per class, their mean, and pooled."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.evaluation.distances import FeatureMatrixError, nearest_training_neighbours
from cellgan_plugin.evaluation.features import FeatureSet, require_comparable
from cellgan_plugin.evaluation.table_distances import (
    DISTANCES,
    DistanceContext,
    Measured,
    TableOptions,
)

MEAN, POOLED = 'mean', 'pooled'


@dataclass
class ClassRow:
    """One line of the table.

    Attributes:
        name (str): Class, 'mean' or 'pooled'.
        real (int): Number of real images.
        fake (int): Number of generated images.
        values (dict[str, float]): Metric name to value; one that cannot be computed is absent.
        intervals (dict[str, tuple]): Metric name to (low, high).
        notes (list[str]): Warnings, and ``not computable: why``.
    """

    name: str
    real: int
    fake: int
    values: Dict[str, float] = field(default_factory=dict)
    intervals: Dict[str, Tuple[float, float]] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)

    def as_dict(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return dict(
            row=self.name,
            real=self.real,
            fake=self.fake,
            values=self.values,
            intervals={key: list(pair) for key, pair in self.intervals.items()},
            notes=self.notes,
        )


def class_table(
    real: FeatureSet,
    fake: FeatureSet,
    frechet_name: str = 'FD',
    kernel_name: str = 'KD',
    options: Optional[TableOptions] = None,
    training: Optional[FeatureSet] = None,
    held_out: Optional[FeatureSet] = None,
) -> List[ClassRow]:
    """Compare two sets class by class.

    Args:
        real (FeatureSet): Real images.
        fake (FeatureSet): Generated images, same extractor and classes.
        frechet_name (str): Name of the Frechet distance, ``FID`` or ``FD(<extractor>)``.
        kernel_name (str): Name of the kernel distance.
        options (TableOptions, optional): What is computed.
        training (FeatureSet, optional): Training images of the generator: adds ``memorised``, the
            share of generated images that are copies. Defaults to None.
        held_out (FeatureSet, optional): Real images that were not trained on, which calibrate it.

    Returns:
        list[ClassRow]: One per class, then ``mean`` (over the classes that can be computed) and
        ``pooled`` (all images together, classes ignored).

    Raises:
        ExtractorMismatchError: Extractor or classes differ.
    """
    options = options or TableOptions()
    require_comparable(*(s for s in (real, fake, training, held_out) if s is not None))
    memorised = _memorised(fake, training, held_out, options)
    rows = []
    for label, name in enumerate(real.classes):
        row = _row(
            name, real.of_class(label), fake.of_class(label), frechet_name, kernel_name, options
        )
        if isinstance(memorised, np.ndarray) and row.fake:
            row.values['memorised'] = float(memorised[fake.labels == label].mean())
        rows.append(row)
    mean = _mean_row(rows)
    pooled = _row(POOLED, real.features, fake.features, frechet_name, kernel_name, options)
    if isinstance(memorised, np.ndarray) and len(memorised):
        pooled.values['memorised'] = float(memorised.mean())
    elif isinstance(memorised, str):
        pooled.notes.append(memorised)
    return [*rows, mean, pooled]


def _memorised(fake, training, held_out, options):
    """Whether each generated image is a copy (bool (m,)), a note why not, or None."""
    if training is None:
        return None
    try:
        return nearest_training_neighbours(
            fake.features,
            training.features,
            None if held_out is None else held_out.features,
            quantile=options.memorisation_quantile,
        ).memorised
    except FeatureMatrixError as error:
        return f'memorised not computable: {error}'


def _row(label, real, fake, frechet_name, kernel_name, options: TableOptions) -> ClassRow:
    row = ClassRow(label, len(real), len(fake))
    for side, count in (('real', row.real), ('generated', row.fake)):
        if count < 2:
            what = f'no {side} image' if count == 0 else f'only one {side} image'
            row.notes.append(f'not computable: {what}, at least 2 are needed')
    if row.notes:
        return row
    few = min(row.real, row.fake) < options.few_images
    if few:
        row.notes.append(
            f'few images (fewer than {options.few_images} a side): the distance is biased upwards '
            'and uncertain; compare it at equal numbers only'
        )
    context = DistanceContext(options, few, frechet_name, kernel_name)
    for name in options.distances:
        try:
            values = DISTANCES[name].function(real, fake, context)
        except FeatureMatrixError as error:
            row.notes.append(f'{name} not computable: {error}')
            continue
        for key, value in values.items():
            measured = value if isinstance(value, Measured) else Measured(value)
            if not np.isfinite(measured.value):
                row.notes.append(f'{name} not computable: {key} is {measured.value}')
                continue
            row.values[key] = float(measured.value)
            if measured.interval is not None:
                row.intervals[key] = measured.interval
            if measured.note:
                row.notes.append(measured.note)
    return row


def _mean_row(rows: Sequence[ClassRow]) -> ClassRow:
    mean = ClassRow(MEAN, sum(row.real for row in rows), sum(row.fake for row in rows))
    names = dict.fromkeys(name for row in rows for name in row.values)
    for name in names:
        values = [row.values[name] for row in rows if name in row.values]
        mean.values[name] = float(np.mean(values))
        if len(values) < len(rows):
            mean.notes.append(f'{name}: mean over {len(values)} of {len(rows)} classes')
    return mean
