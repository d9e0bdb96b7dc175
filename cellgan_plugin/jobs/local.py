"""Many runs as one: jobs with dependencies, on this machine or through Slurm.

A job is a command in a directory of its own that leaves a file when it is done. Jobs that are
done are not run again, so the same call continues after an interruption. One job's failure stops
only those that need it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from tqdm import tqdm

from cellgan_plugin.jobs.fork_server import ForkedProgram, server_of
from cellgan_plugin.jobs.job import Job, StartError
from cellgan_plugin.jobs.outcome import JobResult, how_it_ended
from cellgan_plugin.jobs.slurm import Submitted
from cellgan_plugin.locks import lock_descriptor
from cellgan_plugin.machine import usable_cores

_LOCK_NAME = '.job.lock'
_POLL_SECONDS = 0.1


def _check(jobs: Sequence[Job]) -> None:
    """ValueError for jobs that cannot be run as given."""
    by_name: Dict[str, Job] = {}
    folders: Dict[Path, str] = {}
    for job in jobs:
        if job.name in by_name:
            raise ValueError(f'two jobs are named {job.name!r}; names must differ')
        by_name[job.name] = job
        folder = Path(job.work_dir).resolve()
        if folder in folders:
            raise ValueError(
                f'jobs {folders[folder]!r} and {job.name!r} have one work_dir {folder}; each needs '
                'its own'
            )
        folders[folder] = job.name
        if not job.command:
            raise ValueError(f'job {job.name!r} has no command')
    for job in jobs:
        unknown = [name for name in job.needs if name not in by_name]
        if unknown:
            raise ValueError(f'job {job.name!r} needs {unknown[0]!r}, which is not among the jobs')
    left = dict(by_name)
    while left:
        ready = [name for name, job in left.items() if not any(n in left for n in job.needs)]
        if not ready:
            raise ValueError(f'jobs need each other in a circle: {", ".join(sorted(left))}')
        for name in ready:
            del left[name]


class _Process:
    """A job as a process of its own: forked from a server where that may be, or started anew."""

    def __init__(self, job: Job, environment: Mapping[str, str], begin_server: bool):
        folder = Path(job.work_dir)
        folder.mkdir(parents=True, exist_ok=True)
        # Held by the child for as long as it lives, also when this process is killed: a second
        # call must not train in the same directory.
        lock = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not lock_descriptor(lock):
                raise StartError(
                    f'{folder} is in use: another process is still running this job. Wait for it '
                    'or end it, then run the same command again'
                )
            with open(job.log, 'ab') as log:
                self.log_start = log.tell()
                head = f'--- {time.strftime("%Y-%m-%d %H:%M:%S")} {" ".join(job.command)}\n'
                log.write(head.encode())
                log.flush()
                environment = {**os.environ, **environment}
                self.process = _fork(job, environment, log.fileno(), lock, begin_server) or (
                    subprocess.Popen(
                        job.command,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        pass_fds=(lock,),
                        # Ctrl-C is for this process, which asks its children to save and stop.
                        start_new_session=True,
                    )
                )
        except OSError as error:
            raise StartError(f'cannot start {job.command[0]}: {error}') from None
        finally:
            os.close(lock)

    def poll(self) -> Tuple[bool, Optional[int]]:
        """Whether it has ended, and with which status (None: nobody knows)."""
        try:
            returncode = self.process.poll()
            if returncode is None:
                return False, None
        except ProcessLookupError:
            returncode = None
        self._kill_group()
        return True, returncode

    def stop(self) -> None:
        """Ask it to save and stop; loader processes that it started are its own to end."""
        if not self.poll()[0]:
            self.process.terminate()

    def kill(self) -> None:
        """End it and everything it started."""
        self._kill_group()
        with contextlib.suppress(ProcessLookupError):
            self.process.wait()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def _fork(
    job: Job, environment: Mapping[str, str], log: int, lock: int, begin_server: bool
) -> Optional[ForkedProgram]:
    """Start a module of this package's Python where a fork is like a new process."""
    if job.command[:2] != (sys.executable, '-m'):
        return None
    package = job.command[2].partition('.')[0]
    server = server_of(package, environment, begin_server)
    with contextlib.suppress(OSError):  # the server has ended: as without one
        return server and server.start(job.command[1:], environment, log, log, lock)
    return None


class _Local:
    """Starts jobs as processes, in as many slots as there are workers."""

    wait_for_file = 0.0

    def __init__(self, workers: int, devices: Optional[Sequence[Union[int, str]]], several: bool):
        self.limit = workers
        self.devices = _visible_devices() if devices is None else [str(d) for d in devices]
        self.free = list(range(workers))
        self.slots: Dict[str, int] = {}
        self.threads = max(1, usable_cores() // workers)
        self.several = several

    def start(self, job: Job) -> _Process:
        slot = self.free[0]
        environment = {}
        if self.devices:
            environment['CUDA_VISIBLE_DEVICES'] = self.devices[slot % len(self.devices)]
        # Two thread pools on one core are many times slower than one.
        if 'OMP_NUM_THREADS' not in os.environ:
            environment['OMP_NUM_THREADS'] = str(self.threads)
        process = _Process(job, {**environment, **job.environment}, self.several)
        self.slots[job.name] = self.free.pop(0)
        return process

    def ended(self, job: Job) -> None:
        self.free.append(self.slots.pop(job.name))
        self.free.sort()


def _visible_devices() -> List[str]:
    import torch

    chosen = os.environ.get('CUDA_VISIBLE_DEVICES')
    if chosen is not None:
        return [name for name in chosen.split(',') if name.strip()]
    return [str(index) for index in range(torch.cuda.device_count())]


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM, as a scheduler sends it, ends the block like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number, frame):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _stop_all(running: Mapping[str, Tuple], grace: float) -> None:
    """SIGTERM to all, SIGKILL after ``grace`` seconds or at a second Ctrl-C."""
    if not running:
        return
    print(
        f'\nstopping {len(running)} running jobs so that they save (up to {grace:.0f} s; Ctrl-C '
        'again ends them at once)',
        file=sys.stderr,
        flush=True,
    )
    handles = [handle for _, handle, _ in running.values()]
    with contextlib.suppress(KeyboardInterrupt):
        for handle in handles:
            handle.stop()
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and not all(handle.poll()[0] for handle in handles):
            time.sleep(_POLL_SECONDS)
    for handle in handles:
        if not handle.poll()[0]:
            handle.kill()


def run_jobs(
    jobs: Sequence[Job],
    workers: Optional[int] = None,
    devices: Optional[Sequence[Union[int, str]]] = None,
    launcher: str = 'local',
    slurm_options: Optional[Mapping[str, object]] = None,
    grace: float = 60.0,
) -> Dict[str, JobResult]:
    """Run jobs, those that are needed first; jobs whose ``done_file`` exists are not run again.

    Args:
        jobs (Sequence[Job]): In the order in which they are started as far as ``needs`` allows.
        workers (int, optional): Jobs at a time. Defaults to None: one on this machine, no limit of
            ours under Slurm.
        devices (Sequence[int | str], optional): What ``CUDA_VISIBLE_DEVICES`` of the workers is,
            round-robin; empty leaves it alone. Defaults to None: every device that this process
            sees. Not used under Slurm.
        launcher (str): ``'local'``: child processes, with ``OMP_NUM_THREADS`` cores / workers
            unless the environment has it. ``'slurm'``: through ``submitit``; this process submits
            each job when those it needs are done, and has to stay alive. Jobs that are preempted
            or run into their time limit save and are queued again. Defaults to 'local'.
        slurm_options (Mapping, optional): Parameters of submitit's ``AutoExecutor``
            (``timeout_min``, ``gpus_per_node``, ``cpus_per_task``, ``mem_gb``,
            ``slurm_partition``, ...); ``cluster='local'`` or ``'debug'`` is submitit without
            Slurm. Defaults to None.
        grace (float): Seconds that jobs have to save when this call is interrupted. Defaults to
            60.

    Returns:
        dict[str, JobResult]: By name, in the order of ``jobs``.

    Raises:
        ValueError: Names or work directories that are not unique, needs that are unknown or go in
            a circle, a bad ``workers`` or ``launcher``; a system without process groups (Windows).
        ImportError: ``launcher='slurm'`` without submitit.
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after the running jobs were asked to stop (SIGTERM)
            and, if they did not, killed. The same call continues.
    """
    if not hasattr(os, 'killpg'):
        raise ValueError(
            'jobs are run on Linux and macOS only: they are stopped by process groups, which this '
            'system does not have. On Windows, run the same command in WSL'
        )
    jobs = list(jobs)
    _check(jobs)
    if workers is not None and workers < 1:
        raise ValueError(f'workers must be 1 or more, got {workers}')
    results: Dict[str, JobResult] = {}
    waiting: List[Job] = []
    for job in jobs:
        if Path(job.done_file).is_file():
            results[job.name] = JobResult(job.name, 'already done')
        else:
            waiting.append(job)
    if launcher == 'local':
        backend = _Local(workers or 1, devices, several=len(waiting) > 1)
    elif launcher == 'slurm':
        backend = Submitted(workers, dict(slurm_options or {}))
    else:
        raise ValueError(f"launcher must be 'local' or 'slurm', got {launcher!r}")
    running: Dict[str, Tuple] = {}  # name -> (job, handle, time of start)
    # tqdm draws on a terminal only; the line printed for every job is for logs as well.
    bar = tqdm(total=len(jobs), initial=len(results), desc='jobs', unit='job', disable=None)

    def end(job: Job, result: JobResult) -> None:
        results[job.name] = result
        text = f'{job.name}: {result.state}'
        if result.state == 'done':
            text += f' ({result.seconds:.0f} s)'
        elif result.message:
            text += ' - ' + result.message.replace('\n', '\n    ')
        tqdm.write(text)
        sys.stdout.flush()
        failed = sum(not r.ok for r in results.values())
        bar.set_postfix(failed=failed, refresh=False)
        bar.update()

    with _sigterm_interrupts(), bar:
        try:
            while waiting or running:
                for job in list(waiting):
                    lost = [n for n in job.needs if n in results and not results[n].ok]
                    if lost:
                        waiting.remove(job)
                        why = f'needs {lost[0]}, which {_PAST[results[lost[0]].state]}'
                        end(job, JobResult(job.name, 'skipped', message=why))
                    elif all(n in results for n in job.needs) and (
                        backend.limit is None or len(running) < backend.limit
                    ):
                        waiting.remove(job)
                        try:
                            # Known to `running` before anything can interrupt: see _stop_all.
                            running[job.name] = (job, backend.start(job), time.monotonic())
                        except StartError as error:
                            end(job, JobResult(job.name, 'failed', message=str(error)))
                ended = False
                for job, handle, started in list(running.values()):
                    over, returncode = handle.poll()
                    if not over:
                        continue
                    ended = True
                    del running[job.name]
                    backend.ended(job)
                    seconds = time.monotonic() - started
                    if _appears(job.done_file, backend.wait_for_file if returncode == 0 else 0):
                        end(job, JobResult(job.name, 'done', returncode, seconds))
                    else:
                        message = how_it_ended(returncode, job, handle.log_start)
                        end(job, JobResult(job.name, 'failed', returncode, seconds, message))
                if running and not ended:
                    time.sleep(_POLL_SECONDS)
        except BaseException:
            bar.close()
            _stop_all(running, grace)
            raise
    return {job.name: results[job.name] for job in jobs}


_PAST = {'failed': 'failed', 'skipped': 'was skipped'}


def _appears(path: Union[str, Path], seconds: float) -> bool:
    """Whether a file is there, or appears within ``seconds`` (network file systems lag)."""
    deadline = time.monotonic() + seconds
    while not Path(path).is_file():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.2)
    return True
