"""What is generated for an evaluation: image i of class c, the same on any number of ranks."""

import math
from typing import Dict, Iterator, List, Sequence, Tuple, Union

from mmagic.structures import DataSample
from mmengine.dist import get_rank, get_world_size

from cellgan_plugin.evaluation.progress import main_progress
from cellgan_plugin.models.sampling import draw_noise

FakeNums = Union[str, int, Dict[str, int]]


class GeneratedBatch(dict):
    """A batch for ``val_step`` that knows which images it asks for.

    Attributes:
        rows (list[tuple[int, int]]): (label, index within the class) of each image.
    """

    rows: List[Tuple[int, int]] = []


def numbers_per_class(
    fake_nums: FakeNums, real_counts: Sequence[int], classes: Sequence[str]
) -> List[int]:
    """How many images to generate of each class.

    Args:
        fake_nums (str | int | dict): ``'match'``: as many as there are real ones (the authors'
            protocol); a number for every class; or numbers by class name.
        real_counts (Sequence[int]): Real images per class.
        classes (Sequence[str]): Class names.

    Raises:
        ValueError: For anything else.
    """
    if fake_nums == 'match':
        return list(real_counts)
    if isinstance(fake_nums, int) and not isinstance(fake_nums, bool) and fake_nums > 0:
        return [fake_nums] * len(classes)
    if isinstance(fake_nums, dict):
        unknown = sorted(set(fake_nums) - set(classes))
        if not unknown and all(isinstance(n, int) and n >= 0 for n in fake_nums.values()):
            return [fake_nums.get(name, 0) for name in classes]
        if unknown:
            raise ValueError(f'fake_nums names classes {unknown}; there are {list(classes)}')
    raise ValueError(
        f"fake_nums={fake_nums!r}: 'match', a positive number of images per class, or a dict of "
        'class name to number'
    )


class ClassSampler:
    """Iterates over the batches that one rank generates, with a progress bar.

    The noise of image i of class c comes from (seed, 'evaluate', c, i) alone.

    Args:
        numbers (Sequence[int]): Images per class; the first entry counts images without a label
            when ``conditional`` is False.
        noise_size (int): Length of z.
        batch_size (int): Images at a time.
        sample_model (str): 'ema' or 'orig'.
        seed (int): Base seed.
        sample_kwargs (dict): For the generator.
        conditional (bool): Whether the model has classes. Defaults to True.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        noise_size: int,
        batch_size: int,
        sample_model: str,
        seed: int,
        sample_kwargs: dict,
        conditional: bool = True,
    ):
        wanted = [
            (label if conditional else -1, index)
            for label, number in enumerate(numbers)
            for index in range(number)
        ]
        self.rows = wanted[get_rank() :: get_world_size()]
        self.noise_size = noise_size
        self.batch_size = batch_size
        self.sample_model = sample_model
        self.seed = seed
        self.sample_kwargs = sample_kwargs
        self.conditional = conditional

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def __iter__(self) -> Iterator[GeneratedBatch]:
        starts = range(0, len(self.rows), self.batch_size)
        for start in main_progress(starts, len(self), 'Generating images'):
            yield self._batch(self.rows[start : start + self.batch_size])

    def _batch(self, rows: List[Tuple[int, int]]) -> GeneratedBatch:
        noise = draw_noise(self.noise_size, self.seed, 'evaluate', rows)
        batch = GeneratedBatch(
            inputs=dict(
                noise=noise,
                num_batches=len(rows),
                sample_model=self.sample_model,
                sample_kwargs=dict(self.sample_kwargs),
            )
        )
        batch.rows = rows
        if self.conditional:
            batch['data_samples'] = [DataSample().set_gt_label(label) for label, _ in rows]
        return batch
