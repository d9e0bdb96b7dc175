"""Random state from (seed, purpose, index), never from wherever a generator happens to stand.

Every random draw of the package goes through :func:`generator_for` (torch) or :func:`rng_for`
(numpy). A draw can therefore be repeated alone, in another order, on another rank or after a
resume, and gives the same numbers.
"""

import hashlib
from typing import Dict, List, Union

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


def sent(numbers: torch.Tensor, device: Union[torch.device, str]) -> torch.Tensor:
    """A host tensor on a device, without waiting for what the device is still at."""
    if torch.device(device).type == 'cuda':
        # From pageable memory the copy would wait for all that the GPU has been given so far.
        return numbers.pin_memory().to(device, non_blocking=True)
    return numbers.to(device)


class StepRandom:
    """The random numbers of one training step, the same however the batch is spread over ranks.

    Every draw is made for the whole global batch and each rank keeps its rows ``rank::world_size``,
    the rows that :class:`~cellgan_plugin.datasets.ResumableInfiniteSampler` gives it as images. Two
    ranks with half the batch each therefore train on the numbers that one rank would have used.

    Args:
        seed (int): The base seed of the run.
        iteration (int): The training iteration.
        rank (int): This process. Defaults to 0.
        world_size (int): Number of processes. Defaults to 1.
        device (torch.device | str): Where the numbers go. They are drawn on the CPU, so a GPU run
            sees the same ones. Defaults to 'cpu'.
    """

    def __init__(
        self,
        seed: int,
        iteration: int,
        rank: int = 0,
        world_size: int = 1,
        device: Union[torch.device, str] = 'cpu',
    ):
        self.seed = seed
        self.iteration = iteration
        self.rank = rank
        self.world_size = world_size
        self.device = device
        self._calls: Dict[str, int] = {}

    def _generator(self, purpose: str) -> torch.Generator:
        # The n-th draw of a purpose within the step has its own stream, so that several generator
        # updates in one step do not see the same noise.
        call = self._calls.get(purpose, 0)
        self._calls[purpose] = call + 1
        return generator_for(self.seed, purpose, self.iteration, call)

    def _own_rows(self, numbers: torch.Tensor) -> torch.Tensor:
        return sent(numbers[self.rank :: self.world_size], self.device)

    def normal(self, purpose: str, batch_size: int, size: int) -> torch.Tensor:
        """Standard normal numbers (batch_size, size), float32; ``batch_size`` is per rank."""
        shape = (batch_size * self.world_size, size)
        return self._own_rows(torch.randn(shape, generator=self._generator(purpose)))

    def uniform(self, purpose: str, batch_size: int, size: int) -> torch.Tensor:
        """Uniform numbers in [0, 1) of shape (batch_size, size), float32."""
        shape = (batch_size * self.world_size, size)
        return self._own_rows(torch.rand(shape, generator=self._generator(purpose)))

    def labels(self, purpose: str, batch_size: int, weights: torch.Tensor) -> torch.Tensor:
        """Labels (batch_size,), int64, drawn with probability proportional to ``weights``."""
        count = batch_size * self.world_size
        drawn = torch.multinomial(
            weights.cpu().double(), count, True, generator=self._generator(purpose)
        )
        return self._own_rows(drawn)

    def shares(self, purpose: str, batch_size: int) -> List[float]:
        """Uniform numbers in [0, 1) on the host, which decide what is computed."""
        drawn = torch.rand((batch_size * self.world_size, 1), generator=self._generator(purpose))
        return drawn[self.rank :: self.world_size, 0].tolist()

    def integers(self, purpose: str, high: int, size: int) -> List[int]:
        """``size`` integers in [0, high), the same on every rank."""
        return torch.randint(high, (size,), generator=self._generator(purpose)).tolist()
