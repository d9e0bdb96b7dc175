import csv
import dataclasses
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from programs import run_program

from cellgan_plugin.datasets.classes import BETHESDA_CLASSES
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.manifest import read_manifest
from cellgan_plugin.phantom import (
    draw_phantom_sheet,
    generate_phantom,
    write_phantom_dataset,
    writer,
)
from cellgan_plugin.phantom.slides import SLIDES_PER_SPLIT
from cellgan_plugin.records import RecordError

CLI = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'phantom.py'
SIZE = 16


def snapshot(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def cell_rows(folder):
    with open(folder / '_truth' / 'cells.csv', newline='') as file:
        return list(csv.DictReader(file))


def replace_generator(monkeypatch, generate):
    kind = dataclasses.replace(writer.PHANTOM_KINDS['cytology'], generate=generate)
    monkeypatch.setattr(writer, 'PHANTOM_KINDS', {'cytology': kind})


def test_layout_and_content(tmp_path):
    manifest = write_phantom_dataset(
        tmp_path / 'p', SIZE, {'NILM': 2, 'hsil': 3}, seed=4, splits=('train', 'val')
    )
    rows = read_manifest(manifest)
    assert Counter((row['split'], row['label']) for row in rows) == {
        ('train', 'NILM'): 2,
        ('train', 'HSIL'): 3,
        ('val', 'NILM'): 2,
        ('val', 'HSIL'): 3,
    }
    folders = {item.name for item in (tmp_path / 'p').iterdir() if item.is_dir()}
    assert folders == {'NILM', 'HSIL', '_truth'}
    assert rows[0]['file'] == 'NILM/phantom_train_000000.png'
    cells = cell_rows(tmp_path / 'p')
    for row in rows:
        index = int(row['file'][-10:-4])
        patch = generate_phantom(row['label'], SIZE, 4, row['split'], index)
        assert row['group'] == patch.slide
        image = cv2.imread(str(tmp_path / 'p' / row['file']))[..., ::-1]
        np.testing.assert_array_equal(image, patch.image)
        for kind, mask in (('instances', patch.instance_mask), ('nuclei', patch.nucleus_mask)):
            path = tmp_path / 'p' / '_truth' / kind / row['file']
            read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert read.dtype == np.uint16
            np.testing.assert_array_equal(read, mask)
        own = [cell for cell in cells if cell['file'] == row['file']]
        assert [int(cell['id']) for cell in own] == [cell.id for cell in patch.cells]
        assert [cell['label'] for cell in own] == [cell.label for cell in patch.cells]
        assert float(own[0]['nc_ratio']) == pytest.approx(patch.cells[0].nc_ratio, abs=1e-4)


def test_workers_write_the_same_bytes(tmp_path):
    write_phantom_dataset(tmp_path / 'one', SIZE, 3)
    write_phantom_dataset(tmp_path / 'two', SIZE, 3, workers=2)
    assert snapshot(tmp_path / 'one') == snapshot(tmp_path / 'two')


def test_a_finished_folder_is_left_alone_and_may_grow(tmp_path, monkeypatch):
    write_phantom_dataset(tmp_path, SIZE, {'LSIL': 3})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.png')}
    made = []
    replace_generator(monkeypatch, lambda *key: made.append(key) or generate_phantom(*key))
    write_phantom_dataset(tmp_path, SIZE, {'LSIL': 3})
    assert not made
    write_phantom_dataset(tmp_path, SIZE, {'LSIL': 4, 'NILM': 1})
    assert len(made) == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len({row['file'] for row in cell_rows(tmp_path)}) == 5


def test_a_stopped_run_goes_on_and_ends_with_the_same_files(tmp_path, monkeypatch):
    write_phantom_dataset(tmp_path / 'whole', SIZE, 2)
    made = []

    def stop_at_the_fifth(*key):
        made.append(key)
        if len(made) == 5:
            raise KeyboardInterrupt
        return generate_phantom(*key)

    replace_generator(monkeypatch, stop_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        write_phantom_dataset(tmp_path / 'stopped', SIZE, 2)
    assert not (tmp_path / 'stopped' / 'manifest.csv').exists()
    write_phantom_dataset(tmp_path / 'stopped', SIZE, 2)
    assert len(made) == 5 + 6
    assert snapshot(tmp_path / 'stopped') == snapshot(tmp_path / 'whole')


def test_lost_files_are_made_again(tmp_path):
    write_phantom_dataset(tmp_path, SIZE, {'NILM': 3})
    whole = snapshot(tmp_path)
    (tmp_path / 'NILM' / 'phantom_train_000001.png').unlink()
    (tmp_path / '_truth' / 'nuclei' / 'NILM' / 'phantom_train_000002.png').unlink()
    (tmp_path / '_truth' / 'cells.csv').unlink()
    write_phantom_dataset(tmp_path, SIZE, {'NILM': 3})
    assert snapshot(tmp_path) == whole


@pytest.mark.parametrize(
    'change, named',
    (
        ({'seed': 1}, 'seed: 0 there, 1 now'),
        ({'size': 32}, 'size: 16 there, 32 now'),
        ({'counts': {'NILM': 1}}, 'counts.train.NILM: 2 there, 1 now'),
        ({'splits': ('val',)}, 'counts.train.NILM: 2 there, 0 now'),
    ),
)
def test_other_parameters_are_refused(tmp_path, change, named):
    same = {'size': SIZE, 'counts': {'NILM': 2}}
    write_phantom_dataset(tmp_path, **same)
    before = snapshot(tmp_path)
    with pytest.raises(RecordError, match=named):
        write_phantom_dataset(tmp_path, **{**same, **change})
    assert snapshot(tmp_path) == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / 'holiday.jpg').write_bytes(b'')
    with pytest.raises(RecordError, match='holiday.jpg'):
        write_phantom_dataset(tmp_path, SIZE, 1)
    with pytest.raises(RecordError, match='holiday.jpg'):
        write_phantom_dataset(tmp_path / 'holiday.jpg', SIZE, 1)


def test_broken_parameters_are_refused(tmp_path):
    write_phantom_dataset(tmp_path, SIZE, {'NILM': 1})
    (tmp_path / '_truth' / 'parameters.json').write_text('[')
    with pytest.raises(RecordError, match='is damaged'):
        write_phantom_dataset(tmp_path, SIZE, {'NILM': 1})


@pytest.mark.parametrize(
    'arguments, message',
    (
        ({'counts': {'SCC': 1}}, "class 'SCC'"),
        ({'counts': {'LSIL': 1, 'lsil': 2}}, 'counted twice'),
        ({'counts': -1}, 'whole number of 0 or more'),
        ({'counts': 1.5}, 'whole number of 0 or more'),
        ({'counts': 0}, 'no patch is asked for'),
        ({}, 'how many patches'),
        ({'counts': 1, 'splits': {'train': 1}}, 'leave counts at None'),
        ({'counts': 1, 'splits': ()}, 'splits is empty'),
        ({'counts': 1, 'splits': ('../up',)}, 'part of file names'),
        ({'counts': 1, 'size': 8}, 'at least 16'),
        ({'counts': 1, 'workers': 0}, 'workers must be 1 or more'),
    ),
)
def test_mistakes_raise_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_phantom_dataset(tmp_path / 'p', **{'size': SIZE, **arguments})
    assert not (tmp_path / 'p').exists()


def test_slides_span_the_classes_evenly_and_no_two_splits(tmp_path):
    rare, common = SLIDES_PER_SPLIT, 2 * SLIDES_PER_SPLIT
    manifest = write_phantom_dataset(
        tmp_path, SIZE, splits={'train': {'NILM': common, 'HSIL': rare}, 'val': {'NILM': 3}}
    )
    rows = read_manifest(manifest)
    train = [row for row in rows if row['split'] == 'train']
    by_class = {
        label: Counter(row['group'] for row in train if row['label'] == label)
        for label in ('NILM', 'HSIL')
    }
    assert set(by_class['NILM']) == set(by_class['HSIL'])
    assert set(by_class['NILM'].values()) == {2} and set(by_class['HSIL'].values()) == {1}
    val = {row['group'] for row in rows if row['split'] == 'val'}
    assert val.isdisjoint(row['group'] for row in train)


def test_command_line(tmp_path):
    run_program(
        CLI.resolve(), '--out', 'p', '--size', 16, '--seed', 2, '--splits', 'train=2,val=1',
        '--workers', 2, '--quiet', cwd=tmp_path,
    )  # fmt: skip
    rows = read_manifest(tmp_path / 'p' / 'manifest.csv')
    assert Counter(row['split'] for row in rows) == {'train': 10, 'val': 5}
    assert {row['label'] for row in rows} == set(BETHESDA_CLASSES)
    parameters = json.loads((tmp_path / 'p' / '_truth' / 'parameters.json').read_text())
    assert parameters['seed'] == 2
    write_phantom_dataset(tmp_path / 'api', 16, seed=2, splits={'train': 2, 'val': 1})
    assert snapshot(tmp_path / 'api') == snapshot(tmp_path / 'p')


def test_the_sheet_shows_the_first_patches_of_every_class(tmp_path):
    write_phantom_dataset(tmp_path / 'p', SIZE, {'NILM': 3, 'HSIL': 1}, splits=('train', 'val'))
    path = draw_phantom_sheet(tmp_path / 'p', tmp_path / 'sheet.png', columns=2)
    sheet = load_image(str(path))
    for label, index in (('NILM', 0), ('NILM', 1), ('HSIL', 0)):
        patch = generate_phantom(label, SIZE, 0, 'train', index).image
        windows = np.lib.stride_tricks.sliding_window_view(sheet, patch.shape)
        assert (windows == patch).all(axis=(-1, -2, -3)).sum() == 1, (label, index)
    third = generate_phantom('NILM', SIZE, 0, 'train', 2).image
    windows = np.lib.stride_tricks.sliding_window_view(sheet, third.shape)
    assert not (windows == third).all(axis=(-1, -2, -3)).any()
    draw_phantom_sheet(tmp_path / 'p', tmp_path / 'small.jpg', side=SIZE // 2)
    assert load_image(str(tmp_path / 'small.jpg')).shape < sheet.shape


def test_the_sheet_needs_a_format(tmp_path):
    with pytest.raises(ValueError, match="'.gif': must be one of"):
        draw_phantom_sheet(tmp_path, tmp_path / 'sheet.gif')
