"""Loader workers leave the signals of a scheduler to the process that trains."""

import atexit
import functools
import multiprocessing
import signal
from typing import Any, Callable, Iterator, Optional

from torch.utils.data import DataLoader

# What a scheduler or torchrun sends to the whole group of processes.
SIGNALS = ('SIGTERM', 'SIGUSR1')


class LeavesSignals:
    """A ``worker_init_fn``: ignores :data:`SIGNALS`, then does what the former one did.

    A worker that ends by SIGTERM ends the run: "DataLoader worker is killed by signal", and nothing
    is saved. Its parent saves, and then ends it.
    """

    def __init__(self, former: Optional[Callable[[int], Any]]):
        self.former = former

    def __call__(self, number: int) -> None:
        """Prepare the worker of this number."""
        for name in SIGNALS:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        if self.former is not None:
            self.former(number)


@functools.lru_cache(maxsize=1)
def _end_workers_at_exit() -> None:
    # multiprocessing ends its children by SIGTERM and waits for them: for those of a loader that
    # an error kept alive, forever.
    atexit.register(_end_workers)


def _end_workers() -> None:
    left = multiprocessing.active_children()
    if left and hasattr(signal, 'SIGCHLD'):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler calls this an error
    for process in left:
        if process.daemon:
            process.kill()


def _loaders(runner: Any) -> Iterator[DataLoader]:
    for name in ('_train_loop', '_val_loop'):
        loop = getattr(runner, name, None)
        yield from getattr(loop, 'dataloaders', None) or [getattr(loop, 'dataloader', None)]


def leave_signals_to_the_trainer(runner: Any) -> None:
    """Let the workers of a runner's training and validation loaders ignore :data:`SIGNALS`.

    Args:
        runner (Runner): Its loops are built, its loaders have not started.
    """
    for loader in _loaders(runner):
        if (
            isinstance(loader, DataLoader)
            and loader.num_workers > 0
            and not isinstance(loader.worker_init_fn, LeavesSignals)
        ):
            loader.worker_init_fn = LeavesSignals(loader.worker_init_fn)
            _end_workers_at_exit()
