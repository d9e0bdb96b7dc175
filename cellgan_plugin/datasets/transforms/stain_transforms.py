"""Stain: augmentation in the axes of the stains, and normalisation to a target."""

import importlib
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Union

import cv2
import numpy as np
import torch
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.randomness import rng_for

# Optical density in R, G, B of one unit of each stain; rows are made unit vectors.
STAINS: Mapping[str, Sequence[Sequence[float]]] = {
    # Haematoxylin, eosin, and what is left (Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23,
    # 2001, with DAB for the third).
    'he': ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78)),
    # Haematoxylin, light green (EA) and eosin (EA), as the phantoms have them: read off patches of
    # CRIC Cervix. Orange G lies between eosin and the blue channel, and moves with both.
    'papanicolaou': ((1.00, 1.32, 0.74), (0.55, 0.24, 0.23), (0.06, 0.27, 0.33)),
}
# ln((i + 1) / 256): density 0 of white; black stays finite.
_DENSITY = -np.log((np.arange(256) + 1) / 256).astype(np.float32)
_LEAST_DENSITY, _LEAST_SHARE = 0.15, 0.01  # of a stained pixel, and of such pixels in an image
METHODS = ('macenko', 'reinhard')


def stain_matrix(stain: Union[str, Sequence[Sequence[float]]]) -> np.ndarray:
    """Unit optical densities of three stains, float64 (3, 3), a row each.

    Raises:
        ValueError: An unknown name, or rows that do not span R, G, B.
    """
    if isinstance(stain, str):
        if stain not in STAINS:
            raise ValueError(f'stain {stain!r}: choose one of {", ".join(STAINS)}, or give rows')
        stain = STAINS[stain]
    matrix = np.asarray(stain, np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise ValueError(f'stain: expected three rows of R, G, B densities, got {stain!r}')
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    if length.min() == 0 or abs(np.linalg.det(matrix / length)) < 0.01:
        raise ValueError(f'stain: the rows of {stain!r} are not three different stains')
    return matrix / length


@TRANSFORMS.register_module()
class RandomStain(BaseTransform):
    """Jitter each stain: its amount by a factor, its ground by an offset.

    The image is parted into three stains by their optical densities, ``s -> alpha s + beta`` with
    alpha from [1 - strength, 1 + strength] and beta from [-offset, offset], and put together again
    (Tellez et al., IEEE TMI 37, 2018: HED-light has 0.05, HED-strong 0.2). In optical density that
    is one affine map. What is drawn follows from (seed, place in the training stream).

    Args:
        stain (str | Sequence): ``'he'``, ``'papanicolaou'``, or three rows of R, G, B densities.
            Defaults to 'he'.
        strength (float): Of the factors, 0 to 1. Defaults to 0.05.
        offset (float | None): Of the offsets, in optical density. Defaults to None: ``strength``.
        seed (int | None): Base seed. Defaults to None: the sampler's.
    """

    def __init__(
        self,
        stain: Union[str, Sequence[Sequence[float]]] = 'he',
        strength: float = 0.05,
        offset: Optional[float] = None,
        seed: Optional[int] = None,
    ):
        self.matrix = stain_matrix(stain)
        for name, value in (('strength', strength), ('offset', offset or 0.0)):
            if not 0 <= value <= 1:
                raise ValueError(f'RandomStain: {name} must be in [0, 1], got {value}')
        self.stain, self.strength = stain, float(strength)
        self.offset = self.strength if offset is None else float(offset)
        self.seed = seed

    def apply(
        self, image: np.ndarray, factors: Sequence[float], offsets: Sequence[float]
    ) -> np.ndarray:
        """Change the stains of an image.

        Args:
            image (np.ndarray): uint8 (H, W, 3), RGB.
            factors (Sequence[float]): alpha of the three stains.
            offsets (Sequence[float]): beta of the three, optical density.

        Returns:
            np.ndarray: The same shape and type.
        """
        density = cv2.LUT(np.ascontiguousarray(image), _DENSITY)
        # Rows of the matrix are stains: density = stains @ matrix, for each pixel.
        linear = (np.linalg.inv(self.matrix) * factors) @ self.matrix
        affine = np.column_stack([linear.T, np.asarray(offsets) @ self.matrix])
        changed = cv2.transform(density, affine.astype(np.float32))
        light = cv2.exp(-changed) * np.float32(256) - np.float32(1)
        return np.clip(np.rint(light), 0, 255).astype(np.uint8)

    def transform(self, results: Dict) -> Dict:
        """Replace ``results['img']``."""
        image = results['img']
        if image.shape[2] != 3:
            raise ValueError(f'RandomStain: needs RGB images, got one of {image.shape[2]} channels')
        seed = results.get('sample_seed', 0) if self.seed is None else self.seed
        rng = rng_for(seed, 'stain', results['sample_position'])
        factors = 1 + self.strength * rng.uniform(-1, 1, 3)
        results['img'] = self.apply(image, factors, self.offset * rng.uniform(-1, 1, 3))
        return results

    def __repr__(self) -> str:
        return (
            f'RandomStain(stain={self.stain!r}, strength={self.strength}, offset={self.offset}, '
            f'seed={self.seed})'
        )


@TRANSFORMS.register_module()
class NormalizeStain(BaseTransform):
    """Bring the stain of every image to that of a target image.

    By ``torch-staintools``: Macenko et al. (ISBI 2009) parts haematoxylin and eosin, not the five
    stains of Papanicolaou; Reinhard et al. (IEEE CG&A 2001) matches mean and spread of colours.
    An image without stain, less than 1 % of its pixels, stays as it is.

    Args:
        target (str): Path of the target image.
        method (str): ``'macenko'`` or ``'reinhard'``. Defaults to 'macenko'.
    """

    # The same image always gives the same result, so a data set that caches does this once.
    cacheable = True

    def __init__(self, target: str, method: str = 'macenko'):
        if method not in METHODS:
            raise ValueError(f'NormalizeStain: method {method!r}: one of {", ".join(METHODS)}')
        self.target, self.method = str(target), method
        if not Path(self.target).is_file():
            raise ValueError(f'NormalizeStain: target {self.target}: no such file')
        self._normalizer: Optional[Any] = None

    def transform(self, results: Dict) -> Dict:
        """Replace ``results['img']``."""
        image = results['img']
        if image.shape[2] != 3:
            raise ValueError(f'NormalizeStain: needs RGB, got {image.shape[2]} channels')
        if is_stained(image):
            if self._normalizer is None:
                self._normalizer = self._fit()
            with torch.no_grad():
                made = self._normalizer(_as_batch(image))[0]
            if bool(torch.isfinite(made).all()):
                pixels = made.clamp(0, 1).mul(255).round().to(torch.uint8)
                results['img'] = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
        return results

    def _fit(self) -> Any:
        try:
            config = importlib.import_module('torch_staintools.constants').CONFIG
            builder = importlib.import_module('torch_staintools.normalizer').NormalizerBuilder
        except ImportError as error:
            raise ImportError(
                f'NormalizeStain needs torch-staintools ({error}): '
                "pip install 'cellgan_plugin[stain]'"
            ) from error
        # Compiling takes longer than a data set of patches.
        config.ENABLE_COMPILE = False
        target = load_image(self.target)
        if not is_stained(target):
            raise ValueError(f'NormalizeStain: target {self.target} shows no stain; choose another')
        normalizer = builder.build(self.method)
        normalizer.fit(_as_batch(target))
        return normalizer

    def __getstate__(self) -> Dict[str, Any]:
        # Loader processes make their own: a fitted one need not be picklable.
        return {**self.__dict__, '_normalizer': None}

    def __repr__(self) -> str:
        return f'NormalizeStain(target={self.target!r}, method={self.method!r})'


def is_stained(image: np.ndarray) -> bool:
    """Whether at least 1 % of the pixels of an image (H, W, 3) absorb light."""
    density = cv2.LUT(np.ascontiguousarray(image), _DENSITY).max(axis=2)
    return float((density > _LEAST_DENSITY).mean()) >= _LEAST_SHARE


def _as_batch(image: np.ndarray) -> torch.Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(image))
    return pixels.permute(2, 0, 1)[None].float() / 255
