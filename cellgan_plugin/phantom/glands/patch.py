"""One phantom image of glands: picture and truth from a key, or the masks alone."""

import dataclasses
from typing import Optional, Sequence, Tuple, Union

import cv2
import numpy as np

from cellgan_plugin.randomness import rng_for

from ..camera import with_sensor_noise
from .cells import make_cells
from .grades import GLAND_TRAITS, check_category
from .layout import FIELD_UM, make_layout
from .paint import GlandScene, gland_masks, paint_glands
from .patients import gland_patient

GLAND_CLASSES = ('stroma', 'epithelium', 'lumen')
MIN_SIDE = 16
# Below this side a nucleus is a pixel or two wide: the image is painted larger and averaged down.
_PAINTED_SIDE = 192
Size = Union[int, Sequence[int]]


@dataclasses.dataclass(frozen=True)
class GlandPatch:
    """A synthetic image of colon glands and what is known of it.

    Attributes:
        image (np.ndarray | None): (H, W, 3) uint8 RGB; None when only masks were asked for.
        instance_mask (np.ndarray): (H, W) uint8 or uint16, k the gland k (epithelium and lumen), 0
            in the stroma; glands that touch have different numbers.
        class_mask (np.ndarray): (H, W) uint8, index into :data:`GLAND_CLASSES`.
        category (str): One of the five of GlaS.
        grade (str): ``'benign'`` or ``'malignant'``.
        index (int): Number of the image within category and split.
        size (tuple[int, int]): Height and width, pixels.
        um_per_px (float): Of the image.
        split (str): Name of the split.
        seed (int): Base seed.
        patient (str): Pseudo patient; never in two splits.
        num_glands (int): In the image, cut ones included.
    """

    image: Optional[np.ndarray]
    instance_mask: np.ndarray
    class_mask: np.ndarray
    category: str
    grade: str
    index: int
    size: Tuple[int, int]
    um_per_px: float
    split: str
    seed: int
    patient: str
    num_glands: int


def check_gland_size(size: Size) -> Tuple[int, int]:
    """(height, width) of a number, for a square, or a pair; ValueError below 16 px."""
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    whole = all(
        isinstance(side, (int, np.integer)) and not isinstance(side, bool) and side >= MIN_SIDE
        for side in sides
    )
    if len(sides) != 2 or not whole or max(sides) > 6 * min(sides):
        raise ValueError(
            'a gland phantom has a height and a width, whole numbers of at least '
            f'{MIN_SIDE} pixels, neither more than six times the other; got {size!r}'
        )
    return int(sides[0]), int(sides[1])


def generate_gland_phantom(
    category: str,
    size: Size = 256,
    seed: int = 0,
    split: str = 'train',
    index: int = 0,
    masks_only: bool = False,
) -> GlandPatch:
    """Make the phantom image of a key.

    The scene depends on (seed, split, category, index) and on the aspect ratio, not on what was
    made before nor on the number of pixels: the shorter side shows 320 um at every size, as much as
    512 px of GlaS. The bytes are the same for the same versions of NumPy and OpenCV on the same
    kind of processor.

    Args:
        category (str): ``'healthy'``, ``'adenomatous'``, ``'moderately differentiated'``,
            ``'moderately-to-poorly differentiated'`` or ``'poorly differentiated'``.
        size (int | Sequence[int]): Side in px, or (height, width), at least 16. Defaults to 256.
        seed (int): Base seed. Defaults to 0.
        split (str): Name of the split; splits share no patient. Defaults to ``'train'``.
        index (int): Number of the image within category and split, from 0. Defaults to 0.
        masks_only (bool): Leave the picture out: several times faster, the same masks. Defaults to
            False.

    Returns:
        GlandPatch: Picture and truth.

    Raises:
        ValueError: On an unknown category, a bad size or a negative index.
    """
    category = check_category(category)
    height, width = check_gland_size(size)
    if index < 0:
        raise ValueError(f'phantom index must be 0 or more, got {index}')
    traits = GLAND_TRAITS[category]
    patient = gland_patient(seed, split, index)
    scale = min(height, width) / FIELD_UM
    field = height / scale, width / scale
    key = (split, category, index)
    layout = make_layout(rng_for(seed, 'gland-phantom/layout', *key), traits, patient.size, field)
    numbers, _, lumen = gland_masks(layout, (height, width), scale)
    instance_mask, count = _renumbered(numbers)
    class_mask = (instance_mask > 0).astype(np.uint8)
    class_mask[(instance_mask > 0) & (lumen > 0)] = 2
    image = None
    if not masks_only:
        rng = rng_for(seed, 'gland-phantom/cells', *key)
        cells = make_cells(rng, traits, patient, layout, field)
        wobble = 1 + rng.normal(0, 0.05 + 0.2 * traits.nucleus[2], (len(cells.nuclei), 14))
        scene = GlandScene(
            traits, patient, layout, cells, wobble, rng.random((4, 2)),
            float(traits.debris * rng.beta(1.5, 1.5)),
        )  # fmt: skip
        factor = -(-_PAINTED_SIDE // min(height, width))
        rgb = paint_glands(scene, (height * factor, width * factor), scale * factor)
        if factor > 1:
            rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        # A coarser pixel collects more light: noise is stated at the scale of GlaS.
        noise = patient.noise * min(1.0, (scale * 0.62) ** 0.5)
        sensor = rng_for(seed, 'gland-phantom/sensor', *key, height, width)
        image = with_sensor_noise(rgb, noise, sensor)
    return GlandPatch(
        image=image,
        instance_mask=instance_mask,
        class_mask=class_mask,
        category=category,
        grade=traits.grade,
        index=int(index),
        size=(height, width),
        um_per_px=1 / scale,
        split=split,
        seed=int(seed),
        patient=patient.name,
        num_glands=count,
    )


def _renumbered(numbers: np.ndarray) -> Tuple[np.ndarray, int]:
    """Numbers without gaps, in the smallest type, and how many there are."""
    present = np.bincount(numbers.ravel()) > 0
    present[0] = False
    new = np.cumsum(present) * present
    count = int(present.sum())
    return new.astype(np.uint8 if count < 256 else np.uint16)[numbers], count
