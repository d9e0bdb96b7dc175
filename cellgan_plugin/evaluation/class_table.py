"""Classes x metrics: every distance of two feature sets, per class, their mean, and pooled."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.evaluation.distances import (
    FeatureMatrixError,
    bootstrap_interval,
    frechet_distance,
    frechet_distance_infinity,
    kernel_distance,
    nearest_training_neighbours,
    precision_recall_density_coverage,
)
from cellgan_plugin.evaluation.features import FeatureSet, require_comparable

DISTANCES = ('fd', 'kid', 'prdc', 'fd_inf')
MEAN, POOLED = 'mean', 'pooled'


@dataclass(frozen=True)
class TableOptions:
    """What is computed.

    Args:
        distances (Sequence[str]): Of ``fd`` (Frechet distance), ``kid`` (kernel distance with
            standard error), ``prdc`` (precision, recall, density, coverage), ``fd_inf``.
        k (int): Neighbour of ``prdc``. Defaults to 5.
        few_images (int): With fewer real or generated images in a class a warning is given and an
            interval computed. Defaults to 200.
        interval (str): ``'few'``, ``'always'`` or ``'never'``: 95 % interval of the Frechet
            distance over new draws of as many images. Defaults to 'few'.
        replicates (int): Half-samples of the interval. Defaults to 100.
        memorisation_quantile (float): See ``nearest_training_neighbours``. Defaults to 0.01.
        seed (int): Of intervals and FD_inf. Defaults to 0.
    """

    distances: Tuple[str, ...] = ('fd',)
    k: int = 5
    few_images: int = 200
    interval: str = 'few'
    replicates: int = 100
    memorisation_quantile: float = 0.01
    seed: int = 0

    def __post_init__(self):
        unknown = [name for name in self.distances if name not in DISTANCES]
        if unknown or not self.distances:
            raise ValueError(
                f'distances={list(self.distances)}: choose any of {list(DISTANCES)}'
                + (f'; {unknown} unknown' if unknown else '')
            )
        if self.interval not in ('few', 'always', 'never'):
            raise ValueError(f"interval={self.interval!r}: 'few', 'always' or 'never'")


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


def _row(name, real, fake, frechet_name, kernel_name, options: TableOptions) -> ClassRow:
    row = ClassRow(name, len(real), len(fake))
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
    for distance in options.distances:
        try:
            if distance == 'fd':
                row.values[frechet_name] = frechet_distance(real, fake)
                if options.interval == 'always' or (few and options.interval == 'few'):
                    _add_interval(row, real, fake, frechet_name, options)
            elif distance == 'kid':
                found = kernel_distance(real, fake)
                row.values[kernel_name] = found.value
                if np.isfinite(found.standard_error):
                    reach = 1.96 * found.standard_error
                    row.intervals[kernel_name] = (found.value - reach, found.value + reach)
            elif distance == 'prdc':
                found = precision_recall_density_coverage(real, fake, options.k)
                row.values.update(found._asdict())
            elif distance == 'fd_inf':
                found = frechet_distance_infinity(real, fake, seed=options.seed)
                row.values[f'{frechet_name}_inf'] = found.value
        except FeatureMatrixError as error:
            row.notes.append(f'{distance} not computable: {error}')
    return row


def _add_interval(row: ClassRow, real, fake, name: str, options: TableOptions) -> None:
    if min(row.real, row.fake) < 4:
        row.notes.append('no interval: at least 4 images a side are needed')
        return
    row.intervals[name] = tuple(
        bootstrap_interval(real, fake, replicates=options.replicates, seed=options.seed)
    )


def _mean_row(rows: Sequence[ClassRow]) -> ClassRow:
    mean = ClassRow(MEAN, sum(row.real for row in rows), sum(row.fake for row in rows))
    names = dict.fromkeys(name for row in rows for name in row.values)
    for name in names:
        found = [row.values[name] for row in rows if name in row.values]
        mean.values[name] = float(np.mean(found))
        if len(found) < len(rows):
            mean.notes.append(f'{name}: mean over {len(found)} of {len(rows)} classes')
    return mean
