"""How time and memory grow with one number, the others being fixed."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

from cellgan_plugin.files import atomic_write
from cellgan_plugin.visualization.figures import new_figure, save_figure
from timing.machine import describe_machine
from timing.report import aligned, format_number


class GrowthPoint(NamedTuple):
    """One measurement.

    Attributes:
        x (float): The number that is varied.
        seconds (float): Time at it.
        bytes (float | None): Memory at it; None where it was not taken.
    """

    x: float
    seconds: float
    bytes: Optional[float]


@dataclass
class Growth:
    """A series of measurements.

    Attributes:
        title (str): What was done.
        variable (str): What was varied.
        points (list[GrowthPoint]): In increasing order of ``x``.
    """

    title: str
    variable: str
    points: List[GrowthPoint] = field(default_factory=list)

    def exponent(self, kind: str = 'seconds') -> Optional[float]:
        """Power of growth between the last two points; see :func:`growth_exponent`.

        Args:
            kind (str): ``'seconds'`` or ``'bytes'``. Defaults to 'seconds'.
        """
        values = [getattr(point, kind) for point in self.points]
        if len(values) < 2 or None in values[-2:]:
            return None
        return growth_exponent([point.x for point in self.points[-2:]], values[-2:])

    def lines(self) -> List[str]:
        """A table: each point, its ratio to the one before, and the exponents."""
        rows = [[self.variable, 'seconds', 'MiB', 'time per unit']]
        for x, seconds, size in self.points:
            memory = '-' if size is None else format_number(size / 2**20)
            rows.append([f'{x:g}', format_number(seconds), memory, f'{1e6 * seconds / x:.3g} us'])
        told = [
            (name, self.exponent(kind)) for name, kind in (('time', 'seconds'), ('memory', 'bytes'))
        ]
        powers = ', '.join(f'{name} ~ x^{power:.2f}' for name, power in told if power is not None)
        return [f'{self.title} (last two points: {powers})', *aligned(rows, left=0)]


def growth_exponent(x: Sequence[float], values: Sequence[float]) -> float:
    """The power p of ``values ~ x^p`` between the first and the last point.

    1 is linear, 0 is constant. A fixed cost makes it smaller, so that it says most where ``x`` is
    large.
    """
    if values[0] <= 0 or values[-1] <= 0:
        return 0.0
    return math.log(values[-1] / values[0]) / math.log(x[-1] / x[0])


@dataclass
class GrowthReport:
    """Several series, as text, JSON and a picture.

    Attributes:
        name (str): Of the benchmark.
        series (list[Growth]): What was measured.
        settings (dict): What was fixed.
        machine (dict): See :func:`~timing.describe_machine`.
        notes (list[str]): Lines below the tables.
    """

    name: str
    series: List[Growth] = field(default_factory=list)
    settings: Dict[str, Any] = field(default_factory=dict)
    machine: Dict[str, Any] = field(default_factory=describe_machine)
    notes: List[str] = field(default_factory=list)

    def to_text(self) -> str:
        """Tables and notes."""
        lines = [self.name]
        for growth in self.series:
            lines += ['', *growth.lines()]
        return '\n'.join([*lines, '', *self.notes])

    def write_json(self, path: Union[str, Path]) -> Path:
        """Write all numbers; returns ``path``."""
        rows = []
        for growth in self.series:
            points = [point._asdict() for point in growth.points]
            powers = {kind: growth.exponent(kind) for kind in ('seconds', 'bytes')}
            rows.append(
                dict(title=growth.title, variable=growth.variable, points=points, powers=powers)
            )
        found = dict(benchmark=self.name, machine=self.machine, settings=self.settings, series=rows)
        with atomic_write(path, 'w', encoding='utf-8') as file:
            json.dump({**found, 'notes': self.notes}, file, indent=2)
            file.write('\n')
        return Path(path)

    def draw(self, path: Union[str, Path]) -> Path:
        """Time above, memory below, one column per series, PNG; returns ``path``.

        Both axes are logarithmic; the dashed line is linear growth through the last point.
        """
        columns = len(self.series)
        figure = new_figure(2.6 * columns + 0.6, 4.6)
        figure.suptitle(self.name, fontsize=10)
        for column, growth in enumerate(self.series):
            for row, (kind, scale, label) in enumerate(
                (('seconds', 1, 'seconds'), ('bytes', 2**20, 'MiB'))
            ):
                points = [
                    (p.x, getattr(p, kind) / scale) for p in growth.points if getattr(p, kind)
                ]
                axes = figure.add_subplot(2, columns, row * columns + column + 1)
                if row == 0:
                    axes.set_title(growth.title, fontsize=8)
                axes.spines[['top', 'right']].set_visible(False)
                axes.tick_params(which='both', labelsize=7)
                if not points:
                    axes.set_axis_off()
                    continue
                x, y = zip(*points, strict=True)
                axes.loglog(x, y, 'o-', color='tab:blue', ms=3, lw=1.2)
                axes.loglog(x, [y[-1] * value / x[-1] for value in x], '--', color='0.6', lw=0.8)
                lowest, highest = min(y), max(y)
                axes.set_ylim(lowest / 2.5, highest * 2.5)
                axes.set_xlabel(growth.variable, fontsize=7)
                if column == 0:
                    axes.set_ylabel(label, fontsize=8)
        return save_figure(figure, path)
