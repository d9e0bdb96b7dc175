"""Paint glands: two stains add up, light is absorbed by the sum (Beer-Lambert)."""

import dataclasses
from typing import Tuple

import cv2
import numpy as np

from ..camera import develop, two_stains
from ..raster import (
    FRACTION_BITS,
    averaged,
    fixed_point,
    looked_up,
    outline_map,
    soften,
    spread,
)
from ..textures import FIELD_UM as _TEXTURE_UM
from ..textures import texture_bank
from .cells import LYMPHOCYTE, GlandCells, Nuclei
from .grades import GlandTraits
from .layout import MARGIN_UM, GlandLayout, fill
from .patients import GlandPatient

_FLOOR = (20.0, 14.0, 30.0)  # darkest RGB
_FINER = 2  # samples per pixel and axis of everything with a sharp edge
_NUCLEUS = np.linspace(0, 2 * np.pi, 14, endpoint=False)


@dataclasses.dataclass(frozen=True)
class GlandScene:
    """An image before it is painted.

    Attributes:
        traits (GlandTraits): Of the category.
        patient (GlandPatient): Stain and section.
        layout (GlandLayout): The glands.
        cells (GlandCells | None): What lies upon them; None when only masks are wanted.
        wobble (np.ndarray): (n, 14) radii of the nuclei's outlines, relative.
        offset (np.ndarray): (4, 2) places in the texture fields, [0, 1).
        debris (float): Necrosis in the lumina of this image, 0 to 1.
    """

    traits: GlandTraits
    patient: GlandPatient
    layout: GlandLayout
    cells: GlandCells
    wobble: np.ndarray
    offset: np.ndarray
    debris: float


def _resampled(plane: np.ndarray, shape: Tuple[int, int], scale: float) -> np.ndarray:
    """The image's part of a map of 1 um/px, at ``scale`` px per um."""
    step = 1 / scale
    start = 0.5 * step + MARGIN_UM - 0.5
    matrix = np.array([[step, 0, start], [0, step, start]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(plane, matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def gland_masks(
    layout: GlandLayout, shape: Tuple[int, int], scale: float
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rasterise a layout.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: The gland of every pixel, int32 (H, W), 0 in the
        stroma; the coverage of glands, float32 in [0, 1]; the signed distance from the edge of a
        lumen, um, float32, positive inside.
    """
    # Fine enough that the pixels which cv2 fills along an outline do not count, and odd: one
    # sample then lies in the middle of each pixel.
    finer = max(3, 2 * int(np.ceil(0.8 / scale)) + 1)
    fine = np.zeros((shape[0] * finer, shape[1] * finer), np.int32)
    for number in range(len(layout.outlines), 0, -1):  # where two overlap the former wins
        fill(fine, layout.outlines[number - 1], number, scale * finer, 0.0)
    covered = cv2.resize(
        (fine > 0).astype(np.uint8) * 255, shape[::-1], interpolation=cv2.INTER_AREA
    )
    numbers = np.ascontiguousarray(fine[finer // 2 :: finer, finer // 2 :: finer])
    covered = covered.astype(np.float32) * np.float32(1 / 255)
    return numbers, covered, _resampled(layout.lumen, shape, scale)


class _Canvas:
    """Draws outlines at a finer grid and averages them down."""

    def __init__(self, shape: Tuple[int, int], scale: float):
        self.shape = shape
        self.scale = scale
        self.fine_shape = shape[0] * _FINER, shape[1] * _FINER

    def numbers(self, outlines: np.ndarray) -> np.ndarray:
        """A fine map of 1-based numbers of closed outlines, later ones on top."""
        numbers = range(1, len(outlines) + 1)
        return outline_map(self.fine_shape, outlines, numbers, self.scale * _FINER, np.int32)

    def shrunk(self, plane: np.ndarray) -> np.ndarray:
        return averaged(plane.astype(np.float32), self.shape)

    def levels(self, outlines: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values of the top-most outline, averaged over each pixel."""
        if not len(outlines):
            return np.zeros(self.shape, np.float32)
        return averaged(looked_up(self.numbers(outlines), values), self.shape)

    def lines(self, segments: np.ndarray, width_um: float) -> np.ndarray:
        """Lines (n, 2, 2) as coverage, 0 to 1; thin ones are paler."""
        drawn = np.zeros(self.fine_shape, np.uint8)
        width = width_um * self.scale * _FINER
        thickness = max(1, round(width))
        level = round(255 * min(1.0, width / thickness))
        pixels = list(fixed_point(segments, self.scale * _FINER))
        cv2.polylines(drawn, pixels, False, level, thickness, cv2.LINE_AA, FRACTION_BITS)
        return self.shrunk(drawn) * np.float32(1 / 255)


def ellipse_outlines(
    centre: np.ndarray, a: np.ndarray, b: np.ndarray, angle: np.ndarray, wobble=1.0
) -> np.ndarray:
    """Outlines (n, 14, 2) of ellipses with half axes ``a`` and ``b``."""
    along = a[:, None] * np.cos(_NUCLEUS) * wobble
    across = b[:, None] * np.sin(_NUCLEUS) * wobble
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    points = np.stack([along * cosine - across * sine, along * sine + across * cosine], axis=-1)
    return points + centre[:, None]


def _goblet_outlines(goblets: np.ndarray) -> np.ndarray:
    """Mucin vacuoles: rounded at the base, narrowing to the lumen."""
    x, y, a, b, angle, _ = goblets.T
    taper = 1 - 0.28 * np.cos(_NUCLEUS)
    along = a[:, None] * np.cos(_NUCLEUS)
    across = b[:, None] * np.sin(_NUCLEUS) * taper
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    points = np.stack([along * cosine - across * sine, along * sine + across * cosine], axis=-1)
    return points + np.stack([x, y], axis=1)[:, None]


def paint_glands(scene: GlandScene, shape: Tuple[int, int], scale: float) -> np.ndarray:
    """Paint a scene without sensor noise, ``scale`` px per um: RGB (H, W, 3) float32, 0 to 255."""
    bank = texture_bank(max(8, round(_TEXTURE_UM * scale)))
    canvas = _Canvas(shape, scale)
    patient = scene.patient

    def texture(name, place):
        return bank.wrapped(name, shape, scene.offset[place])

    _, inside, lumen_um = gland_masks(scene.layout, shape, scale)
    lumen = np.clip(lumen_um * scale + 0.5, 0, 1) * inside
    epithelium = inside - lumen
    reach = _resampled(scene.layout.reach, shape, scale)
    cloud, mottle, grain = texture('cloud', 0), texture('mottle', 1), texture('grain', 2)

    pink, blue = _paint_epithelium(scene, canvas, (cloud, mottle, grain), lumen_um)
    stroma_pink, stroma_blue = _paint_stroma(scene, canvas, texture, reach)
    outside = 1 - inside
    pink = pink * epithelium + stroma_pink * outside
    blue = blue * epithelium + stroma_blue * outside
    lumen_pink, lumen_blue = _paint_lumina(scene, canvas, texture)
    pink += lumen_pink * lumen
    blue += lumen_blue * lumen
    _add_nuclei(scene, canvas, pink, blue, grain, texture('clump', 1))

    density = two_stains(blue, patient.haematoxylin, pink, patient.eosin)
    return develop(density, patient, _FLOOR, patient.defocus * scale, 0.8 * scale)


def _paint_epithelium(scene, canvas, textures, lumen_um):
    """Eosin and haematoxylin of columnar cells and their mucin, thickness of each."""
    cloud, mottle, grain = textures
    traits, patient, cells = scene.traits, scene.patient, scene.cells
    scale = canvas.scale
    pink = traits.cytoplasm * (1 + 0.10 * cloud + 0.10 * mottle + 0.08 * grain)
    blue = traits.basophilia * (1 + 0.15 * cloud + 0.15 * mottle)
    # The brush border lines every lumen.
    pink += 0.22 * np.exp(-0.5 * ((lumen_um + 1.2) / 1.0) ** 2)
    walls = soften(canvas.lines(cells.walls, 0.7), 0.25 * scale)
    pink += 0.22 * walls
    if len(cells.goblets):
        covered = canvas.levels(_goblet_outlines(cells.goblets), cells.goblets[:, 5])
        rim = np.maximum(covered - spread(covered, 1.1 * scale), 0)
        pink = pink * (1 - 0.94 * covered) + 0.8 * rim
        blue = blue * (1 - 0.85 * covered) + 0.2 * rim
        blue += covered * (0.02 + 0.13 * patient.mucin) * np.maximum(1 + 0.35 * cloud, 0)
    return pink, blue


def _paint_stroma(scene, canvas, texture, reach):
    """Collagen, oedema, basement membranes and vessels."""
    traits, patient, cells = scene.traits, scene.patient, scene.cells
    scale = canvas.scale
    loose = patient.oedema * (1.0 if traits.grade == 'benign' else 0.6)
    fibres = 1 + 0.34 * texture('pleats', 3) + 0.2 * texture("web'", 0)
    fibres += 0.14 * texture('grain', 1) + 0.14 * texture('mottle', 0)
    # Bundles of collagen with clear slits between them.
    bands = texture('drift', 2) + 0.8 * texture('pleats', 1) + 0.5 * texture('cloud', 3)
    slits = np.clip(0.7 - bands, 0, 1.6)
    fibres *= 1 - np.minimum((0.25 + 0.65 * loose) * slits, 0.96)
    collagen = np.mean(traits.collagen) * (1 + 0.15 * texture('drift', 1))
    pink = collagen * np.maximum(fibres, 0.06)
    blue = np.full(canvas.shape, 0.04, np.float32)
    if traits.grade == 'malignant':
        # Shrinkage opens clefts along some of the tumour.
        cleft = np.exp(-0.5 * ((reach - 2.0) / 1.3) ** 2) * np.clip(texture('drift', 3), 0, 1)
        pink *= 1 - 0.8 * cleft
    pink += 0.25 * np.exp(-0.5 * ((reach - 0.7) / 0.8) ** 2)  # basement membrane
    for vessel in cells.vessels:
        y, x = np.ogrid[: canvas.shape[0], : canvas.shape[1]]
        distance = np.hypot(
            (x + 0.5) / scale - vessel.centre[0], (y + 0.5) / scale - vessel.centre[1]
        ).astype(np.float32)
        hollow = np.clip((vessel.radius - distance) * scale + 0.5, 0, 1)
        pink = pink * (1 - 0.93 * hollow)
        pink += 0.5 * np.exp(-0.5 * ((distance - vessel.radius) / 0.9) ** 2)
    red = [vessel.red_cells for vessel in cells.vessels if len(vessel.red_cells)]
    if red:
        points = np.concatenate(red)
        radius = np.full(len(points), 2.5)
        discs = canvas.levels(
            ellipse_outlines(points, radius, 0.85 * radius, 2.4 * np.arange(len(points))),
            np.full(len(points), 1.0),
        )
        pink = pink * (1 - discs) + 1.75 * soften(discs, 0.35 * scale)
    return pink, blue


def _paint_lumina(scene, canvas, texture):
    """Mucus in benign lumina, necrosis in malignant ones."""
    patient, cells = scene.patient, scene.cells
    wisps = np.clip(texture("pleats'", 2) - 0.3, 0, 2)
    blue = 0.05 * patient.mucin * wisps
    pink = 0.03 * wisps
    if scene.debris > 0:
        clumps = np.clip(texture('cloud', 1) + 0.5 * texture('mottle', 0), 0, 2)
        pink += 0.4 * scene.debris * clumps * np.maximum(1 + 0.5 * texture('grain', 0), 0)
    if len(cells.debris):
        x, y, radius, tint = cells.debris.T
        outlines = ellipse_outlines(np.stack([x, y], 1), radius, 0.8 * radius, 7.0 * tint)
        pink += canvas.levels(outlines, 0.9 * (1 - tint))
        blue += canvas.levels(outlines, 0.9 * tint)
    return pink, blue


def _add_nuclei(scene, canvas, pink, blue, grain, clumps) -> None:
    """Nuclei on two sheets: where two overlap they darken each other."""
    nuclei: Nuclei = scene.cells.nuclei
    vesicular = scene.traits.grade == 'malignant'
    # cv2 also fills the pixels that an outline runs through: half a fine pixel too much.
    grown = 0.5 / (canvas.scale * _FINER)
    half_length = np.maximum(nuclei.length / 2 - grown, 0.4)
    half_width = np.maximum(nuclei.width / 2 - grown, 0.3)
    outlines = ellipse_outlines(nuclei.centre, half_length, half_width, nuclei.angle, scene.wobble)
    below = np.zeros(canvas.shape, np.float32)
    for sheet in (0, 1):
        part = slice(sheet, None, 2)
        if not len(outlines[part]):
            continue
        drawn = canvas.numbers(outlines[part])
        stain = averaged(looked_up(drawn, nuclei.density[part]), canvas.shape)
        covered = canvas.shrunk(drawn > 0)
        rim = covered - spread(covered, 1.1 * canvas.scale)
        # Lymphocytes are dense; tumour nuclei are pale within a sharp membrane.
        here = drawn[_FINER // 2 :: _FINER, _FINER // 2 :: _FINER]
        dense = looked_up(here, nuclei.kind[part] == LYMPHOCYTE)
        depth = 0.34 if vesicular else 0.2
        relief = (0.85 if vesicular else 0.95) + depth * (1 - 0.5 * dense) * (
            0.5 * grain + 0.8 * clumps
        )
        relief += (1.3 if vesicular else 0.6) * (1 - dense) * rim
        blue += stain * np.maximum(relief, 0.3) * (1 - 0.55 * below)
        below = np.maximum(below, covered)
        pink *= 1 - 0.55 * covered  # nuclei lie in the cytoplasm, not upon it
