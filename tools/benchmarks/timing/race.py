"""Implementations timed in turns, and their measurements."""

import gc
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

import torch

from timing.machine import synchronize


class Spread(NamedTuple):
    """Median of some measurements, and their range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Spread':
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass
class Measurement:
    """One contestant.

    Attributes:
        name (str): Of the contestant.
        wall (list[float]): Seconds of every turn.
        cpu (list[float]): CPU seconds of every turn, of all threads and of ended child processes.
        peak_bytes (int | None): Most GPU memory allocated in a turn; None on a CPU.
        value (Any): What the contestant returned last.
    """

    name: str
    wall: List[float] = field(default_factory=list)
    cpu: List[float] = field(default_factory=list)
    peak_bytes: Optional[int] = None
    value: Any = None


@dataclass
class Race:
    """What a race found.

    Attributes:
        title (str): What all contestants do.
        items (int): How many things (images, steps, files) a contestant does in a turn.
        unit (str): What these things are called.
        reference (str | None): The contestant that ratios are against.
        measurements (dict[str, Measurement]): By name, in the order of the turns.
    """

    title: str
    items: int
    unit: str
    reference: Optional[str]
    measurements: Dict[str, Measurement]

    def wall(self, name: str) -> Spread:
        """Seconds per turn."""
        return Spread.of(self.measurements[name].wall)

    def cpu(self, name: str) -> Spread:
        """CPU seconds per turn."""
        return Spread.of(self.measurements[name].cpu)

    def rate(self, name: str, kind: str = 'wall') -> Spread:
        """Items per second of ``'wall'`` clock, or of ``'cpu'`` time."""
        seconds = getattr(self.measurements[name], kind)
        return Spread.of([self.items / max(one, 1e-9) for one in seconds])

    def ratio(self, name: str, kind: str = 'wall') -> Optional[Spread]:
        """How many times as fast as the reference: the ratios within each turn.

        Args:
            name (str): The contestant.
            kind (str): ``'wall'`` or ``'cpu'`` seconds. Defaults to 'wall'.

        Returns:
            Spread | None: Above 1 means faster than the reference; None without a reference.
        """
        if self.reference is None:
            return None
        own, plain = (getattr(self.measurements[n], kind) for n in (name, self.reference))
        return Spread.of([a / max(b, 1e-9) for a, b in zip(plain, own, strict=True)])

    def as_dict(self) -> Dict[str, Any]:
        """Plain values for JSON."""
        rows = []
        for name, found in self.measurements.items():
            row: Dict[str, Any] = dict(name=name, wall_s=found.wall, cpu_s=found.cpu)
            for kind in ('wall', 'cpu'):
                row[f'{kind}_median_s'] = getattr(self, kind)(name).median
            row[f'{self.unit}_per_second'] = self.rate(name)._asdict()
            if found.peak_bytes is not None:
                row['peak_bytes'] = found.peak_bytes
            if self.reference is not None:
                row['times_reference'] = self.ratio(name)._asdict()
                row['times_reference_cpu'] = self.ratio(name, 'cpu')._asdict()
            rows.append(row)
        return dict(
            title=self.title,
            items=self.items,
            unit=self.unit,
            reference=self.reference,
            contestants=rows,
        )


def cpu_seconds() -> float:
    """CPU seconds that this process and the children it has waited for have used so far."""
    now = os.times()
    ended = now.children_user + now.children_system
    return time.process_time() + ended


def race(
    contestants: Mapping[str, Callable[[], Any]],
    turns: int = 5,
    reference: Optional[str] = None,
    title: str = '',
    items: int = 1,
    unit: str = 'calls',
    device: Union[str, torch.device] = 'cpu',
    warm_up: int = 1,
) -> Race:
    """Let contestants do the same work by turns, and take the time.

    Args:
        contestants (Mapping[str, Callable]): Functions without arguments, by name. What they return
            is kept for comparison.
        turns (int): Measured calls of each. Defaults to 5.
        reference (str, optional): The contestant to compare with. Defaults to None: no ratios.
        title (str): What they all do. Defaults to ''.
        items (int): Things done in a call, for rates. Defaults to 1.
        unit (str): Name of these things, plural. Defaults to 'calls'.
        device (str | torch.device): Waited for before and after every call. Defaults to 'cpu'.
        warm_up (int): Calls of each before the first that counts. Defaults to 1.

    Returns:
        Race: The measurements.
    """
    if turns < 1 or not contestants:
        raise ValueError('race: there must be at least one turn and one contestant')
    if reference is not None and reference not in contestants:
        raise ValueError(f'race: the reference {reference!r} is none of {list(contestants)}')
    is_cuda = torch.device(device).type == 'cuda'
    found = {name: Measurement(name) for name in contestants}
    plan = [(turn, name) for turn in range(-warm_up, turns) for name in contestants]
    for turn, name in _with_progress(plan, title, turns):
        function, measured = contestants[name], found[name]
        gc.collect()  # what the one before has left behind is not this one's work
        synchronize(device)
        if is_cuda:
            torch.cuda.reset_peak_memory_stats(device)
        cpu, start = cpu_seconds(), time.perf_counter()
        measured.value = function()
        synchronize(device)
        wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu
        if turn >= 0:
            measured.wall.append(wall)
            measured.cpu.append(cpu)
            if is_cuda:
                peak = torch.cuda.max_memory_allocated(device)
                measured.peak_bytes = max(measured.peak_bytes or 0, peak)
    return Race(title, items, unit, reference, found)


def _with_progress(plan: Sequence, title: str, turns: int):
    for turn, name in plan:
        if sys.stderr.isatty():
            which = f'turn {turn + 1}/{turns}' if turn >= 0 else 'warm-up'
            print(f'\r{f"{title}: {which}, {name}":78.78s}', end='', file=sys.stderr)
        yield turn, name
    if sys.stderr.isatty():
        print('\r' + ' ' * 78 + '\r', end='', file=sys.stderr, flush=True)
