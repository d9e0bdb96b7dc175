"""Pseudo patients: what the images of one block have in common (stain, section, inflammation)."""

import dataclasses

import numpy as np

from cellgan_plugin.randomness import rng_for

# Image number modulo this is its patient: every grade is spread over all patients evenly, and
# colour does not give the grade away.
PATIENTS_PER_SPLIT = 20

# Optical density (natural logarithm) in R, G, B of one unit of stain.
_HAEMATOXYLIN = ((0.84, 1.12, 0.55), (1.06, 1.02, 0.46))  # from purple to blue
_EOSIN = ((0.07, 0.44, 0.23), (0.10, 0.40, 0.36))  # from pink to salmon


@dataclasses.dataclass(frozen=True)
class Patient:
    """Everything that the images of one pseudo patient share.

    Attributes:
        name (str): ``<split>-p<number>``; the ``group`` of a manifest.
        light (np.ndarray): (3,) RGB of an empty spot, 0 to 255.
        haematoxylin, eosin (np.ndarray): (3,) optical densities of one unit of stain.
        cell_scale (float): Size of cells relative to the average, about 0.92 to 1.08.
        glycogen (float): How clear maturing cells are, about 0.5 to 1.2.
        inflammation (float): Lymphocytes per 1000 um2 of stroma.
        collagen (float): Density of the stroma relative to the average.
        noise (float): Standard deviation of sensor noise at 256 px, grey levels.
        sharpening (float): Gain of the scanner's unsharp mask.
        defocus (float): Blur, um.
    """

    name: str
    light: np.ndarray
    haematoxylin: np.ndarray
    eosin: np.ndarray
    cell_scale: float
    glycogen: float
    inflammation: float
    collagen: float
    noise: float
    sharpening: float
    defocus: float


def patient_of(seed: int, split: str, index: int) -> Patient:
    """The patient that image ``index`` of a split is cut from; the same for every grade."""
    number = index % PATIENTS_PER_SPLIT
    rng = rng_for(seed, 'tissue-phantom/patient', split, number)
    purple, blue = np.array(_HAEMATOXYLIN)
    pink, salmon = np.array(_EOSIN)
    strength = np.exp(rng.normal(0, 0.13, 2))
    return Patient(
        name=f'{split}-p{number:03d}',
        light=np.clip(rng.uniform(238, 250) + rng.normal(0, 2.0, 3), 228, 254),
        haematoxylin=(purple + rng.beta(1.2, 1.6) * (blue - purple)) * strength[0],
        eosin=(pink + rng.beta(1.2, 2.0) * (salmon - pink)) * strength[1],
        cell_scale=float(rng.uniform(0.92, 1.08)),
        glycogen=float(rng.uniform(0.5, 1.2)),
        inflammation=float(rng.gamma(1.3, 1.2)),
        collagen=float(rng.uniform(0.75, 1.25)),
        noise=float(rng.uniform(1.5, 4.0)),
        sharpening=float(rng.uniform(0.2, 0.7)),
        defocus=float(rng.uniform(0.1, 0.35)),
    )
