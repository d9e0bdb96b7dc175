"""Paint a scene of tissue: two stains add up, light is absorbed by the sum (Beer-Lambert)."""

from typing import Tuple

import numpy as np

from ..camera import develop, two_stains
from ..raster import averaged, looked_up, outline_map, soften, spread
from ..textures import FIELD_UM as _TEXTURE_UM
from ..textures import texture_bank
from .scene import FIELD_HEIGHT_UM, MITOSIS, TissueScene

_FLOOR = (18.0, 14.0, 24.0)  # darkest RGB
_FINER = 2  # samples per pixel and axis of everything with a sharp edge


def paint_tissue(scene: TissueScene, shape: Tuple[int, int]) -> Tuple[np.ndarray, np.ndarray]:
    """Paint a scene without sensor noise.

    Args:
        scene (TissueScene): What to paint.
        shape (tuple[int, int]): Height and width of the picture, pixels.

    Returns:
        tuple[np.ndarray, np.ndarray]: RGB (H, W, 3) float32, 0 to 255, and the truth (2, H, W)
            uint16: epithelial cell and top-most nucleus, 1-based in the order of the scene's
            nuclei, 0 where there is none.
    """
    height, width = shape
    scale = height / FIELD_HEIGHT_UM
    fine_shape, fine_scale = (height * _FINER, width * _FINER), scale * _FINER
    bank = texture_bank(max(8, round(_TEXTURE_UM * scale)))

    def texture(name, place):
        return bank.wrapped(name, shape, scene.offset[place])

    patient = scene.patient
    x = (np.arange(width, dtype=np.float64) + 0.5) / scale
    y = ((np.arange(height) + 0.5) / scale)[:, None]
    half = 0.5 / scale
    below = np.clip((y - scene.base(x)) / (2 * half) + 0.5, 0, 1).astype(np.float32)
    inside = np.clip((y - scene.surface(x)) / (2 * half) + 0.5, 0, 1).astype(np.float32) - below
    cloud, mottle, grain = texture('cloud', 0), texture('mottle', 1), texture('grain', 2)

    # Cytoplasm, cell by cell.
    cells = len(scene.cells)
    cell_map = outline_map(fine_shape, scene.cells, np.arange(1, cells + 1), fine_scale)
    blue = averaged(looked_up(cell_map, scene.blue[:cells]), shape)
    pink = averaged(looked_up(cell_map, scene.pink[:cells]), shape)
    # Neighbours differ where cells meet: there lies the membrane.
    walls = np.zeros(fine_shape, np.uint8)
    walls[:, 1:] = cell_map[:, 1:] != cell_map[:, :-1]
    walls[1:] |= cell_map[1:] != cell_map[:-1]
    walls = soften(averaged(walls.astype(np.float32), shape), 0.3 * scale)
    halos = np.flatnonzero(scene.halo > 0)
    centre = scene.centre[halos, None]
    widened = centre + (scene.outline[halos] - centre) * scene.halo[halos, None, None]
    clearing = outline_map(fine_shape, widened, halos + 1, fine_scale)
    cleared = averaged(looked_up(clearing, scene.cleared), shape)
    cleared = soften(cleared, 0.6 * scale)
    fresh = averaged(looked_up(cell_map, scene.cleared[:cells]), shape)  # glycogen, whole cell
    pink *= 1 + 0.12 * cloud + 0.10 * mottle + 0.08 * grain
    pink *= 1 - 0.45 * fresh
    pink += walls * (0.35 + 0.6 * fresh)
    pink *= 1 - cleared
    blue = soften(blue, 1.2 * scale)
    blue *= (1 + 0.15 * mottle) * (1 - 0.8 * cleared)
    pink *= inside
    blue *= inside

    # Stroma: wavy bundles of collagen.
    bundles = 1 + 0.3 * texture('pleats', 3) + 0.2 * texture("web'", 0)
    bundles += 0.12 * grain + 0.2 * cloud
    pink += below * (0.72 * patient.collagen) * np.maximum(bundles, 0.12)
    blue += below * np.float32(0.03)

    # Nuclei on two sheets: where two overlap they darken each other.
    numbers = np.arange(1, len(scene.kind) + 1)
    # cv2 also fills the pixels that an outline runs through: half a pixel too much.
    radius = np.sqrt(scene.nucleus_um2 / np.pi)
    shrink = np.maximum(1 - 0.5 / (radius * fine_scale), 0.6)[:, None, None]
    outline = scene.centre[:, None] + (scene.outline - scene.centre[:, None]) * shrink
    truth = np.zeros((2, *shape), np.uint16)
    middle = _FINER // 2
    truth[0] = np.where(inside > 0.5, cell_map[middle::_FINER, middle::_FINER], 0)
    chromatin = texture('clump', 1)
    for sheet in (0, 1):
        chosen = slice(sheet, None, 2)
        drawn = outline_map(fine_shape, outline[chosen], numbers[chosen], fine_scale)
        stain = averaged(looked_up(drawn, scene.density), shape)
        here = drawn[middle::_FINER, middle::_FINER]
        covered = averaged((drawn > 0).astype(np.float32), shape)
        amplitude = looked_up(here, scene.chromatin)
        relief = 0.92 + amplitude * (0.5 * grain + 0.5 * chromatin)
        membrane = np.where(scene.kind == MITOSIS, 0.0, 1.2)
        relief += looked_up(here, membrane) * (covered - spread(covered, 1.0 * scale))
        blue += stain * np.maximum(relief, 0.3)
        # Nuclei lie in the cytoplasm, not upon it.
        pink *= 1 - 0.6 * covered
        np.copyto(truth[1], here, where=here > 0)

    density = two_stains(blue, patient.haematoxylin, pink, patient.eosin)
    return develop(density, patient, _FLOOR, patient.defocus * scale, 0.5 * scale), truth
