"""Pseudo patients of the gland phantom: one block, one stain, one scanner."""

import dataclasses

import numpy as np

from cellgan_plugin.randomness import rng_for

# Image number modulo this is its patient: every category is spread over all patients evenly, and
# colour does not give the category away.
PATIENTS_PER_SPLIT = 16

# Optical density (natural logarithm) in R, G, B of one unit of stain, read off GlaS images.
_HAEMATOXYLIN = ((0.80, 1.30, 0.40), (1.20, 1.10, 0.48))  # from violet to blue
_EOSIN = ((0.05, 0.72, 0.22), (0.20, 0.46, 0.14), (0.04, 0.55, 0.42))  # pink, lilac, salmon


@dataclasses.dataclass(frozen=True)
class GlandPatient:
    """Everything that the images of one pseudo patient share.

    Attributes:
        name (str): ``<split>-p<number>``; the ``group`` of a manifest.
        light (np.ndarray): (3,) RGB of an empty spot, 0 to 255.
        haematoxylin, eosin (np.ndarray): (3,) optical densities of one unit of stain.
        size (float): Of everything, relative to the average.
        mucin (float): How blue the mucin is, 0 to 1.
        inflammation (float): Lymphocytes relative to the average.
        oedema (float): How loose the stroma is, 0 to 1.
        noise (float): Standard deviation of sensor noise at 0.62 um per px, grey levels.
        sharpening (float): Gain of the scanner's unsharp mask.
        defocus (float): Blur, um.
    """

    name: str
    light: np.ndarray
    haematoxylin: np.ndarray
    eosin: np.ndarray
    size: float
    mucin: float
    inflammation: float
    oedema: float
    noise: float
    sharpening: float
    defocus: float


def gland_patient(seed: int, split: str, index: int) -> GlandPatient:
    """The patient that image ``index`` of a split is cut from; the same for every category."""
    number = index % PATIENTS_PER_SPLIT
    rng = rng_for(seed, 'gland-phantom/patient', split, number)
    violet, blue = np.array(_HAEMATOXYLIN)
    eosin = rng.dirichlet((0.8, 0.6, 0.5)) @ np.array(_EOSIN)
    strength = np.exp(rng.normal(0, (0.2, 0.34)))
    return GlandPatient(
        name=f'{split}-p{number:02d}',
        light=np.clip(rng.uniform(238, 250) + rng.normal(0, 2.5, 3), 226, 254),
        haematoxylin=(violet + rng.beta(1.1, 1.3) * (blue - violet)) * strength[0],
        eosin=eosin * strength[1],
        size=float(rng.uniform(0.92, 1.1)),
        mucin=float(rng.beta(1.2, 2.5)),
        inflammation=float(np.exp(rng.normal(0, 0.3))),
        oedema=float(rng.beta(1.5, 2.5)),
        noise=float(rng.uniform(1.5, 4.0)),
        sharpening=float(rng.uniform(0.2, 0.7)),
        defocus=float(rng.uniform(0.15, 0.45)),
    )
