"""BMP files with a palette of two or a few greys, which Pillow reads as something else.

Pillow takes such a palette for black and white, or for greys, and then reads 8 or 4 bits per pixel
as if there were 1 or 8: a black and white mask becomes stripes, without an error.
"""

import struct

import numpy as np
from PIL import Image

from cellgan_plugin.datasets.image_damage import Damage

_BITS_OF_MODE = {'1': 1, 'L': 8}


def is_misread(image: Image.Image, start: bytes) -> bool:
    """Whether Pillow would misread an opened BMP, by at least the first 30 bytes of the file."""
    (header,) = struct.unpack_from('<I', start, 14)
    (bits,) = struct.unpack_from('<H', start, 24 if header == 12 else 28)
    return _BITS_OF_MODE.get(image.mode, bits) != bits


def read_indices(data: bytes) -> Image.Image:
    """Decode an uncompressed BMP of 1, 4 or 8 bits per pixel, as a palette image.

    Raises:
        Damage: When it is compressed or cut short.
    """
    (offset,) = struct.unpack_from('<I', data, 10)
    header, width, height, _, bits, compression = struct.unpack_from('<IiiHHI', data, 14)
    if header < 40 or compression or bits not in (1, 4, 8):
        raise Damage('format', 'is a BMP with a packed palette; save it anew as PNG')
    stride = (width * bits + 31) // 32 * 4
    packed = np.frombuffer(data, np.uint8, offset=offset)[: stride * abs(height)]
    if packed.size < stride * abs(height):
        raise Damage('truncated', 'is truncated. Copy it again')
    single = np.unpackbits(packed.reshape(abs(height), stride), axis=1)
    weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.uint8)
    indices = single.reshape(abs(height), -1, bits).dot(weights)[:, :width].astype(np.uint8)
    (colours,) = struct.unpack_from('<I', data, 46)
    palette = np.frombuffer(data, np.uint8, 4 * (colours or 1 << bits), 14 + header)
    image = Image.fromarray(np.ascontiguousarray(indices if height < 0 else indices[::-1]), 'P')
    image.putpalette(palette.reshape(-1, 4)[:, 2::-1].tobytes())
    return image
