"""Random state from (seed, purpose, index), never from wherever a generator happens to stand.

Every random draw of the package goes through :func:`generator_for` (torch) or :func:`rng_for`
(numpy). A draw can therefore be repeated alone, in another order, on another rank or after a
resume, and gives the same numbers.
"""

import hashlib
from typing import Union

import numpy as np
import torch

Index = Union[int, str]


def derive_seed(seed: int, purpose: str, *index: Index) -> int:
    """Derive a 63-bit seed from a base seed, a purpose and any number of indices.

    Args:
        seed (int): The base seed of the run.
        purpose (str): What the numbers are for, e.g. ``'noise'``. Different purposes are
            independent streams.
        *index (int | str): Where in the stream, e.g. the iteration, or (split, class, number).

    Returns:
        int: A seed in [0, 2**63).
    """
    key = '\x1f'.join([str(int(seed)), purpose, *map(str, index)])
    digest = hashlib.blake2b(key.encode('utf-8'), digest_size=8).digest()
    return int.from_bytes(digest, 'little') >> 1


def generator_for(seed: int, purpose: str, *index: Index) -> torch.Generator:
    """A fresh CPU :class:`torch.Generator` for one draw; arguments of :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, *index))


def rng_for(seed: int, purpose: str, *index: Index) -> np.random.Generator:
    """A fresh :class:`numpy.random.Generator` for one draw; arguments of :func:`derive_seed`."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, purpose, *index)))
