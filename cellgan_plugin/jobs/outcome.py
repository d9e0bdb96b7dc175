"""How a job ended, in words: its state, and the last lines of its log."""

import contextlib
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from cellgan_plugin.errors import EXIT_STOPPED
from cellgan_plugin.jobs.job import Job

_TAIL_BYTES = 8192
_TAIL_LINES = 6
_LINE_LENGTH = 400


@dataclass
class JobResult:
    """How a job ended.

    Attributes:
        name (str): Of the job.
        state (str): ``'done'``, ``'already done'`` (before this call), ``'failed'`` or
            ``'skipped'`` (a job that it needs was not done).
        returncode (int | None): Of the command; None when it did not run or was lost.
        seconds (float): Wall-clock time of the command.
        message (str): Why it failed or was skipped: the last lines of its log. '' when done.
    """

    name: str
    state: str
    returncode: Optional[int] = None
    seconds: float = 0.0
    message: str = ''

    @property
    def ok(self) -> bool:
        """Whether what the job makes is there."""
        return self.state in ('done', 'already done')


def reason_of(result: Optional[JobResult]) -> str:
    """Why a job is not done, in one line for the notes of a table."""
    if result is None or result.ok:
        return 'not run yet'
    lines = [line.strip() for line in result.message.splitlines() if line.strip()]
    if result.state == 'skipped' or len(lines) < 2:
        return lines[0] if lines else result.state
    errors = [line for line in lines[1:] if 'error' in line.lower()]
    return f'{lines[0].split(";")[0]}: {(errors or lines)[-1]}'


def log_tail(path: Union[str, Path], start: int = 0) -> str:
    """The last lines of a log as one short text.

    Args:
        path (str | Path): The log.
        start (int): Byte where the latest attempt begins. Defaults to 0.

    Returns:
        str: Up to six lines that are not empty; '' for a missing log.
    """
    try:
        with open(path, 'rb') as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - _TAIL_BYTES))
            text = file.read().decode('utf-8', 'replace')
    except OSError:
        return ''
    text = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', text)
    # A progress bar is one line that is written again and again; its last state is enough.
    lines = [line.rstrip().rsplit('\r', 1)[-1].rstrip() for line in text.split('\n')]
    lines = [''.join(c for c in line if c.isprintable() or c == '\t') for line in lines]
    return '\n'.join([line[:_LINE_LENGTH] for line in lines if line.strip()][-_TAIL_LINES:])


def how_it_ended(returncode: Optional[int], job: Job, log_start: int) -> str:
    """What to tell of a job that left no ``done_file``."""
    tail = log_tail(job.log, log_start)
    if returncode is None:
        head = 'was lost before it ended'
    elif returncode < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-returncode).name
            hint = ' (out of memory?)' if name == 'SIGKILL' else ''
            return '\n'.join(filter(None, [f'ended by {name}{hint}; see {job.log}', tail]))
        head = f'ended with status {returncode}'
    elif returncode == EXIT_STOPPED:
        head = 'was told to stop and has saved; the same command continues'
    elif returncode == 0:
        head = f'stopped before it was done ({Path(job.done_file).name} is missing)'
    else:
        head = f'ended with status {returncode}'
    return '\n'.join(filter(None, [f'{head}; see {job.log}', tail]))
