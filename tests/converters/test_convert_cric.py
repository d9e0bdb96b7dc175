import csv
import importlib.util
import json
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from programs import run_program

from cellgan_plugin.converters import ConverterError, convert_cric, cric
from cellgan_plugin.converters.cric_annotations import SEVERITY, Nucleus, read_annotations
from cellgan_plugin.converters.cric_patches import plan_field
from cellgan_plugin.converters.cric_scale import darkness_map, find_scale
from cellgan_plugin.datasets.manifest import read_manifest

ROOT = Path(__file__).parents[2]
HEADER = [
    'image_id', 'image_filename', 'image_doi', 'cell_id', 'bethesda_system', 'nucleus_x',
    'nucleus_y',
]  # fmt: skip
SCALE = 0.8
WIDTH, HEIGHT = 480, 360
LABELS = ('Negative for intraepithelial lesion', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL', 'SCC')


def make_field(path, seed, nuclei=24):
    """A light field with dark discs on a jittered grid; returns their centres in image px."""
    rng = np.random.default_rng(seed)
    image = rng.normal(225, 4, (HEIGHT, WIDTH, 3)) - rng.uniform(0, 25, 3)
    grid = [(x, y) for x in range(40, WIDTH - 30, 60) for y in range(40, HEIGHT - 30, 60)]
    picked = rng.choice(len(grid), nuclei, replace=False)
    centres = np.array(grid)[picked] + rng.integers(-12, 13, (nuclei, 2))
    for x, y in centres.tolist():
        cv2.circle(image, (x, y), 26, (200, 170, 190), -1)
    for x, y in centres.tolist():
        cv2.circle(image, (x, y), 6, (70, 50, 110), -1)
    Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path, compress_level=1)
    return centres


def write_csv(path, rows):
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows)
    return path


@pytest.fixture(scope='module')
def original_archive(tmp_path_factory):
    """Nine fields: three per class of NILM, LSIL, HSIL; coordinates in a frame 1 / 0.8 as wide."""
    images = tmp_path_factory.mktemp('archive')
    rows, cell = [], 100
    for number in range(9):
        name = f'field{number}.png'
        label = ('Negative for intraepithelial lesion', 'LSIL', 'HSIL')[number % 3]
        for x, y in make_field(images / name, number):
            rows.append([number, name, 'doi', cell, label, round(x / SCALE), round(y / SCALE)])
            cell += 1
    return images, rows


@pytest.fixture
def archive(original_archive, tmp_path):
    """A copy to spoil: annotations, images, output folder, rows."""
    images, rows = original_archive
    shutil.copytree(images, tmp_path / 'images')
    path = write_csv(tmp_path / 'classifications.csv', rows)
    return path, tmp_path / 'images', tmp_path / 'out', rows


def run(archive, **options):
    # Few patches: writing them is what takes time here.
    options = {
        'size': 96, 'progress': False, 'classes': ('NILM', 'LSIL', 'HSIL'), 'min_distance': 150,
        **options,
    }  # fmt: skip
    return convert_cric(*archive[:3], **options)


def snapshot(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob('*') if p.is_file()
    }


def test_scale_found_patches_centred_and_split_by_field(archive):
    result = run(archive, min_distance=None)
    assert result.scale == pytest.approx(SCALE, rel=0.01)
    rows = read_manifest(result.manifest)
    check = json.loads((archive[2] / 'scale_check.json').read_text())
    assert check['darkness_at_nuclei'] > 0.9 > 0.6 > check['darkness_at_shifted_positions']
    assert {f['verdict'] for f in check['fields'].values()} == {'match'}

    sides, per_class = {}, {}
    for row in rows:
        sides.setdefault(row['group'], set()).add(row['split'])
        per_class.setdefault(row['label'], set()).add(row['split'])
        image = np.array(Image.open(archive[2] / row['file']))
        assert image.shape == (96, 96, 3) and image.dtype == np.uint8
    assert all(len(side) == 1 for side in sides.values())
    # Three fields per class: every class is in every split.
    assert all(splits == {'train', 'val', 'test'} for splits in per_class.values())

    centres = {int(r[3]): (r[5] * SCALE, r[6] * SCALE) for r in archive[3]}
    for row in rows:
        x, y = centres[int(row['centre_cell_id'])]
        x0, y0 = int(row['x0']), int(row['y0'])
        image = np.array(Image.open(archive[2] / row['file'])).mean(2)
        assert image[round(y) - y0, round(x) - x0] < 120  # the nucleus is where it should be
        assert 0 <= x0 <= WIDTH - 96 and 0 <= y0 <= HEIGHT - 96
        if 48 <= x <= WIDTH - 48:
            assert abs(x0 + 48 - x) <= 4  # found scale, rounding
    counts = dict(result.counts)
    assert counts.pop('nuclei annotated') == len(archive[3]) == sum(counts.values())
    text = '\n'.join(result.lines)
    assert 'left out unless asked with --classes: ASC-US, ASC-H, SCC' in text


def test_patches_of_a_class_keep_their_distance(archive):
    rows = run(archive, min_distance=70).rows
    for group in {row['group'] for row in rows}:
        corners = np.array([(r['x0'], r['y0']) for r in rows if r['group'] == group])
        distance = np.hypot(*(corners[:, None] - corners[None]).transpose(2, 0, 1))
        assert distance[np.triu_indices(len(corners), 1)].min() >= 70


def nuclei_of(*items):
    return [Nucleus('f.png', i, label, x, y) for i, (label, x, y) in enumerate(items)]


def plan(members, **options):
    counts = Counter()
    options = {
        'scale': 1.0, 'field_size': (400, 300), 'size': 100, 'border': 8, 'min_distance': 50,
        'classes': SEVERITY[:5], 'counts': counts, **options,
    }  # fmt: skip
    return plan_field(members, **options), counts


def test_most_severe_nucleus_inside_labels_the_patch():
    for mild, severe in zip(SEVERITY[:4], SEVERITY[1:5], strict=True):
        rows, _ = plan(nuclei_of((mild, 150, 150), (severe, 170, 150)))
        # Both patches would be `severe` and 20 px apart: the one centred on it is kept.
        assert [(r['label'], r['centre_cell_id']) for r in rows] == [(severe, 1)]
        assert rows[0]['nuclei_inside'] == 2 and (rows[0]['x0'], rows[0]['y0']) == (120, 100)


@pytest.mark.parametrize(
    ('dx', 'expected'),
    [
        (41, 'HSIL'),  # inside
        (44, None),  # cut, on this side of the edge
        (56, None),  # cut, on the other side
        (60, 'NILM'),  # outside
    ],
)
def test_nucleus_at_the_patch_border(dx, expected):
    rows, counts = plan(nuclei_of(('NILM', 150, 150), ('HSIL', 150 + dx, 150)), min_distance=0)
    assert [r['label'] for r in rows if r['centre_cell_id'] == 0] == (
        [expected] if expected else []
    )
    assert counts['a more severe nucleus is cut by the patch edge'] == (expected is None)
    # A milder nucleus at the border changes nothing.
    assert [r['label'] for r in rows if r['centre_cell_id'] == 1] == ['HSIL']


def test_class_outside_the_choice_drops_the_patch():
    rows, counts = plan(nuclei_of(('HSIL', 150, 150), ('SCC', 170, 150), ('HSIL', 300, 150)))
    assert [r['centre_cell_id'] for r in rows] == [2]
    assert counts['patch would be SCC, not among the classes'] == 2
    rows, _ = plan(
        nuclei_of(('HSIL', 150, 150), ('SCC', 170, 150), ('HSIL', 300, 150)), classes=SEVERITY
    )
    assert {r['centre_cell_id']: r['label'] for r in rows} == {1: 'SCC', 2: 'HSIL'}


def test_field_edge():
    rows, counts = plan(nuclei_of(('NILM', 4, 150), ('NILM', 20, 20), ('NILM', 392, 292)))
    assert [(r['centre_cell_id'], r['x0'], r['y0']) for r in rows] == [(1, 0, 0), (2, 300, 200)]
    assert counts['at the edge of the field'] == 1
    with pytest.raises(ConverterError, match='f.png: 90x300 px is smaller than a patch of 100'):
        plan(nuclei_of(('NILM', 40, 150)), field_size=(90, 300))


def test_csv_and_json_give_the_same(archive, tmp_path):
    by_name = {}
    for number, name, _, cell, label, x, y in archive[3]:
        entry = by_name.setdefault(
            name, {'image_id': number, 'image_name': name, 'classifications': []}
        )
        entry['classifications'].append(
            {'cell_id': cell, 'bethesda_system': label, 'nucleus_x': x, 'nucleus_y': y}
        )
    path = tmp_path / 'classifications.json'
    path.write_text(json.dumps(list(by_name.values())[::-1]))
    assert read_annotations(path) == read_annotations(archive[0])
    for entry in by_name.values():
        entry['image_filename'] = entry.pop('image_name')
    path.write_text(json.dumps(list(by_name.values())))
    assert read_annotations(path) == read_annotations(archive[0])


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"a": 1}', 'expected a list of images, got dict'),
        ('[{"image_name": "a.png"}]', 'image 0: expected an object with a list classifications'),
        ('[{"classifications": []}]', 'none of image_name, image_filename, image_id'),
        (
            '[{"image_name": "a.png", "classifications": [{"cell_id": 1, "nucleus_x": 2}]}]',
            'cell 0: key bethesda_system, nucleus_y is missing',
        ),
        ('[{"image_name": "a.png", "classifications": []}]', 'no annotated cell'),
        ('[' * 100_000, 'not readable as JSON'),
        ('not json', 'not readable as JSON'),
    ],
)
def test_bad_json_is_refused(tmp_path, content, message):
    path = tmp_path / 'c.json'
    path.write_text(content)
    with pytest.raises(ConverterError, match=message):
        read_annotations(path)


@pytest.mark.parametrize(
    ('column', 'value', 'message'),
    [
        (1, '../x.png', r"row 3: image file name '\.\./x\.png' is not a plain name"),
        (1, 'a\\x.png', 'is not a plain name'),
        (1, '.hidden.png', 'is not a plain name'),
        (1, 'x', 'has no suffix'),
        (3, '1', 'row 3: cell_id 1 was already used in row 2'),
        (3, '1.5', "cell_id '1.5' is not a whole number"),
        (4, 'AGC', "row 3: bethesda_system 'AGC' is unknown; expected one of NILM"),
        (5, 'nan', "nucleus_x is 'nan'"),
        (5, 'inf', "nucleus_x is 'inf'"),
        (6, '-3', "nucleus_y is '-3'"),
        (6, '', "nucleus_y is ''"),
    ],
)
def test_bad_rows_are_refused(tmp_path, column, value, message):
    rows = [[1, 'a.png', 'doi', i, 'HSIL', 10, 20] for i in (1, 2, 3)]
    rows[1][column] = value
    path = write_csv(tmp_path / 'c.csv', rows)
    with pytest.raises(ConverterError, match=message) as error:
        read_annotations(path)
    assert '\n' not in str(error.value)


def test_bad_csv_files_are_refused(tmp_path):
    path = tmp_path / 'c.csv'
    with pytest.raises(ConverterError, match='no such annotation file'):
        read_annotations(path)
    for content, message in (
        (b'', 'column image_filename'),
        (b'image_filename,cell_id\na.png,1\n', 'column bethesda_system, nucleus_x, nucleus_y'),
        (','.join(HEADER).encode() + b'\n', 'no annotated cell'),
        (','.join(HEADER).encode() + b'\n1,a.png,doi\n', 'row 2: the number of fields differs'),
        (b'\xff\xfe\x00', 'not readable as CSV'),
    ):
        path.write_bytes(content)
        with pytest.raises(ConverterError, match=message):
            read_annotations(path)


def test_spellings_of_the_archive(tmp_path):
    rows = [[1, 'a.png', 'd', i, label, 1, 2] for i, label in enumerate(LABELS)]
    nuclei = read_annotations(write_csv(tmp_path / 'c.csv', rows))
    assert tuple(n.label for n in nuclei) == SEVERITY


def test_wrong_images_are_refused_and_nothing_is_written(archive):
    images = sorted(archive[1].iterdir())
    contents = [path.read_bytes() for path in images]
    for path, content in zip(images, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)
    with pytest.raises(ConverterError, match='no scale from 0.4 to 2.5 puts the 216 annotated'):
        run(archive)
    assert not archive[2].exists()


def test_two_swapped_images_are_named(archive):
    one, two = archive[1] / 'field3.png', archive[1] / 'field7.png'
    a, b = one.read_bytes(), two.read_bytes()
    one.write_bytes(b)
    two.write_bytes(a)
    with pytest.raises(ConverterError, match='2 of 9 fields do not match.*field3.png.*field7.png'):
        run(archive)
    result = run(archive, skip_mismatched=True)
    assert result.scale == pytest.approx(SCALE, rel=0.01)
    assert {row['group'] for row in result.rows} == {f'field{n}' for n in (0, 1, 2, 4, 5, 6, 8)}
    assert result.counts['in a field that does not match'] == 48


def test_given_scale_is_used_and_judged(archive):
    assert run(archive, scale=SCALE).scale == SCALE
    assert not any('WARNING' in line for line in run(archive, scale=SCALE).lines)
    wrong = (*archive[:2], archive[2].with_name('out2'))
    assert any('WARNING: at the given scale 0.5' in line for line in run(wrong, scale=0.5).lines)
    with pytest.raises(ConverterError, match='nuclei lie outside their image at scale 1.5'):
        run((*archive[:2], archive[2].with_name('out3')), scale=1.5)


@pytest.mark.parametrize('scale', [0.5, 0.925, 1.0, 1.7])
def test_scale_over_its_range(tmp_path, scale):
    maps, positions = {}, {}
    for number in range(3):
        path = tmp_path / f'{number}.png'
        positions[str(number)] = make_field(path, number, nuclei=16) / scale
        maps[str(number)] = darkness_map(np.array(Image.open(path)))
    found = find_scale(maps, positions)
    assert found.scale == pytest.approx(scale, rel=0.01)
    assert find_scale(maps, positions) == found


def test_blank_field_says_nothing():
    ranks = darkness_map(np.full((100, 120, 3), 200, np.uint8))
    assert ranks.shape == (50, 60) and np.unique(ranks).tolist() == [127]


def test_interrupted_run_continues_with_equal_result(archive, monkeypatch):
    whole = run((*archive[:2], archive[2].with_name('whole')))
    written, original = [], cric.write_png

    def failing(path, image):
        if len(written) == 7:
            raise KeyboardInterrupt
        written.append(path)
        original(path, image)

    monkeypatch.setattr(cric, 'write_png', failing)
    with pytest.raises(KeyboardInterrupt):
        run(archive)
    assert not (archive[2] / 'manifest.csv').exists()
    monkeypatch.setattr(cric, 'write_png', original)
    # The check of the first run is taken over: fields that are finished are not decoded again.
    monkeypatch.setattr(cric, 'darkness_map', None)
    result = run(archive)
    assert f'{len(whole.rows) - 7} patches written, 7 were there already' in result.lines[-1]
    assert snapshot(archive[2]) == snapshot(whole.manifest.parent)

    (archive[2] / result.rows[0]['file']).unlink()
    assert run(archive).lines[-1].startswith('1 patches written')
    assert snapshot(archive[2]) == snapshot(whole.manifest.parent)


def test_cache_limit_changes_nothing(archive, monkeypatch):
    whole = run(archive)
    monkeypatch.setattr('cellgan_plugin.converters.cric._CACHE_BYTES', 0)
    other = run((*archive[:2], archive[2].with_name('other')))
    assert snapshot(other.manifest.parent) == snapshot(whole.manifest.parent)


def test_other_parameters_or_inputs_are_refused(archive):
    run(archive)
    with pytest.raises(ConverterError, match=r'(?s)something else .*size: 96 there, 80 now'):
        run(archive, size=80)
    rows = [list(row) for row in archive[3]]
    rows[0][5] += 1
    write_csv(archive[0], rows)
    with pytest.raises(ConverterError, match=r'(?s)something else .*annotations: other content'):
        run(archive)
    stranger = archive[2].with_name('stranger')
    stranger.mkdir()
    (stranger / 'thesis.doc').write_text('x')
    with pytest.raises(ConverterError, match=r'holds other files \(thesis\.doc'):
        run((*archive[:2], stranger))
    assert [p.name for p in stranger.iterdir()] == ['thesis.doc']


def test_missing_images(archive):
    (archive[1] / 'field0.png').unlink()
    (archive[1] / 'field4.png').unlink()
    with pytest.raises(ConverterError, match='2 of 9 annotated fields .* field0.png, field4.png'):
        run(archive)
    result = run(archive, skip_missing=True)
    assert result.counts['in a field without image'] == 48
    assert any('field0.png, field4.png' in line for line in result.lines)


def test_unusable_images_are_named(archive):
    (archive[1] / 'field0.png').write_bytes(b'')
    whole = (archive[1] / 'field1.png').read_bytes()
    (archive[1] / 'field1.png').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConverterError, match=r'2 image\(s\) cannot be used: .*field0.*field1'):
        run(archive)
    with pytest.raises(ConverterError, match=r'9 image\(s\) cannot be used: .*480x360 pixels'):
        run(archive, max_pixels=10_000)
    assert not archive[2].exists()


def test_one_image_under_two_names_is_refused(archive):
    shutil.copy(archive[1] / 'field0.png', archive[1] / 'field3.png')
    with pytest.raises(ConverterError, match='field3.png is the same image as field0.png'):
        run(archive)


def test_nucleus_outside_its_image(archive):
    rows = [list(row) for row in archive[3]]
    rows[5][5] = 900
    write_csv(archive[0], rows)
    with pytest.raises(ConverterError, match=r'1 annotated nuclei .* cell 105 at \(900, .*field0'):
        run(archive)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'classes': ('NILM', 'Glandular')}, "class 'Glandular' is not in the collection"),
        ({'classes': ('ASC-US', 'ascus')}, 'classes'),
        ({'size': 4}, 'size is 4'),
        ({'size': 400}, 'field0.png: 480x360 px is smaller than a patch of 400 px'),
        ({'border': 48}, 'border is 48 px'),
        ({'min_distance': -1}, 'min distance'),
        ({'fractions': (0.5, 0.2, 0.2)}, 'add up to 1'),
        ({'scale': 0}, 'scale is 0'),
        ({'classes': ('SCC',)}, 'no patch is left of 216 nuclei'),
    ],
)
def test_bad_arguments(archive, options, message):
    with pytest.raises(ConverterError, match=message):
        run(archive, **options)
    assert not archive[2].exists()


def test_tool(archive):
    done = run_program(
        'tools/dataset_converters/cric.py', *archive[:2], '--out', archive[2], '--size', 96
    )
    assert 'images (groups)' in done.stdout and 'manifest.csv' in done.stdout


def test_tool_reports_mistakes_in_one_line(archive, capsys):
    spec = importlib.util.spec_from_file_location(
        'tool_cric', ROOT / 'tools' / 'dataset_converters' / 'cric.py'
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    (archive[1] / 'field0.png').unlink()
    assert tool.main([str(archive[0]), str(archive[1]), '--out', str(archive[2])]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in lines if line.startswith('cric.py: error:')]) == 1
    assert 'field0.png' in lines[-1]
