"""Masks are read as numbers, whatever file they are in."""

import numpy as np
import pytest
from cell_images import png_bomb
from PIL import Image

from cellgan_plugin.datasets import ImageFileError, load_mask
from cellgan_plugin.datasets.mask_io import read_mask_header

IDS = np.random.default_rng(0).integers(0, 7, (9, 12), dtype=np.uint8)


def save(path, array=IDS, mode=None, **kwargs):
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **kwargs)
    return str(path)


@pytest.mark.parametrize('name', ['a.png', 'a.bmp', 'a.tif', 'a.webp'])
def test_numbers_survive_every_format(tmp_path, name):
    path = save(tmp_path / name, **({'lossless': True} if name.endswith('webp') else {}))
    found = load_mask(path)
    assert found.dtype == np.uint8 and (found == IDS).all()
    header = read_mask_header(path)
    assert (header.width, header.height) == (12, 9) and header.complete


def test_a_palette_gives_its_indices_and_sixteen_bits_stay(tmp_path):
    image = Image.fromarray(IDS)
    image.putpalette([0, 0, 0, 200, 30, 30, 30, 200, 30] + [9, 9, 9] * 253)
    image.save(tmp_path / 'palette.png')
    assert (load_mask(str(tmp_path / 'palette.png')) == IDS).all()
    wide = IDS.astype(np.uint16) * 9000
    for name in ('deep.png', 'deep.tif'):
        found = load_mask(save(tmp_path / name, wide))
        assert found.dtype == np.uint16 and (found == wide).all()
    assert (
        load_mask(save(tmp_path / 'bit.png', (IDS > 3) * np.uint8(255), '1')) == (IDS > 3)
    ).all()
    assert (load_mask(save(tmp_path / 'rgb.png', IDS, 'RGB')) == IDS).all()
    assert (load_mask(save(tmp_path / 'la.png', IDS, 'LA')) == IDS).all()


def test_what_is_no_mask_is_refused(tmp_path):
    colours = np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    pages = [Image.fromarray(IDS), Image.fromarray(IDS)]
    pages[0].save(tmp_path / 'pages.tif', save_all=True, append_images=pages[1:])
    (tmp_path / 'bomb.png').write_bytes(png_bomb())
    (tmp_path / 'text.png').write_text('no image')
    whole = (tmp_path / 'a.png').write_bytes
    save(tmp_path / 'ok.png', np.tile(colours[..., 0], (9, 9)))
    whole((tmp_path / 'ok.png').read_bytes()[:-60])
    cases = {
        save(tmp_path / 'a.jpg'): 'lossy mask',
        save(tmp_path / 'colours.png', colours): 'colour mask',
        save(tmp_path / 'see.png', np.dstack([colours[..., :1]] * 4)): 'alpha',
        save(tmp_path / 'float.tif', IDS.astype(np.float32)): 'colour mode',
        save(tmp_path / 'large.tif', IDS.astype(np.int32) * 70000): 'mask value',
        str(tmp_path / 'pages.tif'): 'several frames',
        str(tmp_path / 'bomb.png'): 'too large',
        str(tmp_path / 'text.png'): 'unreadable',
        str(tmp_path / 'a.png'): 'truncated',
        str(tmp_path / 'none.png'): 'missing',
    }
    for path, kind in cases.items():
        with pytest.raises(ImageFileError) as error:
            load_mask(path)
        assert error.value.kind == kind, path
    with pytest.raises(ImageFileError, match='max_pixels=50'):
        load_mask(save(tmp_path / 'b.png'), max_pixels=50)
