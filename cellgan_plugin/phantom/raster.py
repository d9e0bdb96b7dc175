"""From outlines in micrometres to coverage in pixels."""

import dataclasses
from typing import Optional, Sequence, Tuple

import cv2
import numpy as np

FRACTION_BITS = 4  # cv2 takes fixed-point coordinates with this many fractional bits
_ONE = 1 << FRACTION_BITS


@dataclasses.dataclass(frozen=True)
class Window:
    """A rectangle of the picture.

    Attributes:
        rows, columns (slice): Its place, pixels.
        scale (float): Pixels per um.
    """

    rows: slice
    columns: slice
    scale: float

    @property
    def shape(self):
        """(height, width), pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def to_pixels(self, points: np.ndarray, supersample: int) -> np.ndarray:
        """Points (n, 2) in um to cv2's fixed-point coordinates in this window."""
        origin = (self.columns.start, self.rows.start)
        pixels = (points * self.scale - origin) * supersample - 0.5  # pixel centres are integers
        return np.rint(pixels * _ONE).astype(np.int32)


def window_around(
    outlines: Sequence[np.ndarray], size: int, scale: float, margin_um: float
) -> Optional[Window]:
    """The window that holds the outlines and a margin; None when it lies outside the picture."""
    low = np.min([part.min(axis=0) for part in outlines], axis=0) - margin_um
    high = np.max([part.max(axis=0) for part in outlines], axis=0) + margin_um
    x0, y0 = np.maximum(np.floor(low * scale).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(high * scale).astype(int) + 1, size)
    if x0 >= x1 or y0 >= y1:
        return None
    return Window(slice(int(y0), int(y1)), slice(int(x0), int(x1)), scale)


def coverage(outlines: Sequence[np.ndarray], window: Window, supersample: int = 2) -> np.ndarray:
    """Share of each pixel, float32 of the window's shape, that lies inside the union of outlines.

    Outlines are closed, (n, 2), um; ``supersample`` are samples per pixel and axis.
    """
    height, width = window.shape
    drawn = np.zeros((height * supersample, width * supersample), np.uint8)
    for outline in outlines:
        cv2.fillPoly(
            drawn, [window.to_pixels(outline, supersample)], 255, cv2.LINE_8, FRACTION_BITS
        )
    if supersample > 1:
        drawn = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)
    return drawn.astype(np.float32) * np.float32(1 / 255)


def strokes(lines: Sequence[np.ndarray], window: Window, width_um: float) -> np.ndarray:
    """Lines of a given width as float32 coverage of the window's shape, 0 to 1."""
    drawn = np.zeros(window.shape, np.uint8)
    width_px = width_um * window.scale
    thickness = max(1, round(width_px))
    # A line thinner than a pixel is drawn one pixel wide and paler.
    level = round(255 * min(1.0, width_px / thickness))
    if isinstance(lines, np.ndarray):
        pixels = list(window.to_pixels(lines, 1))
    else:
        pixels = [window.to_pixels(line, 1) for line in lines]
    cv2.polylines(drawn, pixels, False, level, thickness, cv2.LINE_AA, FRACTION_BITS)
    return drawn.astype(np.float32) * np.float32(1 / 255)


def ellipses(
    rows: np.ndarray, size: int, scale: float, full: float, supersample: int = 2
) -> np.ndarray:
    """Draw ellipses over the whole picture, later ones on top: float32 (size, size) of levels.

    ``rows`` are (n, 6): x, y, half axes in um, angle in degrees, level; the level ``full`` is drawn
    at the full range.
    """
    side = size * supersample
    drawn = np.zeros((side, side), np.uint8)
    unit = scale * supersample * _ONE
    for x, y, a, b, angle, level in rows:
        cv2.ellipse(
            drawn,
            (int(x * unit), int(y * unit)),
            (int(a * unit), int(b * unit)),
            angle, 0, 360, min(255, round(255 * level / full)), -1, cv2.LINE_8, FRACTION_BITS,
        )  # fmt: skip
    drawn = cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA)
    return drawn.astype(np.float32) * np.float32(full / 255)


def spread(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Box blur of a given standard deviation: cheaper than Gaussian, for soft inner edges."""
    side = max(3, 2 * round((np.sqrt(12 * sigma_px**2 + 1) - 1) / 2) + 1)
    return cv2.blur(image, (side, side))


def soften(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian blur; the image itself when the blur would not be seen."""
    if sigma_px < 0.2:
        return image
    radius = max(1, int(np.ceil(2.5 * sigma_px)))
    return cv2.GaussianBlur(image, (2 * radius + 1, 2 * radius + 1), sigma_px)


def fixed_point(points: np.ndarray, scale: float) -> np.ndarray:
    """Points in um to cv2's fixed-point coordinates at ``scale`` px per um."""
    return np.rint((points * scale - 0.5) * _ONE).astype(np.int32)


def outline_map(
    shape: Tuple[int, int],
    outlines: Sequence[np.ndarray],
    numbers: Sequence[int],
    scale: float,
    dtype: type = np.uint16,
) -> np.ndarray:
    """A map of the numbers of closed outlines (n, 2) um, later ones on top, 0 elsewhere."""
    drawn = np.zeros(shape, dtype)
    for outline, number in zip(outlines, numbers, strict=True):
        cv2.fillPoly(drawn, [fixed_point(outline, scale)], int(number), cv2.LINE_8, FRACTION_BITS)
    return drawn


def averaged(plane: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    """A finer picture averaged down to a shape."""
    return cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_AREA)


def looked_up(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``values[k - 1]`` where a map says k, 0 where it says 0; float32."""
    return np.concatenate([[0.0], values]).astype(np.float32)[numbers]
