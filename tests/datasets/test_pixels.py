"""Pixels are what the file stores, for labels; what a person sees, for images."""

import time
from pathlib import Path

import numpy as np
import pytest
from image_bytes import (
    bmp_palette,
    bmp_v4,
    encoded,
    exif,
    png,
    png_chunk,
    scans_of,
    tiff,
    with_scans,
)
from PIL import Image

from cellgan_plugin.datasets import CellPatchDataset, load_image, load_mask
from cellgan_plugin.datasets.checks import check_dataset
from cellgan_plugin.datasets.image_io import ImageFileError, read_header
from cellgan_plugin.datasets.mask_io import read_mask_header
from cellgan_plugin.datasets.tissue_masks import TissueMaskDataset
from cellgan_plugin.datasets.whole_images import list_whole_images
from cellgan_plugin.segmentation.evaluate_masks import evaluate_masks


def picture(height: int = 96, width: int = 80, channels: int = 3) -> np.ndarray:
    """Smooth enough to be compressed, with details."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (5 + c)) * np.cos(y / (7 - c)) for c in range(channels)]
    noise = np.random.default_rng(height).normal(0, 12, (height, width, channels))
    return np.clip(128 + 90 * np.stack(waves, 2) + noise, 0, 255).astype(np.uint8)


def write(path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def kind_of(path: str, read=load_image) -> str:
    with pytest.raises(ImageFileError) as error:
        read(path)
    assert str(error.value).isprintable()
    return error.value.kind


# Masks --------------------------------------------------------------------------------------------

IDS = (np.arange(24 * 40) % 4).reshape(24, 40).astype(np.uint8)


@pytest.mark.parametrize('photometric', [0, 1])
@pytest.mark.parametrize('bits', [1, 2, 4, 8, 16])
def test_tiff_masks_are_read_as_stored(tmp_path, bits, photometric):
    ids = (IDS.astype(int) % 2**bits).astype(np.uint16 if bits == 16 else np.uint8)
    path = write(tmp_path / 'a.tif', tiff(ids, bits, photometric))
    read = load_mask(path)
    assert np.array_equal(read, ids)
    said = read_mask_header(path).conversion
    inverted = photometric == 0 and bits < 16
    assert said == ('inverted' if inverted else 'few bits' if bits in (2, 4) else '')


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_png_masks_are_read_as_stored(tmp_path, bits):
    ids = (IDS.astype(int) % 2**bits).astype(np.uint8)
    assert np.array_equal(load_mask(write(tmp_path / 'a.png', png(ids, bits))), ids)
    picture = Image.fromarray(ids, 'P')
    picture.putpalette([37 * i % 256 for i in range(3 * 2**bits)])
    picture.save(tmp_path / 'p.png', bits=bits)
    assert np.array_equal(load_mask(str(tmp_path / 'p.png')), ids)
    assert read_mask_header(str(tmp_path / 'p.png')).conversion == 'palette numbers'


@pytest.mark.parametrize(
    'bits, palette',
    [
        (1, [0, 255]), (1, [255, 0]), (4, [0, 255]), (4, range(16)), (8, [0, 255]),
        (8, range(256)), (8, [255, 0]), (8, [0, 50, 99]),
    ],
)  # fmt: skip
@pytest.mark.parametrize('width', [24, 13])
def test_bmp_masks_are_read_as_stored_and_images_as_seen(tmp_path, bits, palette, width):
    palette = np.array(palette, np.uint8)
    ids = (np.arange(7 * width) % len(palette)).reshape(7, width).astype(np.uint8)
    path = write(tmp_path / 'a.bmp', bmp_palette(ids, bits, palette))
    assert np.array_equal(load_mask(path), ids)
    assert np.array_equal(load_image(path, channels=1)[..., 0], palette[ids])
    assert read_header(path).width == width


def test_negative_numbers_are_no_ids(tmp_path):
    ids = np.where(IDS == 3, 200, IDS).astype(np.uint8)  # -56 as int8
    assert kind_of(write(tmp_path / 'a.tif', tiff(ids, kind=2)), load_mask) == 'mask value'
    fine = write(tmp_path / 'b.tif', tiff(IDS, kind=2))
    assert np.array_equal(load_mask(fine), IDS) and load_mask(fine).dtype == np.uint8


def test_lossy_masks_are_refused(tmp_path):
    rgb = np.repeat(IDS[..., None], 3, axis=2) * 80
    lossless = write(tmp_path / 'a.webp', encoded(rgb, 'WEBP', lossless=True))
    assert np.array_equal(load_mask(lossless), IDS * 80)
    for name, data in dict(
        a=encoded(rgb, 'JPEG'),
        b=encoded(rgb, 'WEBP', lossless=False),
        c=encoded(rgb, 'TIFF', compression='jpeg'),
    ).items():
        assert kind_of(write(tmp_path / f'{name}.png', data), load_mask) == 'lossy mask'


def test_a_perfect_prediction_of_an_inverted_mask_scores_one(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[10:30, 12:40] = 255
    write(tmp_path / 'true' / 'a.tif', tiff(mask, photometric=0))
    write(tmp_path / 'pred' / 'a.png', png(mask))
    numbers = {0: 0, 255: 1}
    (score,), _ = evaluate_masks(
        tmp_path / 'pred', tmp_path / 'true', true_map=numbers, pred_map=numbers
    )
    values = {k: v for k, v in score.values(('background', 'object')).items() if v is not None}
    assert values['object_dice'] == 1 and values['J/object'] == 1, values


def test_a_data_set_says_how_masks_are_stored(tmp_path):
    write(tmp_path / 'images' / 'a.png', encoded(picture(64, 64), 'PNG'))
    mask = np.zeros((64, 64), np.uint8)
    mask[:16] = 1
    write(tmp_path / 'masks' / 'a.tif', tiff(mask, photometric=0))
    pairs = TissueMaskDataset(str(tmp_path))
    assert pairs[0]['mask'].mean() == 0.25
    (note,) = check_dataset(pairs).of_kind('inverted')
    assert 'as stored' in note.message


# Orientation --------------------------------------------------------------------------------------


def turned_files(folder, upright: np.ndarray, orientation: int):
    """The upright picture as files that store it turned, with the tag that says so."""
    back = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
            5: lambda a: a.swapaxes(0, 1), 6: np.rot90, 7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
            8: lambda a: np.rot90(a, -1)}  # fmt: skip
    stored = np.ascontiguousarray(back[orientation](upright))
    tag = exif(orientation)
    yield write(folder / 'a.png', encoded(stored, 'PNG', exif=tag))
    yield write(folder / 'a.webp', encoded(stored, 'WEBP', lossless=True, exif=tag))
    yield write(folder / 'a.tif', tiff(stored, orientation=orientation))
    if stored.ndim == 2:
        late = png_chunk(b'eXIf', tag.removeprefix(b'Exif\0\0'))
        yield write(folder / 'late.png', png(stored, last=late))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_images_and_masks_are_turned_alike(tmp_path, orientation):
    upright = picture(40, 24)
    for path in turned_files(tmp_path / 'images', upright, orientation):
        assert np.array_equal(load_image(path), upright), path
        header = read_header(path)
        assert (header.height, header.width) == (40, 24) and header.orientation == orientation
    ids = np.arange(40 * 24).reshape(40, 24).astype(np.uint8)
    for path in turned_files(tmp_path / 'masks', ids, orientation):
        if not path.endswith('.webp'):
            assert np.array_equal(load_mask(path), ids), path
            assert read_mask_header(path).orientation == orientation
    jpeg = write(tmp_path / 'a.jpg', encoded(upright, 'JPEG', exif=exif(orientation)))
    header = read_header(jpeg)
    seen = load_image(jpeg)
    assert seen.shape[:2] == (header.height, header.width)
    assert seen.shape[:2] == ((24, 40) if orientation >= 5 else (40, 24))


def test_damaged_exif_turns_nothing(tmp_path):
    path = write(tmp_path / 'a.jpg', encoded(picture(), 'JPEG', exif=b'Exif\0\0II*\0\xff\xff\xff'))
    assert load_image(path).shape == (96, 80, 3) and read_header(path).orientation == 1


@pytest.mark.parametrize('turned', ['image', 'mask'])
def test_a_pair_with_one_tag_is_refused(tmp_path, turned):
    image, mask = picture(48, 48), np.eye(48, dtype=np.uint8)
    tags = {turned: dict(exif=exif(3))}
    images = write(tmp_path / 'images' / 'a.png', encoded(image, 'PNG', **tags.get('image', {})))
    write(tmp_path / 'masks' / 'a.png', encoded(mask, 'PNG', **tags.get('mask', {})))
    assert load_image(images).shape == (48, 48, 3)
    with pytest.raises(ValueError, match=f'the {turned} has the orientation tag 3'):
        TissueMaskDataset(str(tmp_path))
    with pytest.raises(ValueError, match='has the orientation tag 3'):
        list_whole_images(tmp_path / 'images', masks=tmp_path / 'masks')
    report = check_dataset(TissueMaskDataset(str(tmp_path), lazy_init=True))
    assert [p.severity for p in report.of_kind('orientation')] == ['error']


def test_a_pair_with_both_tags_is_turned(tmp_path):
    image, mask = picture(48, 40), np.zeros((48, 40), np.uint8)
    mask[:12] = 1
    write(tmp_path / 'images' / 'a.png', encoded(image, 'PNG', exif=exif(6)))
    write(tmp_path / 'masks' / 'a.png', encoded(mask, 'PNG', exif=exif(6)))
    sample = TissueMaskDataset(str(tmp_path))[0]
    assert sample['img'].shape == (40, 48, 3) and sample['mask'].shape == (40, 48)
    assert sample['mask'][:, -12:].all() and sample['mask'].sum() == 12 * 40


# What a decoder does not notice -------------------------------------------------------------------

JPEG_KINDS = [
    dict(quality=92), dict(progressive=True), dict(subsampling=0), dict(restart_marker_rows=1),
    dict(quality=40, optimize=True),
]  # fmt: skip


@pytest.mark.parametrize('options', [*JPEG_KINDS, dict(subsampling=1, progressive=True)])
def test_whole_jpegs_are_read_as_pillow_reads_them(tmp_path, options):
    for shape in ((96, 80), (37, 53), (8, 8), (1, 1)):
        for pixels in (picture(*shape), picture(*shape)[..., 0]):
            options = options if pixels.ndim == 3 else dict(options, subsampling=0)
            path = write(tmp_path / 'a.jpg', encoded(pixels, 'JPEG', **options))
            with Image.open(path) as image:
                expected = np.asarray(image.convert('RGB'))
            assert np.array_equal(load_image(path), expected)
    # An end behind it, of a camera's padding or of another file, is no damage.
    write(tmp_path / 'a.jpg', encoded(pixels, 'JPEG', **options) + bytes(100))
    load_image(path)


@pytest.mark.parametrize('options', JPEG_KINDS)
def test_a_jpeg_cut_anywhere_with_an_end_put_behind_it_is_found(tmp_path, options):
    whole = encoded(picture(), 'JPEG', **options)
    start = scans_of(whole)[0] + 14
    places = {*np.linspace(start, len(whole) - 3, 40).astype(int), *scans_of(whole)[1:]}
    passed = []
    for place in sorted(places):
        path = write(tmp_path / 'a.jpg', whole[:place] + b'\xff\xd9')
        try:
            load_image(path)
            passed.append(place)
        except ImageFileError as error:
            assert error.kind in ('truncated', 'damaged', 'unreadable')
    assert passed == []


def test_unusual_chroma_sampling_is_read(tmp_path):
    """Three grey blocks to one of either colour, which TurboJPEG does not know."""
    grey = encoded(np.full((8, 8, 3), 128, np.uint8), 'JPEG', subsampling=0)
    data = bytearray(grey[: grey.index(b'\xff\xda') + 14])
    data[data.index(b'\xff\xc0') + 11] = 0x31
    bits = '001010' * 3 + '0000' * 2 + '111111'  # a DC of 0 and the end of each block
    data += int(bits, 2).to_bytes(4, 'big') + b'\xff\xd9'
    image = load_image(write(tmp_path / 'a.jpg', bytes(data)))
    assert image.shape == (8, 8, 3) and (image == 128).all()


def test_zeros_and_noise_in_place_of_a_jpegs_data(tmp_path):
    whole = encoded(picture(), 'JPEG', quality=92)
    half = len(whole) // 2
    assert kind_of(write(tmp_path / 'a.jpg', whole[:half] + bytes(len(whole) - half)))
    noise = np.random.default_rng(1).integers(0, 255, half - 2, dtype=np.uint8).tobytes()
    assert kind_of(write(tmp_path / 'b.jpg', whole[:half] + noise + b'\xff\xd9'))
    assert kind_of(write(tmp_path / 'c.jpg', whole[: half - 100] + whole[half:]))
    report = check_dataset(_folder(tmp_path / 'data', dict(bad=(tmp_path / 'c.jpg').read_bytes())))
    assert report.harmful


def _folder(root, files: dict) -> CellPatchDataset:
    for name, data in files.items():
        write(root / 'A' / f'{name}.png', data)
    return CellPatchDataset(str(root), metainfo=dict(classes=['A']), lazy_init=True)


def test_a_changed_byte_of_a_png_is_found(tmp_path):
    for level in (0, 6):
        data = bytearray(encoded(picture(), 'PNG', compress_level=level))
        data[len(data) // 2] ^= 1
        assert kind_of(write(tmp_path / 'a.png', bytes(data))) in ('damaged', 'unreadable')
    text = bytearray(png(IDS, extra=[png_chunk(b'tEXt', b'Title\0x')]))
    text[text.index(b'Title')] ^= 1
    assert kind_of(write(tmp_path / 'b.png', bytes(text)), load_mask) == 'unreadable'
    assert kind_of(write(tmp_path / 'c.png', png(IDS)[:-12]), load_mask) == 'truncated'


@pytest.mark.parametrize('share', [0.3, 0.6])
@pytest.mark.parametrize(
    'name, file_format, options',
    [
        ('a.bmp', 'BMP', {}),
        ('a.tif', 'TIFF', {}),
        ('a.tif', 'TIFF', dict(compression='jpeg')),
        ('a.tif', 'TIFF', dict(compression='tiff_lzw')),
        ('a.tif', 'TIFF', dict(compression='tiff_deflate')),
        ('a.tif', 'TIFF', dict(compression='packbits')),
        ('a.webp', 'WEBP', dict(lossless=True)),
        ('a.webp', 'WEBP', dict(quality=95)),
    ],
)
def test_zero_filled_ends_are_found(tmp_path, name, file_format, options, share):
    data = encoded(picture(128, 128), file_format, **options)
    start, end = 0, len(data)
    if file_format == 'TIFF':  # its directory stands behind the pixels; a copy in order loses both
        with Image.open(write(tmp_path / 'whole.tif', data)) as image:
            tags = image.tag_v2
            end = max(s + n for s, n in zip(tags[273], tags[279], strict=True))
            start = min(tags[273])
    cut = int(start + (end - start) * share)
    path = write(tmp_path / 'data' / 'A' / name, data[:cut] + bytes(end - cut) + data[end:])
    write(tmp_path / 'data' / 'A' / 'whole.png', encoded(picture(), 'PNG'))
    report = check_dataset(
        CellPatchDataset(str(tmp_path / 'data'), metainfo=dict(classes=['A']), lazy_init=True)
    )
    found = [p for p in report.problems if p.where == path and p.severity in ('error', 'warning')]
    assert found, report.problems
    assert {p.kind for p in found} & {'ends in zeros', 'truncated', 'damaged', 'unreadable'}


def test_whole_files_do_not_seem_cut(tmp_path):
    for name, file_format, options in (
        ('a.bmp', 'BMP', {}), ('a.tif', 'TIFF', {}),
        ('b.tif', 'TIFF', dict(compression='tiff_lzw')),
        ('a.webp', 'WEBP', dict(lossless=True)), ('b.webp', 'WEBP', {}),
    ):  # fmt: skip
        path = write(tmp_path / name, encoded(picture(), file_format, **options))
        assert not read_header(path).zero_tail
        load_image(path)
    blank = write(tmp_path / 'c.webp', encoded(np.full((512, 512, 3), 255, np.uint8), 'WEBP'))
    load_image(blank)


# Time and memory ----------------------------------------------------------------------------------


def test_many_scans_and_many_pages_are_refused_at_once(tmp_path):
    progressive = encoded(picture(512, 512), 'JPEG', progressive=True)
    path = write(tmp_path / 'a.jpg', with_scans(progressive, 2000))
    began = time.process_time()
    assert kind_of(path) == 'too many scans'
    load_image(write(tmp_path / 'b.jpg', progressive))
    pages = write(tmp_path / 'a.tif', tiff(IDS, pages=40_000))
    assert kind_of(pages) == 'several frames'
    assert kind_of(pages, load_mask) == 'several frames'
    assert time.process_time() - began < 10  # counting the pages alone took minutes


def test_a_stack_of_imagej_in_one_page_is_refused(tmp_path):
    text = b'ImageJ=1.53t\nimages=7\nslices=7\n'
    path = write(tmp_path / 'a.tif', tiff(IDS, description=text))
    assert kind_of(path) == 'several frames'
    single = tiff(IDS, description=b'ImageJ=1.53t\nimages=1\n')
    load_image(write(tmp_path / 'b.tif', single))


# What is not read is called by its name -----------------------------------------------------------


@pytest.mark.parametrize(
    'options, said',
    [
        (dict(compression=34712), '3 x 8-bit unsigned numbers in JPEG 2000 compression'),
        (dict(compression=33005), 'JPEG 2000 (Aperio) compression'),
        (dict(compression=34887), 'LERC compression'),
        (dict(compression=34933), 'PNG compression'),
        (dict(compression=50002), 'JPEG XL compression'),
        (dict(compression=61234), 'unknown (61234) compression'),
        (dict(bits=32, kind=3), '3 x 32-bit float numbers'),
        (dict(bits=64, kind=3), '3 x 64-bit float numbers'),
    ],
)
def test_tiffs_that_are_not_read_are_named(tmp_path, options, said):
    pixels = picture(16, 16).astype({32: np.float32, 64: np.float64}.get(options.get('bits'), 'u1'))
    path = write(tmp_path / 'a.tif', tiff(pixels, **options))
    with pytest.raises(ImageFileError) as error:
        load_image(path)
    assert said in str(error.value) and 'tifffile.imwrite' in str(error.value)


def test_other_files_are_named(tmp_path):
    jpeg = bytearray(encoded(picture(), 'JPEG'))
    frame = jpeg.index(b'\xff\xc0')
    jpeg[frame + 1], jpeg[frame + 4] = 0xC1, 12
    for data, said in (
        (bytes(jpeg), 'is a 12-bit JPEG'),
        (b'\0\0\0\x0cjP  \r\n\x87\n' + bytes(50), 'JPEG 2000'),
        (b'\0\0\0\x18ftypheic' + bytes(50), 'HEIC'),
        (b'<!DOCTYPE html>', 'the download failed'),
        (b'version https://git-lfs.github.com/spec/v1\n', 'git lfs pull'),
        (b'anything', 'is not a JPEG, PNG, BMP, TIFF or WebP image'),
    ):
        with pytest.raises(ImageFileError) as error:
            load_image(write(tmp_path / 'a.jpg', data))
        assert said in str(error.value)


# What shows nothing -------------------------------------------------------------------------------


def test_alpha_that_is_zero_everywhere_is_no_alpha(tmp_path):
    rgba = np.concatenate([picture(), np.zeros((96, 80, 1), np.uint8)], axis=2)
    assert np.array_equal(load_image(write(tmp_path / 'a.bmp', bmp_v4(rgba))), rgba[..., :3])
    assert np.array_equal(
        load_image(write(tmp_path / 'a.png', encoded(rgba, 'PNG'))), rgba[..., :3]
    )
    rgba[0, 0, 3] = 255
    seen = load_image(write(tmp_path / 'b.bmp', bmp_v4(rgba)))
    assert np.array_equal(seen[0, 0], rgba[0, 0, :3]) and (seen.reshape(-1, 3)[1:] == 255).all()


def test_blank_tiles_are_found(tmp_path):
    blanks = dict(black=0, white=255, grey=127)
    files = {n: encoded(np.full((32, 32, 3), v, np.uint8), 'PNG') for n, v in blanks.items()}
    pink = np.tile(np.array([240, 180, 200], np.uint8), (32, 32, 1))
    files |= dict(pink=encoded(pink, 'JPEG'), real=encoded(picture(32, 32), 'PNG'))
    report = check_dataset(_folder(tmp_path, files))
    blank = report.of_kind('blank')
    assert sorted(Path(p.where).stem for p in blank) == ['black', 'grey', 'pink', 'white']
    assert 'throughout (black)' in blank[0].message and 'NOT READY' in report.to_text()
