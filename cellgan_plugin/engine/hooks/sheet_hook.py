"""Pictures while training: generated images beside real ones, and the curves."""

from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np
import torch
from mmagic.registry import HOOKS

from cellgan_plugin.engine.average_statistics import settle_average_of
from cellgan_plugin.engine.hooks.pictures import PictureHook
from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.models.sampling import sample_pixels
from cellgan_plugin.randomness import generator_for
from cellgan_plugin.visualization import image_grid


@HOOKS.register_module()
class SampleSheetHook(PictureHook):
    """Every ``interval`` iterations a sheet with one row per class, and the curves so far.

    The noise is fixed: column j holds the same z at every iteration and in every row, so that a
    row differs from the next by its class alone. Works for every MMagic conditional GAN.

    ``<work_dir>/sheets/iter_00001000.png``, ``<work_dir>/curves.png``; a model that makes its
    images in stages (one with ``stage_images``) gets ``iter_00001000_stage1.png`` and so on for the
    earlier ones, enlarged to the size of the last.

    Args:
        interval (int): Iterations between sheets; the last iteration always gets one.
        samples_per_class (int): Generated images in a row. Defaults to 8.
        real_per_class (int): Real training images to the left of them. Defaults to 4.
        seed (int): Of the fixed noise. Defaults to 0.
        sample_model (str, optional): 'ema' or 'orig'. Defaults to None: 'ema' where the model has
            it.
        batch_size (int): Images generated at once. Defaults to 32.
    """

    def __init__(
        self,
        interval: int,
        samples_per_class: int = 8,
        real_per_class: int = 4,
        seed: int = 0,
        sample_model: Optional[str] = None,
        batch_size: int = 32,
    ):
        super().__init__(interval)
        self.samples_per_class = samples_per_class
        self.real_per_class = real_per_class
        self.seed = seed
        self.sample_model = sample_model
        self.batch_size = batch_size
        self._real: Optional[List[List[np.ndarray]]] = None

    def pictures(self, runner) -> Dict[str, np.ndarray]:
        """The sheet, and one per earlier stage: end of the file's name -> uint8 RGB (H, W, 3)."""
        classes = runner.train_dataloader.dataset.metainfo['classes']
        if self._real is None:
            self._real = real_examples(
                runner.train_dataloader.dataset, len(classes), self.real_per_class
            )
        settle_average_of(runner)
        *earlier, fake = self.generate(unwrap(runner.model), len(classes))
        columns = ['real'] * self.real_per_class + ['generated'] * self.samples_per_class
        rows = [real + generated for real, generated in zip(self._real, fake, strict=True)]
        pictures = {'': image_grid(rows, list(classes), columns)}
        for number, small in enumerate(earlier, start=1):
            size = small[0][0].shape[:2]
            rows = [
                [_shrunk(image, size) for image in real] + generated
                for real, generated in zip(self._real, small, strict=True)
            ]
            scale = fake[0][0].shape[0] / size[0]
            pictures[f'_stage{number}'] = image_grid(rows, list(classes), columns, scale=scale)
        return pictures

    def generate(self, model, num_classes: int) -> List[List[List[np.ndarray]]]:
        """The fixed samples: stage (coarse to fine) -> class -> images, uint8 (H, W, C)."""
        noise = torch.randn(
            self.samples_per_class, model.noise_size, generator=generator_for(self.seed, 'sheet')
        ).repeat(num_classes, 1)
        labels = torch.arange(num_classes).repeat_interleave(self.samples_per_class)
        batches = []
        for start in range(0, len(noise), self.batch_size):
            batch = slice(start, start + self.batch_size)
            if hasattr(model, 'stage_images'):
                stages = model.stage_images(noise[batch], labels[batch], self.sample_model)
            else:
                stages = [sample_pixels(model, noise[batch], labels[batch], self.sample_model)]
            batches.append([pixels.permute(0, 2, 3, 1).cpu().numpy() for pixels in stages])
        per_class = self.samples_per_class
        stages = [
            [image for batch in of_stage for image in batch]
            for of_stage in zip(*batches, strict=True)
        ]
        return [
            [images[i * per_class : (i + 1) * per_class] for i in range(num_classes)]
            for images in stages
        ]


def _shrunk(image: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Average a uint8 image (H, W, C) down to ``size`` (height, width)."""
    shrunk = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return shrunk.reshape(*size, image.shape[2])


def real_examples(dataset, num_classes: int, count: int) -> List[List[np.ndarray]]:
    """The first ``count`` images of each class as the training pipeline gives them, uint8 HWC.

    A class with fewer gets white ones to fill its row.
    """
    found: List[List[int]] = [[] for _ in range(num_classes)]
    for index in range(len(dataset)):
        wanted = found[dataset.get_data_info(index)['gt_label']]
        if len(wanted) < count:
            wanted.append(index)
        if all(len(indices) == count for indices in found):
            break
    images = [
        [dataset[i]['inputs']['img'].permute(1, 2, 0).numpy() for i in indices] for indices in found
    ]
    # White where a class has fewer, so that what follows stays in its columns.
    blank = np.full_like(next(image for row in images for image in row), 255) if count else None
    return [row + [blank] * (count - len(row)) for row in images]
