"""Classes x metrics: every distance of two feature sets, per class, their mean, and pooled."""

from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.evaluation.distances import FeatureMatrixError, TrainingNeighbours
from cellgan_plugin.evaluation.features import FeatureSet, require_comparable
from cellgan_plugin.evaluation.memorisation import CopySearch
from cellgan_plugin.evaluation.table_distances import (
    DISTANCES,
    DistanceContext,
    Measured,
    TableOptions,
)
from cellgan_plugin.randomness import rng_for

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
        floor (dict[str, float]): Metric name to its value between real images and other real ones.
    """

    name: str
    real: int
    fake: int
    values: Dict[str, float] = field(default_factory=dict)
    intervals: Dict[str, Tuple[float, float]] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)
    floor: Dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> Dict[str, Any]:
        """Plain JSON values."""
        found = dict(
            row=self.name,
            real=self.real,
            fake=self.fake,
            values=self.values,
            intervals={key: list(pair) for key, pair in self.intervals.items()},
            notes=self.notes,
        )
        return dict(found, floor=self.floor) if self.floor else found


def class_table(
    real: FeatureSet,
    fake: FeatureSet,
    frechet_name: str = 'FD',
    kernel_name: str = 'KD',
    options: Optional[TableOptions] = None,
    copies: Union[TrainingNeighbours, str, None] = None,
    floors: Optional[Sequence[Dict[str, float]]] = None,
) -> List[ClassRow]:
    """Compare two sets class by class.

    Args:
        real (FeatureSet): Real images.
        fake (FeatureSet): Generated images, same extractor and classes.
        frechet_name (str): Name of the Frechet distance, ``FID`` or ``FD(<extractor>)``.
        kernel_name (str): Name of the kernel distance.
        options (TableOptions, optional): What is computed.
        copies (TrainingNeighbours | str, optional): See :func:`find_copies`: adds ``memorised``,
            the share of generated images that are copies of training images. Defaults to None.
        floors (Sequence[dict], optional): Of :func:`class_floors`. Defaults to None: no floors.

    Returns:
        list[ClassRow]: One per class, then ``mean`` (over the classes that can be computed) and
        ``pooled`` (all images together, classes ignored).

    Raises:
        ExtractorMismatchError: Extractor or classes differ.
    """
    options = options or TableOptions()
    require_comparable(real, fake)
    rows = []
    for label, name in enumerate(real.classes):
        row = _row(
            name, real.of_class(label), fake.of_class(label), frechet_name, kernel_name, options
        )
        if isinstance(copies, TrainingNeighbours) and row.fake:
            row.values['memorised'] = float(copies.memorised[fake.labels == label].mean())
        if floors is not None:
            row.floor = dict(floors[label])
        rows.append(row)
    mean = _mean_row(rows)
    pooled = _row(POOLED, real.features, fake.features, frechet_name, kernel_name, options)
    if isinstance(copies, TrainingNeighbours):
        pooled.values['memorised'] = copies.score
    elif copies is not None:
        pooled.notes.append(copies)
    return [*rows, mean, pooled]


def find_copies(
    fake: FeatureSet, search: Optional[CopySearch]
) -> Union[TrainingNeighbours, str, None]:
    """Which generated images are copies of training images; None without a search.

    A text is a note why it cannot be computed.

    Raises:
        ExtractorMismatchError: Extractor or classes differ.
    """
    if search is None:
        return None
    require_comparable(fake, *(s for s in (search.training, search.held_out) if s is not None))
    try:
        return search.find(fake)
    except FeatureMatrixError as error:
        return f'memorised not computable: {error}'


HALVES = 'two random halves of the real images of a class, so a little higher than at full size'
TRAINED = 'training images against the real ones, as many as were generated'


def class_floors(
    real: FeatureSet,
    counts: Sequence[int],
    frechet_name: str = 'FD',
    kernel_name: str = 'KD',
    options: Optional[TableOptions] = None,
    training: Optional[FeatureSet] = None,
) -> List[Dict[str, float]]:
    """What the distances of every class are between real images and other real ones.

    No generator can be expected below. With training images that are not the real ones of the
    evaluation these are the other side, as many as were generated; else two random halves of the
    real images are compared.

    Args:
        real (FeatureSet): Real images.
        counts (Sequence[int]): Generated images of every class.
        frechet_name (str): See :func:`class_table`, as the others.
        kernel_name (str): Name of the kernel distance.
        options (TableOptions, optional): What is computed.
        training (FeatureSet, optional): Other real images. Defaults to None: halves.

    Returns:
        list[dict[str, float]]: Metric to value; empty where a class has too few images.
    """
    options = replace(options or TableOptions(), interval='never')
    floors = []
    for label, count in enumerate(counts):
        own = real.of_class(label)
        rng = rng_for(options.seed, 'floor', label)
        if training is None:
            order = rng.permutation(len(own))
            sides = own[order[: len(own) // 2]], own[order[len(own) // 2 :]]
        else:
            other = training.of_class(label)
            drawn = np.sort(rng.permutation(len(other))[: max(2, count)])
            sides = own, other[drawn]
        row = _row('', *sides, frechet_name, kernel_name, options)
        floors.append(row.values)
    return floors


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
        for key, value in _named_values(name, values):
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


def _named_values(name: str, values: Any) -> Iterator[Tuple[str, Union[float, Measured]]]:
    """What a distance returned, by the names of the table; a single number bears its name."""
    for key, value in (values if isinstance(values, Mapping) else {name: values}).items():
        number = value.value if isinstance(value, Measured) else value
        if np.ndim(number) or not hasattr(number, '__float__'):
            raise ValueError(
                f'distance {name!r}: {key!r} is {type(number).__name__} of shape '
                f'{np.shape(number)}; a number, a Measured, or a dict of these expected'
            )
        yield key, value


def _mean_row(rows: Sequence[ClassRow]) -> ClassRow:
    mean = ClassRow(MEAN, sum(row.real for row in rows), sum(row.fake for row in rows))
    names = dict.fromkeys(name for row in rows for name in row.values)
    for name in names:
        values = [row.values[name] for row in rows if name in row.values]
        mean.values[name] = float(np.mean(values))
        if len(values) < len(rows):
            mean.notes.append(f'{name}: mean over {len(values)} of {len(rows)} classes')
    for name in dict.fromkeys(name for row in rows for name in row.floor):
        values = [row.floor[name] for row in rows if name in row.floor]
        mean.floor[name] = float(np.mean(values))
    return mean
