import argparse
import csv
import functools
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from programs import run_program

from cellgan_plugin.datasets.manifest import read_manifest
from cellgan_plugin.phantom import generate_tissue_phantom, write_phantom_dataset
from cellgan_plugin.phantom.textures import texture_bank
from cellgan_plugin.phantom.tissue.grades import GRADES
from cellgan_plugin.phantom.tissue.patients import PATIENTS_PER_SPLIT
from cellgan_plugin.phantom.tissue.scene import make_tissue_scene, polygon_areas
from cellgan_plugin.records import RecordError
from cellgan_plugin.runs.command_line import image_size

CLI = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'phantom.py'
IMAGES = 16


@functools.cache
def population(label):
    """Sixteen small images of a grade, shared by the tests that look at truth alone."""
    return tuple(
        generate_tissue_phantom(label, (64, 32), seed=3, index=index) for index in range(IMAGES)
    )


def epithelial(label, low=0.0, high=1.0):
    return [
        nucleus
        for image in population(label)
        for nucleus in image.nuclei
        if low <= nucleus.height < high
    ]


@pytest.mark.parametrize('label', GRADES)
@pytest.mark.parametrize('size', ((256, 128), (64, 32), (16, 16), (50, 90), (33, 17)))
def test_form_at_every_size(label, size):
    made = generate_tissue_phantom(label, size, index=1)
    assert made.image.shape == (*size, 3) and made.image.dtype == np.uint8
    for mask in (made.instance_mask, made.nucleus_mask):
        assert mask.shape == size and mask.dtype == np.uint16
    assert (made.label, made.size, made.index) == (label, size, 1)
    assert made.image.std() > 15, 'an empty picture'


def test_a_number_is_a_square():
    assert generate_tissue_phantom('CIN2', 24).image.shape == (24, 24, 3)


def test_a_picture_larger_than_the_texture_bank():
    made = generate_tissue_phantom('Normal', (1320, 40))
    assert made.image.shape == (1320, 40, 3)
    field = texture_bank(528).wrapped('cloud', (1320, 40), np.array((0.9, 0.2)))
    assert field.shape == (1320, 40) and 0.3 < field.std() < 2


def test_fields_go_on_where_they_end():
    bank = texture_bank(20)
    field = bank.wrapped('mottle', (100, 30), np.array((0.5, 0.75)))
    np.testing.assert_array_equal(field[40:80], field[:40])  # a period is two pictures, 40 px
    np.testing.assert_array_equal(field[:20, :10], bank._fields['mottle'][20:40, 30:40])


def test_same_key_same_bytes_in_any_order():
    keys = [(label, index) for label in GRADES for index in (0, 5)]
    first = {key: generate_tissue_phantom(key[0], (48, 24), index=key[1]) for key in keys}
    generate_tissue_phantom('CIN3', 80, seed=9)
    for key in reversed(keys):
        again = generate_tissue_phantom(key[0], (48, 24), index=key[1])
        assert again.image.tobytes() == first[key].image.tobytes()
        assert again.instance_mask.tobytes() == first[key].instance_mask.tobytes()
        assert again.nucleus_mask.tobytes() == first[key].nucleus_mask.tobytes()
        assert again.record == first[key].record
        # NaN, the height of a stromal nucleus, differs from itself: compare the text.
        assert repr(again.nuclei) == repr(first[key].nuclei)


def test_every_part_of_the_key_matters():
    base = generate_tissue_phantom('Normal', (64, 32)).image.astype(int)
    for other in (
        generate_tissue_phantom('CIN1', (64, 32)),
        generate_tissue_phantom('Normal', (64, 32), seed=1),
        generate_tissue_phantom('Normal', (64, 32), split='val'),
        generate_tissue_phantom('Normal', (64, 32), index=1),
        generate_tissue_phantom('Normal', (64, 32), index=PATIENTS_PER_SPLIT),
    ):
        assert np.abs(other.image - base).mean() > 2


@pytest.mark.parametrize('label', GRADES)
def test_the_scene_does_not_depend_on_the_size(label):
    small = generate_tissue_phantom(label, (64, 32), index=2)
    large = generate_tissue_phantom(label, (256, 128), index=2)
    shrunk = cv2.resize(large.image, (32, 64), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shrunk.ravel(), small.image.ravel())[0, 1] > 0.93
    assert small.record.reach == large.record.reach
    same = (large.instance_mask[2::4, 2::4] > 0) == (small.instance_mask > 0)
    assert same.mean() > 0.98


def test_dysplasia_climbs_by_thirds():
    limits = {'Normal': (0, 0), 'CIN1': (0, 1 / 3), 'CIN2': (1 / 3, 2 / 3), 'CIN3': (2 / 3, 1)}
    for label, (low, high) in limits.items():
        reaches = [image.record.reach for image in population(label)]
        assert min(reaches) >= low and max(reaches) <= high + 0.02, label
        seen = [nucleus.dysplastic for nucleus in epithelial(label, high + 0.2, 0.99)]
        assert not np.mean(seen or [0]) > 0.1, f'{label}: dysplasia above its third'
        if label != 'Normal':
            assert np.mean([n.dysplastic for n in epithelial(label, 0, min(reaches) / 2)]) > 0.9


def test_crowding_rises_with_the_grade():
    crowding = [np.mean([im.record.crowding for im in population(label)]) for label in GRADES]
    assert crowding == sorted(crowding) and crowding[-1] > 1.25 * crowding[0]


def test_normal_epithelium_matures_upwards():
    basal, middle, top = (
        epithelial('Normal', *part) for part in ((0, 0.06), (0.4, 0.6), (0.93, 1.01))
    )
    size = [np.mean([n.nucleus_um2 for n in part]) for part in (basal, middle, top)]
    assert size[1] > size[0] > size[2]
    upright = [np.mean([abs(n.angle) for n in part]) for part in (basal, middle, top)]
    assert upright[0] > 70 and upright[2] < 15
    assert np.mean([n.aspect for n in top]) > 2


def test_dysplastic_nuclei_have_no_common_direction():
    def order(nuclei):  # 1 for parallel nuclei, 0 for any direction
        angle = np.radians([2 * n.angle for n in nuclei])
        return np.hypot(np.cos(angle).mean(), np.sin(angle).mean())

    assert order(epithelial('Normal', 0, 0.06)) > 0.8
    assert order(epithelial('CIN3', 0.1, 0.5)) < 0.4


def test_koilocytes_and_mitoses_are_where_they_belong():
    assert not any(n.kind in ('koilocyte', 'mitosis') for n in epithelial('Normal'))
    assert any(n.kind == 'mitosis' and n.dysplastic for n in epithelial('CIN3'))
    koilocytes = [n for n in epithelial('CIN1') if n.kind == 'koilocyte']
    assert len(koilocytes) > IMAGES
    assert not any(n.dysplastic or n.height < 0.3 for n in koilocytes)


@pytest.mark.parametrize('label', GRADES)
def test_masks_and_records_agree(label):
    for made in population(label):
        count = len(made.nuclei)
        assert [n.id for n in made.nuclei] == list(range(1, count + 1))
        nuclei = np.bincount(made.nucleus_mask.ravel(), minlength=count + 1)
        cells = np.bincount(made.instance_mask.ravel(), minlength=count + 1)
        assert len(nuclei) == count + 1
        for nucleus in made.nuclei:
            assert nucleus.visible_nucleus == nuclei[nucleus.id] > 0
            assert nucleus.visible_cell == cells[nucleus.id]
            stromal = nucleus.kind in ('fibroblast', 'lymphocyte')
            assert np.isnan(nucleus.height) == stromal
            assert not (stromal and nucleus.visible_cell)
        record = made.record
        kinds = Counter(n.kind for n in made.nuclei)
        assert record.num_nuclei == count
        assert record.num_koilocytes == kinds['koilocyte']
        assert record.num_mitoses == kinds['mitosis']
        assert record.num_epithelial == count - kinds['fibroblast'] - kinds['lymphocyte']
        assert record.num_dysplastic == sum(n.dysplastic for n in made.nuclei)


def test_cells_tile_the_epithelium():
    made = generate_tissue_phantom('CIN2', (256, 128), index=4)
    inside = made.instance_mask > 0
    # Per column one run from surface to base, without a hole.
    starts = np.diff(inside.astype(int), axis=0, prepend=0, append=0) == 1
    assert (starts.sum(axis=0) == 1).all()
    assert 0.6 < inside.mean() < 0.95


def test_true_areas_match_outlines_and_visible_pixels():
    scene = make_tissue_scene('CIN3', 0, 'train', 0)
    np.testing.assert_allclose(polygon_areas(scene.outline), scene.nucleus_um2, rtol=1e-9)
    made = generate_tissue_phantom('Normal', (512, 256), index=3)
    whole = [n for n in made.nuclei if n.complete and n.kind == 'epithelial' and n.height > 0.3]
    ratio = [n.visible_nucleus / n.nucleus_area for n in whole]
    assert np.median(ratio) == pytest.approx(1, abs=0.05)


def test_nuclei_show_in_the_picture():
    for label in GRADES:
        for made in population(label)[:4]:
            nuclei, epithelium = made.nucleus_mask > 0, made.instance_mask > 0
            around = made.image[epithelium & ~nuclei].mean()
            assert around - made.image[nuclei].mean() > 15, label


def test_the_area_of_a_square():
    square = np.array([(0, 0), (3, 0), (3, 3), (0, 3)], float)
    np.testing.assert_array_equal(polygon_areas(np.stack([square, square[::-1] + 5])), [9, 9])


def test_patients_are_shared_by_grades_and_not_by_splits():
    train = {label: generate_tissue_phantom(label, 16, index=7).patient for label in GRADES}
    assert len(set(train.values())) == 1
    assert generate_tissue_phantom('Normal', 16, split='val', index=7).patient != train['Normal']
    assert generate_tissue_phantom('Normal', 16, index=8).patient != train['Normal']


def test_spellings_of_a_grade():
    assert generate_tissue_phantom('cin-1', 16).label == 'CIN1'
    assert generate_tissue_phantom('CIN 3', 16).label == 'CIN3'


@pytest.mark.parametrize('label', ('NILM', 'CIN4', '', None))
def test_unknown_grade(label):
    with pytest.raises(ValueError, match='Normal, CIN1, CIN2, CIN3'):
        generate_tissue_phantom(label)


@pytest.mark.parametrize('size', (15, (256, 8), (64,), (64, 32, 3), (64.0, 32), True, None))
def test_bad_size(size):
    with pytest.raises(ValueError, match='at least 16'):
        generate_tissue_phantom('Normal', size)


def test_bad_index():
    with pytest.raises(ValueError, match='0 or more'):
        generate_tissue_phantom('Normal', 16, index=-1)


def test_a_folder_of_tissue(tmp_path):
    out = tmp_path / 'tissue'
    run_program(
        CLI, '--kind', 'tissue', '--out', out, '--quiet', '--size', '32x16',
        '--splits', 'train=3,val=1', '--seed', 2, '--sheet', tmp_path / 'sheet.png',
    )  # fmt: skip
    rows = read_manifest(out / 'manifest.csv')
    assert Counter((row['split'], row['label']) for row in rows) == {
        (split, label): number for split, number in (('train', 3), ('val', 1)) for label in GRADES
    }
    tables = {}
    for name in ('images', 'nuclei'):
        with open(out / '_truth' / f'{name}.csv', newline='') as file:
            tables[name] = list(csv.DictReader(file))
    assert [row['file'] for row in tables['images']] == [row['file'] for row in rows]
    for row, truth in zip(rows, tables['images'], strict=True):
        made = generate_tissue_phantom(
            row['label'], (32, 16), 2, row['split'], int(row['file'][-10:-4])
        )
        assert row['group'] == made.patient
        read = cv2.imread(str(out / row['file']))[..., ::-1]
        np.testing.assert_array_equal(read, made.image)
        for kind, mask in (('instances', made.instance_mask), ('nuclei', made.nucleus_mask)):
            path = out / '_truth' / kind / row['file']
            np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), mask)
        assert float(truth['reach']) == pytest.approx(made.record.reach, abs=1e-4)
        assert int(truth['num_nuclei']) == made.record.num_nuclei
        own = [n for n in tables['nuclei'] if n['file'] == row['file']]
        assert [n['kind'] for n in own] == [n.kind for n in made.nuclei]
    sheet = cv2.imread(str(tmp_path / 'sheet.png'))
    assert sheet.shape[0] > 4 * 32 and sheet.shape[1] > 3 * 16


def test_a_folder_of_cells_does_not_become_one_of_tissue(tmp_path):
    write_phantom_dataset(tmp_path, 16, {'NILM': 1})
    with pytest.raises(RecordError, match='"phantom cytology 1" there, "phantom tissue 1" now'):
        write_phantom_dataset(tmp_path, (16, 16), {'CIN1': 1}, kind='tissue')


def test_unknown_kind(tmp_path):
    with pytest.raises(ValueError, match='cytology, tissue'):
        write_phantom_dataset(tmp_path / 'p', counts=1, kind='glands')
    with pytest.raises(ValueError, match='choose one of Normal'):
        write_phantom_dataset(tmp_path / 'p', counts={'NILM': 1}, kind='tissue')


def test_sizes_on_the_command_line():
    assert image_size('64') == 64 and image_size('256x128') == (256, 128)
    for text in ('64x', 'x', '64x32x3', '-64', '6 4', ''):
        with pytest.raises(argparse.ArgumentTypeError, match='SIDE or HEIGHTxWIDTH'):
            image_size(text)
