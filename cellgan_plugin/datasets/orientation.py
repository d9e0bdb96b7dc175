"""Which way up an image is: the orientation tag of EXIF and TIFF, for images and masks alike."""

import struct
from typing import Optional

from PIL import Image

_TAG = 274
# Where a PNG has EXIF: a chunk of its own (eXIf), or a text of ImageMagick's.
_PNG_KEYS = ('exif', 'eXIf', 'Raw profile type exif')
# What brings pixels as stored to the way they are seen.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(image: Image.Image, tail: bytes = b'') -> int:
    """The orientation that a file asks for: 1 as stored, 2 to 8 mirrored or turned.

    A PNG whose tag stands behind its pixels, as ``tail`` (the end of the file) shows, is decoded.
    """
    try:
        if image.format == 'TIFF':
            value = image.tag_v2.get(_TAG, 1)
        elif image.format == 'PNG' and not any(
            key in image.info or key.encode() in tail for key in _PNG_KEYS
        ):
            return 1  # getexif would decode the image to look for it
        else:
            value = image.getexif().get(_TAG, 1)
    except (SyntaxError, ValueError, KeyError, TypeError, OverflowError, struct.error):
        return 1  # damaged EXIF says nothing, here as in viewers
    return value if value in _TURNS else 1


def upright_size(image: Image.Image, orientation: int) -> 'tuple[int, int]':
    """Width and height after :func:`turned`."""
    size = image.size
    if image.format == 'TIFF':  # as stored; what Pillow calls its size differs by version
        size = image.tag_v2[256], image.tag_v2[257]
    return size if orientation < 5 else size[::-1]


def turned(image: Image.Image, file_format: Optional[str], orientation: int) -> Image.Image:
    """Decoded pixels as they are meant to be seen.

    ``orientation`` is of :func:`orientation_of`; Pillow turns a TIFF itself when it decodes it.
    """
    if file_format == 'TIFF' or orientation not in _TURNS:
        return image
    return image.transpose(_TURNS[orientation])
