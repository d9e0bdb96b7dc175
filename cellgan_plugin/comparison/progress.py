"""One line on the terminal that says how far the trainings are."""

import re
import sys
import threading
import time
from pathlib import Path
from typing import Optional, Sequence

from tqdm import tqdm

from cellgan_plugin.jobs.job import Job

_TAIL_BYTES = 16384
_SECONDS = 1.0
_BUDGET = re.compile(r'time budget: ([\d.]+) of ([\d.e+]+) min')
_ITERATION = re.compile(r'Iter\((?:train|test)\)\s*\[\s*(\d+)/(\d+)\].*?\beta: ([^\s].*?)  ')


def progress_of(log: str) -> str:
    """How far a job is, from the end of its log; '' when it does not say.

    >>> progress_of('... time budget: 1.50 of 6 min (25 %) after iteration 200')
    '25 %, about 4.5 min of training left'
    """
    found = None
    for match in _BUDGET.finditer(log):
        found = match
    if found is not None:
        used, whole = float(found[1]), float(found[2])
        return (
            f'{100 * used / whole:.0f} %, about {max(0.0, whole - used):.1f} min of training left'
        )
    for match in _ITERATION.finditer(log):
        found = match
    return '' if found is None else f'iteration {found[1]} of {found[2]}, {found[3].strip()} left'


def _tail(path: Path) -> str:
    try:
        with open(path, 'rb') as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode('utf-8', 'replace').rpartition('\n--- ')[2]
    except OSError:
        return ''


class ProgressLine:
    """Shows the jobs that are running now, below the bar of :func:`run_jobs`; only on a terminal.

    Args:
        jobs (Sequence[Job]): All of them.
    """

    def __init__(self, jobs: Sequence[Job]):
        self.jobs = jobs
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._started = time.time()

    def text(self) -> str:
        """The line: name and progress of every job that is writing its log."""
        parts = []
        for job in self.jobs:
            try:
                running = job.log.stat().st_mtime >= self._started
            except OSError:
                continue
            if running and not Path(job.done_file).is_file():
                progress = progress_of(_tail(job.log))
                parts.append(f'{job.name}: {progress}' if progress else job.name)
        return '; '.join(parts)

    def _run(self) -> None:
        with tqdm(position=1, bar_format='{desc}', leave=False) as line:
            while not self._stop.wait(_SECONDS):
                line.set_description_str(self.text())

    def __enter__(self) -> 'ProgressLine':
        if sys.stderr.isatty():
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
