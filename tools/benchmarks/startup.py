"""Time what a process pays before its first useful line: the imports.

Each contestant is a fresh interpreter; they take turns, so that a busy minute of the machine falls
on all of them, and medians are compared::

    OMP_NUM_THREADS=1 python tools/benchmarks/startup.py --reference --json startup.json

``--reference`` adds ``import cellgan_plugin`` with every model of MMagic imported at once
(``CELLGAN_EAGER_IMPORT=1``), which is what ``import mmagic.models`` does by itself. The seconds of
CPU time hardly depend on what else the machine does; the wall clock does.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from typing import Dict, List, Tuple

from tqdm import tqdm

from cellgan_plugin.compat import EAGER_VARIABLE
from cellgan_plugin.files import atomic_write

OURS = 'import cellgan_plugin'
# Name -> (code, environment)
CONTESTANTS: Dict[str, Tuple[str, Dict[str, str]]] = {
    'import torch': ('import torch', {}),
    'import mmengine.runner, mmcv': ('import mmengine.runner, mmcv', {}),
    OURS: (OURS, {EAGER_VARIABLE: ''}),
}
REFERENCE = 'the same, eager (reference)'


def time_process(code: str, environment: Dict[str, str]) -> Tuple[float, float]:
    """Wall clock and CPU seconds of a fresh interpreter that runs the code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, '-c', code], check=True, env={**os.environ, **environment})
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def race(contestants: Dict[str, Tuple[str, Dict[str, str]]], repeats: int) -> List[dict]:
    """Time all contestants by turns, after one turn that fills the disk cache."""
    times: Dict[str, List[Tuple[float, float]]] = {name: [] for name in contestants}
    turns = [(turn, name) for turn in range(repeats + 1) for name in contestants]
    for turn, name in tqdm(turns, desc='start-up', unit='process', leave=False, disable=None):
        measured = time_process(*contestants[name])
        if turn:
            times[name].append(measured)
    ours = [statistics.median(column) for column in zip(*times[OURS], strict=True)]
    rows = []
    for name, pairs in times.items():
        row = {'name': name, 'repeats': repeats}
        for kind, column, own in zip(('wall', 'cpu'), zip(*pairs, strict=True), ours, strict=True):
            median = statistics.median(column)
            row |= {f'{kind}_median_s': median, f'{kind}_min_s': min(column)}
            row |= {f'{kind}_max_s': max(column), f'{kind}_times_ours': median / own}
        rows.append(row)
    return rows


def main() -> None:
    """Parse arguments, run the race, print the table, write the lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=3, help='turns of each contestant')
    parser.add_argument('--reference', action='store_true', help='also import all of MMagic')
    parser.add_argument('--json', metavar='FILE', help='also write the measurements')
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error('--repeats must be positive')
    contestants = dict(CONTESTANTS)
    if args.reference:
        contestants[REFERENCE] = (OURS, {EAGER_VARIABLE: '1'})
    rows = race(contestants, args.repeats)
    print(
        f'{"":28s} {"wall s":>7s} {"(min - max)":>15s} {"x ours":>7s} {"CPU s":>7s} {"x ours":>7s}'
    )
    for row in rows:
        spread = f'({row["wall_min_s"]:5.2f} - {row["wall_max_s"]:5.2f})'
        print(
            f'{row["name"]:28s} {row["wall_median_s"]:7.2f} {spread:>15s} '
            f'{row["wall_times_ours"]:7.2f} {row["cpu_median_s"]:7.2f} {row["cpu_times_ours"]:7.2f}'
        )
    if args.json:
        machine = {
            'processor': platform.machine(),
            'cores': os.cpu_count(),
            'python': platform.python_version(),
            **{name: version(name) for name in ('torch', 'mmengine', 'mmagic')},
        }
        with atomic_write(args.json, 'w', encoding='utf-8') as file:
            json.dump({'machine': machine, 'measurements': rows}, file, indent=2)


if __name__ == '__main__':
    main()
