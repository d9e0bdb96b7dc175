"""From stain to the picture of a scanner; every phantom ends here."""

from typing import Iterable, Protocol, Sequence, Tuple, Union

import cv2
import numpy as np

from .raster import soften


class Scanned(Protocol):
    """A pseudo slide or patient: ``light`` (3,) RGB of an empty spot, 0 to 255; ``sharpening``."""

    light: np.ndarray
    sharpening: float


def develop(
    density: Iterable[np.ndarray],
    scanned: Scanned,
    floor: Sequence[float],
    defocus_px: float,
    edge_px: float,
    light: Union[float, np.ndarray] = 1.0,
) -> np.ndarray:
    """What the scanner writes, without sensor noise: light is absorbed (Beer-Lambert).

    Args:
        density (Iterable[np.ndarray]): Optical density of red, green and blue, (h, w) float32.
        scanned (Scanned): Its light and its scanner.
        floor (Sequence[float]): Darkest RGB.
        defocus_px (float): Blur.
        edge_px (float): Radius of the unsharp mask.
        light (float | np.ndarray): Relative light, (h, w) where it is uneven.

    Returns:
        np.ndarray: RGB (h, w, 3) float32, 0 to 255.
    """
    planes = []
    for plane, full, least in zip(density, scanned.light.tolist(), floor, strict=True):
        plane = cv2.exp(-plane) * light * np.float32(full - least) + np.float32(least)
        plane = soften(plane, defocus_px)
        gain = scanned.sharpening
        planes.append(cv2.addWeighted(plane, 1 + gain, soften(plane, edge_px), -gain, 0))
    return cv2.merge(planes)


def two_stains(
    blue: np.ndarray, haematoxylin: np.ndarray, pink: np.ndarray, eosin: np.ndarray
) -> Iterable[np.ndarray]:
    """Optical density of red, green and blue of two thicknesses (h, w) of stains (3,)."""
    for h, e in zip(haematoxylin.tolist(), eosin.tolist(), strict=True):
        yield blue * np.float32(h) + pink * np.float32(e)


def with_sensor_noise(rgb: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """A picture (h, w, 3) float32, which is changed, with noise of that deviation, as uint8."""
    rgb += np.float32(noise) * _pixel_noise(rng, rgb.shape)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _pixel_noise(rng: np.random.Generator, shape: Tuple[int, ...]) -> np.ndarray:
    """Noise of mean 0 and standard deviation 1, float32: a sum of two uniform bytes."""
    # Near enough to a Gaussian for a sensor, and several times faster than drawing one.
    count = int(np.prod(shape))
    raw = np.frombuffer(rng.bytes(2 * count), np.uint8).reshape(2, *shape)
    total = raw[0].astype(np.float32) + raw[1]
    return (total - 255) * np.float32(1 / np.sqrt((256**2 - 1) / 6))
