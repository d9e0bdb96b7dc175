"""PatchCamelyon of Kaggle: labels in a table, an image per file, no splits."""

import csv
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from cellgan_plugin.converters import ConverterError, convert_pcam
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.randomness import rng_for


@pytest.fixture
def archive(tmp_path):
    """Fifty patches, two of five with a tumour."""
    folder = tmp_path / 'kaggle'
    (folder / 'train').mkdir(parents=True)
    with open(folder / 'train_labels.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['id', 'label'])
        for index in range(50):
            writer.writerow([f'{index:08x}', int(index % 5 < 2)])
            pixels = rng_for(0, 'tests/kaggle', index).integers(0, 256, (96, 96, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / 'train' / f'{index:08x}.tif')
    return folder


def test_each_class_is_divided_and_pixels_stay(archive, tmp_path):
    result = convert_pcam(archive, tmp_path / 'out', fractions=(0.6, 0.2, 0.2), progress=False)
    counts = Counter((row['split'], row['label']) for row in result.rows)
    assert counts == {
        ('train', 'normal'): 18, ('train', 'tumor'): 12, ('val', 'normal'): 6,
        ('val', 'tumor'): 4, ('test', 'normal'): 6, ('test', 'tumor'): 4,
    }  # fmt: skip
    assert len({row['group'] for row in result.rows}) == 50
    for row in result.rows:
        name = row['source'].partition(':')[0]
        assert (int(name[6:14], 16) % 5 < 2) == (row['label'] == 'tumor')
        written = load_image(str(tmp_path / 'out' / row['file']))
        assert np.array_equal(written, load_image(str(archive / name)))
    assert any('every patch is its own group' in line for line in result.lines)
    # A smaller share of the training part is part of it; val and test stay.
    half = convert_pcam(
        archive, tmp_path / 'half', fractions=(0.6, 0.2, 0.2), fraction=0.5, progress=False
    )
    files = {row['file'] for row in half.rows}
    assert files < {row['file'] for row in result.rows} and len(files) == 35
    assert Counter(row['split'] for row in half.rows) == dict(train=15, val=10, test=10)


@pytest.mark.parametrize('harm, match', [
    (lambda root: (root / 'train' / f'{7:08x}.tif').unlink(), r'1 of 50 patches .*00000007.tif'),
    (lambda root: (root / 'train_labels.csv').write_text('id,label\n00000001,2\n'), "label is '2'"),
    (lambda root: (root / 'train_labels.csv').write_text('id,label\n../a,1\n'), "id is '../a'"),
    (lambda root: (root / 'train_labels.csv').write_text('id,label\n01,1\n01,0\n'), 'twice'),
    (lambda root: Image.new('RGB', (50, 96)).save(root / 'train' / f'{7:08x}.tif'), '50x96'),
    (lambda root: (root / 'train' / f'{7:08x}.tif').write_bytes(b'II*'), '00000007.tif'),
])  # fmt: skip
def test_damaged_archives_are_refused(archive, tmp_path, harm, match):
    harm(archive)
    with pytest.raises(ConverterError, match=match):
        convert_pcam(archive, tmp_path / 'out', progress=False)


def test_what_it_does_not_have_is_said(archive, tmp_path):
    with pytest.raises(ConverterError, match='names no slides'):
        convert_pcam(archive, tmp_path / 'out', unit='groups', progress=False)
    (archive / 'train_labels.csv').unlink()
    with pytest.raises(ConverterError, match="for Kaggle's edition alone"):
        convert_pcam(archive, tmp_path / 'out', fractions=(0.8, 0.1, 0.1), progress=False)
