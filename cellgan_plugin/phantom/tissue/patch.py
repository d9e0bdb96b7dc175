"""One phantom image of epithelium: picture and truth from a key."""

import dataclasses
from typing import Tuple, Union

import cv2
import numpy as np

from cellgan_plugin.randomness import rng_for

from ..camera import with_sensor_noise
from .grades import check_grade
from .paint import paint_tissue
from .scene import FIELD_HEIGHT_UM, KINDS, KOILOCYTE, MITOSIS, TissueScene, make_tissue_scene

MIN_SIDE = 16
# Below this height a nucleus is a few pixels wide: the image is painted larger and averaged down.
_PAINTED_HEIGHT = 128
Size = Union[int, Tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class NucleusRecord:
    """Ground truth of one nucleus of a tissue phantom.

    Attributes:
        id (int): Its value in the nucleus mask and, for an epithelial cell, of its cell in the
            instance mask, from 1.
        kind (str): ``epithelial``, ``koilocyte``, ``mitosis``, ``fibroblast`` or ``lymphocyte``.
        dysplastic (bool): Whether it is one of the cells that make the grade.
        x, y (float): Centre, px from the upper left corner.
        height (float): Above the basement membrane relative to the thickness, 0 to 1; NaN in the
            stroma.
        nucleus_area (float): True area, px, also of what lies outside the image.
        nucleus_um2 (float): The same in um2; an image is 160 um high at every size.
        aspect (float): Length over width, from 1 up.
        angle (float): Long axis against the horizontal, degrees, -90 to 90: an upright nucleus
            has 90 or -90.
        visible_nucleus (int): Pixels of the nucleus mask with this id.
        visible_cell (int): Pixels of the instance mask with this id; 0 in the stroma.
        complete (bool): Whether the whole nucleus lies inside the image.
    """

    id: int
    kind: str
    dysplastic: bool
    x: float
    y: float
    height: float
    nucleus_area: float
    nucleus_um2: float
    aspect: float
    angle: float
    visible_nucleus: int
    visible_cell: int
    complete: bool


@dataclasses.dataclass(frozen=True)
class TissueRecord:
    """What makes the grade of a tissue phantom.

    Attributes:
        reach (float): Part of the epithelium's thickness that dysplasia takes from the base: 0 in
            Normal, up to a third in CIN1, two thirds in CIN2, more in CIN3.
        thickness_um (float): Of the epithelium at the middle of the image.
        num_nuclei (int): Nuclei with a visible pixel.
        num_epithelial (int): Those in the epithelium.
        num_dysplastic, num_koilocytes, num_mitoses (int): Some of those.
        crowding (float): Epithelial nuclei per 1000 um2 of visible epithelium.
    """

    reach: float
    thickness_um: float
    num_nuclei: int
    num_epithelial: int
    num_dysplastic: int
    num_koilocytes: int
    num_mitoses: int
    crowding: float


@dataclasses.dataclass(frozen=True)
class TissuePatch:
    """A synthetic image of squamous epithelium and what is known of it.

    Attributes:
        image (np.ndarray): (H, W, 3) uint8 RGB; surface above, stroma below.
        instance_mask (np.ndarray): (H, W) uint16, k the epithelial cell around nucleus k, 0 in
            stroma and lumen: ``instance_mask > 0`` is the epithelium.
        nucleus_mask (np.ndarray): (H, W) uint16, k the top-most nucleus, 0 elsewhere.
        nuclei (tuple[NucleusRecord, ...]): Nuclei with a visible pixel, by id.
        record (TissueRecord): What makes the grade.
        label (str): Grade.
        index (int): Number of the image within grade and split.
        size (tuple[int, int]): Height and width, pixels.
        split (str): Name of the split.
        seed (int): Base seed.
        patient (str): Pseudo patient; never in two splits.
    """

    image: np.ndarray
    instance_mask: np.ndarray
    nucleus_mask: np.ndarray
    nuclei: Tuple[NucleusRecord, ...]
    record: TissueRecord
    label: str
    index: int
    size: Tuple[int, int]
    split: str
    seed: int
    patient: str


def check_tissue_size(size: Size) -> Tuple[int, int]:
    """(height, width) of a number, for a square, or a pair; ValueError below 16 px."""
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    whole = all(
        isinstance(side, (int, np.integer)) and not isinstance(side, bool) and side >= MIN_SIDE
        for side in sides
    )
    if len(sides) != 2 or not whole:
        raise ValueError(
            'a tissue phantom has a height and a width, whole numbers of at least '
            f'{MIN_SIDE} pixels; got {size!r}'
        )
    return int(sides[0]), int(sides[1])


def _records(
    scene: TissueScene, truth: np.ndarray
) -> Tuple[np.ndarray, Tuple[NucleusRecord, ...], TissueRecord]:
    """Renumber the truth (2, H, W) without gaps and describe the nuclei that are left."""
    height = truth.shape[1]
    scale = height / FIELD_HEIGHT_UM
    count = len(scene.kind)
    cell_pixels = np.bincount(truth[0].ravel(), minlength=count + 1)
    nucleus_pixels = np.bincount(truth[1].ravel(), minlength=count + 1)
    visible = np.flatnonzero(nucleus_pixels[1:])
    # A cell whose nucleus lies outside the image or is hidden keeps its place, after the others.
    hidden = np.flatnonzero((nucleus_pixels[1:] == 0) & (cell_pixels[1:] > 0))
    new_number = np.zeros(count + 1, np.uint16)
    new_number[1 + visible] = np.arange(1, len(visible) + 1)
    new_number[1 + hidden] = np.arange(len(visible) + 1, len(visible) + len(hidden) + 1)
    low, high = scene.outline.min(axis=1), scene.outline.max(axis=1)
    complete = (low >= 0).all(axis=1) & (high <= (scene.width, FIELD_HEIGHT_UM)).all(axis=1)
    records = tuple(
        NucleusRecord(
            id=number,
            kind=KINDS[scene.kind[k]],
            dysplastic=bool(scene.dysplastic[k]),
            x=float(scene.centre[k, 0] * scale),
            y=float(scene.centre[k, 1] * scale),
            height=float(scene.height[k]),
            nucleus_area=float(scene.nucleus_um2[k] * scale**2),
            nucleus_um2=float(scene.nucleus_um2[k]),
            aspect=float(scene.aspect[k]),
            angle=float(scene.angle[k]),
            visible_nucleus=int(nucleus_pixels[k + 1]),
            visible_cell=int(cell_pixels[k + 1]),
            complete=bool(complete[k]),
        )
        for number, k in enumerate(visible.tolist(), start=1)
    )
    epithelial = visible[visible < len(scene.cells)]
    middle = np.array(scene.width / 2)
    epithelium_um2 = cell_pixels[1:].sum() / scale**2
    record = TissueRecord(
        reach=scene.reach,
        thickness_um=float(scene.base(middle) - scene.surface(middle)),
        num_nuclei=len(visible),
        num_epithelial=len(epithelial),
        num_dysplastic=int(scene.dysplastic[epithelial].sum()),
        num_koilocytes=int((scene.kind[epithelial] == KOILOCYTE).sum()),
        num_mitoses=int((scene.kind[epithelial] == MITOSIS).sum()),
        crowding=float(1000 * len(epithelial) / epithelium_um2) if epithelium_um2 else 0.0,
    )
    return new_number[truth], records, record


def generate_tissue_phantom(
    label: str,
    size: Size = (256, 128),
    seed: int = 0,
    split: str = 'train',
    index: int = 0,
) -> TissuePatch:
    """Make the phantom image of a key.

    The scene depends on (seed, split, grade, index) and on the aspect ratio, not on what was made
    before nor on the number of pixels: an image is 160 um high at every size. The bytes are the
    same for the same versions of NumPy, SciPy and OpenCV on the same kind of processor.

    Args:
        label (str): ``Normal``, ``CIN1``, ``CIN2`` or ``CIN3``; ``CIN 1`` and ``cin-1`` are read.
        size (int | tuple[int, int]): Height and width in pixels, at least 16; a number for a
            square. Defaults to (256, 128), the paper's.
        seed (int): Base seed. Defaults to 0.
        split (str): Name of the split; splits share no patient. Defaults to ``'train'``.
        index (int): Number of the image within grade and split, from 0. Defaults to 0.

    Returns:
        TissuePatch: Picture and truth.

    Raises:
        ValueError: On an unknown grade, a side below 16 or a negative index.
    """
    label = check_grade(label)
    height, width = check_tissue_size(size)
    if index < 0:
        raise ValueError(f'phantom index must be 0 or more, got {index}')
    scene = make_tissue_scene(label, seed, split, index, width / height)
    factor = -(-_PAINTED_HEIGHT // height)
    rgb, truth = paint_tissue(scene, (height * factor, width * factor))
    if factor > 1:
        rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        truth = truth[:, factor // 2 :: factor, factor // 2 :: factor]
    rng = rng_for(seed, 'tissue-phantom/sensor', split, label, index, height, width)
    # A coarser pixel collects more light: noise is stated at 256 px.
    noise = scene.patient.noise * min(1.0, (height / 256) ** 0.5)
    image = with_sensor_noise(rgb, noise, rng)
    truth, nuclei, record = _records(scene, truth)
    return TissuePatch(
        image=image,
        instance_mask=truth[0],
        nucleus_mask=truth[1],
        nuclei=nuclei,
        record=record,
        label=label,
        index=int(index),
        size=(height, width),
        split=split,
        seed=int(seed),
        patient=scene.patient.name,
    )
