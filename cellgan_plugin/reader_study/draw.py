"""Which images a reader study shows, and how: drawn by seed, encoded alike."""

import base64
import io
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from cellgan_plugin.datasets import CellPatchDataset
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.randomness import rng_for

REAL, SYNTHETIC = 'real', 'synthetic'
ORIGINS = (REAL, SYNTHETIC)
_QUALITY = 95
_LARGEST = 512  # pixels a side, where nothing else is said


class ReaderStudyError(ValueError):
    """A study that cannot be made or scored; the message says why."""


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        origin (str): 'real' or 'synthetic'.
        label (str): Class.
        file (str): Where it lies.
    """

    origin: str
    label: str
    file: str


def listed(dataset: CellPatchDataset, origin: str) -> Dict[str, List[Item]]:
    """Images of a data set by class."""
    classes = dataset.metainfo['classes']
    found: Dict[str, List[Item]] = {name: [] for name in classes}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        name = classes[info['gt_label']]
        found[name].append(Item(origin, name, info['img_path']))
    return found


def draw_images(
    real: Dict[str, List[Item]], synthetic: Dict[str, List[Item]], per_class: int, seed: int
) -> List[Item]:
    """As many real as synthetic images of every class, in an order that tells nothing.

    Args:
        real (dict): Class to real images.
        synthetic (dict): Class to synthetic images.
        per_class (int): Of each origin; fewer where a side has fewer.
        seed (int): Of the draw.

    Raises:
        ReaderStudyError: No class has images on both sides.
    """
    items: List[Item] = []
    for name, own in real.items():
        sides = (own, synthetic.get(name, []))
        count = min(per_class, *map(len, sides))
        for origin, side in zip(ORIGINS, sides, strict=True):
            items += _drawn(side, count, seed, origin, name)
    if not items:
        raise ReaderStudyError('no class has both real and synthetic images')
    order = rng_for(seed, 'reader_study_order').permutation(len(items))
    return [items[i] for i in order]


def draw_groups(
    real: Dict[str, List[Item]],
    synthetic: Dict[str, List[Item]],
    groups: int,
    size: int,
    seed: int,
) -> List[Tuple[List[Item], List[Item]]]:
    """Pairs of subgroups of one class, one real and one synthetic, sides by lot.

    As HistoGAN, Sec. 4.3.1 has it: 10 groups of 5 against 5. No image is shown twice.

    Args:
        real (dict): Class to images.
        synthetic (dict): Likewise.
        groups (int): Number of pairs, over the classes in turn.
        size (int): Images of a subgroup.
        seed (int): Of the draw.

    Raises:
        ReaderStudyError: There are too few images for that many groups.
    """
    room = {name: min(len(own), len(synthetic.get(name, ()))) // size for name, own in real.items()}
    if sum(room.values()) < groups:
        raise ReaderStudyError(
            f'{groups} groups of {size} against {size} images of one class need more images than '
            f'there are: there is room for {sum(room.values())}. Say --groups or --group-size'
        )
    turns = {name: 0 for name in room}
    while sum(turns.values()) < groups:
        for name in room:
            if sum(turns.values()) < groups and turns[name] < room[name]:
                turns[name] += 1
    pairs = []
    for name, count in turns.items():
        sides = [
            _drawn(side, count * size, seed, origin, name)
            for origin, side in zip(ORIGINS, (real[name], synthetic.get(name, [])), strict=True)
        ]
        pairs += [tuple(side[i * size : (i + 1) * size] for side in sides) for i in range(count)]
    rng = rng_for(seed, 'reader_study_order')
    order, swapped = rng.permutation(len(pairs)), rng.random(len(pairs)) < 0.5
    return [pairs[i][::-1] if swap else pairs[i] for i, swap in zip(order, swapped, strict=True)]


def _drawn(items: Sequence[Item], count: int, seed: int, origin: str, name: str) -> List[Item]:
    order = rng_for(seed, 'reader_study', origin, name).permutation(len(items))[:count]
    return [items[i] for i in order]


def common_size(items: Sequence[Item], size: Optional[Tuple[int, int]] = None) -> Tuple[int, int]:
    """Width and height that every image is shown with.

    The shape is that of the synthetic images, and no side is longer than in the smaller half of
    either origin: enlarging one origin alone would give it away by its blur.

    Args:
        items (Sequence[Item]): All images.
        size (tuple[int, int], optional): Width and height that are wanted. Defaults to None.
    """
    if size is not None:
        return size
    shapes: Dict[str, List[Tuple[int, int]]] = {origin: [] for origin in ORIGINS}
    for item in items:
        with Image.open(item.file) as image:
            shapes[item.origin].append(image.size)
    medians = {origin: np.median(np.array(found), axis=0) for origin, found in shapes.items()}
    width, height = medians[SYNTHETIC]
    scale = min(1.0, *(medians[REAL] / (width, height)), _LARGEST / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def shown_pixels(file: str, size: Tuple[int, int]) -> np.ndarray:
    """An image as a reader sees it: its middle in the common shape, resized, RGB.

    Args:
        file (str): The image.
        size (tuple[int, int]): Width and height.

    Returns:
        np.ndarray: uint8 (height, width, 3).
    """
    image = Image.fromarray(load_image(file))
    width, height = size
    scale = min(image.width / width, image.height / height)
    cut = width * scale, height * scale
    left, top = (image.width - cut[0]) / 2, (image.height - cut[1]) / 2
    box = (left, top, left + cut[0], top + cut[1])
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, box=box))


def encoded_alike(images: Sequence[np.ndarray]) -> List[str]:
    """``data:`` addresses of images that differ in their pixels alone.

    All are JPEG of one quality, without metadata, and of the same number of bytes: shorter ones are
    filled up behind their end, which readers of JPEG pass over.

    Args:
        images (Sequence[np.ndarray]): uint8 (H, W, 3), all of one size.
    """
    found = []
    for pixels in images:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, 'JPEG', quality=_QUALITY, subsampling=0)
        found.append(buffer.getvalue())
    longest = max(map(len, found))
    filled = (content + bytes(longest - len(content)) for content in found)
    return [f'data:image/jpeg;base64,{base64.b64encode(c).decode("ascii")}' for c in filled]


def pixels_of(address: str) -> np.ndarray:
    """The image of an address that :func:`encoded_alike` made."""
    content = base64.b64decode(address.partition(',')[2])
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert('RGB'))
