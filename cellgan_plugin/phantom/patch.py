"""One phantom patch: picture and truth from a key."""

import dataclasses
from typing import Tuple

import cv2
import numpy as np

from cellgan_plugin.datasets.classes import BETHESDA_CLASSES, resolve_class
from cellgan_plugin.randomness import rng_for

from .camera import with_sensor_noise
from .paint import paint
from .scene import Scene, make_scene
from .textures import FIELD_UM

MIN_SIZE = 16
# Below this many pixels a nucleus is a few pixels wide and hard edges would flicker: the patch is
# painted larger and averaged down.
_PAINTED_SIZE = 96


@dataclasses.dataclass(frozen=True)
class CellRecord:
    """Ground truth of one cell of a patch.

    ``nucleus_area`` and ``cytoplasm_area`` are true areas of the geometry: the whole cell, also
    what lies outside the patch or under another cell. The ``visible`` counts are pixels of the
    masks.

    Attributes:
        id (int): Value of this cell in both masks, from 1.
        label (str): Bethesda class of the cell; the patch carries that of its most severe cell.
        num_nuclei (int): 1, or 2 in a binucleate cell.
        x, y (float): Where the nuclei are centred, px from the patch's upper left corner.
        nucleus_area (float): True area of all nuclei together, px.
        cytoplasm_area (float): True area of the cell without its nuclei, px.
        nc_ratio (float): ``nucleus_area / (nucleus_area + cytoplasm_area)``, 0 to 1.
        visible_nucleus (int): Pixels of the nucleus mask with this id.
        visible_cell (int): Pixels of the instance mask with this id.
        complete (bool): Whether the whole cell lies inside the patch.
        nucleus_um2 (float): ``nucleus_area`` in um2; the patch is 64 um wide at every size.
    """

    id: int
    label: str
    num_nuclei: int
    x: float
    y: float
    nucleus_area: float
    cytoplasm_area: float
    nc_ratio: float
    visible_nucleus: int
    visible_cell: int
    complete: bool
    nucleus_um2: float


@dataclasses.dataclass(frozen=True)
class PhantomPatch:
    """A synthetic patch and what is known of it.

    Attributes:
        image (np.ndarray): (size, size, 3) uint8 RGB.
        instance_mask (np.ndarray): (size, size) uint16, 0 background, k the whole cell k, nucleus
            included; where cells overlap the top-most one.
        nucleus_mask (np.ndarray): (size, size) uint16, 0 elsewhere, k a nucleus of cell k. A
            nucleus shows through the cytoplasm above it and is marked there: only another nucleus
            hides it. ``nucleus_mask > 0`` implies ``instance_mask > 0``.
        cells (tuple[CellRecord, ...]): Cells with at least one visible pixel, by id, bottom to
            top. Neutrophils, red cells and bacteria are not cells of a class and have no record.
        label (str): Bethesda class of the patch.
        index (int): Number of the patch within class and split.
        size (int): Side of the patch, pixels.
        split (str): Name of the split.
        seed (int): Base seed.
        slide (str): Pseudo slide; never in two splits.
    """

    image: np.ndarray
    instance_mask: np.ndarray
    nucleus_mask: np.ndarray
    cells: Tuple[CellRecord, ...]
    label: str
    index: int
    size: int
    split: str
    seed: int
    slide: str


def check_label(label: str) -> str:
    """The Bethesda class that ``label`` means; ValueError when it means none of the five."""
    known = resolve_class(label) if isinstance(label, str) else None
    if known is None:
        raise ValueError(
            f'no phantom for class {label!r}: choose one of {", ".join(BETHESDA_CLASSES)} '
            '(spellings such as ASC_US are understood)'
        )
    return known


def check_size(size: int) -> int:
    """``size`` itself; ValueError unless it is a whole number of at least 16."""
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < MIN_SIZE:
        raise ValueError(
            f'phantom size must be a whole number of at least {MIN_SIZE} pixels, got {size!r}'
        )
    return int(size)


def _records(scene: Scene, truth: np.ndarray) -> Tuple[np.ndarray, Tuple[CellRecord, ...]]:
    """Renumber the truth (2, n, n) without gaps and describe the cells that are left."""
    size = truth.shape[1]
    scale = size / FIELD_UM
    count = len(scene.cells)
    visible_cell = np.bincount(truth[0].ravel(), minlength=count + 1)
    visible_nucleus = np.bincount(truth[1].ravel(), minlength=count + 1)
    new_number = np.zeros(count + 1, np.uint16)
    records = []
    for number, cell in enumerate(scene.cells, start=1):
        if not visible_cell[number] + visible_nucleus[number]:
            continue
        new_number[number] = len(records) + 1
        nucleus, whole = cell.nucleus_um2, cell.cell_um2
        records.append(
            CellRecord(
                id=len(records) + 1,
                label=cell.label,
                num_nuclei=len(cell.nuclei),
                x=float(cell.centre[0] * scale),
                y=float(cell.centre[1] * scale),
                nucleus_area=nucleus * scale**2,
                cytoplasm_area=(whole - nucleus) * scale**2,
                nc_ratio=nucleus / whole,
                visible_nucleus=int(visible_nucleus[number]),
                visible_cell=int(visible_cell[number]),
                complete=bool(cell.outline.min() >= 0 and cell.outline.max() <= FIELD_UM),
                nucleus_um2=nucleus,
            )
        )
    return new_number[truth], tuple(records)


def generate_phantom(
    label: str, size: int = 256, seed: int = 0, split: str = 'train', index: int = 0
) -> PhantomPatch:
    """Make the phantom patch of a key.

    The scene depends on (seed, split, class, index) alone: neither on what was made before nor on
    ``size``, which only says how finely the same 64 um are sampled. Sensor noise is drawn per
    pixel and so differs between sizes. The bytes are the same for the same versions of NumPy and
    OpenCV on the same kind of processor.

    Args:
        label (str): A Bethesda class in any spelling that
            :func:`~cellgan_plugin.datasets.classes.resolve_class` reads.
        size (int): Side of the patch in pixels, at least 16. Defaults to 256.
        seed (int): Base seed. Defaults to 0.
        split (str): Name of the split; splits share no slide. Defaults to ``'train'``.
        index (int): Number of the patch within class and split, from 0. Defaults to 0.

    Returns:
        PhantomPatch: Picture and truth.

    Raises:
        ValueError: On an unknown class, a size below 16 or a negative index.
    """
    label = check_label(label)
    size = check_size(size)
    if index < 0:
        raise ValueError(f'phantom index must be 0 or more, got {index}')
    scene = make_scene(label, seed, split, index)
    factor = -(-_PAINTED_SIZE // size)
    rgb, truth = paint(scene, size * factor)
    if factor > 1:
        rgb = cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA)
        truth = truth[:, factor // 2 :: factor, factor // 2 :: factor]
    rng = rng_for(seed, 'phantom/sensor', split, label, index, size)
    # A coarser pixel collects more light: noise is stated at 256 px.
    noise = scene.slide.noise * min(1.0, (size / 256) ** 0.5)
    image = with_sensor_noise(rgb, noise, rng)
    truth, cells = _records(scene, truth)
    return PhantomPatch(
        image=image,
        instance_mask=truth[0],
        nucleus_mask=truth[1],
        cells=cells,
        label=label,
        index=int(index),
        size=size,
        split=split,
        seed=int(seed),
        slide=scene.slide.name,
    )
