"""Pseudo slides: what the patches of one slide have in common (stain, light, inflammation)."""

import dataclasses

import numpy as np

from cellgan_plugin.randomness import rng_for

# Patch number modulo this is its slide. A class of at least this many patches is therefore spread
# over all slides evenly, whatever its size: colour does not give the class away.
SLIDES_PER_SPLIT = 24

# Optical density (natural logarithm) in R, G, B of one unit of each stain, read off CRIC patches.
_CYTOPLASM_STAINS = {
    'cyan': (0.55, 0.24, 0.23),
    'pink': (0.06, 0.27, 0.33),
    'orange': (0.10, 0.34, 0.72),
    'lavender': (0.30, 0.31, 0.21),
}
_HAEMATOXYLIN = ((1.00, 1.32, 0.74), (1.55, 1.60, 1.00))  # from purple to blue-black


@dataclasses.dataclass(frozen=True)
class Slide:
    """Everything that the patches of one pseudo slide share.

    Attributes:
        name (str): ``<split>-s<number>``; the ``group`` of a manifest.
        light (np.ndarray): (3,) RGB of an empty spot, 0 to 255.
        stains (np.ndarray): (4, 3) optical densities of cyan, pink, orange and lavender cytoplasm.
        stain_weights (np.ndarray): (4,) how often a cell takes each of them.
        haematoxylin (np.ndarray): (3,) optical density of nuclear stain.
        strength (float): How strongly cytoplasm is stained, about 0.6 to 1.7.
        red_cells (np.ndarray): (3,) optical density of a red blood cell.
        inflammation (float): Expected number of neutrophils in a patch.
        bleeding (float): Expected number of red cells in a patch; mostly 0.
        mucus (float): Amount of mucus and protein film, 0 to about 1.
        veil (float): How much of a patch the film covers, from -0.5, islands, to 1.5, nearly all.
        bacteria (float): Expected number of bacteria in a patch.
        noise (float): Standard deviation of sensor noise at 256 px, grey levels.
        sharpening (float): Gain of the scanner's unsharp mask.
        vignette (float): Relative fall of light across a patch.
    """

    name: str
    light: np.ndarray
    stains: np.ndarray
    stain_weights: np.ndarray
    haematoxylin: np.ndarray
    strength: float
    red_cells: np.ndarray
    inflammation: float
    bleeding: float
    mucus: float
    veil: float
    bacteria: float
    noise: float
    sharpening: float
    vignette: float


def slide_of(seed: int, split: str, index: int) -> Slide:
    """The slide that patch ``index`` of a split is cut from; the same for every class."""
    number = index % SLIDES_PER_SPLIT
    rng = rng_for(seed, 'phantom/slide', split, number)
    stains = np.array(list(_CYTOPLASM_STAINS.values()))
    stains = stains * np.exp(rng.normal(0, 0.08, stains.shape))
    purple, blue = np.array(_HAEMATOXYLIN)
    tint = rng.dirichlet((6, 4, 3))[::-1] * 3 - 1  # usually a little less blue than red
    light = np.clip(rng.uniform(238, 250) + 4 * tint + rng.normal(0, 2, 3), 222, 254)
    if rng.random() < 0.12:
        light[2] -= rng.uniform(12, 26)  # a slide in yellowish mounting medium
    orange = stains[2] * rng.uniform(0.7, 1.5) + stains[1] * rng.uniform(0.2, 0.6)
    return Slide(
        name=f'{split}-s{number:03d}',
        light=light,
        stains=stains,
        stain_weights=rng.dirichlet((0.9, 0.9, 0.6, 0.7)),
        haematoxylin=(purple + rng.beta(1.2, 1.6) * (blue - purple)) * rng.uniform(0.85, 1.25),
        strength=float(np.exp(rng.normal(-0.05, 0.42))),
        red_cells=orange,
        inflammation=float(rng.gamma(1.5, 6.5)),
        bleeding=float(rng.gamma(2.0, 5.0)) if rng.random() < 0.3 else 0.0,
        mucus=float(rng.beta(1.2, 2.2)),
        veil=float(rng.uniform(-0.5, 0.4) if rng.random() < 0.7 else rng.uniform(0.6, 1.5)),
        bacteria=float(rng.gamma(0.5, 45.0)),
        noise=float(rng.uniform(1.5, 4.5)),
        sharpening=float(rng.uniform(0.4, 1.1)),
        vignette=float(rng.uniform(0.0, 0.07)),
    )
