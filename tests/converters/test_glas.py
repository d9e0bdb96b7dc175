"""GlaS as published and as images/ + masks/, with the quirks of its table."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import run_program

from cellgan_plugin.converters import ConverterError, convert_glas
from cellgan_plugin.converters.glas import GLAS_CATEGORIES, count_patients, read_glas
from cellgan_plugin.datasets import load_image, load_mask
from cellgan_plugin.datasets.manifest import read_manifest

# As published: spaces after the commas, also in the header, and a spelling of its own.
PUBLISHED = (
    'name, patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)\n'
    'testA_1, 1, malignant, moderately-to-poorly differentated\n'
    'testB_1, 2, benign, healthy\n'
    'train_10, 1, benign, adenomatous\n'
    'train_2, 3, malignant, poorly differentiated\n'
)
NAMES = ('testA_1', 'testB_1', 'train_10', 'train_2')


def write_glas(root, layout='published', names=NAMES, table=PUBLISHED, size=(40, 30)):
    """A GlaS archive of random images; masks hold two glands, of which one has two parts."""
    root.mkdir(parents=True, exist_ok=True)
    (root / 'Grade.csv').write_text(table)
    for index, name in enumerate(names):
        width, height = size
        pixels = np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), np.uint8)
        mask[2:10, 2:12] = 1
        mask[20:28, 3:9] = 2
        mask[20:28, 20:30] = 1
        if layout == 'published':
            files = root / f'{name}.bmp', root / f'{name}_anno.bmp'
        else:
            files = root / 'images' / f'{name}.jpg', root / 'masks' / f'{name}.png'
        for file, array in zip(files, (pixels, mask), strict=True):
            file.parent.mkdir(exist_ok=True)
            Image.fromarray(array).save(file)
    return root


@pytest.mark.parametrize('layout', ['published', 'folders'])
def test_both_layouts_are_read_in_the_order_of_numbers(tmp_path, layout):
    images = read_glas(write_glas(tmp_path, layout))
    assert [item.name for item in images] == ['train_2', 'train_10', 'testA_1', 'testB_1']
    assert [item.split for item in images] == ['train', 'train', 'testA', 'testB']
    assert [item.patient for item in images] == ['3', '1', '1', '2']
    assert [item.grade for item in images] == ['malignant', 'benign', 'malignant', 'benign']
    assert [item.category for item in images] == [
        'poorly differentiated', 'adenomatous', 'moderately-to-poorly differentiated', 'healthy',
    ]  # fmt: skip
    assert {item.category for item in images} < set(GLAS_CATEGORIES)
    assert all(item.image.is_file() and item.mask.is_file() for item in images)
    assert count_patients(images) == (3, 1)  # patient 1 is in training and in test A


def test_the_folder_around_the_archive_and_one_subset_will_do(tmp_path):
    write_glas(tmp_path / 'Warwick QU Dataset (Released 2016_07_08)')
    assert [item.name for item in read_glas(tmp_path, subsets=['testA'])] == ['testA_1']


def test_a_subset_that_is_not_there_is_left_out_unless_it_is_asked_for(tmp_path):
    root = write_glas(tmp_path, names=[n for n in NAMES if n != 'testB_1'])
    assert [item.name for item in read_glas(root)] == ['train_2', 'train_10', 'testA_1']
    with pytest.raises(ConverterError, match='no image of testB; there are images of testA'):
        read_glas(root, subsets=['testB'])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (('benign, healthy', 'malignant, healthy'), 'row 3: testB_1 is malignant in one column'),
        (('3, malignant', 'x, malignant'), "row 5: patient ID 'x' is no number"),
        (('poorly differentiated', 'bad'), "row 5: grade 'bad' of the last column is none of"),
        (('train_2', 'train_10'), 'row 5: train_10 was already in row 4'),
        (('testB_1', '../testB_1'), r"row 3: name '\.\./testB_1' is none of train_N"),
        (('patient ID', 'patients'), 'column patient id is missing; the header is name'),
        (('1, benign, adenomatous', '1, benign'), 'row 4: the number of fields differs'),
        (('train_2', 'train_3'), r'row 5: train_3 has no image \(expected train_3.bmp\)'),
    ],
)
def test_a_bad_table_is_named_with_its_row(tmp_path, change, message):
    root = write_glas(tmp_path, table=PUBLISHED.replace(*change))
    with pytest.raises(ConverterError, match=message) as error:
        read_glas(root)
    assert 'Grade.csv' in str(error.value)


def test_missing_masks_rows_and_folders_are_named(tmp_path):
    root = write_glas(tmp_path / 'a')
    (root / 'train_2_anno.bmp').unlink()
    with pytest.raises(ConverterError, match=r'row 5: train_2 has no mask .*train_2_anno.bmp'):
        read_glas(root)
    root = write_glas(tmp_path / 'b', table=PUBLISHED[: PUBLISHED.index('train_2')])
    with pytest.raises(ConverterError, match='no row for image train_2'):
        read_glas(root)
    empty = tmp_path / 'b' / 'empty'
    empty.mkdir()
    with pytest.raises(ConverterError, match='no Grade.csv in it'):
        read_glas(empty)
    with pytest.raises(ConverterError, match='no such folder'):
        read_glas(tmp_path / 'nowhere')
    with pytest.raises(ConverterError, match='more than one folder with Grade.csv'):
        read_glas(tmp_path)
    with pytest.raises(ConverterError, match='expected one or more of train, testA, testB'):
        read_glas(root, subsets='train')


# Pairs ------------------------------------------------------------------------------------------


def test_pairs_keep_pixels_and_ids_and_say_that_patients_are_shared(tmp_path):
    root = write_glas(tmp_path / 'archive')
    result = convert_glas(root, tmp_path / 'out', progress=False)
    rows = read_manifest(result.manifest)
    assert [row['split'] for row in rows] == ['train', 'train', 'testA', 'testB']
    assert [row['group'] for row in rows] == ['patient03', 'patient01', 'patient01', 'patient02']
    assert [row['label'] for row in rows] == ['malignant', 'benign', 'malignant', 'benign']
    assert rows[0]['category'] == 'poorly differentiated' and rows[0]['glands'] == '2'
    for row, item in zip(rows, read_glas(root), strict=True):
        assert (
            load_image(str(tmp_path / 'out' / row['file'])) == load_image(str(item.image))
        ).all()
        assert (load_mask(str(tmp_path / 'out' / row['mask'])) == load_mask(str(item.mask))).all()
    text = '\n'.join(result.lines)
    assert 'WARNING: 1 of the 3 patients are in the training set AND' in text
    assert '--split-by patient' in text
    again = convert_glas(root, tmp_path / 'out', progress=False)
    assert again.rows == result.rows


def test_a_split_by_patient_keeps_patients_apart(tmp_path):
    root = write_glas(tmp_path / 'archive')
    fractions = (0.5, 0.0, 0.5)
    result = convert_glas(
        root, tmp_path / 'out', split_by='patient', fractions=fractions, progress=False
    )
    sides = {}
    for row in result.rows:
        sides.setdefault(row['group'], set()).add(row['split'])
    assert all(len(side) == 1 for side in sides.values())
    assert {row['split'] for row in result.rows} == {'train', 'test'}
    assert [row['subset'] for row in result.rows] == ['train', 'train', 'testA', 'testB']
    with pytest.raises(ConverterError, match='was made from something else'):
        convert_glas(root, tmp_path / 'out', progress=False)


def test_pairs_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    root = write_glas(tmp_path / 'archive')
    Image.fromarray(np.zeros((30, 39), np.uint8)).save(root / 'train_2_anno.bmp')
    with pytest.raises(ConverterError, match='train_2_anno.bmp: is 39x30, its image 40x30'):
        convert_glas(root, tmp_path / 'out', progress=False)
    with pytest.raises(ConverterError, match='put them side by side'):
        convert_glas(root, root, progress=False)
    with pytest.raises(ConverterError, match='expected one of published, patient'):
        convert_glas(root, tmp_path / 'out', split_by='image', progress=False)
    assert not (tmp_path / 'out').exists()
    tool = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'glas.py'
    refused = run_program(tool, tmp_path, '--out', tmp_path / 'out', check=False)
    assert refused.returncode == 2 and 'is 39x30' in refused.stderr
