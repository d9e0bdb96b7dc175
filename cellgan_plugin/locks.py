"""One writer at a time for a folder: the second is refused, and told who the first is."""

import contextlib
import functools
import inspect
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Union

from cellgan_plugin.errors import FolderInUseError, explained_output_errors
from cellgan_plugin.files import remove_temporary

try:
    import fcntl
except ImportError:  # not on this system; filelock, which torch needs anyhow, has another way
    fcntl = None

LOCK_NAME = '.writing.lock'
_TRIES, _PAUSE = 60, 0.05  # a process that was just killed may hold its lock for a moment
# Locks that this process holds, by their path: the descriptor (or filelock's object) and how often.
_held: Dict[str, List[Any]] = {}


def _forget_in_child() -> None:
    # A loader's worker inherits the descriptor and would hold the lock after its parent's death.
    for handle, _ in _held.values():
        if isinstance(handle, int):
            with contextlib.suppress(OSError):
                os.close(handle)
    _held.clear()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_forget_in_child)


def lock_descriptor(descriptor: int) -> bool:
    """Whether the lock of an open file could be had, or the file system has none.

    It is held until the last process that inherited the descriptor has closed it. Where the system
    has no :mod:`fcntl` nothing is locked.
    """
    if fcntl is None:
        return True
    for attempt in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_PAUSE if attempt else 0.0)
        except OSError:
            return True
    return False


@contextlib.contextmanager
def folder_lock(folder: Union[str, Path]) -> Iterator[None]:
    """Hold a folder for writing while the block runs.

    A process that holds it already may take it again, as a benchmark's job does whose training
    takes it, too. The lock ends with the process, also when that is killed.

    Args:
        folder (str | Path): Made if it does not exist, and removed again if it is empty at the end.
            Of something that is no folder nothing is held: whoever writes there says so.

    Raises:
        FolderInUseError: Another process writes there; the message names it.
        OutputError: The folder cannot be written.
    """
    folder = Path(folder).expanduser().resolve()
    path = folder / LOCK_NAME
    if str(path) in _held:
        _held[str(path)][1] += 1
        try:
            yield
        finally:
            _held[str(path)][1] -= 1
        return
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    if not made and not folder.is_dir() or made and not made[-1].parent.is_dir():
        yield
        return
    with explained_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = _take(path)
    if handle is None:
        raise FolderInUseError(
            f'{folder} is being written by {_holder(path)}. Wait for it to end, end it, or choose '
            'another folder'
        )
    _held[str(path)] = [handle, 1]
    try:
        yield
    finally:
        # In a child of a fork it is no longer ours.
        if _held.pop(str(path), None) is not None:
            _give_back(path, handle)
            with contextlib.suppress(OSError):
                for place in made:
                    place.rmdir()


def _take(path: Path) -> Optional[Any]:
    if fcntl is None:
        import filelock

        lock = filelock.FileLock(str(path))
        try:
            lock.acquire(timeout=_TRIES * _PAUSE)
        except filelock.Timeout:
            return None
        return lock
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not lock_descriptor(descriptor):
            os.close(descriptor)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                break
        os.close(descriptor)  # its former holder removed it between our opening and locking
    says = dict(
        pid=os.getpid(),
        host=socket.gethostname(),
        since=time.strftime('%Y-%m-%d %H:%M:%S'),
        command=' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:500],
    )
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(says).encode(), 0)
    return descriptor


def _give_back(path: Path, handle: Any) -> None:
    if isinstance(handle, int):
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)
    else:
        handle.release()


def _holder(path: Path) -> str:
    try:
        says = json.loads(path.read_text(encoding='utf-8'))
        return f'process {says["pid"]} on {says["host"]} since {says["since"]} ({says["command"]})'
    except (OSError, ValueError, KeyError, TypeError):
        return 'another process'


# Where each launcher says which rank a process is, before there is a process group.
_RANK_VARIABLES = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


_SIZE_VARIABLES = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS', mpi='OMPI_COMM_WORLD_SIZE')


def processes_of(launcher: str = 'none') -> int:
    """How many processes a launcher started."""
    text = os.environ.get(_SIZE_VARIABLES.get(launcher, ''), '1')
    return int(text) if text.isdigit() and int(text) else 1


def is_first_process(launcher: str = 'none') -> bool:
    """Whether this process is the one of a launcher's that holds the folder for all."""
    return os.environ.get(_RANK_VARIABLES.get(launcher, ''), '0') == '0'


def writes_folder(argument: str, deep: bool = False) -> Callable[[Callable], Callable]:
    """Decorator: hold the folder that an argument names while the function runs.

    What a killed process left half written there is removed. Of several processes that a launcher
    (the argument of this name) started the first one holds the folder.

    Args:
        argument (str): Name of the function's argument; None as its value: no folder is held.
        deep (bool): Look for half written files in the folders of the folder, too; not where other
            processes write there. Defaults to False.

    Returns:
        Callable: The decorator; see :func:`folder_lock` for what is raised.
    """

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def locked(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            folder = bound.arguments[argument]
            if folder is None or not is_first_process(str(bound.arguments.get('launcher'))):
                return function(*args, **kwargs)
            with folder_lock(folder):
                remove_temporary(folder, deep)
                return function(*args, **kwargs)

        return locked

    return decorate
