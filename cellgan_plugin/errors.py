"""Errors that a user can act on and that several rooms raise: tools print only the message."""

import contextlib
import errno
from pathlib import Path
from typing import Iterator, Union

# sysexits.h: try again. Told to stop, it has saved, and continues when it is run again.
EXIT_STOPPED = 75

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


class ProtocolError(ValueError):
    """An experiment that cannot be run as described; the message says what to change."""


class SynthesisError(ValueError):
    """What was asked for cannot be made. The message says what to change."""


class FolderInUseError(ValueError):
    """Another process writes to the folder; the message names it."""


class LostProcessError(RuntimeError):
    """A process that the work needs has ended: another rank, or one that loads images."""


class OutputError(OSError):
    """The output cannot be written: no room, no permission. What is there is whole."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


@contextlib.contextmanager
def explained_output_errors(root: Union[str, Path]) -> Iterator[None]:
    """Turn a full disk or a missing permission into an :class:`OutputError` that says so."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise OutputError(
                error.errno,
                f'no room is left on the disk of {root} ({error.strerror}). What was written '
                'so far is whole; make room, then the same command continues',
            ) from error
        if error.errno in _NOT_ALLOWED:
            raise OutputError(
                error.errno,
                f'{error.filename or root} cannot be written ({error.strerror}). Choose another '
                'output folder, or get the permission; the same command then continues',
            ) from error
        raise
