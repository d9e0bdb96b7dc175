import importlib.util
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import run_program

from cellgan_plugin.converters import (
    ConverterError,
    convert_folders,
    folders,
    parse_class_map,
)
from cellgan_plugin.converters.fitting import Fit, fit_area, make_fit
from cellgan_plugin.converters.published_split import find_published_split, split_of_name
from cellgan_plugin.datasets.manifest import read_manifest

ROOT = Path(__file__).parents[2]


def pixels(seed, height=20, width=30):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def save(path, seed=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(hash(path.name) % 2**32 if seed is None else seed)).save(path, **options)
    return path


@pytest.fixture
def tree(tmp_path):
    """slide<k>/<class folder>/<n>.png, six slides of three classes."""
    source = tmp_path / 'source'
    seed = 0
    for slide in range(6):
        for folder in ('normal', 'low_grade', 'hsil'):
            for number in range(2):
                save(source / f'slide{slide}' / folder / f'{number}.png', seed)
                seed += 1
    return source


MAP = {'NILM': ['normal'], 'LSIL': ['Low Grade'], 'HSIL': ['hsil']}


def run(source, name='out', **options):
    options = {
        'class_map': MAP, 'group_regex': r'(slide\d+)', 'size': 16, 'progress': False, **options
    }  # fmt: skip
    return convert_folders(source, source.parent / name, **options)


def snapshot(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob('*') if p.is_file()
    }


def test_map_groups_and_manifest(tree):
    result = run(tree)
    rows = read_manifest(result.manifest)
    assert len(rows) == 36
    assert {(r['label'], r['source'].split('/')[1]) for r in rows} == {
        ('NILM', 'normal'), ('LSIL', 'low_grade'), ('HSIL', 'hsil'),
    }  # fmt: skip
    assert rows[0]['file'] == 'NILM/slide0__normal__0.png'
    sides = {}
    for row in rows:
        assert row['group'] == row['source'].split('/')[0]
        sides.setdefault(row['group'], set()).add(row['split'])
        assert np.array(Image.open(result.manifest.parent / row['file'])).shape == (16, 16, 3)
    assert all(len(side) == 1 for side in sides.values())
    assert {r['split'] for r in rows} == {'train', 'val', 'test'}
    assert json.loads((result.manifest.parent / 'conversion.json').read_text())['parameters']


def test_automatic_names_and_deepest_folder(tmp_path):
    source = tmp_path / 'source'
    save(source / 'HSIL' / 'a' / '1.png', 1)
    save(source / 'HSIL' / 'asc_us' / '2.png', 2)
    save(source / 'Negative' / '3.png', 3)
    result = run(source, class_map=None, group_regex=None)
    assert {r['source']: r['label'] for r in result.rows} == {
        'HSIL/a/1.png': 'HSIL',
        'HSIL/asc_us/2.png': 'ASC-US',
        'Negative/3.png': 'NILM',
    }
    assert any('no group was given' in line for line in result.lines)
    assert any('NILM' in line and 'no image in' in line for line in result.lines)


def test_own_classes(tmp_path):
    source = tmp_path / 'source'
    save(source / 'grade 3' / '1.png', 1)
    save(source / 'grade 1' / '1.png', 2)
    result = run(source, class_map=None, classes=('Grade-1', 'Grade-3'), group_regex=None)
    assert [r['label'] for r in result.rows] == ['Grade-1', 'Grade-3']


def test_group_csv_and_named_group(tree, tmp_path):
    by_regex = run(tree, group_regex=r'(slide)(?P<group>\d+)/')
    assert {r['group'] for r in by_regex.rows} == set('012345')
    table = tmp_path / 'groups.csv'
    lines = [f'{r["source"]},{r["group"]}' for r in by_regex.rows]
    table.write_text('file,group\n' + '\n'.join(lines) + '\n')
    by_csv = run(tree, group_regex=None, group_csv=table)  # the same folder: nothing has changed
    assert by_csv.rows == by_regex.rows and by_csv.lines[-1].startswith('0 images written')
    table.write_text('file,group\n' + '\n'.join(lines[1:]) + '\n')
    with pytest.raises(ConverterError, match='1 of 36 images have no group: slide'):
        run(tree, 'b', group_regex=None, group_csv=table)
    table.write_text('file,group\n' + '\n'.join([*lines, f'{lines[0]}9']) + '\n')
    with pytest.raises(ConverterError, match='row 38: .* is in group .*; keep one'):
        run(tree, 'b', group_regex=None, group_csv=table)
    with pytest.raises(ConverterError, match='cannot be read'):
        run(tree, 'b', group_regex=None, group_csv=tmp_path / 'none.csv')


def test_unmatched_images(tree):
    save(tree / 'slide0' / 'debris' / 'x.png', 99)
    with pytest.raises(ConverterError, match='1 of 37 images .* slide0/debris; name them'):
        run(tree)
    result = run(tree, skip_unmatched=True)
    assert len(result.rows) == 36
    assert result.counts['images in no folder of a class, left out'] == 1


def test_include_and_other_files(tree):
    (tree / 'slide0' / 'notes.txt').write_text('x')
    (tree / 'slide0' / 'normal' / '.hidden.png').write_bytes(b'x')
    result = run(tree, include='*/0.png')
    assert len(result.rows) == 18
    assert result.counts['other files, left out'] == 1
    assert result.counts['images that --include leaves out'] == 18


def test_duplicates(tree):
    # The same pixels in another format are the same image.
    copy = tree / 'slide3' / 'normal' / 'copy.bmp'
    Image.open(tree / 'slide0' / 'normal' / '0.png').save(copy)
    result = run(tree)
    assert len(result.rows) == 36
    assert result.counts['duplicates within a class, dropped'] == 1
    assert 'slide0/normal/0.png' in {r['source'] for r in result.rows}
    save(tree / 'slide5' / 'hsil' / 'again.png', 0)
    with pytest.raises(
        ConverterError,
        match=r'1 image\(s\) are in two classes: slide0/normal/0.png \(NILM\) = slide5/hsil/again',
    ):
        run(tree, 'b')
    assert not (tree.parent / 'b').exists()


def test_policy_resize_keeps_shapes():
    image = np.zeros((40, 80, 3), np.uint8)
    image[10:30, 30:50] = 255  # a square of 20 px, centred
    half = fit_area(image, 20, resize=True)
    assert half.shape == (20, 20, 3)
    assert (half[5:15, 5:15] == 255).all() and half.sum() == 3 * 255 * 100
    assert np.array_equal(fit_area(image, 40, resize=True), image[:, 20:60])
    assert np.array_equal(fit_area(image, 20, resize=False), image[10:30, 30:50])
    assert fit_area(image, 64, resize=True).shape == (64, 64, 3)


def test_policy_crop(tree):
    result = run(tree, policy='crop')
    row = result.rows[0]
    image = np.array(Image.open(result.manifest.parent / row['file']))
    whole = np.array(Image.open(tree / row['source']))
    assert np.array_equal(image, whole[2:18, 7:23])
    with pytest.raises(
        ConverterError, match=r'36 image\(s\) are smaller than the crop of 24x24 px'
    ):
        run(tree, 'b', policy='crop', size=24)


def test_policy_keep(tmp_path):
    source = tmp_path / 'source'
    jpeg = save(source / 'NILM' / 'a.jpg', 1, quality=90)
    png = save(source / 'NILM' / 'b.png', 2)
    grey = source / 'HSIL' / 'c.tif'
    grey.parent.mkdir()
    Image.fromarray(pixels(3)[..., 0]).save(grey)
    clear = source / 'HSIL' / 'd.png'
    alpha = np.zeros((20, 30), np.uint8)
    alpha[0, 0] = 255
    Image.fromarray(np.dstack([pixels(4), alpha])).save(clear)
    result = run(source, class_map=None, group_regex=None, policy='keep', size=None)
    out = result.manifest.parent
    assert (out / 'NILM/NILM__a.jpg').read_bytes() == jpeg.read_bytes()
    assert np.array_equal(Image.open(out / 'NILM/NILM__b.png'), Image.open(png))
    kept = np.array(Image.open(out / 'HSIL/HSIL__c.png'))
    assert np.array_equal(kept, np.repeat(pixels(3)[..., :1], 3, 2))
    assert (np.array(Image.open(out / 'HSIL/HSIL__d.png'))[1:] == 255).all()  # on white
    assert {(r['width'], r['height']) for r in result.rows} == {(30, 20)}


def test_names_never_collide(tmp_path):
    source = tmp_path / 'source'
    for seed, name in enumerate(
        ('a.png', 'a.bmp', 'A.tif', 'a b.png', 'a_b.png', 'x' * 200 + '.png')
    ):
        save(source / 'NILM' / name, seed)
    save(source / 'NILM' / '-rf' / 'ü$.png', 77)
    result = run(source, class_map=None, group_regex=None)
    files = [r['file'] for r in result.rows]
    assert len({file.casefold() for file in files}) == len(files) == 7
    assert all(len(file) < 160 and file.isascii() for file in files)
    assert run(source, class_map=None, group_regex=None).rows == result.rows


def test_interrupted_run_continues(tree, monkeypatch):
    whole = run(tree, 'whole')
    original, written = folders.write_png, []

    def failing(path, image):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(path)
        original(path, image)

    monkeypatch.setattr(folders, 'write_png', failing)
    with pytest.raises(KeyboardInterrupt):
        run(tree)
    assert not (tree.parent / 'out' / 'manifest.csv').exists()
    monkeypatch.setattr(folders, 'write_png', original)
    result = run(tree)
    assert result.lines[-1] == '31 images written, 5 were there already'
    assert snapshot(result.manifest.parent) == snapshot(whole.manifest.parent)


def test_other_parameters_are_refused(tree):
    run(tree)
    with pytest.raises(ConverterError, match=r'(?s)something else .*seed: 0 there, 1 now'):
        run(tree, seed=1)
    save(tree / 'slide0' / 'hsil' / 'new.png', 500)
    with pytest.raises(ConverterError, match=r'(?s)something else .*images: other content'):
        run(tree)


def test_unusable_images_are_named_before_anything_is_written(tree):
    (tree / 'slide0' / 'hsil' / 'empty.png').write_bytes(b'')
    (tree / 'slide0' / 'hsil' / 'text.png').write_text('hello')
    with pytest.raises(ConverterError, match=r'2 image\(s\) cannot be used: .*empty.*text'):
        run(tree)
    with pytest.raises(ConverterError, match='38 image'):
        run(tree, max_pixels=100)
    assert not (tree.parent / 'out').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'policy': 'stretch'}, "policy is 'stretch'"),
        ({'policy': 'keep'}, 'keep leaves sizes as they are'),
        ({'size': 5}, 'size is 5'),
        ({'group_regex': 'slide'}, 'has no part in parentheses'),
        ({'group_regex': '(('}, 'is not valid'),
        ({'group_regex': r'(plate\d)'}, '36 of 36 images have no group'),
        ({'group_csv': 'x.csv'}, 'both a group regex and a group CSV'),
        ({'classes': ('NILM',)}, "names class 'LSIL', which is not among NILM"),
        ({'class_map': {'A': ['x', 'hsil'], 'B': ['hsil ']}}, "gives folder 'hsil' to A and to B"),
        ({'class_map': {'../A': ['hsil']}}, r"class name '\.\./A' holds '/'"),
        ({'class_map': {'A': ['nothing']}}, '36 of 36 images are in no folder'),
        ({'class_map': {'A': ['nothing']}, 'skip_unmatched': True}, '36 of 36'),
        ({'include': '*.gif'}, 'no image'),
        ({'fractions': (0, 0.5, 0.5)}, 'train above 0'),
    ],
)
def test_bad_arguments(tree, options, message):
    with pytest.raises(ConverterError, match=message) as error:
        run(tree, **options)
    assert '\n' not in str(error.value)
    assert not (tree.parent / 'out').exists()


def test_source_and_output_apart(tree):
    for out in (tree, tree / 'out', tree.parent):
        with pytest.raises(ConverterError, match='lie within each other'):
            convert_folders(tree, out, class_map=MAP, progress=False)
    with pytest.raises(ConverterError, match='no such source folder'):
        run(tree / 'nothing')


def test_parse_class_map():
    assert parse_class_map(['HSIL=a, b', 'NILM=c', 'HSIL=d']) == {
        'HSIL': ['a', 'b', 'd'], 'NILM': ['c'],
    }  # fmt: skip
    for entry in ('HSIL', 'HSIL=', '=a', 'HSIL=,'):
        with pytest.raises(ConverterError, match='expected CLASS=folder'):
            parse_class_map([entry])


def test_tool(tree):
    done = run_program(
        'tools/dataset_converters/folders.py', tree, '--out', tree.parent / 'out', '--map',
        'NILM=normal', '--map', 'LSIL=low grade', '--map', 'HSIL=hsil', '--group-regex',
        r'(slide\d+)', '--size', 6, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith('folders.py')]
    assert errors == ['folders.py: error: size is 6; expected a whole number of px from 8 to 4096']
    assert 'Traceback' not in done.stderr


def test_tool_in_process(tree, capsys):
    spec = importlib.util.spec_from_file_location(
        'tool_folders', ROOT / 'tools' / 'dataset_converters' / 'folders.py'
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    arguments = [str(tree), '--out', str(tree.parent / 'out'), '--size', '16']
    maps = ['--map', 'NILM=normal', '--map', 'LSIL=low_grade', '--map', 'HSIL=hsil']
    assert tool.main([*arguments, *maps]) == 0
    assert 'WARNING: no group was given' in capsys.readouterr().out


def write_table(path, rows):
    path.write_text('\n'.join(','.join(row) for row in rows) + '\n')
    return path


@pytest.fixture
def table(tree):
    """A table that contradicts the folders: the class is its own, the patient two slides."""
    rows = [('file', 'label', 'patient')]
    for path in sorted(tree.rglob('*.png')):
        file = path.relative_to(tree).as_posix()
        slide = int(file[5])
        rows.append((file, ('Normal', 'CIN1')[slide % 2], f'P{slide // 2}'))
    return write_table(tree.parent / 'patches.csv', rows)


def by_table(tree, table, name='out', **options):
    return run(tree, name, class_map=None, group_regex=None, table=table, **options)


def test_a_table_tells_class_and_patient(tree, table):
    result = by_table(tree, table, size=(24, 12), fractions=(0.4, 0.3, 0.3))
    rows = read_manifest(result.manifest)
    assert len(rows) == 36 and {row['label'] for row in rows} == {'Normal', 'CIN1'}
    patients = {}
    for row in rows:
        slide = int(row['source'][5])
        assert row['label'] == ('Normal', 'CIN1')[slide % 2]
        assert row['group'] == f'P{slide // 2}'
        patients.setdefault(row['group'], set()).add(row['split'])
        assert (row['height'], row['width']) == ('24', '12')
        assert np.array(Image.open(result.manifest.parent / row['file'])).shape == (24, 12, 3)
    assert sorted(map(len, patients.values())) == [1, 1, 1]
    assert not any('WARNING' in line for line in result.lines)


def test_seven_to_one_to_two_by_patient(tmp_path):
    rows = [('file', 'label', 'patient')]
    seed = 0
    for patient in range(20):
        for label in ('Normal', 'CIN3'):
            name = f'{label}_{patient}.png'
            save(tmp_path / 'source' / name, seed)
            rows.append((name, label, str(patient)))
            seed += 1
    table = write_table(tmp_path / 'patches.csv', rows)
    result = by_table(tmp_path / 'source', table, fractions=(0.7, 0.1, 0.2))
    numbers = {split: 0 for split in ('train', 'val', 'test')}
    for row in result.rows:
        numbers[row['split']] += 1
    assert numbers == {'train': 28, 'val': 4, 'test': 8}


def test_the_split_of_a_table_is_kept(tree, table):
    header, *lines = table.read_text().split()
    splits = {'P0': 'train', 'P1': 'valid', 'P2': 'test'}
    rows = [(header, 'split')] + [(line, splits[line[-2:]]) for line in lines]
    write_table(table, rows)
    result = by_table(tree, table)
    assert {(row['group'], row['split']) for row in result.rows} == {
        ('P0', 'train'), ('P1', 'val'), ('P2', 'test'),
    }  # fmt: skip
    # Another split of the same images is another conversion.
    table.write_text(table.read_text().replace('valid', 'train'))
    with pytest.raises(ConverterError, match='inputs.splits: other content'):
        by_table(tree, table)
    table.write_text(table.read_text().replace('P2,test', 'P0,test'))
    with pytest.raises(ConverterError, match=r'patient in two splits: P0 \(train and test: slide4'):
        by_table(tree, table, 'other')


def test_groups_of_a_pattern_and_splits_of_a_table_must_agree(tree, table):
    rows = [('file', 'label', 'split')]
    for number, line in enumerate(table.read_text().split()[1:]):
        rows.append((*line.split(',')[:2], ('train', 'val')[number % 2]))
    write_table(table, rows)
    with pytest.raises(ConverterError, match=r'groups in two splits: slide0 \(train and val'):
        run(tree, class_map=None, table=table)
    # Without any group every image is its own, which is said.
    assert any('WARNING' in line for line in by_table(tree, table).lines)


def test_labels_of_a_table_pass_the_map(tree, table):
    result = run(
        tree,
        class_map={'low': ['normal'], 'high': ['cin 1']},
        group_regex=None,
        table=table,
    )
    assert {row['label'] for row in result.rows} == {'low', 'high'}


@pytest.mark.parametrize(
    'change, match',
    (
        (lambda text: text.replace('label', 'grade'), 'column label is missing'),
        (lambda text: text.replace('P2', ' ', 1), 'row 26: patient is empty'),
        (lambda text: text.replace('slide0/hsil/0.png', '../x.png'), 'below the source folder'),
        (lambda text: text + text.split()[1] + '\n', 'was named before'),
        (lambda text: text.replace('slide0/hsil/0.png', 'gone.png'), r'1 file\(s\) are not in'),
        (lambda text: text.split()[0], 'no row below the header'),
        (lambda text: '\n'.join(text.split()[:-1]), '1 of 36 images are in no folder'),
    ),
)  # fmt: skip
def test_a_bad_table(tree, table, change, match):
    table.write_text(change(table.read_text()))
    with pytest.raises(ConverterError, match=match):
        by_table(tree, table)
    assert not (tree.parent / 'out').exists()


def test_a_split_that_is_none(tree, table):
    header, *lines = table.read_text().split()
    write_table(table, [(header, 'split'), *((line, 'holdout') for line in lines)])
    with pytest.raises(ConverterError, match="row 2: split 'holdout'; expected one of train"):
        by_table(tree, table)


def test_a_table_and_a_pattern_both_tell_groups(tree, table):
    with pytest.raises(ConverterError, match='leave the group regex and CSV out'):
        run(tree, class_map=None, table=table)


def test_an_area_that_is_not_square():
    image = pixels(1, 30, 40)
    assert fit_area(image, (60, 20), resize=True).shape == (60, 20, 3)
    assert fit_area(image, (10, 40), resize=True).shape == (10, 40, 3)
    assert np.array_equal(fit_area(image, (20, 10), resize=False), image[5:25, 15:25])
    with pytest.raises(ConverterError, match='height is 4'):
        convert_folders('a', 'b', size=(4, 32))


# Sizes ------------------------------------------------------------


def test_pad_keeps_the_scale():
    fit = make_fit('pad', (30, 40))
    image = pixels(1, 20, 50)
    image[[0, -1]] = image[:, [0, -1]] = (9, 8, 7)
    padded = fit(image)
    assert padded.shape == (30, 40, 3)
    assert np.array_equal(padded[5:25], image[:, 5:45])
    assert (padded[:5] == (9, 8, 7)).all() and (padded[25:] == (9, 8, 7)).all()
    assert (fit(image, (1, 2, 3))[0, 0] == (1, 2, 3)).all()


def test_one_scale_for_all_images(tree):
    save(tree / 'slide0' / 'hsil' / 'large.png', 900)
    Image.fromarray(pixels(900, 80, 60)).save(tree / 'slide0' / 'hsil' / 'large.png')
    result = run(tree, size=32, mpp_in=0.25, mpp_out=0.5)
    rows = {row['source']: row for row in read_manifest(result.manifest)}
    small, large = rows['slide0/hsil/0.png'], rows['slide0/hsil/large.png']
    assert {row['factor'] for row in rows.values()} == {'0.5'}
    assert {row['mpp'] for row in rows.values()} == {'0.5'}
    assert (small['original_width'], small['original_height']) == ('30', '20')
    assert (large['original_width'], large['original_height']) == ('60', '80')
    out = result.manifest.parent
    whole = Image.open(tree / small['source'])
    halved = np.array(Image.open(out / small['file']))[11:21, 8:23]
    expected = np.array(whole).reshape(10, 2, 15, 2, 3).mean((1, 3))
    assert np.abs(halved.astype(float) - expected).max() <= 1
    assert np.array(Image.open(out / large['file'])).shape == (32, 32, 3)
    assert result.counts['images filled up around'] == 37
    assert result.counts['images larger than the size, cut'] == 1


def test_the_manifest_says_what_resize_did(tree):
    rows = run(tree, size=40).rows
    assert {(r['original_width'], r['original_height'], r['factor']) for r in rows} == {
        (30, 20, '2')
    }


def test_fill_with_the_background_of_the_slide(tree):
    for slide in range(6):
        for path in (tree / f'slide{slide}').rglob('*.png'):
            image = pixels(slide, 20, 30) // 2
            image[:, :8] = 200 + slide  # background on the left; 'border' is a mix
            image[0, 0, 0] = hash(path.as_posix()) % 200  # no duplicates
            image[0, 1, 0] = len(path.as_posix()) + int(path.stem)
            Image.fromarray(image).save(path)
    result = run(tree, policy='pad', size=40, fill='background')
    for row in result.rows:
        corner = np.array(Image.open(result.manifest.parent / row['file']))[0, 0]
        assert (corner == 200 + int(row['group'][5:])).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'mpp_in': 0.25}, 'of one side only; give both'),
        ({'mpp_in': 0.25, 'mpp_out': 0}, 'mpp-out is 0; expected microns per pixel from'),
        ({'mpp_in': 1, 'mpp_out': 2, 'policy': 'resize'}, 'scales each image by its size'),
        ({'mpp_in': 1, 'mpp_out': 2, 'policy': 'keep', 'size': None}, 'leaves images as they are'),
        ({'fill': 'black'}, "fill is 'black'"),
        ({'fill': 'background'}, 'is for policy pad'),
        ({'mpp_in': 1, 'mpp_out': 2, 'policy': 'crop'}, r'scaled by 0.5, are smaller .*15x10'),
    ],
)
def test_bad_scales(tree, options, message):
    with pytest.raises(ConverterError, match=message):
        run(tree, **options)


# A published split ------------------------------------------------------------


@pytest.fixture
def published(tree):
    """The tree with train, validation and Test in front: two slides in each."""
    names = ('train', 'train', 'Validation', 'Validation', 'Test', 'Test')
    for slide, name in enumerate(names):
        (tree / name).mkdir(exist_ok=True)
        (tree / f'slide{slide}').rename(tree / name / f'slide{slide}')
    return tree


def sides(result):
    return {(row['source'].split('/')[0], row['split']) for row in result.rows}


def test_a_published_split_is_kept(published):
    kept = {('train', 'train'), ('Validation', 'val'), ('Test', 'test')}
    result = run(published)
    assert sides(result) == kept
    assert any('first folder of every path names a split (train 12' in x for x in result.lines)
    assert sides(run(published, 'all', group_regex=None)) == kept
    with pytest.raises(ConverterError, match='inputs.splits: only there'):
        run(published, resplit=True)
    anew = run(published, 'anew', resplit=True, fractions=(0.5, 0.0, 0.5))
    assert {row['split'] for row in anew.rows} == {'train', 'test'} and sides(anew) != kept


def test_a_split_below_the_classes_is_kept(tmp_path):
    for number, (label, split) in enumerate(
        (label, split) for label in ('NILM', 'HSIL') for split in ('training set', 'TEST')
    ):
        save(tmp_path / 'source' / label / split / 'a.png', number)
    result = run(tmp_path / 'source', class_map=None, group_regex=None)
    assert {(row['label'], row['split']) for row in result.rows} == {
        ('NILM', 'train'), ('NILM', 'test'), ('HSIL', 'train'), ('HSIL', 'test'),
    }  # fmt: skip


@pytest.mark.parametrize(
    'name, split',
    [
        ('TRAIN', 'train'), ('1_train', 'train'), ('01-Train', 'train'), ('train_set', 'train'),
        ('trainset', 'train'), ('TrainingImages', 'train'), ('images_train', 'train'),
        ('train1', 'train'), ('val2017', 'val'), ('Validation data', 'val'), ('dev', 'val'),
        ('testA', 'test'), ('test-patches', 'test'), ('cells', None), ('fold1', None),
        ('contest', None), ('pretrained', None), ('train test', None), ('valve', None), ('1', None),
    ],
)  # fmt: skip
def test_names_of_splits(name, split):
    assert split_of_name(name) == split


def test_a_split_is_found_at_any_level():
    for layout in ('{}/A/1.png', 'A/{}/1.png', 'archive/x/{}/A/s/1.png', 'A/{}/s/1.png'):
        files = [layout.format('train'), layout.format('Test').replace('A/', 'B/')]
        assert find_published_split(files).splits == {files[0]: 'train', files[1]: 'test'}
    # Half of a split is not mixed without a word.
    with pytest.raises(ConverterError, match='splits train for 1 images, and no split for 1'):
        find_published_split(['train/A/1.png', 'holdout/A/1.png'])


def test_one_folder_of_one_split_is_no_split(tmp_path):
    for number in range(8):
        save(tmp_path / 'source' / 'train' / 'NILM' / f'{number}.png', number)
    result = run(tmp_path / 'source', class_map=None, group_regex=None)
    assert {row['split'] for row in result.rows} == {'train', 'val', 'test'}


def test_a_published_split_that_is_not_whole(published):
    (published / 'Test' / 'slide4').rename(published / 'slide4')
    with pytest.raises(ConverterError, match=r'no split for 6 in slide4/hsil.*--resplit'):
        run(published)
    assert len(run(published, resplit=True).rows) == 36


def test_a_published_split_that_tears_a_slide(published):
    (published / 'Test' / 'slide0').mkdir()
    (published / 'train' / 'slide0' / 'hsil').rename(published / 'Test' / 'slide0' / 'hsil')
    with pytest.raises(ConverterError, match=r'slide0 \(test and train.*give --resplit'):
        run(published)


def test_of_equal_images_the_test_image_is_kept(published):
    copy = published / 'train' / 'slide0' / 'hsil' / 'copy.png'
    copy.write_bytes((published / 'Test' / 'slide5' / 'hsil' / '1.png').read_bytes())
    (published / 'Validation' / 'slide2' / 'hsil' / 'copy.png').write_bytes(copy.read_bytes())
    result = run(published)
    sources = {row['source'] for row in result.rows}
    assert 'Test/slide5/hsil/1.png' in sources and not any('copy' in name for name in sources)
    assert result.counts['of these, in two splits; kept in test, else in val'] == 2


def test_padding_is_counted_by_exact_sides_not_by_the_printed_factor():
    counts = Counter()
    row = dict(original_height=8000, original_width=8000, height=2667, width=2667, factor='0.3333')
    folders._count_pads([row], Fit('pad', (2667, 2667), 1 / 3), counts)
    assert not any(counts.values())
