"""Image files made byte by byte, as programs make them that Pillow cannot imitate."""

import io
import struct
import zlib
from typing import Sequence, Tuple

import numpy as np
from PIL import Image


def encoded(pixels: np.ndarray, file_format: str, **options) -> bytes:
    """Pillow's encoding of an array."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, **options)
    return file.getvalue()


def packed(pixels: np.ndarray, bits: int) -> bytes:
    """Rows of 1, 2, 4, 8 or more bits per pixel, each row filled up to whole bytes."""
    if bits >= 8:
        return pixels.tobytes()
    per = 8 // bits
    rows = np.pad(pixels, ((0, 0), (0, -pixels.shape[1] % per))).astype(np.uint8)
    return sum(rows[:, i::per] << (8 - bits * (i + 1)) for i in range(per)).tobytes()


def tiff(
    pixels: np.ndarray,
    bits: int = 8,
    photometric: int = 1,
    compression: int = 1,
    kind: int = 1,
    orientation: int = 1,
    pages: int = 1,
    description: bytes = b'',
    data: bytes = None,
) -> bytes:
    """A TIFF of one strip; further pages are the same strip again."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    data = packed(pixels, bits) if data is None else data
    tags = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * channels),
        (259, 3, [compression]), (262, 3, [2 if channels == 3 else photometric]),
        (273, 4, [8]), (274, 3, [orientation]), (277, 3, [channels]), (278, 4, [height]),
        (279, 4, [len(data)]), (339, 3, [kind] * channels),
    ]  # fmt: skip
    if description:
        tags.insert(5, (270, 2, description + b'\0'))
    out = bytearray(b'II*\0' + struct.pack('<I', 0) + data)
    link = 4
    for _ in range(pages):
        entries = b''
        for tag, kind_of, values in tags:
            form = {2: 's', 3: 'H', 4: 'I'}[kind_of]
            raw = values if form == 's' else struct.pack(f'<{len(values)}{form}', *values)
            if len(raw) > 4:
                raw, offset = struct.pack('<I', len(out)), raw
                out += offset
            entries += struct.pack('<HHI', tag, kind_of, len(values)) + raw.ljust(4, b'\0')
        struct.pack_into('<I', out, link, len(out))
        out += struct.pack('<H', len(tags)) + entries
        link = len(out)
        out += bytes(4)
    return bytes(out)


def png_chunk(name: bytes, content: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    body = name + content
    return struct.pack('>I', len(content)) + body + struct.pack('>I', zlib.crc32(body))


def png(pixels: np.ndarray, bits: int = 8, extra: Sequence[bytes] = (), last: bytes = b'') -> bytes:
    """A grey PNG; ``extra`` chunks stand before its pixels, ``last`` behind them."""
    height, width = pixels.shape
    data = packed(pixels, bits)
    step = len(data) // height
    rows = b''.join(b'\0' + data[i * step : (i + 1) * step] for i in range(height))
    head = png_chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, 0, 0, 0, 0))
    body = png_chunk(b'IDAT', zlib.compress(rows))
    return b'\x89PNG\r\n\x1a\n' + head + b''.join(extra) + body + last + png_chunk(b'IEND', b'')


def bmp_palette(ids: np.ndarray, bits: int, greys: Sequence[int]) -> bytes:
    """A BMP of 1, 4 or 8 bits per pixel whose palette has as many colours as there are greys."""
    height, width = ids.shape
    rows = packed(ids[::-1], bits)
    step = len(rows) // height
    body = b''.join(
        rows[i * step : (i + 1) * step].ljust((width * bits + 31) // 32 * 4, b'\0')
        for i in range(height)
    )
    start = 54 + 4 * len(greys)
    head = struct.pack('<IiiHHIIiiII', 40, width, height, 1, bits, 0, len(body), 0, 0,
                       len(greys), len(greys))  # fmt: skip
    colours = b''.join(bytes([grey, grey, grey, 0]) for grey in greys)
    return b'BM' + struct.pack('<IHHI', start + len(body), 0, 0, start) + head + colours + body


def bmp_v4(pixels: np.ndarray) -> bytes:
    """A BMP with 32 bits and a mask for alpha (header version 4); ``pixels`` (H, W, 4) is RGBA."""
    height, width = pixels.shape[:2]
    body = np.ascontiguousarray(pixels[::-1, :, [2, 1, 0, 3]]).tobytes()
    head = struct.pack('<IiiHHIIiiII', 108, width, height, 1, 32, 3, len(body), 2835, 2835, 0, 0)
    head += struct.pack('<IIII', 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b'BGRs' + bytes(48)
    size = 14 + len(head)
    return b'BM' + struct.pack('<IHHI', size + len(body), 0, 0, size) + head + body


def exif(orientation: int) -> bytes:
    """EXIF with nothing but an orientation."""
    tags = Image.Exif()
    tags[274] = orientation
    return tags.tobytes()


def with_scans(data: bytes, number: int) -> bytes:
    """A progressive JPEG whose last scan comes ``number`` times."""
    start = data.rindex(b'\xff\xda')
    return data[:start] + data[start:-2] * number + data[-2:]


def scans_of(data: bytes) -> Tuple[int, ...]:
    """Where the scans of a progressive JPEG begin (its thumbnail-free segments)."""
    places, place = [], data.find(b'\xff\xda')
    while place >= 0:
        places.append(place)
        place = data.find(b'\xff\xda', place + 2)
    return tuple(places)
