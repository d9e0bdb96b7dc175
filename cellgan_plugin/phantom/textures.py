"""Stationary noise fields: grain and wrinkles of cytoplasm, clumps of chromatin, drift of mucus.

The fields are made once, on a canonical grid in micrometres, and resampled once per picture size;
a cell only reads a window of them. That keeps textures equal at all sizes and costs no time.
"""

import functools
from types import MappingProxyType
from typing import Mapping, Tuple

import cv2
import numpy as np

from cellgan_plugin.randomness import rng_for

# Side of the field that a patch shows. CRIC patches of 256 px span about 63 um: a normal
# intermediate nucleus (35 um2, 6.7 um wide) is about 27 px wide there.
FIELD_UM = 64.0
_LARGEST = 512  # px: larger pictures enlarge windows of this bank instead of the whole bank
_CANONICAL = 512  # px for two fields' width: 0.25 um/px, the finest grain CRIC resolves


def _band(radius: np.ndarray, wavelength_um: float, width: float) -> np.ndarray:
    """Log-normal band-pass filter around a wavelength."""
    frequency = 2 * FIELD_UM / wavelength_um
    with np.errstate(divide='ignore'):
        return np.exp(-0.5 * (np.log(np.maximum(radius, 1e-9) / frequency) / width) ** 2)


@functools.lru_cache(maxsize=1)
def _canonical_fields() -> Mapping[str, np.ndarray]:
    """Periodic float32 fields (512, 512), mean 0, standard deviation 1, by name."""
    index = np.fft.fftfreq(_CANONICAL) * _CANONICAL
    fy, fx = np.meshgrid(index, index, indexing='ij')
    radius = np.hypot(fx, fy)

    def field(name: str, gain: np.ndarray) -> np.ndarray:
        white = rng_for(0, 'phantom/texture', name).standard_normal((_CANONICAL, _CANONICAL))
        made = np.fft.ifft2(np.fft.fft2(white) * gain).real
        return (made - made.mean()) / made.std()

    def wrinkles(name: str, stretch: float) -> np.ndarray:
        # The zero crossings of a smooth field are a web of thin lines; stretched along a diagonal
        # they are the pleats of a pulled cell or the strands of mucus.
        across, along = (fx + fy) / np.sqrt(2), (fx - fy) / np.sqrt(2)
        gain = _band(np.hypot(across / stretch, along * stretch), 17.0, 0.45)
        lines = np.exp(-0.5 * (field(name, gain) / 0.16) ** 2)
        return (lines - lines.mean()) / lines.std()

    fields = {
        'cloud': field('cloud', _band(radius, 22.0, 0.75)),
        'drift': field('drift', _band(radius, 60.0, 0.9)),
        'mottle': field('mottle', _band(radius, 5.0, 0.7)),
        'grain': field('grain', _band(radius, 1.3, 0.5)),
        'clump': field('clump', _band(radius, 2.6, 0.4)),
        'web': wrinkles('web', 1.0),
        'pleats': wrinkles('pleats', 1.7),
    }
    # Chromatin and debris come as dark grains on a paler ground: skew the symmetric noise.
    for name in ('grain', 'clump'):
        skewed = np.exp(0.6 * fields[name])
        fields[name] = (skewed - skewed.mean()) / skewed.std()
    return MappingProxyType({name: made.astype(np.float32) for name, made in fields.items()})


class TextureBank:
    """The fields resampled to one picture size.

    Args:
        size (int): Side of the picture in pixels; a field is ``2 * size`` wide, so that any
            window of the picture can be read at any offset of up to one picture.
    """

    def __init__(self, size: int):
        self.size = size
        self._fields = {}
        self._ratio = max(1.0, size / _LARGEST)
        side = 2 * min(size, _LARGEST)
        method = cv2.INTER_AREA if side < _CANONICAL else cv2.INTER_CUBIC
        for name, canonical in _canonical_fields().items():
            field = cv2.resize(canonical, (side, side), interpolation=method)
            self._fields[name] = field
            self._fields[name + "'"] = np.ascontiguousarray(field[::-1].T)

    def window(self, name: str, rows: slice, columns: slice, offset: np.ndarray) -> np.ndarray:
        """A field under a window of the picture: float32, read-only, about standard normal.

        Args:
            name (str): Field name; a trailing ``'`` asks for the field turned by a right angle.
            rows (slice): Of the picture, pixels.
            columns (slice): Likewise.
            offset (np.ndarray): (2,) shift of the field in [0, 1), picture widths.
        """
        field, ratio = self._fields[name], self._ratio
        dy, dx = (int(part * min(self.size, _LARGEST)) for part in offset)
        if ratio == 1:
            return field[rows.start + dy : rows.stop + dy, columns.start + dx : columns.stop + dx]
        top, left = int(rows.start / ratio) + dy, int(columns.start / ratio) + dx
        height, width = rows.stop - rows.start, columns.stop - columns.start
        part = field[top : top + int(height / ratio) + 1, left : left + int(width / ratio) + 1]
        return cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)

    def wrapped(self, name: str, shape: Tuple[int, int], offset: np.ndarray) -> np.ndarray:
        """A field over a picture of any shape; the fields are periodic and go on where they end.

        ``offset`` (2,) shifts the field, in [0, 1) of its period; ``name`` as in :meth:`window`.
        """
        field = self._fields[name]
        period = len(field)
        rows, columns = (
            (np.arange(int(np.ceil(side / self._ratio))) + int(shift * period)) % period
            for side, shift in zip(shape, offset.tolist(), strict=True)
        )
        part = field[rows[:, None], columns]
        if self._ratio == 1:
            return part
        return cv2.resize(part, shape[::-1], interpolation=cv2.INTER_CUBIC)


@functools.lru_cache(maxsize=3)
def texture_bank(size: int) -> TextureBank:
    """The shared, read-only bank for one picture size."""
    return TextureBank(size)
