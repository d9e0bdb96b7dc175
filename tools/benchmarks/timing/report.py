"""Races as text, JSON and a bar chart."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from cellgan_plugin.files import atomic_write
from cellgan_plugin.visualization.figures import new_figure, save_figure
from cellgan_plugin.visualization.tables import aligned
from timing.machine import describe_machine
from timing.race import Race, Spread

_REFERENCE_COLOUR, _OTHER_COLOUR = '0.7', 'tab:blue'
# Bars that differ by more than this share no linear axis.
_LOG_FROM = 30


def format_number(value: float) -> str:
    """Three significant digits, never as a power of ten."""
    if value == 0 or not abs(value) < 1e6:
        return f'{value:.3g}'
    if abs(value) >= 100:
        return f'{value:.0f}'
    return f'{value:#.3g}'.rstrip('.') if abs(value) >= 1e-3 else f'{value:.2e}'


def _spread(spread: Spread) -> str:
    median, low, high = map(format_number, spread)
    return f'{median} ({low} - {high})'


@dataclass
class TimingReport:
    """What a benchmark found.

    Attributes:
        name (str): Of the benchmark.
        races (list[Race]): What was raced.
        settings (dict): What was asked for: sizes, config, batch.
        machine (dict): See :func:`~timing.describe_machine`. Defaults to that of the
            CPU.
        notes (list[str]): Lines below the table: how results differ, what bounds them.
        extra (dict): Further numbers for the JSON file.
        clock (str): ``'wall'``, or ``'cpu'``: the picture and :meth:`lowest_ratio` are about CPU
            seconds, which hardly depend on what else a CPU does. Defaults to 'wall'.
    """

    name: str
    races: List[Race] = field(default_factory=list)
    settings: Dict[str, Any] = field(default_factory=dict)
    machine: Dict[str, Any] = field(default_factory=describe_machine)
    notes: List[str] = field(default_factory=list)
    extra: Dict[str, Any] = field(default_factory=dict)
    clock: str = 'wall'

    def lowest_ratio(self) -> Optional[float]:
        """The smallest median ratio of any race's last contestant; None without a reference."""
        ratios = [race.ratio(list(race.measurements)[-1], self.clock) for race in self.races]
        return min((ratio.median for ratio in ratios if ratio is not None), default=None)

    def to_text(self) -> str:
        """Tables, notes and the machine."""
        lines = [self.name]
        for race in self.races:
            lines += ['', *self._table(race)]
        if self.notes:
            lines += ['', *self.notes]
        return '\n'.join([*lines, '', self.where()])

    def _table(self, race: Race) -> List[str]:
        with_peak = any(found.peak_bytes is not None for found in race.measurements.values())
        head = [race.title or 'contestant', 'seconds (range)', 'CPU s']
        head += [f'{race.unit}/s (range)'] if race.items > 1 else []
        head += ['GPU MiB'] if with_peak else []
        head += ['x reference (range)', 'x CPU'] if race.reference is not None else []
        rows = [head]
        for name, found in race.measurements.items():
            row = [name, _spread(race.wall(name)), format_number(race.cpu(name).median)]
            row += [_spread(race.rate(name))] if race.items > 1 else []
            row += [f'{(found.peak_bytes or 0) / 2**20:.0f}'] if with_peak else []
            if race.reference == name:
                row += ['1', '1']
            elif race.reference is not None:
                row += [_spread(race.ratio(name)), format_number(race.ratio(name, 'cpu').median)]
            rows.append(row)
        return aligned(rows)

    def where(self) -> str:
        """One line about the machine."""
        machine = self.machine
        threads = machine['threads']
        return (
            f'{machine["device"]}, {machine["processor"]}, {threads} '
            f'thread{"s" if threads > 1 else ""} of {machine["cores"]} cores, Python '
            f'{machine["python"]}, torch {machine["versions"]["torch"]}, load average '
            f'{machine["load_average"]}; medians of {self._turns()} turns (lowest - highest)'
        )

    def _turns(self) -> int:
        return max(
            (len(m.wall) for race in self.races for m in race.measurements.values()), default=0
        )

    def as_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return dict(
            benchmark=self.name,
            machine=self.machine,
            settings=self.settings,
            races=[race.as_dict() for race in self.races],
            notes=self.notes,
            **self.extra,
        )

    def write_json(self, path: Union[str, Path]) -> Path:
        """Write all numbers; returns ``path``."""
        with atomic_write(path, 'w', encoding='utf-8') as file:
            json.dump(self.as_dict(), file, indent=2)
            file.write('\n')
        return Path(path)

    def draw(self, path: Union[str, Path]) -> Path:
        """One panel of bars per race, PNG; returns ``path``.

        Bars are items per second where a race counts items, else seconds; the reference is grey,
        lines give the range, and the ratio to the reference stands beside each bar.
        """
        heights = [0.7 + 0.34 * len(race.measurements) for race in self.races]
        figure = new_figure(7.5, 0.75 + sum(heights))
        figure.suptitle(self.name, fontsize=10)
        grid = figure.add_gridspec(len(self.races), 1, height_ratios=heights)
        for place, race in enumerate(self.races):
            _bars(figure.add_subplot(grid[place]), race, self.clock)
        machine = self.machine
        text = f'{machine["device"]}, {machine["threads"]} thread(s), torch '
        text += f'{machine["versions"]["torch"]}, load {machine["load_average"]}'
        figure.supxlabel(text, fontsize=7, color='0.4')
        return save_figure(figure, path)


def _bars(axes, race: Race, clock: str) -> None:
    as_rate = race.items > 1
    seconds = getattr(race, clock)
    spreads = {n: race.rate(n, clock) if as_rate else seconds(n) for n in race.measurements}
    highest = max(spread.high for spread in spreads.values())
    lowest = min(spread.low for spread in spreads.values())
    is_log = highest > _LOG_FROM * lowest
    if is_log:
        axes.set_xscale('log')
    for row, (name, spread) in enumerate(spreads.items()):
        colour = _REFERENCE_COLOUR if name == race.reference else _OTHER_COLOUR
        axes.barh(row, spread.median, color=colour, height=0.7)
        axes.plot([spread.low, spread.high], [row, row], color='black', lw=1)
        text = f'  {format_number(spread.median)}'
        if race.reference is not None and name != race.reference:
            text += f'   ({format_number(race.ratio(name, clock).median)} x)'
        axes.text(spread.high, row, text, va='center', fontsize=8)
    axes.set_yticks(range(len(spreads)), list(spreads), fontsize=8)
    axes.invert_yaxis()
    if is_log:
        axes.set_xlim(lowest / 2, highest * (highest / lowest) ** 0.35)
    else:
        axes.set_xlim(0, 1.3 * highest)
    axes.tick_params(axis='x', labelsize=7)
    second = 'CPU second' if clock == 'cpu' else 'second'
    what = f'{race.unit} per {second}, longer' if as_rate else f'{second}s, shorter'
    what += ' is better'
    what += ' (log axis)' if is_log else ''
    axes.set_title(f'{race.title}: {what}' if race.title else what, fontsize=8, loc='left')
    axes.spines[['top', 'right']].set_visible(False)
