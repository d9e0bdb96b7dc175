"""State of the global random generators of this process."""

import contextlib
import random
from typing import Any, Dict, Iterator, List

import numpy as np
import torch

# Of blocks of unchanged_random_state that are running.
_kept: List[Dict[str, Any]] = []


def random_state() -> Dict[str, Any]:
    """State of Python's, NumPy's and PyTorch's generators, as plain containers and tensors.

    Inside of :func:`unchanged_random_state` that of the code around it, which is what a checkpoint
    has to hold that is saved there.
    """
    if _kept:
        return _kept[0]
    name, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss = random.getstate()
    return dict(
        python=[version, list(internal), gauss],
        numpy=[name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    )


def set_random_state(state: Dict[str, Any]) -> None:
    """Put back what :func:`random_state` gave."""
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state['torch'].cpu().to(torch.uint8))
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu().to(torch.uint8))


@contextlib.contextmanager
def unchanged_random_state() -> Iterator[None]:
    """Let a block draw random numbers without the code after it noticing.

    A validation starts its loader, which draws from PyTorch's global generator; a checkpoint is
    saved before it. Training that goes on from the checkpoint would draw other numbers, for its
    dropout say, than training that was never stopped.
    """
    state = random_state()
    _kept.append(state)
    try:
        yield
    finally:
        _kept.pop()
        set_random_state(state)
