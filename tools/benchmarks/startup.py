"""Time the start of a process until its imports are done, and of a training until its first step.

Each measurement starts a new interpreter::

    OMP_NUM_THREADS=1 python tools/benchmarks/startup.py --json startup.json --plot startup.png

The first part times imports. It compares ``import cellgan_plugin`` with every model of MMagic
imported at once, the reference, with the fast start of the tools (``CELLGAN_FAST_START=1``); torch
alone, and MMEngine with mmcv, are shown too. The second part starts ``tools/train.py`` on phantoms
and ends when the first iteration is logged. CPU seconds hardly depend on other work of the machine;
wall-clock time does. ``--modules`` lists the import time of each package (``-X importtime``).
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Dict, List

from timing import (
    TimingReport,
    check_timing_arguments,
    describe_machine,
    publish,
    race,
    timing_parser,
)

from cellgan_plugin.compat import FAST_START_VARIABLE
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.runs.command_line import user_errors

REPO = Path(__file__).resolve().parents[2]
OURS = 'import cellgan_plugin'
EAGER = 'eager import (reference)'
FLOORS = {
    'import torch': 'import torch',
    'import mmengine.runner, mmcv': 'import mmengine.runner, mmcv',
}


def _environment(eager: bool) -> Dict[str, str]:
    return {**os.environ, FAST_START_VARIABLE: '0' if eager else '1'}


def run_code(code: str, eager: bool = False) -> None:
    """A fresh interpreter that runs the code."""
    subprocess.run([sys.executable, '-c', code], check=True, env=_environment(eager))


def train_until_first_iteration(config: str, data: Path, eager: bool = False) -> None:
    """Start ``tools/train.py`` and end it when its first iteration is in the log."""
    with tempfile.TemporaryDirectory() as work_dir:
        command = [sys.executable, str(REPO / 'tools' / 'train.py'), config]
        command += [
            '--work-dir',
            work_dir,
            '--cfg-options',
            f'train_dataloader.dataset.data_root={data}',
        ]
        command += ['default_hooks.logger.interval=1', 'val_cfg=None', 'val_dataloader=None']
        command += ['val_evaluator=None', 'train_dataloader.dataset.ann_file=', 'custom_hooks=[]']
        command += ['train_dataloader.dataset.split=None']
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(eager),
            start_new_session=True,
        )
        said: List[str] = []
        for line in process.stdout:
            said.append(line)
            if 'Iter(train)' in line:
                break
        os.killpg(process.pid, signal.SIGKILL)  # its loader workers, too
        process.stdout.close()
        process.wait()
        if 'Iter(train)' not in said[-1:][0]:
            raise RuntimeError(f'{" ".join(command)} did not train:\n{"".join(said[-30:])}')


def module_seconds() -> Dict[str, float]:
    """Seconds of a fast ``import cellgan_plugin`` in each top-level package, largest first."""
    command = [sys.executable, '-X', 'importtime', '-c', OURS]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=_environment(eager=False)
    )
    found: Counter = Counter()
    for own, package in re.findall(r'import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)', done.stderr):
        found[package] += int(own) / 1e6
    return dict(found.most_common())


def run(args: argparse.Namespace) -> TimingReport:
    """Both races."""
    imports = {name: lambda code=code: run_code(code) for name, code in FLOORS.items()}
    if args.reference:
        imports = {EAGER: lambda: run_code(OURS, eager=True), **imports}
    imports[OURS] = lambda: run_code(OURS)
    reference = EAGER if args.reference else None
    races = [race(imports, args.turns, reference, 'import')]
    if args.config:
        with tempfile.TemporaryDirectory() as folder:
            write_phantom_dataset(folder, size=64, counts=40, seed=0)
            starts = {'tools/train.py': lambda: train_until_first_iteration(args.config, folder)}
            if args.reference:
                eager = lambda: train_until_first_iteration(args.config, folder, True)  # noqa: E731
                starts = {EAGER: eager, **starts}
            title = f'first iteration of {Path(args.config).stem}'
            races.append(race(starts, args.turns, reference, title))
    report = TimingReport('start-up', races, dict(config=args.config, turns=args.turns))
    report.machine = describe_machine('cpu', args.threads)
    if args.modules:
        seconds = module_seconds()
        report.extra['module_seconds'] = seconds
        largest = [f'{name} {value:.2f}' for name, value in list(seconds.items())[:12]]
        report.notes.append(f'seconds of the import by package: {", ".join(largest)}')
    return report


def main() -> None:
    """Parse arguments, run the races, publish what was found."""
    parser = timing_parser(__doc__, turns=3)
    parser.add_argument(
        '--config',
        default='configs/cellgan_phantom.py',
        help="config to train; '' skips the training",
    )
    parser.add_argument(
        '--modules', action='store_true', help='list the time of each imported package'
    )
    args = parser.parse_args()
    check_timing_arguments(parser, args)
    publish(run(args), args)


if __name__ == '__main__':
    with user_errors():
        main()
