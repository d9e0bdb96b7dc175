"""Small image files for the data set tests, good and bad."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 32


def pixels(seed: int, size: int = SIZE, channels: int = 3) -> np.ndarray:
    shape = (size, size, channels) if channels > 1 else (size, size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, seed: int = 0, size: int = SIZE, **kwargs) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, size)).save(path, **kwargs)
    return path


def make_folders(root: Path, classes=('A', 'B'), per_class: int = 4, extension='.png') -> Path:
    for c, name in enumerate(classes):
        for i in range(per_class):
            save(root / name / f'{i}{extension}', seed=100 * c + i)
    return root


def encoded(extension: str, seed: int = 1, size: int = SIZE) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(seed, size)).save(buffer, Image.registered_extensions()[extension])
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack('>I', len(data)) + body + struct.pack('>I', zlib.crc32(body))


def png_bomb(side: int = 60000) -> bytes:
    """A PNG of a few bytes that declares an enormous image."""
    header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b'\0' * 1000)
    parts = [png_chunk(b'IHDR', header), png_chunk(b'IDAT', data), png_chunk(b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


def png_16_bit_rgb(size: int = SIZE) -> bytes:
    """What Pillow opens as plain RGB, dropping the low bytes."""
    header = struct.pack('>IIBBBBB', size, size, 16, 2, 0, 0, 0)
    data = zlib.compress(b''.join(b'\0' + bytes(size * 6) for _ in range(size)))
    parts = [png_chunk(b'IHDR', header), png_chunk(b'IDAT', data), png_chunk(b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)
