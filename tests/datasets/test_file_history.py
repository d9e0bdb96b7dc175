"""Format, quality and size history: read off headers and pixels, found between two sets."""

import csv

import numpy as np
import pytest
from PIL import Image

from cellgan_plugin.datasets import check_dataset
from cellgan_plugin.datasets.file_history import (
    JpegStyle,
    area_under_curve,
    compare_files,
    encode_jpeg_like,
    list_image_files,
    read_history,
    statistics_of,
    style_of,
)
from cellgan_plugin.phantom import generate_phantom

SIZE = 48


@pytest.fixture(scope='module')
def images():
    return [generate_phantom('HSIL', SIZE, seed, 'x', seed).image for seed in range(48)]


def write(folder, images, suffix='.png', **options):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f'{number:03d}{suffix}', **options)
    return [str(path) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize('quality', [50, 75, 90, 95, 100])
@pytest.mark.parametrize('subsampling', [0, 2])
def test_quality_and_sampling_are_read_and_written_again(tmp_path, images, quality, subsampling):
    (file,) = write(tmp_path, images[:1], '.jpg', quality=quality, subsampling=subsampling)
    history = read_history(file)
    assert history.jpeg.quality == quality and history.jpeg.subsampling == subsampling
    (tmp_path / 'b.jpg').write_bytes(encode_jpeg_like(images[1], history.jpeg))
    again = read_history(str(tmp_path / 'b.jpg'))
    assert again.jpeg == history.jpeg and again.describe() == history.describe()
    assert encode_jpeg_like(images[0], history.jpeg) == encode_jpeg_like(images[0], history.jpeg)


def test_what_most_files_are(tmp_path, images):
    files = write(tmp_path, images[:4], '.jpg', quality=80) + write(tmp_path / 'p', images[:2])
    assert style_of(files).describe() == 'JPEG of quality 80, 4:2:0'
    assert isinstance(style_of(files).jpeg, JpegStyle)


def test_the_same_history_is_no_finding(tmp_path, images):
    a, b = write(tmp_path / 'a', images[:24]), write(tmp_path / 'b', images[24:])
    assert compare_files(a, b) == []
    jpegs = [write(tmp_path / n, part, '.jpg', quality=90) for n, part in
             (('c', images[:24]), ('d', images[24:]))]  # fmt: skip
    assert compare_files(*jpegs) == []


def test_differences_in_headers(tmp_path, images):
    png = write(tmp_path / 'a', images)
    jpeg = write(tmp_path / 'b', images, '.jpg', quality=95, subsampling=0)
    other = write(tmp_path / 'c', images, '.jpg', quality=60)
    large = write(tmp_path / 'd', [np.tile(image, (2, 2, 1)) for image in images])
    assert (
        'real images are JPEG of quality 95, 4:4:4, synthetic ones PNG'
        in compare_files(jpeg, png)[0]
    )
    assert (
        'quality 95, 4:4:4, synthetic ones JPEG of quality 60, 4:2:0'
        in compare_files(jpeg, other)[0]
    )
    assert any('have 96x96 px, most synthetic ones 48x48' in x for x in compare_files(large, png))


def test_a_jpeg_history_is_found_in_a_png(tmp_path, images):
    plain = write(tmp_path / 'a', images[:24])
    jpegs = write(tmp_path / 'j', images[24:], '.jpg', quality=40)
    saved_again = write(tmp_path / 'b', [np.array(Image.open(file)) for file in jpegs])
    lines = compare_files(plain, saved_again)
    assert len(lines) >= 1 and all('with an AUC of' in line for line in lines)
    assert any('8 px block edges' in line and 'more in synthetic' in line for line in lines)
    enlarged = [
        np.array(Image.fromarray(image).resize((16, 16)).resize((SIZE, SIZE), 3))
        for image in images[24:]
    ]
    lines = compare_files(plain, write(tmp_path / 'e', enlarged))
    assert any('fine detail alone' in line and 'more in real' in line for line in lines)


def test_statistics_of_known_images():
    flat = np.full((64, 64, 3), 100, np.uint8)
    blocks = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((8, 8)))[..., None] * 30 + flat
    assert statistics_of(flat)['8 px block edges'] == 0
    assert statistics_of(blocks.astype(np.uint8))['8 px block edges'] > 3


@pytest.mark.parametrize(
    'first, second, area',
    [([1, 2], [3, 4], 1), ([3, 4], [1, 2], 1), ([1, 3], [2, 4], 0.75), ([1, 1], [1, 1], 0.5)],
)
def test_area_under_curve(first, second, area):
    assert area_under_curve(first, second) == area


def config(root):
    return dict(
        type='CellPatchDataset', data_root=str(root), metainfo=dict(classes=['A', 'B']),
        pipeline=[dict(type='FitCellPatch', out_size=SIZE), dict(type='PackCellInputs')],
    )  # fmt: skip


def test_the_checker_says_it(tmp_path, images):
    write(tmp_path / 'data' / 'A', images[:24], '.jpg', quality=95)
    write(tmp_path / 'data' / 'B', images[24:])
    write(tmp_path / 'made' / 'A', images[:24])
    report = check_dataset(config(tmp_path / 'data'), synthetic=tmp_path / 'made')
    (uneven,) = report.of_kind('uneven compression')
    assert 'A JPEG of quality 95, 4:2:0, B PNG' in uneven.message
    (found,) = report.of_kind('synthetic differs')
    assert 'synthesize.py --like' in found.message
    report = check_dataset(config(tmp_path / 'data'), synthetic=tmp_path / 'none')
    assert report.of_kind('no images') and report.harmful


def test_files_of_a_manifest(tmp_path, images):
    write(tmp_path / 'A', images[:2])
    with open(tmp_path / 'manifest.csv', 'w', newline='') as file:
        csv.writer(file).writerows([('file', 'label'), ('A/000.png', 'A')])
    assert list_image_files(tmp_path / 'manifest.csv') == (tmp_path, ['A/000.png'])
    assert list_image_files(tmp_path)[1] == ['A/000.png', 'A/001.png']
    assert list_image_files(tmp_path / 'none')[1] == []


def test_pairs_are_not_compared_with_patches(tmp_path):
    with pytest.raises(TypeError, match='patches of a CellPatchDataset only'):
        check_dataset(
            dict(type='TissueMaskDataset', data_root=str(tmp_path), pipeline=[]), synthetic=tmp_path
        )
