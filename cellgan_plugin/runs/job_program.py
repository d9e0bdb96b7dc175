"""What the programs of jobs share: their files, exit status, and how they stop."""

import sys
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

from mmengine.runner import Runner

from cellgan_plugin.errors import EXIT_STOPPED
from cellgan_plugin.runs.command_line import user_errors
from cellgan_plugin.runs.train import is_complete, train
from cellgan_plugin.user_modules import import_modules_of_environment, read_config

JOB_NAME = 'job.json'
CONFIG_NAME = 'run.py'
DONE_NAME = 'done.json'


class JobStopped(RuntimeError):
    """The job was asked to stop and has saved."""


def train_to_the_end(work_dir: Path) -> Runner:
    """Train the run of a work directory (``run.py``), or go on with it.

    Raises:
        JobStopped: It was told to stop (SIGTERM, SIGUSR1) and has saved.
    """
    runner = train(read_config(work_dir / CONFIG_NAME), work_dir=work_dir, resume=True)
    if not is_complete(runner):
        reason = runner.train_loop.stop_reason
        raise JobStopped(f'stopped at iteration {runner.iter} ({reason}); run again to continue')
    return runner


def job_program(
    run: Callable[[str], Any], documentation: str, arguments: Optional[Sequence[str]] = None
) -> int:
    """Run the job file named on the command line.

    Args:
        run (Callable): From the job file's path; raises JobStopped when it was told to stop.
        documentation (str): Printed when the command line does not fit.
        arguments (Sequence[str], optional): Defaults to None: the command line.

    Returns:
        int: Exit status: 0 when done, 2 when used wrongly, ``EXIT_STOPPED`` when it can go on.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if len(arguments) != 1:
        print(documentation, file=sys.stderr)
        return 2
    with user_errors():
        import_modules_of_environment()
        try:
            run(arguments[0])
        except JobStopped as stopped:
            print(stopped, file=sys.stderr)
            return EXIT_STOPPED
    return 0
