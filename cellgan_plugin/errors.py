"""Errors that a user can act on and that several rooms raise: tools print only the message."""

import contextlib
import difflib
import errno
import logging
import os
import select
import sys
import traceback
from pathlib import Path
from typing import Collection, Iterable, Iterator, Optional, Union

# sysexits.h: try again. Told to stop, it has saved, and continues when it is run again.
EXIT_STOPPED = 75

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# No permission, or a file where a folder would be.
_NOT_ALLOWED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
)


# What the same thing is called in other programs, where the letters do not lead there.
_OTHER_NAMES = {
    'learning_rate': ('lr',),
    'epochs': ('max_epochs',),
    'iterations': ('max_iters', 'iters'),
    'steps': ('max_iters', 'iters', 'num_inference_steps'),
    'image_size': ('out_size', 'in_size', 'size'),
    'img_size': ('out_size', 'in_size', 'size'),
    'root': ('data_root',),
    'workers': ('num_workers',),
    'optimizer': ('optim_wrapper',),
    'random_seed': ('seed',),
}


class ConfigError(ValueError):
    """A config that cannot be run as it stands. The message names the key and what it could be."""


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
    except OSError as error:
        explained = output_error(error, root)
        if explained is None or explained is error:
            raise
        raise explained from error


def output_error(error: OSError, root: Union[str, Path, None] = None) -> Optional[OutputError]:
    """An error of the file system as an :class:`OutputError`; None where it is of another kind.

    Args:
        error (OSError): As raised.
        root (str | Path, optional): What was being written. Defaults to None: what the error names.
    """
    if isinstance(error, OutputError):
        return error
    where = error.filename or root or 'the output'
    if error.errno in _NO_ROOM:
        return OutputError(
            error.errno,
            f'no room is left on the disk of {root or where} ({error.strerror}). The files written '
            'so far are whole; make room, then the same command continues',
        )
    if error.errno in _NOT_ALLOWED:
        return OutputError(
            error.errno,
            f'{where} cannot be written ({error.strerror}). Choose another output folder, or get '
            'the permission; the same command then continues',
        )
    return None


def _output_is_closed() -> bool:
    """Whether whoever reads the standard output has closed it."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # Windows; a stream without a descriptor
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


@contextlib.contextmanager
def output_may_close(continues: bool = False) -> Iterator[None]:
    """End with status 141 and no traceback when the reader of the output leaves (``| head``).

    That is the status of a shell's programs in this case (128 + SIGPIPE). Logging goes on in its
    files, so that a training continues. A pipe to another process, such as a worker, stays an
    error.

    Args:
        continues (bool): Whether the same command goes on, which is said then. Defaults to False.
    """
    handle_error = logging.Handler.handleError

    def handle_other_errors(handler: logging.Handler, record: logging.LogRecord) -> None:
        if not (isinstance(sys.exc_info()[1], BrokenPipeError) and _output_is_closed()):
            handle_error(handler, record)

    logging.Handler.handleError = handle_other_errors
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        if not _output_is_closed():
            raise
        with open(os.devnull, 'w') as nowhere:  # Python writes what is left at its end
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if continues:
            print('the output was closed; the same command continues', file=sys.stderr)
        raise SystemExit(141) from None
    finally:
        logging.Handler.handleError = handle_error


def where_raised(error: BaseException) -> str:
    """``FILE, line N`` of the statement that raised an error, of a syntax error its place."""
    if isinstance(error, SyntaxError):
        return f'{error.filename}, line {error.lineno}'
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f'{last.filename}, line {last.lineno}'


def nearest_name(name: str, known: Collection[str], cutoff: float = 0.6) -> Optional[str]:
    """The name that was probably meant; None where nothing is near.

    Args:
        name (str): As written.
        known (Collection[str]): What there is.
        cutoff (float): Least likeness, 0 to 1 (:func:`difflib.get_close_matches`).
            Defaults to 0.6.
    """
    for other in _OTHER_NAMES.get(name, ()):
        if other in known:
            return other
    folded = {}
    for candidate in sorted(known):
        folded.setdefault(candidate.casefold(), candidate)
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=cutoff)
    return folded[near[0]] if near else None


def check_known(where: str, given: Iterable[str], known: Collection[str]) -> None:
    """ConfigError for the first unknown name below the key ``where``; it says the nearest one."""
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or '.'
            there = ', '.join(sorted(known))
            raise ConfigError(f'{where}.{name}: there is no such option{hint} There are {there}')


def did_you_mean(name: str, known: Collection[str]) -> str:
    """``'; did you mean ...?'`` to put behind what is wrong with a name, or nothing."""
    near = nearest_name(name, known)
    return '' if near is None else f'; did you mean {near!r}?'
