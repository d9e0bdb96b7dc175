"""Slides to patches: the right pixels, at the right scale, on the right side of the split."""

import contextlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from slide_files import (
    MPP,
    asap,
    feature,
    halved,
    noise,
    smear,
    square,
    write_geojson,
    write_huge_slide,
    write_slide,
)
from tool_parsers import load_tool

from cellgan_plugin.converters import ConverterError
from cellgan_plugin.converters.slides import (
    SlideReader,
    convert_slides,
    cutting,
    make_settings,
    tissue,
)
from cellgan_plugin.converters.slides.plan import plan_tissue
from cellgan_plugin.converters.slides.settings import field_of, scale_of
from cellgan_plugin.converters.slides.tissue import sharpness
from cellgan_plugin.datasets import check_dataset
from cellgan_plugin.datasets.manifest import read_manifest
from cellgan_plugin.phantom import generate_tissue_phantom

REPO = Path(__file__).parents[2]
CELLS = ((300, 200), (611, 433), (150.4, 620.6))


@pytest.fixture(scope='module')
def noisy(tmp_path_factory):
    """One slide of noise and its levels."""
    folder = tmp_path_factory.mktemp('noisy')
    return folder, write_slide(folder / 'a.tiff', noise(768, 1024, side=2))


def run(slides, out, mpp=MPP, size=64, **options):
    names = (
        'stride',
        'coverage',
        'focus',
        'assume_mpp',
        'file_format',
        'masks',
        'region',
        'oriented',
    )
    settings = make_settings(
        mpp, size, **{name: options.pop(name) for name in names if name in options}
    )
    return convert_slides(slides, out, settings, progress=False, **options)


def points(folder, cells=CELLS, label='HSIL', name='a'):
    features = [feature('Point', list(cell), label, k) for k, cell in enumerate(cells)]
    return write_geojson(folder / f'{name}.geojson', features).parent


def pixels(result, row):
    return np.array(Image.open(result.manifest.parent / row['file']))


@pytest.mark.parametrize('mpp, level', [(0.25, 0), (0.5, 1), (1.0, 2)])
def test_cells_are_cut_to_the_pixel_at_three_scales(noisy, tmp_path, mpp, level):
    slides, levels = noisy
    result = run(slides, tmp_path / 'out', mpp, 32, annotations=points(tmp_path / 'q'))
    rows = {row['annotation']: row for row in read_manifest(result.manifest)}
    for number, (x, y) in enumerate(CELLS):
        row = rows[f'f{number}']
        left, top = (round(place / 2**level - 16) for place in (x, y))
        truth = levels[level][top : top + 32, left : left + 32]
        assert np.array_equal(pixels(result, row), truth)
        assert (int(row['x']), int(row['y'])) == (left * 2**level, top * 2**level)
        # The centre of the patch is the cell, to one pixel of the patch.
        assert abs(int(row['x']) + 16 * 2**level - x) <= 2**level
        assert (row['level'], row['factor'], row['mpp']) == (str(level), '1', f'{mpp:g}')
        assert (row['slide'], row['group'], row['label']) == ('a', 'a', 'HSIL')
        assert row['original_width'] == row['original_height'] == '32'


def test_a_scale_between_the_levels(noisy, tmp_path):
    slides, levels = noisy
    result = run(slides, tmp_path / 'out', 0.4, 40, annotations=points(tmp_path / 'q'))
    row = next(row for row in result.rows if row['annotation'] == 'f0')
    assert (row['level'], row['original_width'], row['factor']) == (0, 64, '0.625')
    truth = levels[0][200 - 32 : 232, 300 - 32 : 332]
    expected = cv2.resize(truth, (40, 40), interpolation=cv2.INTER_AREA)
    assert np.array_equal(pixels(result, row), expected)


def test_slides_of_two_scales_give_patches_of_one(tmp_path):
    fine = cv2.GaussianBlur(noise(512, 512, 3, side=8), (0, 0), 4)
    write_slide(tmp_path / 's' / 'fine.tiff', fine, 0.25, 1)
    write_slide(tmp_path / 's' / 'coarse.tiff', halved(fine), 0.5, 1)
    write_geojson(tmp_path / 'q' / 'fine.geojson', [feature('Point', [256, 200], 'A')])
    write_geojson(tmp_path / 'q' / 'coarse.geojson', [feature('Point', [128, 100], 'A')])
    result = run(tmp_path / 's', tmp_path / 'out', 0.5, annotations=tmp_path / 'q')
    first, second = (pixels(result, row).astype(int) for row in result.rows)
    assert np.abs(first - second).max() <= 1
    assert {row['factor'] for row in result.rows} == {'1', '0.5'}


def test_a_slide_coarser_than_asked_for_is_said(noisy, tmp_path):
    result = run(noisy[0], tmp_path / 'out', 0.125, annotations=points(tmp_path / 'q'))
    assert {row['factor'] for row in result.rows} == {'2'}
    assert any('a are coarser than asked for' in line for line in result.lines)


def test_a_cell_at_the_edge_is_moved_onto_the_slide(noisy, tmp_path):
    cells = ((2, 3), (1023, 767))
    result = run(noisy[0], tmp_path / 'out', annotations=points(tmp_path / 'q', cells))
    assert {(row['x'], row['y']) for row in result.rows} == {(0, 0), (960, 704)}
    assert result.counts['cells at the edge, patch moved onto the slide'] == 2


def test_polygons_are_tiled(noisy, tmp_path):
    ring, hole = square(128, 128, 384), square(192, 192, 64)
    write_geojson(tmp_path / 'q' / 'a.geojson', [feature('Polygon', [ring, hole], 'T')])
    result = run(noisy[0], tmp_path / 'out', annotations=tmp_path / 'q')
    places = {(row['x'], row['y']) for row in result.rows}
    grid = {(x, y) for x in range(128, 512, 64) for y in range(128, 512, 64)}
    assert places == grid - {(192, 192)}
    halves = run(noisy[0], tmp_path / 'b', annotations=tmp_path / 'q', stride=32, coverage=1)
    assert (160, 128) in {(row['x'], row['y']) for row in halves.rows}
    assert all((row['x'] - 128) % 32 == 0 for row in halves.rows)
    # Half of a tile beside the polygon is too little by default.
    wide = run(noisy[0], tmp_path / 'c', annotations=tmp_path / 'q', stride=32, coverage=0.5)
    assert (96, 128) in {(row['x'], row['y']) for row in wide.rows}


def test_both_dialects_and_small_shapes_are_read(noisy, tmp_path):
    features = [
        feature('Point', [300, 200], 'A', 1),
        feature('MultiPoint', [[400, 300], [500, 300]], 'A', 2),
        feature('Polygon', [square(600, 400, 20)], 'B', 3),
        feature('MultiPolygon', [[square(300, 500, 9)], [square(310, 510, 9)]], 'B', 4),
        feature('LineString', [[1, 1], [2, 2]], 'B', 5),
    ]
    del features[0]['properties']['classification']
    features[0]['properties']['classification'] = 'A'
    features[2]['properties'] = {'classification': {'names': ['B'], 'color': [1, 2, 3]}}
    write_geojson(tmp_path / 'q' / 'a.tiff.geojson', features)
    (tmp_path / 'q' / '._a.tiff.geojson').write_bytes(b'\x00')  # of macOS
    (tmp_path / 'q' / 'old.json').mkdir()
    write_geojson(tmp_path / 'bare.json', features, bare=True).rename(tmp_path / 'a.json')
    expected = {
        ('f1', 'A', 268, 168), ('f2#1', 'A', 368, 268), ('f2#2', 'A', 468, 268),
        ('f3', 'B', 578, 378), ('f4', 'B', 278, 478),
    }  # fmt: skip
    for name, source in (('x', tmp_path / 'q'), ('y', tmp_path / 'a.json')):
        result = run(noisy[0], tmp_path / name, annotations=source)
        rows = {(r['annotation'], r['label'], r['x'], r['y']) for r in result.rows}
        assert rows == expected
        assert result.counts['lines, passed over'] == 1
        assert result.counts['cells'] == 5


def test_collections_shared_ids_and_what_qupath_ignores(noisy, tmp_path):
    parts = [
        {'type': 'Point', 'coordinates': [300, 200]},
        {'type': 'Polygon', 'coordinates': [square(400, 300, 20)]},
        {'type': 'LineString', 'coordinates': [[1, 1], [5, 5]]},
    ]
    mixed = feature('GeometryCollection', None, 'A', 1)
    mixed['geometry'] = {'type': 'GeometryCollection', 'geometries': parts}
    old = [feature('Point', [500 + 9 * k, 200], 'A', id='PathAnnotationObject') for k in (0, 1)]
    ignored = feature('Polygon', [square(10, 10, 500)], 'Ignore*', 9)
    result = run(noisy[0], tmp_path / 'out', annotations=one(tmp_path, mixed, *old, ignored))
    assert {(row['annotation'], row['x'], row['y']) for row in result.rows} == {
        ('f1#1', 268, 168), ('f1#2', 378, 278), ('PathAnnotationObject', 468, 168),
        ('PathAnnotationObject-2', 477, 168),
    }  # fmt: skip
    assert result.counts['lines, passed over'] == 1
    assert result.counts['annotations of the class Ignore*, passed over'] == 1
    source = one(tmp_path, feature('Point', [300, 200], 'Tumor: Positive'))
    with pytest.raises(ConverterError, match=r"'Tumor: Positive' holds ':'.*--map CLASS="):
        run(noisy[0], tmp_path / 'b', annotations=source)
    mapped = run(noisy[0], tmp_path / 'b', annotations=source, class_map={'P': ['Tumor: Positive']})
    assert [row['label'] for row in mapped.rows] == ['P']


def test_asap(noisy, tmp_path):
    marks = [
        ('one', 'Dot', 'A', [(300, 200)]),
        ('two', 'Rectangle', 'B', [p for p in square(600, 400, 20)[:4]]),
        ('three', 'Polygon', 'None', [(1, 1), (9, 1), (9, 9)]),
        ('four', 'Measurement', 'B', [(1, 1), (9, 1)]),
    ]
    (tmp_path / 'a.xml').write_text(asap(marks))
    result = run(noisy[0], tmp_path / 'out', annotations=tmp_path / 'a.xml', skip_unmatched=True)
    rows = {(r['annotation'], r['label'], r['x'], r['y']) for r in result.rows}
    assert rows == {('one', 'A', 268, 168), ('two', 'B', 578, 378)}
    assert result.counts['annotations of no class, left out'] == 1
    assert result.counts['marks of type Measurement, passed over'] == 1


@pytest.mark.parametrize('unit, factor, part', [('px', 1, ','), ('um', MPP, '; '), ('px', 1, '\t')])
def test_a_table_of_cells(noisy, tmp_path, unit, factor, part):
    rows = [('a', 300, 200, '', '', 'NILM'), ('a.tiff', 590, 420, 20, 10, 'HSIL')]
    lines = ['\ufeff' + part.join(('slide', 'x', 'y', 'width', 'height', 'label'))]
    for slide, *numbers, label in rows:
        scaled = (n if n == '' else n * factor for n in numbers)
        lines.append(part.join(map(str, (slide, *scaled, label))))
    table = tmp_path / 'cells.csv'
    table.write_text('\n'.join(lines), encoding='utf-8')
    result = run(noisy[0], tmp_path / 'out', annotations=table, unit=unit)
    assert {(r['annotation'], r['label'], r['x'], r['y']) for r in result.rows} == {
        ('2', 'NILM', 268, 168), ('3', 'HSIL', 568, 393),
    }  # fmt: skip


def test_patients_stay_on_one_side(tmp_path):
    for number in range(6):
        write_slide(tmp_path / 's' / f's{number}.tiff', noise(256, 256, number), levels=1)
        points(
            tmp_path / 'q', [(64 + 9 * k, 128) for k in range(8)], 'AB'[number % 2], f's{number}'
        )
    table = tmp_path / 'slides.csv'
    table.write_text('slide,patient\n' + ''.join(f's{n}.tiff,P{n // 2}\n' for n in range(6)))
    result = run(
        tmp_path / 's', tmp_path / 'out', annotations=tmp_path / 'q', slide_table=table,
        fractions=(0.4, 0.3, 0.3), workers=2,
    )  # fmt: skip
    sides = {}
    for row in result.rows:
        assert row['group'] == f'P{int(row["slide"][1]) // 2}'
        sides.setdefault(row['group'], set()).add(row['split'])
    assert sorted(map(len, sides.values())) == [1, 1, 1]
    assert {row['split'] for row in result.rows} == {'train', 'val', 'test'}
    table.write_text('slide,split\n' + ''.join(f's{n},test\n' for n in range(6)))
    kept = run(tmp_path / 's', tmp_path / 'b', annotations=tmp_path / 'q', slide_table=table)
    assert {row['split'] for row in kept.rows} == {'test'}
    rows = ''.join(f's{n},P{n // 2},{("train", "test")[n % 2]}\n' for n in range(6))
    table.write_text('slide,patient,split\n' + rows)
    with pytest.raises(ConverterError, match='patients in two splits: P0'):
        run(tmp_path / 's', tmp_path / 'c', annotations=tmp_path / 'q', slide_table=table)
    assert not (tmp_path / 'c' / 'A').exists(), 'nothing was cut before it was said'


# Tissue ------------------------------------------------------------------------------------------


def test_tissue_is_found_and_tiled(tmp_path):
    image, (left, top, right, bottom) = smear()
    image[512:640, 256:384] = cv2.GaussianBlur(image[512:640, 256:384], (0, 0), 4)
    image[640:768, 640:768] = (20, 60, 200)  # blue marker
    image[40:150, 40:300] = (30, 130, 60)  # a green stroke on the ground, beside the grid
    write_slide(tmp_path / 's' / 'a.tiff', image)
    labels = tmp_path / 'labels.csv'
    labels.write_text('slide,label\na,LSIL\n')
    result = run(tmp_path / 's', tmp_path / 'out', slide_labels=labels)
    tiles = {(x, y) for x in range(left, right, 64) for y in range(top, bottom, 64)}
    ink = {(x, y) for x, y in tiles if x >= 640 and y >= 640}
    blurred = {(x, y) for x, y in tiles if x < 384 and 512 <= y < 640}
    assert {(row['x'], row['y']) for row in result.rows} == tiles - ink - blurred
    assert {row['label'] for row in result.rows} == {'LSIL'}
    counts = result.counts
    assert counts['tiles under ink, left out'] == 4 + 4
    assert counts['tiles out of focus, left out'] == 4
    assert counts['blank tiles, left out'] == 256 - 64 - 4
    drawn = np.array(Image.open(tmp_path / 'out' / '_overview' / 'a.jpg')).astype(int)
    assert drawn.shape == (256, 256, 3)
    green = (drawn[..., 1] - drawn[..., 0] > 60).sum(), (drawn[..., 2] - drawn[..., 0] > 60).sum()
    assert min(green) > 30
    again = run(tmp_path / 's', tmp_path / 'out', slide_labels=labels)
    assert again.rows == result.rows and again.lines[-1].startswith('0 patches written')


def test_a_slide_without_tissue(tmp_path):
    image, _ = smear()
    write_slide(tmp_path / 's' / 'blank.tiff', image[:256, :256])
    with pytest.raises(ConverterError, match='no tissue is found .*16 blank tiles'):
        run(tmp_path / 's', tmp_path / 'out')
    write_slide(tmp_path / 's' / 'full.tiff', image)
    result = run(tmp_path / 's', tmp_path / 'out')
    assert {row['label'] for row in result.rows} == {'unlabelled'}
    assert result.counts['slides without tissue'] == 1


def test_the_map_of_a_huge_slide_is_bounded(tmp_path, monkeypatch):
    """Of small patches, too: here no more than 5,000 px of 1024 x 1024, and the same tiles."""
    image, box = smear()
    write_slide(tmp_path / 'a.tiff', image)
    settings, plans = make_settings(0.25, 32), []
    for most in (tissue._MOST_PX, 5_000):
        monkeypatch.setattr(tissue, '_MOST_PX', most)
        with SlideReader(tmp_path / 'a.tiff') as reader:
            field = field_of(reader.info, scale_of(reader.info, None, None), settings)
            plans.append(plan_tissue(reader, 'A', field, settings))
    assert plans[0].tissue.tissue.size == 512**2 and plans[1].tissue.tissue.size <= 5_200
    places = [{(patch.left, patch.top) for patch in plan.patches} for plan in plans]
    assert len(places[0]) == 256 and len(places[0] ^ places[1]) < 80
    inner = {(x, y) for x, y in places[0] if box[0] < x < box[2] - 32 and box[1] < y < box[3] - 32}
    assert inner <= places[1]


def test_sharpness_tells_blur_not_contrast():
    image = smear()[0][300:428, 300:428]
    pale = (image.astype(float) * 0.3 + 150).astype(np.uint8)
    assert sharpness(image) > 0.55 and abs(sharpness(pale) - sharpness(image)) < 0.05
    assert sharpness(cv2.GaussianBlur(image, (0, 0), 3)) < 0.5
    assert sharpness(np.full((64, 64, 3), 200, np.uint8)) == 0


# Masks -------------------------------------------------------------------------------------------


def test_masks_lie_beside_the_tiles(noisy, tmp_path):
    slides, levels = noisy
    features = [
        feature('Polygon', [square(130, 130, 100), square(150, 150, 20)], 'A', 1),
        feature('Polygon', [square(200, 130, 120)], 'A', 2),  # over the first; cut by the tile
        feature('Polygon', [square(700, 520, 50)], 'B', 3),
        feature('Point', [500, 500], 'B', 4),
    ]
    source = write_geojson(tmp_path / 'q' / 'a.geojson', features).parent
    result = run(slides, tmp_path / 'out', 0.5, annotations=source, masks=True, coverage=0.1)
    rows = {(row['x'], row['y']): row for row in read_manifest(result.manifest)}
    row = rows['128', '128']
    assert row['file'].startswith('images/') and row['mask'].startswith('masks/')
    mask = np.array(Image.open(result.manifest.parent / row['mask']))
    truth = np.zeros((64, 64), int)
    truth[1:51, 1:51] = 1
    truth[11:21, 11:21] = 0
    truth[1:61, 36:64] = 2
    assert np.array_equal(mask, truth)
    assert np.array_equal(pixels(result, row), levels[1][64:128, 64:128])
    assert rows['640', '512']['label'] == 'B'
    assert result.counts['points, without area for a mask'] == 1
    report = check_dataset(
        dict(
            type='TissueMaskDataset', data_root=str(tmp_path / 'out'), ann_file='manifest.csv',
            instances='binary', tile=64, pipeline=[],
        )
    )  # fmt: skip
    assert not report.harmful
    assert all(path.stat().st_size for path in (tmp_path / 'out' / 'masks').iterdir())


def test_a_region_says_what_was_annotated(noisy, tmp_path):
    features = [
        feature('Polygon', [square(128, 128, 256)], 'Region', 1),
        feature('Polygon', [square(140, 140, 30)], 'A', 2),
        feature('Polygon', [square(600, 500, 90)], 'A', 3),
    ]
    source = write_geojson(tmp_path / 'q' / 'a.geojson', features).parent
    result = run(
        noisy[0], tmp_path / 'out', annotations=source, masks=True, region='Region', classes=['A']
    )
    assert len(result.rows) == 16
    labels = {(row['x'], row['y']): row['label'] for row in result.rows}
    assert labels.pop((128, 128)) == 'A' and set(labels.values()) == {'Region'}
    with pytest.raises(ConverterError, match='a region is for masks'):
        run(noisy[0], tmp_path / 'b', annotations=source, region='Region')
    with pytest.raises(ConverterError, match='masks are of annotated polygons'):
        run(noisy[0], tmp_path / 'b', masks=True)


# What goes wrong ---------------------------------------------------------------------------------


def one(tmp_path, *features):
    write_geojson(tmp_path / 'q' / 'a.geojson', list(features))
    return tmp_path / 'q'


@pytest.mark.parametrize(
    'features, message',
    [
        ([feature('Point', [5000, 10], 'A')], r'lies outside the slide: x 5000 .*1024x768 px'),
        (
            [feature('Polygon', [[[9, 9], [200, 200], [200, 9], [9, 200], [9, 9]]], 'A')],
            r'feature 2 \(f1\) is a polygon whose border crosses itself \(at x, y 104.5 104.5\)',
        ),
        ([feature('Polygon', [[[1, 1], [5, 5], [9, 9], [1, 1]]], 'A')], 'without area|crosses'),
        (
            [feature('Polygon', [square(128, 128, 200)], n, k) for k, n in enumerate('AB')],
            r'one place has two classes: x 128, y 128: A \(f0\) and B \(f1\)',
        ),
    ],
)
def test_annotations_that_cannot_be_used(noisy, tmp_path, features, message):
    source = one(tmp_path, feature('Point', [600, 600], 'A', 9), *features)
    with pytest.raises(ConverterError, match=message) as error:
        run(noisy[0], tmp_path / 'out', annotations=source)
    assert '--skip-faults' in str(error.value) and '\n' not in str(error.value)
    result = run(noisy[0], tmp_path / 'out', annotations=source, skip_faults=True)
    assert 'f9' in {row['annotation'] for row in result.rows}
    assert result.counts['annotations that cannot be used, left out'] >= 1


def test_an_unknown_class(noisy, tmp_path):
    source = one(
        tmp_path, feature('Point', [300, 300], 'High grade', 1), feature('Point', [400, 300], '', 2)
    )
    options = dict(annotations=source, classes=['NILM', 'HSIL'])
    with pytest.raises(ConverterError, match=r'2 annotation\(s\) are of no known class.*--map'):
        run(noisy[0], tmp_path / 'out', **options)
    result = run(
        noisy[0], tmp_path / 'out', class_map={'HSIL': ['High grade']}, skip_unmatched=True,
        **options,
    )  # fmt: skip
    assert [row['label'] for row in result.rows] == ['HSIL']


def test_a_slide_without_scale(tmp_path):
    write_slide(tmp_path / 's' / 'a.tiff', noise(256, 256), mpp=None)
    source = points(tmp_path / 'q', [(128, 128)])
    with pytest.raises(ConverterError, match=r'a: .*does not say.*--assume-mpp, or a column mpp'):
        run(tmp_path / 's', tmp_path / 'out', annotations=source)
    result = run(tmp_path / 's', tmp_path / 'out', annotations=source, assume_mpp=0.25)
    assert any('are from assumed (the file does not say it)' in line for line in result.lines)
    assert ',0.25,0.25,assumed,' in (tmp_path / 'out' / 'slides.csv').read_text()
    table = tmp_path / 't.csv'
    table.write_text('slide,mpp\na,0.125\n')
    other = run(tmp_path / 's', tmp_path / 'b', annotations=source, slide_table=table)
    assert (other.rows[0]['level'], other.rows[0]['original_width']) == (1, 64)
    write_slide(tmp_path / 's' / 'a.tiff', noise(256, 256), mpp=1e4 / (72 / 2.54))
    with pytest.raises(ConverterError, match='says 352.8 microns per pixel, which no scanner has'):
        run(tmp_path / 's', tmp_path / 'c', annotations=source)


def test_damaged_slides_are_passed_over(tmp_path):
    for name in 'abc':
        write_slide(tmp_path / 's' / f'{name}.tiff', noise(512, 512, ord(name)), compression='jpeg')
        points(tmp_path / 'q', [(64 * k, 256) for k in range(1, 8)], 'A', name)
    whole = (tmp_path / 's' / 'b.tiff').read_bytes()
    (tmp_path / 's' / 'b.tiff').write_bytes(whole[:100])
    content = bytearray((tmp_path / 's' / 'c.tiff').read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
    (tmp_path / 's' / 'c.tiff').write_bytes(content)
    result = run(tmp_path / 's', tmp_path / 'out', annotations=tmp_path / 'q')
    assert {row['slide'] for row in result.rows} == {'a'}
    assert [line[:2] for line in result.passed_over] == ['b:', 'c:']
    assert 'cannot be opened' in result.passed_over[0]
    assert 'cannot be read at x ' in result.passed_over[1]
    assert len(list((tmp_path / 'out' / 'A').iterdir())) == len(result.rows) == 7
    assert '7 patches written, 0 were there already' in result.lines
    # Mended, the same call adds it.
    (tmp_path / 's' / 'b.tiff').write_bytes(whole)
    again = run(tmp_path / 's', tmp_path / 'out', annotations=tmp_path / 'q')
    assert {row['slide'] for row in again.rows} == {'a', 'b'}
    assert '7 patches written, 7 were there already' in again.lines


def test_an_interrupted_run_continues(noisy, tmp_path, monkeypatch):
    source = points(tmp_path / 'q', [(64 * k, 64 * j) for k in range(1, 12) for j in range(1, 10)])
    whole = run(noisy[0], tmp_path / 'whole', annotations=source)
    original, calls = cutting.write_image, []

    def failing(*args):
        calls.append(args)
        if len(calls) > 70:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(cutting, 'write_image', failing)
    with pytest.raises(KeyboardInterrupt):
        run(noisy[0], tmp_path / 'out', annotations=source)
    assert not (tmp_path / 'out' / 'manifest.csv').exists()
    monkeypatch.setattr(cutting, 'write_image', original)
    result = run(noisy[0], tmp_path / 'out', annotations=source)
    assert (
        result.rows == whole.rows
        and result.lines[-1] == '29 patches written, 70 were there already'
    )
    with pytest.raises(ConverterError, match='parameters.mpp: 0.25 there, 0.5 now'):
        run(noisy[0], tmp_path / 'out', 0.5, annotations=source)


@pytest.mark.parametrize(
    'name, text, message',
    [
        ('a.geojson', '{"type": "Topology"}', 'is no GeoJSON of QuPath'),
        ('a.geojson', '[' * 100000, 'not readable as JSON'),
        ('a.geojson', '[{"type": "Feature"}]', 'feature 1: has no geometry'),
        ('a.geojson', '[{"geometry": {"type": "Point", "coordinates": ["x", 1]}}]', "geometry 'Po"),
        ('a.geojson', '[{"geometry": {"type": "Point", "coordinates": [NaN, 1]}}]', 'no finite'),
        ('a.geojson', '[{"geometry": {"type": "Polygon", "coordinates": [[[1,1]]]}}]', 'four'),
        ('a.xml', '<!DOCTYPE x [<!ENTITY a "aaaa">]><ASAP_Annotations>&a;</ASAP_Annotations>',
         'line 1: holds a document type'),
        ('a.xml', '<ASAP_Annotations><Annotations>', 'not readable as XML'),
        ('a.xml', '<Annotations></Annotations>', 'is no XML of ASAP'),
        ('a.xml', asap([('n', 'Polygon', 'A', [(1, 1)])]), 'a polygon of 1 points'),
        ('a.xml', asap([('n', 'Dot', 'A', [('one', 1)])]), 'a coordinate is not readable'),
        ('a.csv', 'slide,x,label\na,1,A\n', 'column y is missing'),
        ('a.csv', 'slide,x,y,label\na,1,oben,A\n', "row 2: y is 'oben'; expected a number"),
        ('a.csv', 'slide;x;y;label\na;1,5;1;A\n', "row 2: x is '1,5'; .* with a decimal point"),
        ('a.csv', 'slide,x,x,y,label\na,1,2,3,A\n', 'column x is there twice'),
        ('a.csv', 'slide,x,y,label,width,height\na,1,1,A,5,\n', 'both above 0, or neither'),
        ('b.csv', 'slide,x,y,label\nother,1,1,A\n', 'no annotation fits a slide'),
    ],
)  # fmt: skip
def test_bad_annotation_files(noisy, tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConverterError, match=message):
        run(noisy[0], tmp_path / 'out', annotations=tmp_path / name)


@pytest.mark.parametrize(
    'text, message',
    [
        ('slide,patient\nb,P\n', r'1 slide\(s\) have no row: a'),
        ('slide,patient\na,\n', 'row 2: patient is empty'),
        ('slide,patient\na,P\na.tiff,Q\n', 'slide a was named before'),
        ('slide,split\na,holdout\n', "split 'holdout'; expected one of train"),
        ('slide,mpp\na,fine\n', "mpp of a is 'fine'"),
        ('slide,mpp\na,999\n', 'mpp of a is 999; expected microns'),
    ],
)
def test_bad_tables_of_slides(noisy, tmp_path, text, message):
    (tmp_path / 't.csv').write_text(text)
    with pytest.raises(ConverterError, match=message):
        run(noisy[0], tmp_path / 'out', annotations=points(tmp_path / 'q'),
            slide_table=tmp_path / 't.csv')  # fmt: skip


def test_no_slides_and_two_of_one_name(tmp_path):
    with pytest.raises(ConverterError, match='no such folder of slides'):
        run(tmp_path / 'none', tmp_path / 'out')
    (tmp_path / 's').mkdir()
    with pytest.raises(ConverterError, match='no slide in it; known are .svs'):
        run(tmp_path / 's', tmp_path / 'out')
    for name in ('a.tif', 'x/a.svs'):
        (tmp_path / 's' / name).parent.mkdir(exist_ok=True)
        (tmp_path / 's' / name).write_bytes(b'x')
    with pytest.raises(ConverterError, match=r'1 slide\(s\) have the name of another: .*x/a.svs'):
        run(tmp_path / 's', tmp_path / 'out')
    for name in ('P1/WSI/1.dcm', 'P1/WSI/2.dcm', 'P2/WSI/1.dcm'):  # DICOM: a folder is a slide
        (tmp_path / 'd' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'd' / name).write_bytes(b'x')
    with pytest.raises(ConverterError, match=r'1 slide\(s\) have the name of another: .*P2/WSI'):
        run(tmp_path / 'd', tmp_path / 'out')
    with pytest.raises(ConverterError, match='lies within'):
        run(tmp_path / 's' / 'a.tif', tmp_path / 's' / 'a.tif' / 'out')


def test_of_a_huge_slide_regions_are_read(tmp_path, monkeypatch):
    """Of 40,000 x 40,000 px never more than a block is decoded at once."""
    write_huge_slide(tmp_path / 'huge.tiff', 40_000)
    original, largest = SlideReader.read, []

    def spying(self, level, x, y, width, height):
        largest.append(width * height)
        return original(self, level, x, y, width, height)

    monkeypatch.setattr(SlideReader, 'read', spying)
    with SlideReader(tmp_path / 'huge.tiff') as reader:
        settings = make_settings(0.5, 256)
        field = field_of(reader.info, scale_of(reader.info, None, None), settings)
        plan = plan_tissue(reader, 'A', field, settings)
        last = plan.patches[-1]
        patch = cutting.read_patch(reader, field, settings.area, last.x, last.y)
    assert plan.counts['tiles'] == 78**2 and len(plan.patches) > 1_000
    assert max(largest) <= 2048**2 and plan.tissue.image.size < 30e6
    assert patch.shape == (256, 256, 3) and last.left > 35_000


def test_tool(noisy, tmp_path):
    points(tmp_path / 'q')
    (tmp_path / 's').mkdir()
    (tmp_path / 's' / 'a.tiff').write_bytes((noisy[0] / 'a.tiff').read_bytes())
    (tmp_path / 's' / 'broken.svs').write_bytes(b'II*')
    tool = load_tool(REPO / 'tools' / 'dataset_converters' / 'slides.py')
    arguments = [str(tmp_path / 's'), '--out', str(tmp_path / 'out'), '--mpp', '0.5']
    arguments += ['--annotations', str(tmp_path / 'q'), '--size', '32', '--workers', '2']
    with contextlib.redirect_stdout(io.StringIO()) as out:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            assert tool.main(arguments) == 1
    assert 'passed over: broken: cannot be opened' in err.getvalue()
    assert '3 patches written' in out.getvalue() and 'manifest.csv' in out.getvalue()
    with contextlib.redirect_stderr(io.StringIO()) as err:
        assert tool.main([*arguments, '--stride', '0']) == 2
    assert 'Traceback' not in err.getvalue()


# Epithelium --------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def strip():
    """Phantom epithelium, surface above, 5 images wide, with stroma below and lumen above."""
    images = [generate_tissue_phantom('CIN1', (256, 128), 3, 'x', 20 * k).image for k in range(5)]
    epithelium = np.concatenate(images, axis=1)
    lumen = np.full((100, epithelium.shape[1], 3), 245, np.uint8)
    stroma = np.full_like(lumen, 0) + np.array((205, 150, 180), np.uint8)
    return np.concatenate([lumen, epithelium, stroma])


@pytest.mark.parametrize('angle', [0, 37, 90, 155, 180, 290])
def test_epithelium_stands_upright(tmp_path, strip, angle):
    """Drawn at a known angle, it is turned back by that angle, and its basal layer is below."""
    height, width = strip.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1)
    turn[:, 2] += 512 - np.array((width / 2, height / 2))
    slide = cv2.warpAffine(strip, turn, (1024, 1024), flags=cv2.INTER_CUBIC,
                           borderValue=(245, 245, 245))  # fmt: skip
    write_slide(tmp_path / 's' / 'a.tiff', slide, 1.0, 1)
    corners = np.array([[0, 100], [width, 100], [width, 356], [0, 356], [0, 100]], float)
    ring = (corners @ turn[:, :2].T + turn[:, 2]).tolist()
    twice = [feature('Polygon', [ring], 'CIN1', number) for number in (1, 2)]  # exported twice
    source = one(tmp_path, *twice)
    result = run(tmp_path / 's', tmp_path / 'out', 1.0, (256, 128), annotations=source,
                 oriented=True)  # fmt: skip
    assert len(result.rows) in (2, 3)
    assert result.counts['patches at the place of another, of the same class'] == len(result.rows)
    upright = strip[100:356].astype(int)
    for row in result.rows:
        off = (float(row['angle']) - angle + 180) % 360 - 180
        assert abs(off) < 2
        patch = pixels(result, row).astype(int)
        # Where the patch was cut from the strip, at the best place across.
        place = np.linalg.inv(np.vstack([turn, [0, 0, 1]])) @ (row['x'], row['y'], 1)
        assert abs(place[1] - 100) < 6
        best = min(
            np.abs(upright[:, left : left + 128] - patch).mean()
            for left in range(max(0, round(place[0]) - 4), min(width - 128, round(place[0]) + 5))
        )
        assert best < 0.6 * np.abs(upright[::-1][:, :128] - patch).mean()


def test_of_a_bent_epithelium_every_patch_is_upright(tmp_path):
    """A ring quarter: the basal side is the outer one, wherever along it."""
    y, x = np.mgrid[:1024, :1024]
    radius = np.hypot(x, y)
    slide = np.full((1024, 1024, 3), 245, np.uint8)
    slide[(radius > 500) & (radius < 700)] = (225, 170, 200)
    slide[(radius > 670) & (radius < 700)] = (90, 50, 130)  # basal cells
    slide[radius >= 700] = (205, 150, 180)
    write_slide(tmp_path / 's' / 'a.tiff', slide, 1.0, 1)
    turns = np.radians(np.linspace(5, 85, 60))
    outer, inner = (r * np.column_stack([np.cos(turns), np.sin(turns)]) for r in (700, 500))
    ring = np.concatenate([outer, inner[::-1], outer[:1]]).tolist()
    source = one(tmp_path, feature('Polygon', [ring], 'A'))
    result = run(tmp_path / 's', tmp_path / 'out', 1.0, (200, 64), annotations=source,
                 oriented=True)  # fmt: skip
    assert len(result.rows) >= 6
    for row in result.rows:
        patch = pixels(result, row).astype(int)
        assert patch[-22:-8, 24:40].mean() < 120 < patch[20:150, 24:40].mean()


def test_what_cannot_be_oriented(tmp_path):
    write_slide(tmp_path / 's' / 'a.tiff', np.full((512, 512, 3), 200, np.uint8), 1.0, 1)
    plain = feature('Polygon', [[[50, 50], [450, 50], [450, 250], [50, 250], [50, 50]]], 'A')
    with pytest.raises(ConverterError, match='1 polygons whose basal side cannot be told'):
        run(tmp_path / 's', tmp_path / 'out', 1.0, (256, 128), annotations=one(tmp_path, plain),
            oriented=True)  # fmt: skip
    with pytest.raises(ConverterError, match='oriented patches are of annotated polygons'):
        run(tmp_path / 's', tmp_path / 'out', 1.0, oriented=True)
