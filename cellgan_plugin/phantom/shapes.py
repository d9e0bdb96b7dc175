"""Closed outlines of cells and nuclei, in micrometres, without any pixel in sight."""

from typing import Tuple

import numpy as np

# Enough that the longest outline (about 200 um) has a vertex every 2 um.
POINTS = 96
_ANGLES = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
_UNIT = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_HARMONICS = np.arange(POINTS // 2 + 1)


def polygon_area(outline: np.ndarray) -> float:
    """Area inside a closed outline (n, 2), in the square of its unit (shoelace formula)."""
    x, y = outline[:, 0], outline[:, 1]
    twice = x[:-1] @ y[1:] - y[:-1] @ x[1:] + x[-1] * y[0] - y[-1] * x[0]
    return float(abs(twice)) / 2


def _periodic_noise(rng: np.random.Generator, low: int, high: int, slope: float) -> np.ndarray:
    """Unit-variance periodic noise (POINTS,) with harmonics low..high falling as k**-slope."""
    spectrum = np.zeros(POINTS // 2 + 1, dtype=complex)
    k = _HARMONICS[low : high + 1]
    phase = rng.uniform(0, 2 * np.pi, len(k))
    spectrum[low : high + 1] = k**-slope * np.exp(1j * phase)
    noise = np.fft.irfft(spectrum, POINTS)
    # Parseval: the standard deviation without a pass over the points.
    return noise * (POINTS / np.sqrt(2 * np.sum(k ** (-2 * slope))))


def radial_profile(
    rng: np.random.Generator, irregularity: float, lobes: int, aspect: float, angle: float
) -> np.ndarray:
    """Distance of an outline from its centre in POINTS directions, for a unit-area shape.

    Args:
        rng (np.random.Generator): Source of the shape.
        irregularity (float): Standard deviation of the radius relative to an ellipse's, 0 for an
            ellipse; 0.02 reads as smooth, 0.08 as markedly irregular.
        lobes (int): Highest number of bumps around the outline, from 2 up.
        aspect (float): Length over width, from 1 up.
        angle (float): Direction of the long axis, radians.

    Returns:
        np.ndarray: (POINTS,) float64 radii; the outline encloses an area of 1.
    """
    a, b = np.sqrt(aspect), 1 / np.sqrt(aspect)
    turned = _ANGLES - angle
    radius = a * b / np.sqrt((b * np.cos(turned)) ** 2 + (a * np.sin(turned)) ** 2)
    radius = radius * np.exp(irregularity * _periodic_noise(rng, 2, max(lobes, 2), 1.0))
    return radius / np.sqrt(polygon_area(radius[:, None] * _UNIT))


def radial_outline(radius: np.ndarray, centre: Tuple[float, float]) -> np.ndarray:
    """Outline (POINTS, 2) of a :func:`radial_profile` around ``centre`` (x, y)."""
    return radius[:, None] * _UNIT + np.asarray(centre)


def polygonal_outline(
    rng: np.random.Generator, area: float, aspect: float, angle: float, roughness: float
) -> np.ndarray:
    """Outline of a mature squamous cell: five to eight blunt corners and a slightly ragged edge.

    Args:
        rng (np.random.Generator): Source of the shape.
        area (float): Enclosed area, um2, met exactly.
        aspect (float): Length over width, from 1 up.
        angle (float): Direction of the long axis, radians.
        roughness (float): Relative amplitude of the ragged edge, about 0.01 to 0.04.

    Returns:
        np.ndarray: (POINTS, 2) float64 (x, y) around the origin, um.
    """
    corners = int(rng.integers(5, 9))
    theta = (np.arange(corners) + rng.uniform(-0.28, 0.28, corners)) * (2 * np.pi / corners)
    theta += rng.uniform(0, 2 * np.pi)
    reach = rng.uniform(0.78, 1.15, corners)
    vertex = reach[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1)
    vertex = np.concatenate([vertex, vertex[:1]])
    at = np.linspace(0, corners, POINTS, endpoint=False)
    before = at.astype(int)
    part = (at - before)[:, None]
    points = (1 - part) * vertex[before] + part * vertex[before + 1]
    # A low-pass filter along the outline blunts the corners.
    low_pass = np.exp(-0.5 * (_HARMONICS / rng.uniform(6, 12)) ** 2)[:, None]
    points = np.fft.irfft(np.fft.rfft(points, axis=0) * low_pass, POINTS, axis=0)
    points *= 1 + roughness * _periodic_noise(rng, 6, 40, 0.7)[:, None]
    points *= (np.sqrt(aspect), 1 / np.sqrt(aspect))
    cos, sin = np.cos(angle), np.sin(angle)
    points = points @ np.array([[cos, sin], [-sin, cos]])
    return points * np.sqrt(area / polygon_area(points))


def fold_over(
    outline: np.ndarray, angle: float, distance: float
) -> Tuple[np.ndarray, np.ndarray | None]:
    """Turn the part of a cell beyond a straight crease back onto the cell.

    Args:
        outline (np.ndarray): (n, 2) outline around the origin, um.
        angle (float): Direction from the origin to the crease, radians.
        distance (float): Distance of the crease from the origin, um.

    Returns:
        tuple[np.ndarray, np.ndarray | None]: The outline that remains, (n, 2), and the flap that
            now lies twice, (m, 2), or None when nothing reached beyond the crease.
    """
    direction = np.array([np.cos(angle), np.sin(angle)])
    beyond = np.maximum(outline @ direction - distance, 0)
    if np.count_nonzero(beyond) < 3:
        return outline, None
    flap = outline[beyond > 0] - 2 * beyond[beyond > 0, None] * direction
    return outline - beyond[:, None] * direction, flap
