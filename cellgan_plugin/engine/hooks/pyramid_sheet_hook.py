"""Pictures while a pyramid trains: masks, what is generated from them at every scale, and back."""

from typing import Dict, List, Optional, Tuple

import numpy as np
import torch
from mmagic.registry import HOOKS
from torch import Tensor

from cellgan_plugin.engine.hooks.pictures import PictureHook
from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.models.data_preprocessor import to_model_range, to_uint8
from cellgan_plugin.models.pyramid_gan.scales import resize_images
from cellgan_plugin.randomness import derive_seed, rng_for
from cellgan_plugin.visualization import image_grid, mask_picture

_LEAST_SIDE = 128  # smaller images are enlarged, whole pixels, so that they can be looked at


@HOOKS.register_module()
class PyramidSheetHook(PictureHook):
    """Every ``interval`` iterations, and at the end of every scale, one sheet and the curves.

    One row per training tile with a mask, the same tiles and the same noise at every iteration: the
    mask, the real image at the current scale, the generated image at every scale from coarse to
    fine, more images of the same mask, and what the segmenter makes of the real image; columns of
    networks that the model does not have are left out.

    ``<work_dir>/sheets/iter_00001000_64px.png``, ``<work_dir>/curves.png``.

    Args:
        interval (int): Iterations between sheets.
        rows (int): Tiles. Defaults to 4.
        variants (int): Images of each mask at the current scale, the first one included.
            Defaults to 3.
        seed (int): Of the choice of tiles and of the noise. Defaults to 0.
    """

    def __init__(self, interval: int, rows: int = 4, variants: int = 3, seed: int = 0):
        super().__init__(interval)
        self.rows = rows
        self.variants = max(1, variants)
        self.seed = seed
        self._tiles: Optional[Tuple[Tensor, Tensor]] = None

    def is_end(self, runner) -> bool:
        """Whether this iteration ends a scale, or the training."""
        return runner.iter + 1 in runner.train_loop.ends or runner.train_loop.stop_training

    def pictures(self, runner) -> Dict[str, np.ndarray]:
        """The sheet: end of the file's name -> uint8 RGB (H, W, 3)."""
        model = unwrap(runner.model)
        if self._tiles is None:
            self._tiles = labelled_tiles(runner.train_dataloader.dataset, self.rows, self.seed)
        return {f'_{model.size}px': self.sheet(model, *self._tiles)}

    @torch.no_grad()
    def sheet(self, model, img: Tensor, masks: Tensor) -> np.ndarray:
        """The picture, uint8 RGB, of tiles, uint8 (N, 3, H, W), and class ids (N, H, W)."""
        img = to_model_range(img.to(model.device))
        masks = masks.to(model.device)
        at_scale = model.fit_masks(masks)
        shrunk = resize_images(img, *at_scale.shape[-2:])
        columns: List[Tuple[str, List[np.ndarray]]] = [
            ('mask', [mask_picture(mask) for mask in at_scale.cpu().numpy()]),
            (f'real {model.size} px', _pictures(shrunk)),
        ]
        if model.generators is not None:
            for number in range(self.variants):
                seeds = [derive_seed(self.seed, 'sheet', row, number) for row in range(len(img))]
                scales = model.generate(at_scale, seeds, return_scales=True)
                if number == 0:
                    columns += [
                        (f'{image.shape[-1]} px', _pictures(image)) for image in scales[:-1]
                    ]
                title = 'generated' if number == 0 else f'again, noise {number + 1}'
                columns.append((title, _pictures(scales[-1])))
        if model.segmenters is not None:
            found = model.fit_masks(model.segment(img).argmax(dim=1))
            columns.append(('segmented', [mask_picture(mask) for mask in found.cpu().numpy()]))
        side = max(at_scale.shape[-1], _LEAST_SIDE)
        rows = [[_enlarged(images[row], side) for _, images in columns] for row in range(len(img))]
        return image_grid(rows, column_titles=[title for title, _ in columns])


def labelled_tiles(dataset, count: int, seed: int) -> Tuple[Tensor, Tensor]:
    """Tiles with a mask, of several classes where there are such; the same for the same seed.

    Returns:
        tuple[Tensor, Tensor]: uint8 (N, 3, H, W) and class ids (N, H, W), N at most ``count``.
    """
    order = rng_for(seed, 'sheet tiles').permutation(len(dataset)).tolist()
    mixed, plain = [], []
    for index in order[: 50 * count]:
        inputs = dataset[index]['inputs']
        if not bool(inputs.get('labelled', True)):
            continue
        ids = torch.unique(inputs['mask'])
        (mixed if (ids != 255).sum() > 1 else plain).append(inputs)
        if len(mixed) == count:
            break
    chosen = (mixed + plain)[:count]
    if not chosen:
        raise ValueError('no labelled tile was found for the sheet')
    return torch.stack([x['img'] for x in chosen]), torch.stack([x['mask'] for x in chosen])


def _pictures(images: Tensor) -> List[np.ndarray]:
    return list(to_uint8(images).permute(0, 2, 3, 1).cpu().numpy())


def _enlarged(image: np.ndarray, side: int) -> np.ndarray:
    """Whole pixels, up to ``side``."""
    factor = max(1, side // image.shape[0])
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
