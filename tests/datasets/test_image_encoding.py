import cv2
import numpy as np
import pytest

from cellgan_plugin.datasets.image_encoding import (
    FORMATS,
    LOSSLESS_FORMATS,
    check_format,
    encode_image,
    write_png,
)
from cellgan_plugin.datasets.image_io import load_image, read_header
from cellgan_plugin.phantom import generate_phantom
from cellgan_plugin.randomness import rng_for

CELLS = generate_phantom('HSIL', size=64).image
NOISE = rng_for(0, 'test').integers(0, 256, (33, 47, 3), dtype=np.uint8)


@pytest.mark.parametrize('fmt', FORMATS)
@pytest.mark.parametrize('image', [CELLS, NOISE, CELLS[:, :, :1]], ids=['cells', 'noise', 'grey'])
def test_what_is_read_is_what_was_written(tmp_path, fmt, image):
    path = tmp_path / f'image.{fmt}'
    path.write_bytes(encode_image(image, fmt))
    channels = image.shape[2]
    header = read_header(str(path), channels)
    assert (header.height, header.width) == image.shape[:2] and header.complete
    found = load_image(str(path), channels)
    if fmt in LOSSLESS_FORMATS:
        assert np.array_equal(found, image)
    else:
        # Of cells; nothing is lost but what quality 95 loses. RGB and BGR are far apart.
        limit = 3 if image is not NOISE else 12
        assert np.abs(found.astype(int) - image).mean() < limit
        assert np.abs(image[..., ::-1].astype(int) - image).mean() > 3 * limit or channels == 1
    assert encode_image(image, fmt) == path.read_bytes()


@pytest.mark.parametrize(
    'name, expected', [('PNG', 'png'), ('.jpeg', 'jpg'), ('tiff', 'tif'), ('webp', 'webp')]
)
def test_names_of_formats(name, expected):
    assert check_format(name) == expected


def test_other_formats_are_refused_with_those_there_are():
    with pytest.raises(ValueError, match='png, tif, webp, jpg'):
        check_format('bmp')


@pytest.mark.parametrize('image', [NOISE.astype(float), NOISE[..., :2], NOISE[..., 0]])
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ValueError, match='uint8'):
        encode_image(image, 'png')


@pytest.mark.parametrize('image', [CELLS, CELLS[:, :, :1], CELLS[:, :, 0], CELLS[:, ::-1]])
def test_png_files_of_images(tmp_path, image):
    write_png(tmp_path / 'new' / 'a.png', image)
    (path,) = (tmp_path / 'new').iterdir()
    channels = 1 if image.ndim == 2 else image.shape[2]
    assert np.array_equal(load_image(str(path), channels), image.reshape(64, 64, channels))


def test_png_files_of_masks_keep_16_bits(tmp_path):
    mask = np.arange(0, 2**16, 997, dtype=np.uint16).reshape(6, 11)
    write_png(tmp_path / 'mask.png', mask)
    assert np.array_equal(cv2.imread(str(tmp_path / 'mask.png'), cv2.IMREAD_UNCHANGED), mask)
