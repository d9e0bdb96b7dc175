"""``map`` on several processes of this machine."""

import concurrent.futures
import multiprocessing
from typing import Callable, Iterator, List, TypeVar

import cv2

Task = TypeVar('Task')
Made = TypeVar('Made')


def _start_worker() -> None:
    # One process per core is parallel enough; cv2's own threads would only get in the way.
    cv2.setNumThreads(0)


def run_in_processes(
    make: Callable[[Task], Made], tasks: List[Task], workers: int
) -> Iterator[Made]:
    """``map(make, tasks)`` on some processes, in order; in this one for a single worker.

    ``make`` is a function of a module, so that processes can find it.
    """
    if workers <= 1 or len(tasks) < 2:
        yield from map(make, tasks)
        return
    # Forked workers start at once; spawned ones import the package again.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context('fork' if 'fork' in methods else 'spawn')
    chunk = max(1, min(16, len(tasks) // (4 * workers)))
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker
    )
    try:
        yield from pool.map(make, tasks, chunksize=chunk)
    finally:
        pool.shutdown(cancel_futures=True)
