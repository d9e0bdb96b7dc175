"""Pictures while an autoencoder trains: images above their reconstructions, and the curves."""

from typing import Dict, List, Optional

import numpy as np
import torch
from mmagic.registry import HOOKS

from cellgan_plugin.engine.hooks.pictures import PictureHook
from cellgan_plugin.engine.hooks.sheet_hook import real_examples
from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.models.data_preprocessor import to_model_range, to_uint8
from cellgan_plugin.models.layers import evaluating
from cellgan_plugin.visualization import image_grid


@HOOKS.register_module()
class ReconstructionSheetHook(PictureHook):
    """Every ``interval`` iterations a sheet: a row of images per class, below it what comes back.

    The images are the first of each class, the same on every sheet: of the validation set where
    there is one (an autoencoder knows its training images by heart), else of the training set.

    ``<work_dir>/sheets/iter_00001000.png``, ``<work_dir>/curves.png``.

    Args:
        interval (int): Iterations between sheets; the last iteration always gets one.
        images_per_class (int): Defaults to 8.
        batch_size (int): Images reconstructed at once. Defaults to 16.
    """

    def __init__(self, interval: int, images_per_class: int = 8, batch_size: int = 16):
        super().__init__(interval)
        self.images_per_class = images_per_class
        self.batch_size = batch_size
        self._images: Optional[List[List[np.ndarray]]] = None

    def pictures(self, runner) -> Dict[str, np.ndarray]:
        """The sheet: end of the file's name -> uint8 RGB (H, W, 3)."""
        held_out = runner.val_loop is not None
        dataset = runner.train_dataloader.dataset
        if held_out:
            loop = runner.val_loop  # MMagic's has several loaders, MMEngine's one
            dataset = (getattr(loop, 'dataloaders', None) or [loop.dataloader])[0].dataset
        classes = dataset.metainfo['classes']
        if self._images is None:
            self._images = real_examples(dataset, len(classes), self.images_per_class)
        rebuilt = self.reconstruct(unwrap(runner.model))
        rows, titles = [], []
        for name, images, results in zip(classes, self._images, rebuilt, strict=True):
            rows += [images, results]
            titles += [name, 'reconstruction']
        columns = ['held out' if held_out else 'training'] * self.images_per_class
        return {'': image_grid(rows, row_titles=titles, column_titles=columns)}

    @torch.no_grad()
    def reconstruct(self, model) -> List[List[np.ndarray]]:
        """Reconstruct the images of the sheet: one list of uint8 (H, W, C) per class."""
        flat = np.stack([image for row in self._images for image in row])
        img = torch.from_numpy(flat).permute(0, 3, 1, 2)
        with evaluating(model):
            parts = [
                to_uint8(model.reconstruct(to_model_range(batch.to(model.device))))
                for batch in img.split(self.batch_size)
            ]
        images = torch.cat(parts).permute(0, 2, 3, 1).cpu().numpy()
        per_class = self.images_per_class
        return [list(images[i : i + per_class]) for i in range(0, len(images), per_class)]
