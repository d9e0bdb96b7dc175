"""What goes wrong around a training run, as messages that say what to do."""

import contextlib
import errno
import os
import re
import sys
from pathlib import Path
from typing import Iterator, Union

from mmengine.dist import is_distributed

from cellgan_plugin.errors import LostProcessError, OutputError, explained_output_errors

SHARED_MEMORY = Path('/dev/shm')
_SHARED_MEMORY_ERROR = re.compile(
    r'\(shm\)|</torch_|/dev/shm|shared memory object|insufficient shared memory'
)
# What gloo, NCCL and torch's store say when the process at the other end is gone.
_PEER_GONE = re.compile(
    r'closed by peer|reset by peer|Broken pipe|connectFullMesh|Connection refused|Socket Timeout'
    r'|NCCL|ProcessGroup|failed to recv|Timed out waiting|gloo/transport',
    re.IGNORECASE,
)
_WITHOUT_WORKERS = '--cfg-options train_dataloader.num_workers=0 val_dataloader.num_workers=0'


@contextlib.contextmanager
def explained_training_errors(work_dir: Union[str, Path]) -> Iterator[None]:
    """Say of a full disk, missing shared memory or a lost process what happened and what to do.

    Args:
        work_dir (str | Path): Of the run.

    Raises:
        OutputError: The work directory cannot be written, or there is no shared memory.
        LostProcessError: Another rank or a loader's worker has ended.
    """
    try:
        with explained_output_errors(work_dir):
            yield
    except OutputError:
        raise
    except (RuntimeError, OSError) as error:
        text = str(error)
        if _SHARED_MEMORY_ERROR.search(text) or _no_shared_memory(error):
            raise OutputError(
                getattr(error, 'errno', None) or 0,
                f'the workers that load images need shared memory ({SHARED_MEMORY}), and there is '
                f'none or too little of it ({_first_line(text)}). In a container give it more '
                f'(docker run --shm-size=8g), or load without workers: {_WITHOUT_WORKERS}',
            ) from error
        if 'DataLoader worker' in text:
            raise LostProcessError(
                f'a process that loads images was ended from outside ({_first_line(text)}); most '
                'often memory ran out: use fewer workers (train_dataloader.num_workers). The same '
                'command with --resume goes on from the last checkpoint'
            ) from error
        if is_distributed() and _PEER_GONE.search(text):
            raise LostProcessError(
                f'another process of this run has ended ({_first_line(text)}); what it printed '
                'says why. The same command with --resume goes on from the last checkpoint'
            ) from error
        raise


def _no_shared_memory(error: BaseException) -> bool:
    """Whether semaphores cannot be made: the error of that names no file."""
    return (
        isinstance(error, OSError)
        and error.errno in (errno.ENOENT, errno.ENOSYS, errno.EACCES, errno.ENOSPC)
        and error.filename is None
        and sys.platform.startswith('linux')
        and not os.access(SHARED_MEMORY, os.W_OK)
    )


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), 'no reason given')
    return line if len(line) <= 200 else f'{line[:200]} ...'
