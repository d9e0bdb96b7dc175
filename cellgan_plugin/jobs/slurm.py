"""Jobs through a scheduler: what :func:`~cellgan_plugin.jobs.local.run_jobs` needs of submitit."""

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

from cellgan_plugin.files import write_json
from cellgan_plugin.jobs.job import Job, StartError

_FOLDER = '.submitit'
_RECORD = 'submitted.json'


class Command:
    """Runs a command on the node, and saves it when the scheduler wants the node back.

    Pickled by value: importing this package on the node would take longer than many a job.
    """

    def __init__(self, command: Tuple[str, ...], log: str, environment: Mapping[str, str]):
        self.command = tuple(command)
        self.log = log
        self.environment = dict(environment)
        self.process = None

    def __call__(self) -> int:
        """Run the command; its exit status."""
        import os
        import subprocess

        os.makedirs(os.path.dirname(self.log), exist_ok=True)
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            return self.process.wait()
        except BaseException:
            self.process.terminate()
            self.process.wait()
            raise

    def checkpoint(self):
        """Called by submitit before a time limit or a preemption: save, and queue again."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        return DelayedSubmission(type(self)(self.command, self.log, self.environment))


class _Handle:
    """A submitted job."""

    def __init__(self, submitted, log_start: int):
        self.submitted = submitted
        self.log_start = log_start

    def poll(self) -> Tuple[bool, Optional[int]]:
        """Whether it has ended, and with which status (None: killed or lost)."""
        if not self.submitted.done():
            return False, None
        try:
            # A command that failed is a result, not an exception: only a lost job raises here.
            return True, int(self.submitted.result())
        except Exception:  # whatever the scheduler did to it; the log says what is known
            return True, None

    def stop(self) -> None:
        """Cancel: the scheduler sends SIGTERM to the command, and SIGKILL later."""
        self.submitted.cancel(check=False)

    kill = stop


def _import_submitit():
    """submitit, imported without its configuration of logging.

    That would close the files of all loggers of this process: those of MMEngine, opened for
    writing, then stay silent.
    """
    key = 'SUBMITIT_LOG_LEVEL'
    asked = os.environ.get(key)
    os.environ[key] = 'NOCONFIG'
    try:
        import submitit
    except ImportError:
        raise ImportError(
            'running jobs through Slurm needs submitit: pip install submitit'
        ) from None
    finally:
        del os.environ[key]
        if asked is not None:
            os.environ[key] = asked
    return submitit


class Submitted:
    """Submits jobs through submitit.

    Args:
        limit (int | None): Jobs in the queue at a time.
        options (dict): Parameters of ``submitit.AutoExecutor``, and ``cluster``.

    Raises:
        ImportError: submitit is not installed.
        ValueError: An option that submitit does not know.
    """

    wait_for_file = 10.0  # seconds in which a network file system shows a new file

    def __init__(self, limit: Optional[int], options: Dict[str, object]):
        self.submitit = _import_submitit()
        self.limit = limit
        self.cluster = str(options.pop('cluster', 'slurm'))
        self.options = options
        try:
            self._executor(Path('unused'), 'check')
        except Exception as error:  # submitit asserts, and raises NameError, RuntimeError, ...
            raise ValueError(
                f'submitit cannot use cluster {self.cluster!r} with the options {self.options}: '
                f'{error}'
            ) from error

    def _executor(self, folder: Path, name: str):
        executor = self.submitit.AutoExecutor(folder=str(folder), cluster=self.cluster)
        executor.update_parameters(name=name.replace('/', '_'), **self.options)
        return executor

    def _in_the_queue(self, record: Path, folder: Path):
        """The job as an earlier call submitted it, when that is still waiting or running."""
        if self.cluster != 'slurm' or not record.is_file():
            return None
        said = json.loads(record.read_text(encoding='utf-8'))
        submitted = self.submitit.SlurmJob(folder=folder, job_id=said['id'])
        return None if submitted.done(force_check=True) else submitted

    def start(self, job: Job) -> _Handle:
        """Submit a job, or find it in the queue."""
        import cloudpickle

        folder, record = Path(job.work_dir) / _FOLDER, Path(job.work_dir) / _RECORD
        module = sys.modules[__name__]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            submitted = self._in_the_queue(record, folder)
            with open(job.log, 'ab') as log:
                log_start = log.tell()
                head = f'--- {time.strftime("%Y-%m-%d %H:%M:%S")} {" ".join(job.command)}\n'
                log.write(head.encode() if submitted is None else b'')
            if submitted is not None:
                return _Handle(submitted, log_start)
            command = Command(job.command, str(job.log.resolve()), dict(job.environment))
            cloudpickle.register_pickle_by_value(module)
            submitted = self._executor(folder, job.name).submit(command)
            write_json(record, dict(cluster=self.cluster, id=submitted.job_id))
        except Exception as error:  # the scheduler refused, a full disk, ...
            raise StartError(f'could not be submitted: {error}') from error
        finally:
            with contextlib.suppress(ValueError):
                cloudpickle.unregister_pickle_by_value(module)
        return _Handle(submitted, log_start)

    def ended(self, job: Job) -> None:
        """Nothing to give back."""
