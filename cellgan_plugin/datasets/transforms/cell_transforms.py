"""Transforms of cell patches. Images are uint8 (H, W, C) RGB or grey arrays until packed."""

from typing import Dict, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
import torch
from mmagic.registry import TRANSFORMS
from mmagic.structures import DataSample
from mmcv.transforms import BaseTransform
from mmengine.structures import LabelData

from cellgan_plugin.randomness import derive_seed


@TRANSFORMS.register_module()
class FitCellPatch(BaseTransform):
    """Bring a patch to ``out_size`` without distorting it.

    The same image always gives the same result, so a data set that caches does this once.

    Args:
        out_size (int | Sequence[int]): Side of the square result in pixels, or (height, width).
            In a config also 'auto' (:mod:`cellgan_plugin.runs.data_settings`).
        policy (str): ``'resize'`` scales the image until it just covers ``out_size`` (area
            averaging down, cubic up) and cuts the centre; ``'crop'`` cuts the centre and refuses
            smaller images. Defaults to 'resize'.
    """

    # Read by CellPatchDataset: no randomness, may be done before images are cached.
    cacheable = True

    def __init__(self, out_size: Union[int, Sequence[int]], policy: str = 'resize'):
        sides = (out_size, out_size) if isinstance(out_size, int) else out_size
        if not isinstance(sides, (tuple, list)) or [type(n) for n in sides] != [int, int]:
            sides = (0, 0)
        if out_size == 'auto':
            raise ValueError(
                "FitCellPatch: out_size='auto' is for configs, where --data DIR puts the size of "
                'the images in its place; here say a number of pixels'
            )
        if min(sides) < 1:
            raise ValueError(
                'FitCellPatch: out_size must be a positive int or (height, width), got '
                f'{out_size!r}'
            )
        if policy not in ('resize', 'crop'):
            raise ValueError(f"FitCellPatch: policy must be 'resize' or 'crop', got {policy!r}")
        self.height, self.width = sides
        self.policy = policy

    def output_shape(self, height: int, width: int) -> Tuple[int, int]:
        """Shape after this transform; ValueError when the image is too small to crop."""
        if self.policy == 'crop' and (height < self.height or width < self.width):
            raise ValueError(
                f'is {width}x{height}, smaller than the crop of {self.width}x{self.height}; '
                "remove it, lower out_size, or use policy='resize' to enlarge it"
            )
        return self.height, self.width

    def scale_of(self, height: int, width: int) -> float:
        """Factor by which an image of this size is enlarged (above 1) or reduced."""
        return max(self.height / height, self.width / width) if self.policy == 'resize' else 1.0

    def transform(self, results: Dict) -> Dict:
        """Replace ``results['img']``."""
        image = results['img']
        height, width, channels = image.shape
        try:
            self.output_shape(height, width)
        except ValueError as error:
            raise ValueError(f'{results.get("img_path", "image")}: {error}') from error
        scale = self.scale_of(height, width)
        if scale != 1:
            height = max(self.height, round(height * scale))
            width = max(self.width, round(width * scale))
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            # OpenCV drops a channel axis of length one.
            image = cv2.resize(image, (width, height), interpolation=how)
            image = image.reshape(height, width, channels)
        top, left = (height - self.height) // 2, (width - self.width) // 2
        results['img'] = image[top : top + self.height, left : left + self.width]
        results['img_shape'] = results['img'].shape
        return results

    def __repr__(self) -> str:
        return f'FitCellPatch(out_size={(self.height, self.width)}, policy={self.policy!r})'


@TRANSFORMS.register_module()
class RandomCellFlip(BaseTransform):
    """Flip left-right, upside-down and at the diagonal, each with its own probability.

    CellGAN's released program flips both ways with p=0.5; the paper names flips for its classifiers
    only (Sec. 3.3). Whether a sample is flipped follows from (seed of the run, 'flip', position in
    the training stream) alone: the same in any worker, on any rank and after a resume. Outside a
    ``ResumableInfiniteSampler`` the position is the index and the seed is 0, so an image is flipped
    the same way every time.

    Args:
        horizontal (float): Probability of a left-right flip. Defaults to 0.5.
        vertical (float): Probability of an upside-down flip. Defaults to 0.5.
        diagonal (float): Probability that rows and columns of a square image are exchanged, after
            the other two. 0.5 with 0.5 and 0.5 gives quarter turns too: every one of the eight
            views alike, for images without an up, as those of smears. Not in the released program.
            Defaults to 0.0.
        seed (int | None): Base seed of the flips. Defaults to None: the sampler's, which is that
            of ``randomness=dict(seed=...)``.
    """

    def __init__(
        self,
        horizontal: float = 0.5,
        vertical: float = 0.5,
        seed: Optional[int] = None,
        diagonal: float = 0.0,
    ):
        chances = dict(horizontal=horizontal, vertical=vertical, diagonal=diagonal)
        for name, value in chances.items():
            if not 0 <= value <= 1:
                raise ValueError(f'RandomCellFlip: {name} must be in [0, 1], got {value}')
        self.horizontal = horizontal
        self.vertical = vertical
        self.diagonal = diagonal
        self.seed = seed

    def transform(self, results: Dict) -> Dict:
        """Replace ``results['img']`` by a flipped view."""
        seed = results.get('sample_seed', 0)
        horizontal, vertical, diagonal = self._decide(seed, results['sample_position'])
        if horizontal:
            results['img'] = results['img'][:, ::-1]
        if vertical:
            results['img'] = results['img'][::-1]
        if diagonal:
            self._check_square(*results['img'].shape[:2])
            results['img'] = results['img'].swapaxes(0, 1)
        return results

    @staticmethod
    def _check_square(height: int, width: int) -> None:
        if height != width:
            raise ValueError(
                f'RandomCellFlip: diagonal is for square images, here is one of {width}x{height}: '
                'say diagonal=0'
            )

    def transform_batch(self, results: Dict) -> Dict:
        """Flip a batch where it lies, by the same decisions as :meth:`transform`.

        Args:
            results (dict): ``img``, a uint8 tensor (N, C, H, W) of its own on any device, and the
                lists ``sample_seed`` and ``sample_position``.

        Returns:
            dict: ``img`` flipped in place.
        """
        # Cached images lie channels last, and whole rows of memory are copied ten times as fast.
        image = results['img'].permute(0, 2, 3, 1)
        drawn = zip(results['sample_seed'], results['sample_position'], strict=True)
        if self.diagonal:
            self._check_square(*image.shape[1:3])
        chosen: Dict[Tuple[bool, bool, bool], list] = {}
        for row, (seed, position) in enumerate(drawn):
            chosen.setdefault(self._decide(seed, position), []).append(row)
        for (horizontal, vertical, diagonal), rows in chosen.items():
            axes = [axis for axis, flip in ((2, horizontal), (1, vertical)) if flip]
            if axes or diagonal:
                index = torch.tensor(rows).to(image.device, non_blocking=True)
                picked = image.index_select(0, index).flip(axes)
                image.index_copy_(0, index, picked.transpose(1, 2) if diagonal else picked)
        return results

    def _decide(self, seed: int, position: int) -> Tuple[bool, bool, bool]:
        """Whether the sample at a position is flipped left-right, upside-down, at the diagonal."""
        # One 63-bit number decides the two; a numpy generator would take ten times as long.
        seed = seed if self.seed is None else self.seed
        bits = derive_seed(seed, 'flip', position)
        horizontal = (bits & 0x7FFFFFFF) < self.horizontal * 2**31
        vertical = ((bits >> 31) & 0x7FFFFFFF) < self.vertical * 2**31
        if not self.diagonal:
            return horizontal, vertical, False
        bits = derive_seed(seed, 'flip diagonal', position)
        return horizontal, vertical, (bits & 0x7FFFFFFF) < self.diagonal * 2**31

    def __repr__(self) -> str:
        return (
            f'RandomCellFlip(horizontal={self.horizontal}, vertical={self.vertical}, '
            f'seed={self.seed}, diagonal={self.diagonal})'
        )


def packable(image: np.ndarray, by: str) -> np.ndarray:
    """An image that a pack transform takes as it is.

    Args:
        image (np.ndarray): What the transforms before it have made of an image.
        by (str): Name of the pack transform, for the message.

    Raises:
        ValueError: It is not uint8 (H, W, C).
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
        kind = getattr(image, 'dtype', type(image).__name__)
        raise ValueError(
            f"{by}: results['img'] is {kind} of shape {np.shape(image)}; uint8 (H, W, C) expected: "
            'a transform before it has changed that'
        )
    return image


def _colour_meta(channels: int) -> Dict[str, str]:
    """What MMagic's preprocessor must be told: it takes three channels for BGR."""
    order, kind = ('single', 'grayscale') if channels == 1 else ('RGB', 'color')
    names = (('channel_order', order), ('color_type', kind))
    return {f'{key}_{name}': value for key in ('img', 'gt') for name, value in names}


@TRANSFORMS.register_module()
class PackCellInputs(BaseTransform):
    """Pack a patch as MMagic's models expect it, still as uint8.

    Args:
        with_gt_img (bool): Also put the image into ``data_samples.gt_img``, which MMagic's own
            BigGAN reads in place of ``inputs['img']``. It shares memory with the input, but goes
            to the device a second time. Defaults to False.
        meta_keys (Sequence[str]): Entries of the results kept as metainfo when present.
    """

    def __init__(
        self,
        with_gt_img: bool = False,
        meta_keys: Sequence[str] = ('img_path', 'sample_idx', 'sample_position'),
    ):
        self.with_gt_img = with_gt_img
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: Dict) -> Dict:
        """Pack.

        Args:
            results (dict): With ``img``, uint8 (H, W, C), and ``gt_label``.

        Returns:
            dict: ``inputs=dict(img=...)`` with a uint8 (C, H, W) tensor, and ``data_samples``, a
            ``DataSample`` whose ``gt_label.label`` is an int64 tensor of shape (1,).

        Raises:
            ValueError: ``img`` is not uint8 (H, W, C).
        """
        # A copy: flips are views with negative strides, and a cached image is read-only.
        image = packable(results['img'], 'PackCellInputs')
        image = torch.from_numpy(np.array(image.transpose(2, 0, 1), order='C'))
        meta = {key: results[key] for key in self.meta_keys if key in results}
        sample = DataSample(metainfo={**meta, **_colour_meta(image.shape[0])})
        sample.set_gt_label(int(results['gt_label']))
        if self.with_gt_img:
            sample.gt_img = image
        return dict(inputs=dict(img=image), data_samples=sample)

    def transform_batch(self, results: Dict) -> Dict:
        """Pack a batch: what ``stack_cell_batch`` makes of its packed samples.

        Args:
            results (dict): ``img``, a uint8 tensor (N, C, H, W), and lists of N, among them
                ``gt_label``.

        Returns:
            dict: ``inputs=dict(img=...)`` and ``data_samples``, one ``DataSample`` with
            ``gt_label.label`` of shape (N, 1) and lists as metainfo.
        """
        image = results['img']
        meta = {key: results[key] for key in self.meta_keys if key in results}
        for key, value in _colour_meta(image.shape[1]).items():
            meta[key] = [value] * len(image)
        samples = DataSample(metainfo=meta)
        samples.gt_label = LabelData(label=torch.tensor(results['gt_label'])[:, None])
        if self.with_gt_img:
            samples.gt_img = image
        return dict(inputs=dict(img=image), data_samples=samples)

    def __repr__(self) -> str:
        return f'PackCellInputs(with_gt_img={self.with_gt_img})'
