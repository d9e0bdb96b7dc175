"""Damage that decoders pass over: what the bytes of an image file say beside its pixels.

Pillow decodes JPEG without libjpeg's warnings and PNG without its checksums, so half an image with
an end put behind it is an image to it. JPEG is decoded here with every warning an error; PNG's
checksums and the structure of JPEG, WebP and TIFF are looked at.

Not to be seen: bytes changed within JPEG data such that it still ends where it should, within the
parts of a TIFF that are JPEG or without compression, in a BMP, and in WebP.
"""

import io
import re
import struct
import zlib
from typing import IO, Iterator, NamedTuple, Tuple

import numpy as np
import simplejpeg
from PIL import Image

# Encoders write 10 scans for a progressive colour image; each one is a pass over all pixels.
MAX_SCANS = 100
# A run of zeros that long is in no compressed data.
_LONG_RUN = 64
# Of what is stored without compression, or by an arithmetic coder, this much of the end.
_TAIL = 4096
_LARGE_PART = 0.1

_JPEG_MARKER = re.compile(rb'\xff[^\x00\xff\xd0-\xd7]')
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_FRAMES = {
    0xC0: '', 0xC1: '', 0xC2: '', 0xC3: 'lossless JPEG', 0xC5: 'hierarchical JPEG',
    0xC6: 'hierarchical JPEG', 0xC7: 'hierarchical JPEG', 0xC9: 'arithmetic-coded JPEG',
    0xCA: 'arithmetic-coded JPEG', 0xCB: 'arithmetic-coded JPEG', 0xF7: 'JPEG-LS',
}  # fmt: skip
# TurboJPEG knows the usual ways to store colours at a lower resolution; libjpeg (Pillow) knows all.
_UNUSUAL_SAMPLING = 'Could not determine subsampling'
# Warnings about the header alone, from encoders whose pixels are right.
_HARMLESS = ('Invalid SOS parameters', 'Warning: unknown JFIF', 'Unknown Adobe color transform')


class Damage(ValueError):
    """Something wrong with the bytes of a file.

    Attributes:
        kind (str): Short name, as of :class:`~cellgan_plugin.datasets.image_io.ImageFileError`.
        reason (str): What is wrong and what to do.
    """

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind, self.reason = kind, reason


_COPY_AGAIN = 'Copy it again; if it looks right, save it anew as PNG'


# JPEG -------------------------------------------------------------------------------------------


class JpegFrame(NamedTuple):
    """What a JPEG says of itself.

    Attributes:
        variant (str): '' for what is read, else the name of what it is.
        bits (int): Per channel.
        scans (int): Passes over the image.
        missing (str): What never comes, '' when all does.
    """

    variant: str
    bits: int
    scans: int
    missing: str


def _segments(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """Marker and content of every segment of the first image of a JPEG."""
    place = 2
    while True:
        match = _JPEG_MARKER.search(data, place)
        if match is None:
            return
        marker, place = data[match.start() + 1], match.end()
        if marker in _WITHOUT_LENGTH:
            continue
        if marker == 0xD9:
            yield marker, b''
            return
        length = int.from_bytes(data[place : place + 2], 'big')
        yield marker, data[place + 2 : place + length]
        place += max(2, length)


def jpeg_frame(data: bytes) -> JpegFrame:
    """Walk over the segments of a JPEG; nothing is decoded."""
    variant, bits, scans, progressive, ended = 'JPEG without an image in it', 8, 0, False, False
    components: set = set()
    seen: set = set()
    # Per component: the bit down to which each of the 64 coefficients is known; 99: not at all.
    known: dict = {}
    for marker, content in _segments(data):
        if marker in _FRAMES and len(content) >= 6:
            variant, bits, progressive = _FRAMES[marker], content[0], marker == 0xC2
            components = set(content[6 : 6 + 3 * content[5] : 3])
        elif marker == 0xDA and content:
            scans += 1
            names = content[1 : 1 + 2 * content[0] : 2]
            seen.update(names)
            rest = content[1 + 2 * content[0] :]
            if progressive and scans <= MAX_SCANS and len(rest) >= 3:
                first, last, low = rest[0], min(rest[1], 63), rest[2] & 15
                for name in names:
                    known.setdefault(name, np.full(64, 99))[first : last + 1] = low
        elif marker == 0xD9:
            ended = True
    missing = ''
    if components - seen:
        missing = f'{len(components - seen)} of its {len(components)} channels'
    elif any((bits_left > 0).any() for bits_left in known.values()):
        missing = 'its last passes, which hold the details'
    elif not ended:
        missing = 'its end'
    return JpegFrame(variant, bits, scans, missing)


def decode_jpeg(data: bytes, grey: bool) -> np.ndarray:
    """Pixels of a JPEG, uint8 (H, W, 3), or (H, W) of a grey one, as Pillow gives them.

    Every warning of libjpeg is an error.

    Raises:
        Damage: On a kind of JPEG that is not read, too many scans, and data that is cut short or
            that libjpeg warns of.
    """
    frame = jpeg_frame(data)
    if frame.variant or frame.bits != 8:
        raise Damage(*unreadable_jpeg(frame))
    if frame.scans > MAX_SCANS:
        raise Damage(
            'too many scans',
            f'has {frame.scans} scans, each a pass over all pixels ({MAX_SCANS} are read). Save it '
            'anew, e.g. `djpeg in.jpg | cjpeg > out.jpg`',
        )
    colorspace = 'GRAY' if grey else 'RGB'
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace=colorspace, strict=True)
    except ValueError as error:
        text = str(error)
        if _UNUSUAL_SAMPLING in text:
            with Image.open(io.BytesIO(data), formats=('JPEG',)) as image:
                pixels = np.array(image).reshape(image.height, image.width, -1)
        elif text.startswith(_HARMLESS):
            pixels = simplejpeg.decode_jpeg(data, colorspace=colorspace, strict=False)
        else:
            cut = 'premature end' in text.lower()
            raise Damage(*(_cut(text) if cut else _damaged(text))) from error
    if frame.missing:
        raise Damage(*_cut(f'{frame.missing} is missing'))
    return pixels[..., 0] if grey else pixels


def _cut(what: object) -> Tuple[str, str]:
    return 'truncated', f'is truncated ({what}). {_COPY_AGAIN}'


def _damaged(what: object) -> Tuple[str, str]:
    return 'damaged', f'holds damaged data ({what}). {_COPY_AGAIN}'


def unreadable_jpeg(frame: JpegFrame) -> Tuple[str, str]:
    """Kind and reason for a JPEG that no reader here takes."""
    name = frame.variant or f'{frame.bits}-bit JPEG'
    return (
        'format',
        f'is a {name}; 8-bit baseline and progressive JPEG are read. Convert it to 8-bit PNG or '
        'TIFF, e.g. with `imagecodecs`: '
        '`imagecodecs.jpeg_decode(open("in.jpg", "rb").read())`, and choose yourself which '
        'greys become 0..255',
    )


# PNG --------------------------------------------------------------------------------------------


def check_png(data: bytes) -> None:
    """Compare the checksums of what an image needs.

    Raises:
        Damage: Where one is wrong or the end is missing.
    """
    place, view = 8, memoryview(data)
    while place + 12 <= len(data):
        length, name = struct.unpack_from('>I4s', data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            break
        # Lower-case chunks hold texts and times; a picture is right without them.
        if name[:1].isupper() and zlib.crc32(view[place + 4 : end]) != int.from_bytes(
            data[end : end + 4], 'big'
        ):
            raise Damage(*_damaged(f'the checksum of {name.decode("latin-1")!r} is wrong'))
        if name == b'IEND':
            return
        place = end + 4
    raise Damage(*_cut('its end is missing'))


# TIFF -------------------------------------------------------------------------------------------


def _numbers(value: object) -> Tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else () if value is None else (value,)


def check_tiff(image: Image.Image, file: IO[bytes]) -> None:
    """Look for zeros at the end of compressed data: a copy that was cut and filled up.

    Raises:
        Damage: Where there are some.
    """
    if image.tag_v2.get(259, 1) in (1, 2, 3, 4):  # CCITT may fill up with zeros
        return
    run, length = _zeros_before(file, _end_of_data(image))
    if run >= min(_LONG_RUN, length):
        raise Damage(*_cut('its data ends in zeros'))


def _end_of_data(image: Image.Image) -> Tuple[int, int]:
    """(start, end) of the last strip or tile in the file; (0, 0) without any."""
    tags = image.tag_v2
    starts = _numbers(tags.get(273) or tags.get(324))
    lengths = _numbers(tags.get(279) or tags.get(325))
    parts = [(s, s + n) for s, n in zip(starts, lengths, strict=False) if n]
    return max(parts, key=lambda part: part[1], default=(0, 0))


def _zeros_before(file: IO[bytes], part: Tuple[int, int]) -> Tuple[int, int]:
    """Zero bytes at the end of a part of a file, at most 4096, and the length of the part."""
    start, end = part
    position = file.tell()
    file.seek(max(start, end - _TAIL))
    data = file.read(min(end - start, _TAIL))
    file.seek(position)
    return len(data) - len(data.rstrip(b'\0')), end - start


# WebP, BMP --------------------------------------------------------------------------------------


def _webp_chunks(data: bytes) -> Iterator[Tuple[bytes, int, int]]:
    place = 12
    while place + 8 <= len(data):
        name, length = struct.unpack_from('<4sI', data, place)
        yield name, place + 8, length
        place += 8 + length + length % 2


def is_lossy_webp(data: bytes) -> bool:
    """Whether the picture of a WebP file is stored with loss."""
    return any(name == b'VP8 ' for name, _, _ in _webp_chunks(data))


def ends_in_zeros(image: Image.Image, file: IO[bytes], size: int) -> bool:
    """Whether the end of the pixels is nothing but zeros: black, or a copy that was cut.

    Of BMP, WebP and TIFF without compression; what else there is notices by itself.
    """
    if image.format == 'BMP':
        run, length = _zeros_before(file, (min(size, 54), size))
    elif image.format == 'TIFF' and image.tag_v2.get(259, 1) == 1:
        run, length = _zeros_before(file, _end_of_data(image))
    elif image.format == 'WEBP':
        position = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(position)
        pictures = [c for c in _webp_chunks(data) if c[0] in (b'VP8 ', b'VP8L')]
        if not pictures:
            return False
        name, start, length = pictures[-1]
        run, length = _zeros_before(file, (start, min(start + length, size)))
        # The coder of lossy WebP writes zeros for a blank picture.
        return run >= (max(_LONG_RUN, _LARGE_PART * length) if name == b'VP8 ' else _LONG_RUN)
    else:
        return False
    return length > _LONG_RUN and run >= max(_LONG_RUN, min(_TAIL, _LARGE_PART * length))
