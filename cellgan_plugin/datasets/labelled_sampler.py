"""An infinite sampler whose batches hold labelled samples first, then unlabelled ones."""

from typing import Iterator, Optional, Sized

import numpy as np
from mmagic.registry import DATA_SAMPLERS

from cellgan_plugin.datasets.samplers import ResumableInfiniteSampler, SampleIndex


@DATA_SAMPLERS.register_module()
class LabelledBatchSampler(ResumableInfiniteSampler):
    """Labelled and unlabelled samples in fixed numbers per batch, for semi-supervised training.

    A loader with ``batch_size = labelled + unlabelled`` makes batches of ``labelled`` labelled
    samples (m_l of Algorithm 3 of the pyramid paper) followed by ``unlabelled`` others (m_u). Each
    kind goes through its own epochs: sample ``n`` of a kind is entry ``n % size`` of the
    permutation that comes from (seed, kind, ``n // size``). Any position of the stream can be
    reached at once, and ``W`` ranks see the samples that one rank with ``W`` times the numbers
    would see, labelled ones first on every rank.

    Args:
        dataset (Sized): With ``labelled_flags()``, as
            :class:`~cellgan_plugin.datasets.TissueMaskDataset`.
        labelled (int): Labelled samples per batch and rank.
        unlabelled (int): Unlabelled samples per batch and rank; 0 for supervised training.
        shuffle (bool): Whether epochs are permuted. Defaults to True.
        seed (int | None): Base seed. The Runner passes the one of ``randomness=dict(seed=...)``;
            None draws one and shares it with all ranks. Defaults to None.

    Raises:
        ValueError: When the data set has no sample, or none of a kind that is asked for.
    """

    def __init__(
        self,
        dataset: Sized,
        labelled: int,
        unlabelled: int,
        shuffle: bool = True,
        seed: Optional[int] = None,
    ):
        super().__init__(dataset, shuffle, seed)  # also reads a data set that waits to be read
        if not hasattr(dataset, 'labelled_flags'):
            raise TypeError(
                f'LabelledBatchSampler: a {type(dataset).__name__} does not say which samples are '
                'labelled; use a TissueMaskDataset'
            )
        flags = np.asarray(dataset.labelled_flags())
        self.members = (np.flatnonzero(flags), np.flatnonzero(~flags))
        self.set_batch(labelled, unlabelled)

    def set_batch(self, labelled: int, unlabelled: int) -> None:
        """Change what a batch holds, before the next iterator; arguments and errors as above."""
        for name, value, least in (('labelled', labelled, 1), ('unlabelled', unlabelled, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f'LabelledBatchSampler: {name} must be a whole number of at least {least}, '
                    f'got {value!r}'
                )
        self.numbers = (labelled, unlabelled)
        for name, count, members in zip(
            ('labelled', 'unlabelled'), self.numbers, self.members, strict=True
        ):
            if count and not len(members):
                raise ValueError(
                    f'LabelledBatchSampler: {name}={count} are asked for in every batch, but none '
                    f'of the {self.size} samples is {name}. Set labelled_ratio below 1 or name '
                    'transductive splits in the data set for semi-supervised training, or use '
                    'unlabelled=0'
                )

    @property
    def batch_size(self) -> int:
        """What the loader's ``batch_size`` has to be."""
        return sum(self.numbers)

    def set_position(self, samples_seen: int) -> None:
        """Let the next iterator start after ``samples_seen`` samples.

        Args:
            samples_seen (int): Samples, labelled or not, that all ranks together have been trained
                on. After a change of the batch size it may lie within a batch: the next whole one
                is the first.
        """
        super().set_position(samples_seen)
        block = self.batch_size * self.world_size
        self.start = -(-self.start // block) * block

    def permutation(self, kind: int, epoch: int) -> np.ndarray:
        """Indices of the labelled (0) or unlabelled (1) samples in the order of their ``epoch``."""
        purpose = ('shuffle labelled', 'shuffle unlabelled')[kind]
        members = self.members[kind]
        return members[self._order(purpose, epoch, len(members))]

    def __iter__(self) -> Iterator[SampleIndex]:
        """Start at the position set last; an iterator does not move it."""
        per_block = [number * self.world_size for number in self.numbers]
        block_size = sum(per_block)
        current = [(-1, None), (-1, None)]
        position = self.start + self.rank
        while True:
            block, place = divmod(position, block_size)
            kind = int(place >= per_block[0])
            number = block * per_block[kind] + place - kind * per_block[0]
            epoch, entry = divmod(number, len(self.members[kind]))
            if current[kind][0] != epoch:
                current[kind] = epoch, self.permutation(kind, epoch)
            yield SampleIndex(int(current[kind][1][entry]), position, self.seed)
            position += self.world_size
