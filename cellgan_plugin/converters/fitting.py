"""How an image is brought to the asked size: what is scaled, what is cut, what is added."""

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple, Union

import cv2
import numpy as np

from cellgan_plugin.converters.common import ConverterError, check_area

POLICIES = ('resize', 'crop', 'pad', 'keep')
FILLS = ('border', 'background')
# Microns per pixel of a microscope or scanner: 100x oil is about 0.05, an overview about 10.
MPP_RANGE = (0.02, 20.0)


def check_mpp(value: float, name: str) -> float:
    """Microns per pixel as float; ConverterError outside of what microscopes have."""
    value = float(value)
    if not MPP_RANGE[0] <= value <= MPP_RANGE[1]:
        raise ConverterError(
            f'{name} is {value:g}; expected microns per pixel from {MPP_RANGE[0]:g} to '
            f'{MPP_RANGE[1]:g}, e.g. 0.25 for a 40x scan'
        )
    return value


@dataclass(frozen=True)
class Fit:
    """One way to bring images to a size; made by :func:`make_fit`, which checks it.

    Attributes:
        policy (str): One of :data:`POLICIES`.
        area (tuple[int, int] | None): Height and width in px; None for ``'keep'``.
        factor (float): Scale of every image under ``'crop'`` and ``'pad'``.
        fill (str): What ``'pad'`` fills with: the median of the image's own outermost pixels
            (``'border'``), or of the brightest tenth of the images of its group
            (``'background'``).
        mpp (float | None): Microns per pixel of the result, where known.
    """

    policy: str
    area: Optional[Tuple[int, int]]
    factor: float = 1.0
    fill: str = 'border'
    mpp: Optional[float] = None

    def scale_of(self, height: int, width: int) -> float:
        """Factor by which an image of this size is scaled."""
        if self.policy == 'resize':
            return max(self.area[0] / height, self.area[1] / width)
        return self.factor

    def scaled(self, height: int, width: int) -> Tuple[int, int]:
        """Height and width after scaling, before anything is cut or added."""
        factor = self.scale_of(height, width)
        return max(1, round(height * factor)), max(1, round(width * factor))

    def result(self, height: int, width: int) -> Tuple[int, int]:
        """Height and width of the result."""
        return (height, width) if self.area is None else self.area

    def __call__(self, image: np.ndarray, background: Optional[Sequence[int]] = None) -> np.ndarray:
        """Fit one image, uint8 (H, W, 3) RGB; ``background`` is RGB, for ``fill='background'``."""
        if self.policy == 'keep':
            return image
        if self.policy == 'resize':
            return fit_area(image, self.area, resize=True)
        image = scale_image(image, *self.scaled(*image.shape[:2]))
        if self.policy == 'crop':
            return fit_area(image, self.area, resize=False)
        return pad_area(
            image, self.area, border_colour(image) if background is None else background
        )


def make_fit(
    policy: Optional[str],
    size: Union[int, Sequence[int], None],
    mpp_in: Optional[float] = None,
    mpp_out: Optional[float] = None,
    fill: str = 'border',
) -> Fit:
    """Check what was asked for.

    Args:
        policy (str, optional): One of :data:`POLICIES`; None: ``'pad'`` where a scale is given,
            else ``'resize'``.
        size (int | Sequence[int], optional): Side or (height, width) in px; None: 256.
        mpp_in (float, optional): Microns per pixel of the images.
        mpp_out (float, optional): Microns per pixel of the result.
        fill (str): See :class:`Fit`. Defaults to ``'border'``.

    Raises:
        ConverterError: On values that cannot be, or that contradict each other.
    """
    if (mpp_in is None) != (mpp_out is None):
        raise ConverterError(
            'microns per pixel are given of one side only; give both --mpp-in (of the images) and '
            '--mpp-out (of the result)'
        )
    scaled = mpp_in is not None
    policy = policy or ('pad' if scaled else 'resize')
    if policy not in POLICIES:
        raise ConverterError(f'policy is {policy!r}; expected one of {", ".join(POLICIES)}')
    if fill not in FILLS:
        raise ConverterError(f'fill is {fill!r}; expected one of {", ".join(FILLS)}')
    if fill != 'border' and policy != 'pad':
        raise ConverterError(f'fill {fill} is for policy pad; policy {policy} fills nothing up')
    if policy == 'keep' and size is not None:
        raise ConverterError(f'policy keep leaves sizes as they are, but size {size} was given')
    if scaled and policy in ('keep', 'resize'):
        why = 'leaves images as they are' if policy == 'keep' else 'scales each image by its size'
        raise ConverterError(
            f'policy {policy} {why}, which contradicts --mpp-in and --mpp-out; use pad or crop'
        )
    area = None if policy == 'keep' else check_area(256 if size is None else size)
    area = (area, area) if isinstance(area, int) else area
    if not scaled:
        return Fit(policy, area, fill=fill)
    mpp_in, mpp_out = check_mpp(mpp_in, 'mpp-in'), check_mpp(mpp_out, 'mpp-out')
    return Fit(policy, area, mpp_in / mpp_out, fill, mpp_out)


def scale_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize: area means, which do not alias, when shrinking; cubic, for edges, when enlarging."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=how)


def fit_area(image: np.ndarray, size: Union[int, Tuple[int, int]], resize: bool) -> np.ndarray:
    """Cut the centre of ``size`` (a side, or height and width, px).

    With ``resize`` the image is scaled first, in its proportions, until it just covers the area.
    """
    area = (size, size) if isinstance(size, int) else tuple(size)
    height, width = image.shape[:2]
    factor = max(area[0] / height, area[1] / width)
    if resize and factor != 1:
        height, width = max(area[0], round(height * factor)), max(area[1], round(width * factor))
        image = scale_image(image, height, width)
    top, left = (height - area[0]) // 2, (width - area[1]) // 2
    return np.ascontiguousarray(image[top : top + area[0], left : left + area[1]])


def pad_area(image: np.ndarray, area: Tuple[int, int], colour: Sequence[int]) -> np.ndarray:
    """Put an image in the middle of ``area`` (height, width); what is larger is cut."""
    image = fit_area(
        image, (min(area[0], image.shape[0]), min(area[1], image.shape[1])), resize=False
    )
    padded = np.empty((*area, 3), np.uint8)
    padded[:] = np.asarray(colour, np.uint8)
    top, left = (area[0] - image.shape[0]) // 2, (area[1] - image.shape[1]) // 2
    padded[top : top + image.shape[0], left : left + image.shape[1]] = image
    return padded


def border_colour(image: np.ndarray) -> np.ndarray:
    """Median RGB of the outermost pixels, uint8 (3,)."""
    edge = [image[0], image[-1], image[:, 0], image[:, -1]]
    return np.median(np.concatenate(edge), axis=0).astype(np.uint8)


def bright_colour(image: np.ndarray) -> np.ndarray:
    """Median RGB of the brightest tenth of the pixels, uint8 (3,)."""
    pixels = image.reshape(-1, 3)
    light = pixels.sum(axis=1, dtype=np.int32)
    return np.median(pixels[light >= np.quantile(light, 0.9)], axis=0).astype(np.uint8)
