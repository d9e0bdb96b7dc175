"""Pictures while training: generated images beside real ones, and the curves."""

from pathlib import Path
from typing import List, Optional

import numpy as np
import torch
from mmagic.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.models.sampling import sample_pixels
from cellgan_plugin.randomness import generator_for
from cellgan_plugin.visualization import draw_curves, image_grid


@HOOKS.register_module()
class SampleSheetHook(Hook):
    """Every ``interval`` iterations a sheet with one row per class, and the curves so far.

    The noise is fixed: column j holds the same z at every iteration and in every row, so that a
    row differs from the next by its class alone. Works for every MMagic conditional GAN.

    ``<work_dir>/sheets/iter_00001000.png``, ``<work_dir>/curves.png``.

    Args:
        interval (int): Iterations between sheets; the last iteration always gets one.
        samples_per_class (int): Generated images in a row. Defaults to 8.
        real_per_class (int): Real training images to the left of them. Defaults to 4.
        seed (int): Of the fixed noise. Defaults to 0.
        sample_model (str, optional): 'ema' or 'orig'. Defaults to None: 'ema' where the model has
            it.
        batch_size (int): Images generated at once. Defaults to 32.
    """

    priority = 'LOW'

    def __init__(
        self,
        interval: int,
        samples_per_class: int = 8,
        real_per_class: int = 4,
        seed: int = 0,
        sample_model: Optional[str] = None,
        batch_size: int = 32,
    ):
        self.interval = interval
        self.samples_per_class = samples_per_class
        self.real_per_class = real_per_class
        self.seed = seed
        self.sample_model = sample_model
        self.batch_size = batch_size
        self._real: Optional[List[List[np.ndarray]]] = None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Draw when due."""
        last = runner.iter + 1 == runner.max_iters or runner.train_loop.stop_training
        if last or self.every_n_train_iters(runner, self.interval):
            self.draw(runner, runner.iter + 1)

    @master_only
    def draw(self, runner, iteration: int) -> Path:
        """Write the sheet and the curves of this moment.

        Args:
            runner (Runner): The runner.
            iteration (int): Goes into the file name.

        Returns:
            Path: The sheet.
        """
        classes = runner.train_dataloader.dataset.metainfo['classes']
        if self._real is None:
            self._real = real_examples(
                runner.train_dataloader.dataset, len(classes), self.real_per_class
            )
        fake = self.generate(unwrap(runner.model), len(classes))
        rows = [real + generated for real, generated in zip(self._real, fake, strict=True)]
        columns = ['real'] * self.real_per_class + ['generated'] * self.samples_per_class
        sheet = image_grid(rows, row_titles=list(classes), column_titles=columns)
        folder = Path(runner.work_dir)
        path = folder / 'sheets' / f'iter_{iteration:08d}.png'
        write_png(path, sheet)
        draw_curves(runner.message_hub.log_scalars, folder / 'curves.png')
        return path

    def generate(self, model, num_classes: int) -> List[List[np.ndarray]]:
        """Generate the fixed samples: one list of uint8 (H, W, C) images per class."""
        noise = torch.randn(
            self.samples_per_class, model.noise_size, generator=generator_for(self.seed, 'sheet')
        ).repeat(num_classes, 1)
        labels = torch.arange(num_classes).repeat_interleave(self.samples_per_class)
        images = []
        for start in range(0, len(noise), self.batch_size):
            batch = slice(start, start + self.batch_size)
            pixels = sample_pixels(model, noise[batch], labels[batch], self.sample_model)
            images.extend(pixels.permute(0, 2, 3, 1).cpu().numpy())
        per_class = self.samples_per_class
        return [images[i * per_class : (i + 1) * per_class] for i in range(num_classes)]


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
