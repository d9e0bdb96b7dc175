"""A job: a command in a directory of its own that leaves a file when it is done."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Tuple

LOG_NAME = 'job.log'


def module_command(module: str, *arguments: Any) -> Tuple[str, ...]:
    """The command that runs a module as a program with this Python."""
    return (sys.executable, '-m', module, *map(str, arguments))


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
        name (str): Unique among the jobs of a call.
        command (tuple[str, ...]): Program and arguments; no shell.
        work_dir (Path): Directory of this job alone; its output goes to ``job.log`` there.
        done_file (Path): What the job writes, whole or not at all, when everything is done.
        environment (Mapping[str, str]): Added to this process's environment. Defaults to {}.
        needs (tuple[str, ...]): Names of jobs that have to be done before. Defaults to ().
    """

    name: str
    command: Tuple[str, ...]
    work_dir: Path
    done_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: Tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        """Where the output of every attempt goes, the latest last."""
        return Path(self.work_dir) / LOG_NAME


class StartError(RuntimeError):
    """A job could not be started; the message says why."""
