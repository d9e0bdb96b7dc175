"""An infinite sampler that can start anywhere in its stream."""

from typing import Iterator, Optional, Sized, Tuple

from mmagic.registry import DATA_SAMPLERS
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from cellgan_plugin.randomness import rng_for


class SampleIndex(int):
    """Index of a sample that also knows where in which training stream it was drawn.

    It is an ``int`` for every data set. The wrappers of MMEngine that compute the index of the
    wrapped set by subtraction or remainder (``ConcatDataset``, ``RepeatDataset``) keep the
    position; ``ClassBalancedDataset`` looks the index up in a table and loses it.

    Attributes:
        position (int): Position in the infinite stream over all ranks, counted from 0.
        seed (int): Of the stream. Defaults to 0.
    """

    position: int
    seed: int

    def __new__(cls, index: int, position: int, seed: int = 0) -> 'SampleIndex':  # noqa: D102
        self = super().__new__(cls, index)
        self.position, self.seed = position, seed
        return self

    def __reduce__(self):
        return SampleIndex, (int(self), self.position, self.seed)

    def __sub__(self, other: int) -> 'SampleIndex':
        return SampleIndex(int(self) - other, self.position, self.seed)

    def __mod__(self, other: int) -> 'SampleIndex':
        return SampleIndex(int(self) % other, self.position, self.seed)


def position_of(index: int) -> int:
    """Stream position of an index; a plain index (validation, a notebook) is its own position."""
    return getattr(index, 'position', int(index))


def seed_of(index: int) -> int:
    """Seed of the stream that an index was drawn from; 0 for a plain one."""
    return getattr(index, 'seed', 0)


@DATA_SAMPLERS.register_module()
class ResumableInfiniteSampler(Sampler):
    """Epoch after epoch without end; the same global batches for any number of ranks.

    Sample ``p`` of the stream is entry ``p % len(dataset)`` of the permutation of epoch
    ``p // len(dataset)``, and that permutation comes from (seed, 'shuffle', epoch). Rank ``r`` of
    ``W`` takes every ``W``-th position from the ``r``-th on: batch ``k`` of ``W`` ranks with ``B``
    images each holds positions ``k*W*B ... (k+1)*W*B - 1`` whatever ``W`` is, and rank ``r`` has
    its rows ``r::W``. Any position can be reached at once, so a resumed run draws and throws away
    nothing.

    Args:
        dataset (Sized): The data set.
        shuffle (bool): Whether epochs are permuted. Defaults to True.
        seed (int | None): Base seed. The Runner passes the one of ``randomness=dict(seed=...)``;
            None draws one and shares it with all ranks. Defaults to None.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: Optional[int] = None):
        self.rank, self.world_size = get_dist_info()
        self.size = len(dataset)
        if self.size < 1:
            raise ValueError(f'{type(self).__name__}: the data set is empty')
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else int(seed)
        self.start = 0

    def set_position(self, samples_seen: int) -> None:
        """Let the next iterator start after ``samples_seen`` samples.

        These are what all ranks together have been trained on (iterations x batch size x ranks),
        not what loader workers have fetched ahead.
        """
        if samples_seen < 0:
            raise ValueError(f'samples_seen must not be negative, got {samples_seen}')
        self.start = int(samples_seen)

    def _order(self, purpose: str, epoch: int, size: int) -> list:
        if not self.shuffle:
            return list(range(size))
        return rng_for(self.seed, purpose, epoch).permutation(size).tolist()

    def _part(self, position: int) -> Tuple[str, int, int, int]:
        """Of which images a position draws.

        Returns:
            tuple: Purpose of their random order, the first of their indices, their number, and
            the position at which they begin to be drawn.
        """
        return 'shuffle', 0, self.size, 0

    def __iter__(self) -> Iterator[SampleIndex]:
        """Start at the position set last; an iterator does not move it."""
        position = self.start + self.rank
        drawn, order = None, []
        while True:
            purpose, first, size, begin = self._part(position)
            epoch, at = divmod(position - begin, size)
            if drawn != (purpose, epoch):
                drawn, order = (purpose, epoch), self._order(purpose, epoch, size)
            yield SampleIndex(first + order[at], position, self.seed)
            position += self.world_size

    def __len__(self) -> int:
        return self.size

    def set_epoch(self, epoch: int) -> None:
        """Nothing to do: epochs follow from positions. Kept for MMEngine's loops."""


@DATA_SAMPLERS.register_module()
class PretrainingSampler(ResumableInfiniteSampler):
    """The second part of two concatenated data sets alone, then the first alone.

    Pre-training on synthetic images and fine-tuning on real ones are so one run: one optimizer, one
    schedule, as many steps as the run without pre-training. Each part has a shuffled stream of its
    own, and any position can be reached at once.

    Args:
        dataset (ConcatDataset): Of two parts; the first is what is fine-tuned on.
        pretraining_samples (int): Samples, over all ranks, before the first part takes over.
        shuffle (bool): Whether epochs are permuted. Defaults to True.
        seed (int | None): As of :class:`ResumableInfiniteSampler`. Defaults to None.

    Raises:
        ValueError: There are not two parts, or one is empty.
    """

    def __init__(
        self,
        dataset: Sized,
        pretraining_samples: int,
        shuffle: bool = True,
        seed: Optional[int] = None,
    ):
        super().__init__(dataset, shuffle, seed)
        ends = list(getattr(dataset, 'cumulative_sizes', ()))
        if len(ends) != 2 or not 0 < ends[0] < ends[1]:
            raise ValueError(
                'PretrainingSampler: the data set must be a ConcatDataset of two parts with '
                f'images: what is fine-tuned on, then what is pre-trained on; got ends {ends}'
            )
        self.first = ends[0]
        self.pretraining_samples = int(pretraining_samples)

    def _part(self, position: int) -> Tuple[str, int, int, int]:
        if position < self.pretraining_samples:
            return 'shuffle_pretraining', self.first, self.size - self.first, 0
        return 'shuffle_fine_tuning', 0, self.first, self.pretraining_samples
