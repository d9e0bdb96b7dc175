"""Read one mask file: its stored numbers, never colours made of them."""

import numpy as np

from cellgan_plugin.datasets.image_io import (
    ALPHA_MODES,
    DEFAULT_MAX_PIXELS,
    ImageFileError,
    ImageHeader,
    describe,
    open_vetted,
    refuse_truncated,
)

_COLOUR_MODES = ('RGB', *ALPHA_MODES)


def read_mask_header(path: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHeader:
    """Read what a mask file declares, without decoding it.

    Args:
        path (str): The file.
        max_pixels (int): Largest width x height. Defaults to 4096 x 4096.

    Returns:
        ImageHeader: Size, mode and format; ``conversion`` is ''.

    Raises:
        ImageFileError: On a file that :func:`load_mask` would refuse for what its header says.
    """
    with open_vetted(path, max_pixels, mask=True) as (image, file):
        _refuse(path, image.format, image.mode)
        return describe(image, file, '')


def load_mask(path: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Decode a mask to the numbers it stores.

    A palette file gives its indices (the colours are for people), a one-bit file 0 and 1, a colour
    file with three equal channels one of them. 8 and 16 bits are read.

    Args:
        path (str): The file.
        max_pixels (int): Largest width x height. Defaults to 4096 x 4096.

    Returns:
        np.ndarray: uint8 or uint16 (H, W), C-contiguous.

    Raises:
        ImageFileError: As :func:`~cellgan_plugin.datasets.image_io.load_image`, on a JPEG (its
            compression makes values that nobody drew), a colour mask, transparency, and numbers
            that are no whole numbers from 0 to 65535.
    """
    with open_vetted(path, max_pixels, mask=True) as (image, _), refuse_truncated():
        _refuse(path, image.format, image.mode)
        image.load()
        pixels = np.array(image)
    if image.mode in _COLOUR_MODES:
        return _only_channel(path, pixels, image.mode in ALPHA_MODES)
    if image.mode == '1':
        return pixels.astype(np.uint8)
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.size and not 0 <= int(pixels.min()) <= int(pixels.max()) <= 65535:
        raise ImageFileError(
            'mask value',
            path,
            f'holds values from {pixels.min()} to {pixels.max()}; a mask holds class or instance '
            'ids from 0 to 65535. Number its instances anew and save 16 bits',
        )
    return pixels.astype(np.uint16)


def _refuse(path: str, file_format: str, mode: str) -> None:
    if file_format in ('JPEG', 'MPO'):
        raise ImageFileError(
            'lossy mask',
            path,
            'is a JPEG: its compression changes the numbers of a mask along every border. Save '
            'the mask as PNG from where it was drawn',
        )
    if mode not in ('1', 'L', 'P', 'I', *_COLOUR_MODES) and not mode.startswith('I;16'):
        raise ImageFileError(
            'colour mode', path, f'has mode {mode}; a mask is one channel of 8 or 16 bits'
        )


def _only_channel(path: str, pixels: np.ndarray, has_alpha: bool) -> np.ndarray:
    """The channel that all colour channels repeat."""
    if has_alpha and pixels[..., -1].min(initial=255) < 255:
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
