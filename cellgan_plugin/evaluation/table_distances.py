"""Distances that a table of classes can have, by name; register another one with one decorator."""

from dataclasses import dataclass
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from cellgan_plugin.evaluation.distances import (
    bootstrap_interval,
    frechet_distance,
    frechet_distance_infinity,
    kernel_distance,
    precision_recall_density_coverage,
)


class Measured(NamedTuple):
    """A value with what is known of its uncertainty.

    Attributes:
        value (float): The distance.
        interval (tuple[float, float] | None): 95 % interval. Defaults to None.
        note (str): A remark on the row. Defaults to ''.
    """

    value: float
    interval: Optional[Tuple[float, float]] = None
    note: str = ''


@dataclass(frozen=True)
class TableOptions:
    """What is computed.

    Args:
        distances (Sequence[str]): Of ``fd`` (Frechet distance), ``kid`` (kernel distance with
            standard error), ``prdc`` (precision, recall, density, coverage), ``fd_inf``, and what
            :func:`register_distance` has registered.
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


@dataclass(frozen=True)
class DistanceContext:
    """What a distance may want to know beside the features.

    Attributes:
        options (TableOptions): ``seed``, ``k``, ``replicates``, ...
        few (bool): Whether one side has fewer images than ``options.few_images``.
        frechet_name (str): Name of the Frechet distance of this extractor, ``FID`` or ``FD(...)``.
        kernel_name (str): Name of the kernel distance.
    """

    options: TableOptions
    few: bool = False
    frechet_name: str = 'FD'
    kernel_name: str = 'KD'


Values = Mapping[str, Union[float, Measured]]
Distance = Callable[[np.ndarray, np.ndarray, DistanceContext], Union[float, Measured, Values]]


class RegisteredDistance(NamedTuple):
    """A distance as the tables know it; see :func:`register_distance`."""

    function: Distance
    values: Tuple[str, ...]
    better: str
    digits: int


DISTANCES: Dict[str, RegisteredDistance] = {}


def register_distance(
    name: str, values: Tuple[str, ...] = (), better: str = 'lower', digits: int = 2
) -> Callable[[Distance], Distance]:
    """Decorator that lets every table and tool ask for a distance by ``name``.

    The function is given features of real images (n, d) and of generated images (m, d), float
    arrays with n, m >= 2, and a :class:`DistanceContext`. It returns a float or a
    :class:`Measured`, which bears the distance's name in the table, or several by their names. It
    raises a
    :class:`~cellgan_plugin.evaluation.distances.FeatureMatrixError` where it cannot be computed,
    which becomes a note of the row.

    Args:
        name (str): In ``distances=(...)`` and ``--distances``.
        values (tuple[str]): Names of what it returns. Defaults to (): ``name`` alone.
        better (str): 'lower' or 'higher', for the best value of a column. Defaults to 'lower'.
        digits (int): After the point in tables of a comparison. Defaults to 2.

    Raises:
        ValueError: The name is taken, or ``better`` is neither.
    """
    if better not in ('lower', 'higher'):
        raise ValueError(f"distance {name!r}: better={better!r}; 'lower' or 'higher'")

    def register(function: Distance) -> Distance:
        if name in DISTANCES:
            raise ValueError(f'a distance {name!r} is registered already: choose another name')
        DISTANCES[name] = RegisteredDistance(function, tuple(values) or (name,), better, digits)
        return function

    return register


def distance_of_value(value: str) -> Optional[RegisteredDistance]:
    """The distance that a value of the table belongs to; None where its name is not fixed."""
    return next((entry for entry in DISTANCES.values() if value in entry.values), None)


@register_distance('fd')
def _frechet(real: np.ndarray, fake: np.ndarray, context: DistanceContext) -> Values:
    options = context.options
    value = frechet_distance(real, fake)
    if options.interval != 'always' and not (context.few and options.interval == 'few'):
        return {context.frechet_name: value}
    if min(len(real), len(fake)) < 4:
        note = 'no interval: at least 4 images a side are needed'
        return {context.frechet_name: Measured(value, note=note)}
    interval = bootstrap_interval(real, fake, replicates=options.replicates, seed=options.seed)
    return {context.frechet_name: Measured(value, tuple(interval))}


@register_distance('kid')
def _kernel(real: np.ndarray, fake: np.ndarray, context: DistanceContext) -> Values:
    result = kernel_distance(real, fake)
    if not np.isfinite(result.standard_error):
        return {context.kernel_name: result.value}
    reach = 1.96 * result.standard_error
    interval = (result.value - reach, result.value + reach)
    return {context.kernel_name: Measured(result.value, interval)}


@register_distance(
    'prdc', values=('precision', 'recall', 'density', 'coverage'), better='higher', digits=3
)
def _neighbours(real: np.ndarray, fake: np.ndarray, context: DistanceContext) -> Values:
    return precision_recall_density_coverage(real, fake, context.options.k)._asdict()


@register_distance('fd_inf')
def _frechet_infinity(real: np.ndarray, fake: np.ndarray, context: DistanceContext) -> Values:
    result = frechet_distance_infinity(real, fake, seed=context.options.seed)
    return {f'{context.frechet_name}_inf': result.value}
