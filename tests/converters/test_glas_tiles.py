"""Tiles of GlaS by grade, split by patient."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import run_program

from cellgan_plugin.converters import ConverterError, convert_glas_tiles
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.manifest import read_manifest

CLI = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'glas_tiles.py'
TABLE = 'name, patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)\n'


def write_pair(root, name, seed):
    """A noise image of 40x24 px; gland in its left half."""
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 40, 3), np.uint8)
    mask = np.zeros((24, 40), np.uint8)
    mask[:, :20] = 1 + seed % 3
    for folder, array in (('images', pixels), ('masks', mask)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / folder / f'{name}.png')


@pytest.fixture
def glas(tmp_path):
    """Twelve images of six patients, three of each grade, in train and test A alike."""
    root = tmp_path / 'glas'
    lines = []
    for number in range(12):
        patient = number % 6
        kind = ('benign, healthy', 'malignant, poorly differentiated')[patient % 2]
        name = f'{("train", "testA")[number // 6]}_{number + 1}'
        write_pair(root, name, number)
        lines.append(f'{name}, {patient + 1}, {kind}')
    (root / 'Grade.csv').write_text(TABLE + '\n'.join(lines) + '\n')
    return root


def convert(root, name='out', **kwargs):
    return convert_glas_tiles(root, root.parent / name, tile=16, progress=False, **kwargs)


def test_tiles_by_grade_and_patient(glas):
    result = convert(glas, min_gland=0.5, fractions=(0.34, 0.33, 0.33))
    rows = read_manifest(result.manifest)
    sides = {}
    for row in rows:
        y, x = int(row['y']), int(row['x'])
        assert x <= 12  # the right half holds no gland
        number = int(row['source'].rpartition('_')[2])
        assert row['group'] == str((number - 1) % 6 + 1)
        assert row['label'] == ('benign', 'malignant')[(number - 1) % 2]
        sides.setdefault(row['group'], set()).add(row['split'])
        whole = load_image(str(glas / 'images' / f'{row["source"]}.png'))
        tile = load_image(str(result.manifest.parent / row['file']))
        np.testing.assert_array_equal(tile, whole[y : y + 16, x : x + 16])
        assert float(row['gland']) >= 0.5
    # Tiles at x = 0, 12, 24 and y = 0, 8; the middle ones are half gland.
    assert len(rows) == 12 * 4
    assert result.counts['tiles with too little gland, left out'] == 12 * 2
    # No patient on two sides, although each is in train and test A as published.
    assert all(len(side) == 1 for side in sides.values())
    assert set().union(*sides.values()) == {'train', 'val', 'test'}


def test_gland_types_and_overlap(glas):
    result = convert(glas, label='category', min_overlap=8, min_gland=0)
    assert {row['label'] for row in result.rows} == {'healthy', 'poorly differentiated'}
    assert len(result.rows) == 12 * 4 * 2


def test_a_finished_folder_is_left_alone_and_other_parameters_are_refused(glas):
    first = convert(glas)
    before = {path: path.stat().st_mtime_ns for path in first.manifest.parent.rglob('*.png')}
    again = convert(glas)
    assert again.rows == first.rows
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(ConverterError, match='min_gland: 0.2 there, 0.6 now'):
        convert(glas, min_gland=0.6)


@pytest.mark.parametrize(
    'kwargs, match',
    (
        ({'label': 'stain'}, 'expected one of grade, category'),
        ({'min_overlap': 16}, 'expected 0 to less than tile 16'),
        ({'min_gland': 1.5}, 'expected 0 to 1'),
        ({'fractions': (1, 1, 0)}, 'add up to 1'),
        ({'subsets': ('testB',)}, 'no image of testB'),
    ),
)
def test_bad_arguments(glas, kwargs, match):
    with pytest.raises(ConverterError, match=match):
        convert(glas, **kwargs)
    assert not (glas.parent / 'out').exists()


def test_bad_images_are_found_before_anything_is_written(glas):
    with pytest.raises(ConverterError, match='smaller than a tile of 32 px; lower --tile'):
        convert_glas_tiles(glas, glas.parent / 'out', tile=32, progress=False)
    Image.new('L', (40, 24)).save(glas / 'masks' / 'train_3.png')  # no gland: its tiles go
    assert len(convert(glas, 'less').rows) == 4 * 11
    Image.new('L', (20, 24)).save(glas / 'masks' / 'train_3.png')
    with pytest.raises(ConverterError, match='train_3.png: is 20x24 px, its image 40x24 px'):
        convert(glas)
    (glas / 'images' / 'train_3.png').write_bytes(b'\x89PNG')
    with pytest.raises(ConverterError, match=r'images/train_3\.png'):
        convert(glas)
    for path in (glas / 'masks').iterdir():
        Image.new('L', (40, 24)).save(path)
    write_pair(glas, 'train_3', 3)
    Image.new('L', (40, 24)).save(glas / 'masks' / 'train_3.png')
    with pytest.raises(ConverterError, match='no tile of 16 px holds 20% gland'):
        convert(glas)
    assert not (glas.parent / 'out').exists()


def test_the_tool(glas, capsys):
    arguments = [str(glas), '--out', str(glas.parent / 'out'), '--tile', '16']
    done = run_program(CLI, *arguments)
    assert 'tiles written' in done.stdout and 'malignant' in done.stdout
    assert runpy.run_path(str(CLI))['main']([*arguments[:-1], '64']) == 2
    assert 'glas_tiles.py: error: ' in capsys.readouterr().err
