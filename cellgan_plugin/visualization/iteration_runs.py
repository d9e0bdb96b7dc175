"""Which iterations the values of a logged scalar are of: MMEngine keeps the values alone.

A loss may be logged every second iteration (a generator that takes turns with its critic), or from
the thousandth on. Iterations are kept as runs ``[first, step, count]``: a few numbers, however long
the training.
"""

from typing import List, Sequence

import numpy as np

Runs = List[List[int]]


def add_iteration(runs: Runs, iteration: int) -> None:
    """Append one iteration, in place.

    Args:
        runs (list[list[int]]): ``[first, step, count]`` each; step is 0 in a run of one.
        iteration (int): Greater than the last one.
    """
    if runs:
        first, step, count = runs[-1]
        if count == 1:
            runs[-1] = [first, iteration - first, 2]
            return
        if iteration == first + step * count:
            runs[-1][2] += 1
            return
    runs.append([iteration, 0, 1])


def iterations_of(runs: Sequence[Sequence[int]], count: int, end: int) -> np.ndarray:
    """The iterations of the last ``count`` values of a scalar.

    Args:
        runs (Sequence[Sequence[int]]): Of :func:`add_iteration`; may know fewer values than there
            are, or more, where old values were dropped.
        count (int): Number of values.
        end (int): The last iteration, for a scalar of which no run is known.

    Returns:
        np.ndarray: (count,) int64, ascending. Values before the first known iteration, as a
        checkpoint of an older version has them, are taken for one per iteration.
    """
    known = [first + step * np.arange(number) for first, step, number in runs]
    at = np.concatenate(known)[-count:] if known else np.empty(0, np.int64)
    before = count - len(at)
    start = at[0] if len(at) else end + 1
    return np.concatenate([np.arange(start - before, start), at]).astype(np.int64)
