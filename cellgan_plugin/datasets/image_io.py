"""Read one image file: header first, then pixels, as uint8 RGB or grey.

Pillow reads headers, which tell 16-bit and CMYK apart from what they would be turned into, and
decodes all but JPEG, which libjpeg decodes with its warnings as errors. Images are turned as their
orientation tag says, as every viewer does. Colour profiles are not applied.
"""

import contextlib
import os
import re
import stat
import struct
import threading
from typing import IO, Iterator, NamedTuple, Tuple

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from cellgan_plugin.datasets.bmp import is_misread, read_indices
from cellgan_plugin.datasets.foreign_formats import compression_name, what_it_is
from cellgan_plugin.datasets.image_damage import (
    Damage,
    check_png,
    check_tiff,
    decode_jpeg,
    ends_in_zeros,
)
from cellgan_plugin.datasets.orientation import orientation_of, turned, upright_size

# Naming the formats keeps Pillow from trying those that start other programs (EPS) or read
# other files.
_FORMATS = ('JPEG', 'PNG', 'BMP', 'TIFF', 'WEBP')
DEFAULT_MAX_PIXELS = 4096 * 4096

ALPHA_MODES = ('RGBA', 'LA', 'PA', 'RGBa', 'La')
DEEP_MODES = ('I;16', 'I;16B', 'I;16L', 'I;16N', 'I', 'F')
_TAIL_BYTES = 4096
_truncation_lock = threading.Lock()


class ImageFileError(ValueError):
    """An image file that cannot be used.

    Attributes:
        kind (str): Short name of the problem, e.g. ``'truncated'`` or ``'16-bit'``.
        path (str): The file.
        reason (str): What is wrong and what to do.
    """

    def __init__(self, kind: str, path: str, reason: str):
        super().__init__(f'{path}: {reason}')
        self.kind, self.path, self.reason = kind, path, reason

    def __reduce__(self):
        return type(self), (self.kind, self.path, self.reason)


class ImageHeader(NamedTuple):
    """What a file says about itself before anything is decoded.

    Attributes:
        width (int): Columns, after turning.
        height (int): Rows, after turning.
        mode (str): Pillow's mode, e.g. ``'RGB'``.
        format (str): ``'JPEG'``, ``'PNG'``, ``'BMP'``, ``'TIFF'`` or ``'WEBP'``.
        conversion (str): ``''``, or what :func:`load_image` converts: ``'palette'``, ``'alpha'``,
            ``'grayscale'``, ``'bilevel'``, ``'YCbCr'``; of a mask what is not done to its
            numbers: ``'inverted'``, ``'few bits'``, ``'palette numbers'``.
        complete (bool): False when the end of the file looks cut off; only decoding tells.
        fingerprint (int): Equal for byte-identical files, rarely equal for others; valid within
            this process.
        orientation (int): Of EXIF or TIFF, 1 to 8; 1 is as stored.
        zero_tail (bool): Whether the pixels end in zeros (where nothing else would notice).
    """

    width: int
    height: int
    mode: str
    format: str
    conversion: str
    complete: bool
    fingerprint: int
    orientation: int = 1
    zero_tail: bool = False


@contextlib.contextmanager
def open_vetted(
    path: str, max_pixels: int, mask: bool = False
) -> Iterator[Tuple[Image.Image, IO[bytes]]]:
    """Open ``path`` and vet its header; every failure becomes an :class:`ImageFileError`.

    Args:
        path (str): The file.
        max_pixels (int): Largest width x height.
        mask (bool): Let single-channel files of more than 8 bits pass: their numbers are ids, and
            nothing is converted. Defaults to False.

    Yields:
        tuple[Image.Image, IO[bytes]]: The image, not decoded, and its file.
    """
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):  # a pipe or a device would block or never end
            raise ImageFileError('unreadable', path, 'is not a regular file')
        if info.st_size == 0:
            raise ImageFileError('zero-byte', path, 'is empty (0 bytes): copy it again')
        with (
            _allow_pixels(max_pixels),
            open(path, 'rb') as file,
            Image.open(file, formats=_FORMATS) as image,
        ):
            _vet(image, file, path, max_pixels, mask)
            yield image, file
    except ImageFileError:
        raise
    except FileNotFoundError as error:
        raise ImageFileError('missing', path, 'does not exist') from error
    except Damage as error:
        raise ImageFileError(error.kind, path, error.reason) from error
    except UnidentifiedImageError as error:
        kind, reason = what_it_is(path)
        raise ImageFileError(kind, path, reason) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageFileError('too large', path, _too_large(str(error), max_pixels)) from error
    except MemoryError as error:
        raise ImageFileError('unreadable', path, 'does not fit into memory') from error
    except Exception as error:  # Pillow's plugins raise almost anything on damaged files
        text = str(error) or type(error).__name__
        kind = 'truncated' if 'truncated' in text.lower() else 'unreadable'
        raise ImageFileError(kind, path, f'cannot be decoded ({text}): copy it again') from error


def _too_large(what: str, max_pixels: int) -> str:
    return (
        f'{what}; the limit is max_pixels={max_pixels}. Cut slides into patches first, or, if '
        'files of this size are right, raise max_pixels (an argument of the data set and of '
        "the converters' functions)"
    )


class _PillowLimit:
    """Pillow's limit for the whole process while files are open, and who has raised it."""

    lock = threading.Lock()
    users = 0
    before = None


@contextlib.contextmanager
def _allow_pixels(max_pixels: int) -> Iterator[None]:
    """Let Pillow open ``max_pixels``; :func:`_vet` refuses what is larger.

    Threads may read at the same time: the limit is put back when the last of them is done.
    """
    with _PillowLimit.lock:
        if _PillowLimit.users == 0:
            _PillowLimit.before = Image.MAX_IMAGE_PIXELS
        _PillowLimit.users += 1
        if Image.MAX_IMAGE_PIXELS is not None:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    try:
        yield
    finally:
        with _PillowLimit.lock:
            _PillowLimit.users -= 1
            if _PillowLimit.users == 0:
                Image.MAX_IMAGE_PIXELS = _PillowLimit.before


def _vet(
    image: Image.Image, file: IO[bytes], path: str, max_pixels: int, mask: bool = False
) -> None:
    width, height = image.size
    if width * height > max_pixels:
        reason = _too_large(f'declares {width}x{height} pixels', max_pixels)
        raise ImageFileError('too large', path, reason)
    deep = image.mode in DEEP_MODES
    if not (mask and deep) and (deep or _bits_per_channel(image, file) > 8):
        raise ImageFileError(
            '16-bit',
            path,
            'has more than 8 bits per channel. Which grey range becomes 0..255 changes the image, '
            'so choose it yourself and save 8 bits, e.g. '
            '`(image / image.max() * 255).round().astype("uint8")` with one maximum for all files',
        )
    if image.mode == 'CMYK':
        raise ImageFileError(
            'CMYK',
            path,
            'is CMYK (made for print); its colours depend on a profile. Export it as RGB, e.g. '
            '`magick in.tif -profile sRGB.icc out.png`',
        )
    if not mask and _conversion(image, channels=3) is None:
        reason = f'has colour mode {image.mode}; save it as 8-bit RGB or grey'
        raise ImageFileError('colour mode', path, reason)
    if _has_pages(image):
        reason = 'holds several pages or frames; save the one that is meant alone'
        raise ImageFileError('several frames', path, reason)


def _has_pages(image: Image.Image) -> bool:
    """Whether there is a second page; counting them all may take minutes."""
    if image.format == 'TIFF':
        # ImageJ may write a stack as one page with more behind it.
        text = str(image.tag_v2.get(270, ''))
        stack = re.search(r'^images=(\d+)', text, re.M) if text.startswith('ImageJ') else None
        return image.is_animated or (stack is not None and int(stack[1]) > 1)
    # A phone's JPEG may carry a preview as second frame (MPO): the first is the picture.
    return image.format != 'MPO' and getattr(image, 'n_frames', 1) > 1


def _bits_per_channel(image: Image.Image, file: IO[bytes]) -> int:
    """Bits as stored: Pillow calls a 16-bit RGB PNG or TIFF plain RGB and drops the low byte."""
    if image.format == 'PNG':
        position = file.tell()
        file.seek(24)
        depth = file.read(1)
        file.seek(position)
        return depth[0] if depth else 8
    if image.format == 'TIFF':
        bits = image.tag_v2.get(258, 8)
        return max(bits) if isinstance(bits, tuple) else int(bits)
    return 8


def _conversion(image: Image.Image, channels: int):
    """'' when nothing is converted, the conversion's name, or None when there is no safe one."""
    mode = image.mode
    if mode == 'P':
        return 'palette'
    if mode in ALPHA_MODES:
        return 'alpha'
    if mode == '1':
        return 'bilevel'
    if mode == 'L':
        return 'grayscale' if channels == 3 else ''
    if mode == 'YCbCr':
        return 'YCbCr'
    return '' if mode == 'RGB' else None


def read_header(path: str, channels: int = 3, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHeader:
    """What a file declares, without decoding it (about 0.1 ms); arguments as of :func:`load_image`.

    Raises:
        ImageFileError: On a missing, empty, unreadable, too large, 16-bit, CMYK or multi-page file.
    """
    with open_vetted(path, max_pixels) as (image, file):
        return describe(image, file, _conversion(image, channels))


def describe(image: Image.Image, file: IO[bytes], conversion: str) -> ImageHeader:
    """The header of a file that :func:`open_vetted` has opened."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    orientation = orientation_of(image, tail)
    return ImageHeader(
        *upright_size(image, orientation),
        image.mode,
        'JPEG' if image.format == 'MPO' else image.format,
        conversion,
        _ends_well(image, file, tail, size),
        hash((size, tail)),
        orientation,
        ends_in_zeros(image, file, size),
    )


def _ends_well(image: Image.Image, file: IO[bytes], tail: bytes, size: int) -> bool:
    """Cheap look at the end of the file.

    May be False for a good file, never True for one that was cut off.
    """
    if image.format in ('JPEG', 'MPO'):
        return tail.rstrip(b'\0').endswith(b'\xff\xd9')
    if image.format == 'PNG':
        return b'IEND' in tail[-16:]
    if image.format == 'TIFF':
        tags = image.tag_v2
        starts = tags.get(273) or tags.get(324) or ()
        lengths = tags.get(279) or tags.get(325) or ()
        if not starts or len(starts) != len(lengths):
            return False
        return max(s + n for s, n in zip(starts, lengths, strict=True)) <= size
    file.seek(0)
    start = file.read(12)
    if image.format == 'WEBP':
        return struct.unpack('<I', start[4:8])[0] + 8 <= size
    declared = struct.unpack('<I', start[2:6])[0]  # BMP
    return 0 < declared <= size


@contextlib.contextmanager
def refuse_truncated() -> Iterator[None]:
    """Other packages switch Pillow to accepting half images, for the whole process."""
    if not ImageFile.LOAD_TRUNCATED_IMAGES:
        yield
        return
    with _truncation_lock:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = True


def decode(image: Image.Image, file: IO[bytes]) -> Image.Image:
    """Decode a file that :func:`open_vetted` has opened, and turn it upright.

    Raises:
        Damage: On data that is wrong in a way that Pillow passes over.
    """
    file_format, tail = image.format, b''
    if file_format in ('JPEG', 'MPO'):
        orientation = orientation_of(image)
        file.seek(0)
        pixels = decode_jpeg(file.read(), grey=image.mode == 'L')
        return turned(Image.fromarray(pixels), file_format, orientation)
    if file_format == 'PNG':
        position = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(position)
        check_png(data)
        tail = data[-_TAIL_BYTES:]
    elif file_format == 'TIFF':
        check_tiff(image, file)
    elif file_format == 'BMP':
        position = file.tell()
        file.seek(0)
        if is_misread(image, file.read(64)):
            file.seek(0)
            return read_indices(file.read())
        file.seek(position)
    orientation = orientation_of(image, tail)
    try:
        with refuse_truncated():
            image.load()
    except OSError as error:
        if file_format != 'TIFF':
            raise
        name = compression_name(image.tag_v2.get(259, 1))
        raise Damage(
            'truncated' if 'truncated' in str(error) else 'damaged',
            f'cannot be decoded ({error}; compression {name}). Copy it again, or save it '
            'anew as TIFF without compression or as PNG',
        ) from error
    return turned(image, file_format, orientation)


def load_image(path: str, channels: int = 3, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Decode a file to RGB or grey.

    Palette, grey, bilevel and YCbCr images are converted; an alpha channel is composited on
    white, which leaves an opaque image as it is, and one that is 0 everywhere is none (BMP has
    such). 16-bit and CMYK files are refused, because no conversion is right for all. The
    orientation tag is applied.

    Args:
        path (str): The file.
        channels (int): 3 for RGB, 1 for grey. Defaults to 3.
        max_pixels (int): Largest width x height. Defaults to 4096 x 4096.

    Returns:
        np.ndarray: uint8 array of shape (H, W, channels), C-contiguous.

    Raises:
        ImageFileError: As :func:`read_header`, and on truncated or damaged pixels.
    """
    if channels not in (1, 3):
        raise ValueError(f'channels must be 1 or 3, got {channels!r}')
    with open_vetted(path, max_pixels) as (opened, file):
        image = decode(opened, file)
        if image.mode in ALPHA_MODES or 'transparency' in image.info:
            image = image.convert('RGBA')
            if image.getextrema()[3][1] > 0:
                white = Image.new('RGBA', image.size, (255, 255, 255, 255))
                image = Image.alpha_composite(white, image)
        target = 'RGB' if channels == 3 else 'L'
        pixels = np.array(image if image.mode == target else image.convert(target))
    return pixels.reshape(*pixels.shape[:2], channels)
