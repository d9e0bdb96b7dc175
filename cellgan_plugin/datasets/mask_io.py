"""Read one mask file: its stored numbers, never colours or greys made of them.

Pillow shows images: it inverts a TIFF whose tag says that 0 is white (an inverting LUT of ImageJ),
and spreads 2 and 4 bits over 0..255. Here that is undone.
"""

from typing import IO, Tuple

import numpy as np
from PIL import Image

from cellgan_plugin.datasets.foreign_formats import LOSSY_COMPRESSIONS, compression_name
from cellgan_plugin.datasets.image_damage import is_lossy_webp
from cellgan_plugin.datasets.image_io import (
    ALPHA_MODES,
    DEFAULT_MAX_PIXELS,
    ImageFileError,
    ImageHeader,
    decode,
    describe,
    open_vetted,
)

_COLOUR_MODES = ('RGB', *ALPHA_MODES)
_WHITE_IS_ZERO = 0
# What a mask file may have that changes how it looks, not its numbers.
MASK_STORAGE = {
    'inverted': 'an inverting LUT (TIFF: 0 is white): the numbers as stored are read, not as shown',
    'few bits': 'less than 8 bits per pixel: the numbers as stored are read, not as shown',
    'palette numbers': 'a palette: its numbers are read, its colours are for people',
}


def read_mask_header(path: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHeader:
    """Read what a mask file declares, without decoding it.

    ``conversion`` of the header is a key of :data:`MASK_STORAGE`, or ''.

    Raises:
        ImageFileError: On a file that :func:`load_mask` would refuse for what its header says.
    """
    with open_vetted(path, max_pixels, mask=True) as (image, file):
        _refuse(path, image, file)
        bits, inverted, _ = _storage(image, file)
        said = 'inverted' if inverted else 'few bits' if 1 < bits < 8 and image.mode == 'L' else ''
        return describe(image, file, 'palette numbers' if image.mode == 'P' else said)


def load_mask(path: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Decode a mask to the numbers it stores.

    A palette file gives its indices (the colours are for people), a one-bit file 0 and 1, two and
    four bits 0 to 3 and 0 to 15, a TIFF with an inverting LUT what lies in the file, a colour file
    with three equal channels one of them. 8 and 16 bits are read. The orientation tag is applied,
    as it is to the image.

    Args:
        path (str): The file.
        max_pixels (int): Largest width x height. Defaults to 4096 x 4096.

    Returns:
        np.ndarray: uint8 or uint16 (H, W), C-contiguous.

    Raises:
        ImageFileError: As :func:`~cellgan_plugin.datasets.image_io.load_image`, on lossy
            compression (it makes values that nobody drew), a colour mask, transparency, and
            numbers that are no whole numbers from 0 to 65535.
    """
    with open_vetted(path, max_pixels, mask=True) as (opened, file):
        _refuse(path, opened, file)
        bits, inverted, signed = _storage(opened, file)
        image = decode(opened, file)
        mode, pixels = image.mode, np.array(image)
    if mode in _COLOUR_MODES:
        pixels = _only_channel(path, pixels, mode in ALPHA_MODES)
    if mode == '1':
        pixels = pixels.astype(np.uint8)
        return 1 - pixels if inverted else pixels
    if pixels.dtype == np.uint8:
        if inverted:
            pixels = 255 - pixels
        if mode == 'L' and bits in (2, 4):
            pixels = pixels // (255 // (2**bits - 1))
        if not signed:
            return pixels
        pixels = pixels.view(np.int8)
    if pixels.size and not 0 <= int(pixels.min()) <= int(pixels.max()) <= 65535:
        raise ImageFileError(
            'mask value',
            path,
            f'holds values from {pixels.min()} to {pixels.max()}; a mask holds class or instance '
            'ids from 0 to 65535. Number its instances anew and save 16 bits',
        )
    return pixels.astype(np.uint8 if pixels.dtype == np.int8 else np.uint16)


def _storage(image: Image.Image, file: IO[bytes]) -> Tuple[int, bool, bool]:
    """Bits per pixel, whether Pillow inverts the numbers, and whether they have a sign."""
    if image.format == 'PNG':
        position = file.tell()
        file.seek(24)
        bits = file.read(1)[0]
        file.seek(position)
        return bits, False, False
    if image.format != 'TIFF':
        return 8, False, False
    tags = image.tag_v2
    bits, kind = (
        max(value) if isinstance(value, tuple) else value
        for value in (tags.get(258, 1), tags.get(339, 1))
    )
    # Of 16 bits and more Pillow leaves the numbers alone.
    inverted = tags.get(262) == _WHITE_IS_ZERO and image.mode in ('1', 'L')
    return bits, inverted, kind == 2 and bits == 8


def _refuse(path: str, image: Image.Image, file: IO[bytes]) -> None:
    """ImageFileError for what its header says."""
    lossy = ''
    if image.format in ('JPEG', 'MPO'):
        lossy = 'is a JPEG'
    elif image.format == 'TIFF' and image.tag_v2.get(259) in LOSSY_COMPRESSIONS:
        lossy = f'is a TIFF with {compression_name(image.tag_v2[259])} compression'
    elif image.format == 'WEBP':
        position = file.tell()
        file.seek(0)
        lossy = 'is a lossy WebP' if is_lossy_webp(file.read()) else ''
        file.seek(position)
    if lossy:
        raise ImageFileError(
            'lossy mask',
            path,
            f'{lossy}: its compression changes the numbers of a mask along every border. Save the '
            'mask as PNG from where it was drawn',
        )
    mode = image.mode
    if mode not in ('1', 'L', 'P', 'I', *_COLOUR_MODES) and not mode.startswith('I;16'):
        raise ImageFileError(
            'colour mode', path, f'has mode {mode}; a mask is one channel of 8 or 16 bits'
        )


def orientation_differs(image: ImageHeader, mask: ImageHeader) -> str:
    """Why an image and its mask do not lie alike; '' when they do.

    A tag on one of the two alone means that a program has turned one and not the other.
    """
    tags = [header.orientation for header in (image, mask)]
    if (tags[0] == 1) == (tags[1] == 1):
        return ''
    one, other = ('the image', 'its mask') if tags[0] != 1 else ('the mask', 'its image')
    return (
        f'{one} has the orientation tag {max(tags)} and is turned as it says, {other} has none. '
        'One of the two was saved by a program that drops the tag: open both in one viewer, and '
        'save both upright without it'
    )


def _only_channel(path: str, pixels: np.ndarray, has_alpha: bool) -> np.ndarray:
    """The channel that all colour channels repeat."""
    if has_alpha and 0 < pixels[..., -1].max(initial=0) and pixels[..., -1].min() < 255:
        raise ImageFileError(
            'alpha', path, 'is partly transparent; save the mask as one channel without alpha'
        )
    colours = pixels[..., : pixels.shape[2] - has_alpha]
    first = colours[..., 0]
    different = (colours != first[..., None]).any(axis=2)
    if different.any():
        row, column = (int(i) for i in np.argwhere(different)[0])
        raise ImageFileError(
            'colour mask',
            path,
            f'is drawn in colours (row {row}, column {column} is {colours[row, column].tolist()}). '
            'A mask holds one number per pixel: write the number of the class in place of its '
            'colour',
        )
    return np.ascontiguousarray(first)
