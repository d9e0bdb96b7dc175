"""Transforms of image + mask pairs: geometry to all parts alike, colour to the image alone.

Images are uint8 RGB (H, W, 3), masks uint8 (H, W), instances uint8 or uint16 (H, W) until packed.
Like those of cell patches, random transforms follow from (seed of the run, purpose, position in the
training stream).
"""

from typing import Dict, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
import torch
from mmagic.registry import TRANSFORMS
from mmagic.structures import DataSample
from mmcv.transforms import BaseTransform

from cellgan_plugin.datasets.tiling import tile_size
from cellgan_plugin.datasets.transforms.cell_transforms import packable
from cellgan_plugin.randomness import derive_seed, rng_for

_PARTS = ('img', 'mask', 'instances')
# Rec. 601 luma, as torchvision's ColorJitter has it.
_LUMA = np.array([0.299, 0.587, 0.114])
# RGB -> YIQ; a hue shift turns the plane of I and Q.
_TO_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def _probability(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f'{name} must be in [0, 1], got {value}')
    return float(value)


@TRANSFORMS.register_module()
class FitTissue(BaseTransform):
    """Resize a pair: the image by areas when it shrinks, linearly when it grows; masks to nearest.

    For runs that end at a coarse scale: the loader then delivers tiles of that size. Sec. 4.1.3
    resizes images bi-linearly; the mean over the area is what that becomes without aliasing.

    Args:
        out_size (int | Sequence[int] | None): Side of the square result, or (height, width).
            Proportions may change; tiles are square already. Defaults to None.
        scale (float | None): Factor, for whole images of any size. Defaults to None.
    """

    def __init__(
        self,
        out_size: Union[None, int, Sequence[int]] = None,
        scale: Optional[float] = None,
    ):
        if (out_size is None) == (scale is None):
            raise ValueError('FitTissue: give either out_size or scale')
        if scale is not None and not 0 < scale <= 8:
            raise ValueError(f'FitTissue: scale must be above 0 and at most 8, got {scale!r}')
        self.out_size = None if out_size is None else tile_size(out_size)
        self.scale = scale

    def output_shape(self, height: int, width: int) -> Tuple[int, int]:
        """Height and width after this transform."""
        if self.out_size is not None:
            return self.out_size
        return max(1, round(height * self.scale)), max(1, round(width * self.scale))

    def transform(self, results: Dict) -> Dict:
        """Resize every part."""
        shape = results['img'].shape[:2]
        height, width = self.output_shape(*shape)
        if shape == (height, width):
            return results
        shrinks = height <= shape[0] and width <= shape[1]
        for key in _PARTS:
            if key in results:
                how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
                how = how if key == 'img' else cv2.INTER_NEAREST_EXACT
                results[key] = cv2.resize(results[key], (width, height), interpolation=how)
        return results

    def __repr__(self) -> str:
        return f'FitTissue(out_size={self.out_size}, scale={self.scale})'


@TRANSFORMS.register_module()
class RandomTissueFlip(BaseTransform):
    """Flip and turn a pair: with the defaults each of the eight symmetries of a square equally.

    Sec. 4.1.3 names flipping and rotation without numbers; only right angles need no interpolation
    and no filled corners, and histology has no upright.

    Args:
        horizontal (float): Probability of a left-right flip. Defaults to 0.5.
        vertical (float): Probability of an upside-down flip. Defaults to 0.5.
        turn (float): Probability of a quarter turn. Tiles that are not square are never turned.
            Defaults to 0.5.
        seed (int | None): Base seed. Defaults to None: the sampler's.
    """

    def __init__(
        self,
        horizontal: float = 0.5,
        vertical: float = 0.5,
        turn: float = 0.5,
        seed: Optional[int] = None,
    ):
        self.horizontal = _probability('RandomTissueFlip: horizontal', horizontal)
        self.vertical = _probability('RandomTissueFlip: vertical', vertical)
        self.turn = _probability('RandomTissueFlip: turn', turn)
        self.seed = seed

    def transform(self, results: Dict) -> Dict:
        """Replace every part by a view of it."""
        seed = results.get('sample_seed', 0) if self.seed is None else self.seed
        bits = derive_seed(seed, 'tissue flip', results['sample_position'])
        flips = [
            ((bits >> (20 * place)) & 0xFFFFF) < probability * 2**20
            for place, probability in enumerate((self.horizontal, self.vertical, self.turn))
        ]
        height, width = results['img'].shape[:2]
        for key in _PARTS:
            if key in results:
                part = results[key]
                part = part[:, ::-1] if flips[0] else part
                part = part[::-1] if flips[1] else part
                results[key] = part.swapaxes(0, 1) if flips[2] and height == width else part
        return results

    def __repr__(self) -> str:
        return (
            f'RandomTissueFlip(horizontal={self.horizontal}, vertical={self.vertical}, '
            f'turn={self.turn}, seed={self.seed})'
        )


@TRANSFORMS.register_module()
class RandomTissueColor(BaseTransform):
    """Colour jitter of the image; the mask stays as it is.

    Brightness, contrast and saturation are drawn and meant as torchvision's ColorJitter has them,
    and the hue is turned in YIQ. All four are affine in RGB, so they are one matrix and one pass
    over the pixels. Sec. 4.1.3 names colour jitter without numbers; these are small enough that
    haematoxylin stays blue and eosin pink.

    Args:
        brightness (float): Factor from [1 - b, 1 + b]. Defaults to 0.1.
        contrast (float): Factor around the mean luma. Defaults to 0.1.
        saturation (float): Factor around the luma of each pixel. Defaults to 0.1.
        hue (float): Turn from [-h, h] of a full circle, at most 0.5. Defaults to 0.02.
        seed (int | None): Base seed. Defaults to None: the sampler's.
    """

    def __init__(
        self,
        brightness: float = 0.1,
        contrast: float = 0.1,
        saturation: float = 0.1,
        hue: float = 0.02,
        seed: Optional[int] = None,
    ):
        self.brightness = _probability('RandomTissueColor: brightness', brightness)
        self.contrast = _probability('RandomTissueColor: contrast', contrast)
        self.saturation = _probability('RandomTissueColor: saturation', saturation)
        if not 0 <= hue <= 0.5:
            raise ValueError(f'RandomTissueColor: hue must be in [0, 0.5], got {hue}')
        self.hue = float(hue)
        self.seed = seed

    def matrix(self, factors: Sequence[float], mean: Sequence[float]) -> np.ndarray:
        """The affine map of RGB, float64 (3, 4).

        Args:
            factors (Sequence[float]): Brightness, contrast, saturation, and hue as a turn.
            mean (Sequence[float]): Mean R, G, B of the image.
        """
        brightness, contrast, saturation, turn = factors
        angle = 2 * np.pi * turn
        cosine, sine = np.cos(angle), np.sin(angle)
        # In YIQ saturation scales and hue turns I and Q; the luma stays.
        chroma = saturation * np.array([[cosine, -sine], [sine, cosine]])
        middle = np.eye(3)
        middle[1:, 1:] = chroma
        linear = brightness * contrast * (_FROM_YIQ @ middle @ _TO_YIQ)
        offset = brightness * (1 - contrast) * float(_LUMA @ np.asarray(mean))
        return np.column_stack([linear, np.full(3, offset)])

    def transform(self, results: Dict) -> Dict:
        """Replace ``results['img']``."""
        seed = results.get('sample_seed', 0) if self.seed is None else self.seed
        rng = rng_for(seed, 'tissue colour', results['sample_position'])
        spread = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        factors = np.array([1.0, 1.0, 1.0, 0.0]) + spread * rng.uniform(-1, 1, 4)
        image = np.ascontiguousarray(results['img'])
        results['img'] = cv2.transform(image, self.matrix(factors, cv2.mean(image)[:3]))
        return results

    def __repr__(self) -> str:
        return (
            f'RandomTissueColor(brightness={self.brightness}, contrast={self.contrast}, '
            f'saturation={self.saturation}, hue={self.hue}, seed={self.seed})'
        )


@TRANSFORMS.register_module()
class PackTissueInputs(BaseTransform):
    """Pack a pair as tensors, still as uint8.

    Args:
        meta_keys (Sequence[str]): Entries of the results kept as metainfo when present.
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = (
            'img_path', 'sample_idx', 'sample_position', 'tile', 'image_size', 'group', 'label',
            'split',
        ),
    ):  # fmt: skip
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: Dict) -> Dict:
        """Pack.

        Args:
            results (dict): With ``img`` (H, W, 3), ``mask`` (H, W), ``labelled``, and perhaps
                ``instances`` (H, W).

        Returns:
            dict: ``inputs``: ``img`` uint8 (3, H, W) RGB, ``mask`` uint8 (H, W) class ids,
            ``labelled`` bool (), and ``instances`` int32 (H, W) when there are any;
            ``data_samples``: a ``DataSample`` with metainfo alone.

        Raises:
            ValueError: ``img`` is not uint8 (H, W, C).
        """
        # Copies: flips are views with negative strides, and cached pixels are read-only.
        image = packable(results['img'], 'PackTissueInputs')
        image = torch.from_numpy(np.array(image.transpose(2, 0, 1), order='C'))
        inputs = dict(
            img=image,
            mask=torch.from_numpy(np.array(results['mask'], order='C')),
            labelled=torch.tensor(bool(results['labelled'])),
        )
        if 'instances' in results:
            instances = np.array(results['instances'], dtype=np.int32, order='C')
            inputs['instances'] = torch.from_numpy(instances)
        meta = {key: results[key] for key in self.meta_keys if key in results}
        for key in ('img', 'gt'):
            meta[f'{key}_channel_order'], meta[f'{key}_color_type'] = 'RGB', 'color'
        return dict(inputs=inputs, data_samples=DataSample(metainfo=meta))

    def __repr__(self) -> str:
        return f'PackTissueInputs(meta_keys={self.meta_keys})'
