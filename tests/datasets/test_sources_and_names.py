"""Manifests, class names, memory and problem texts."""

import tracemalloc

import pytest

from cellgan_plugin.datasets import CellPatchDataset, check_class_names, resolve_class
from cellgan_plugin.datasets.manifest import (
    ManifestError,
    clean_relative_path,
    iter_manifest,
    read_manifest,
    write_manifest,
)
from cellgan_plugin.datasets.memory import PixelCache, available_memory, require_memory
from cellgan_plugin.datasets.problems import DatasetError, Problem


def test_manifest_round_trip(tmp_path):
    rows = [
        dict(file='A/a, b.png', label='A', split='train', group='"1"'),
        dict(file='B/ü.png', label='B', split='val', group=''),
    ]
    path = write_manifest(tmp_path / 'm.csv', rows, ['file', 'label', 'split', 'group'])
    assert read_manifest(path) == rows
    assert [line for line, _ in iter_manifest(path)] == [2, 3]


def test_manifest_writer_refuses_what_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match='first columns'):
        write_manifest(tmp_path / 'm.csv', [], ['label', 'file'])
    with pytest.raises(ValueError):
        write_manifest(tmp_path / 'm.csv', [dict(file='a', label='b', c=1)], ['file', 'label'])
    assert not (tmp_path / 'm.csv').exists()


@pytest.mark.parametrize(
    'text, words',
    [
        ('', 'column file, label is missing'),
        ('file,label,label\na,b,c\n', 'named twice in the header'),
        ('file,label\n,A\n', 'row 2: file is empty'),
        ('file,label\nx.png,\n', 'row 2: label is empty'),
        ('file,label\nx.png,A\n\nC:/x.png,A\n', 'row 4: .*leaves the folder'),
    ],
)
def test_manifest_errors(tmp_path, text, words):
    (tmp_path / 'm.csv').write_text(text)
    with pytest.raises(ManifestError, match=words):
        read_manifest(tmp_path / 'm.csv')


@pytest.mark.parametrize(
    'name, expected',
    [
        ('A/x.png', 'A/x.png'),
        (' A/x.png ', 'A/x.png'),
        ('A\\x.png', 'A/x.png'),
        ('./A//x.png', 'A/x.png'),
        ('A/./x..1.png', 'A/x..1.png'),
        ('.x.png', '.x.png'),
        ('A/x:1.png', 'A/x:1.png'),
        ('../x.png', None),
        ('A/../../x.png', None),
        ('A\\..\\x.png', None),
        ('/x.png', None),
        ('\\\\server\\x.png', None),
        ('C:\\x.png', None),
        ('', None),
        ('.', None),
        ('A/x\0.png', None),
    ],
)
def test_clean_relative_path(name, expected):
    assert clean_relative_path(name) == expected


@pytest.mark.parametrize(
    'spelling, expected',
    [
        ('ASC-US', 'ASC-US'),
        ('asc_us', 'ASC-US'),
        ('ASC US', 'ASC-US'),
        ('Negative', 'NILM'),
        ('High-grade squamous intraepithelial lesion', 'HSIL'),
        ('ASC', None),
        ('SCC', None),
        ('', None),
    ],
)
def test_resolve_class(spelling, expected):
    assert resolve_class(spelling) == expected


def test_exact_name_wins_over_alias():
    assert resolve_class('normal', ['NILM', 'normal']) == 'normal'
    assert resolve_class('carcinoma', ['NILM', 'SCC']) == 'SCC'


def test_check_class_names():
    assert check_class_names(['b', 'a']) == ('b', 'a')
    for bad in ([], ['A', 'a'], ['ASC-US', 'ASC_US'], ['A', 'A'], ['-'], [3]):
        with pytest.raises(ValueError):
            check_class_names(bad)


def test_memory_limits():
    assert 0 < available_memory() < 2**50
    require_memory(1, 'one byte', 'nothing')
    with pytest.raises(MemoryError, match='a petabyte needs .* GiB are free. Buy some'):
        require_memory(2**50, 'a petabyte', 'Buy some')


@pytest.mark.parametrize(
    'environment, processes',
    [
        ({}, 1),
        ({'LOCAL_WORLD_SIZE': '2', 'SLURM_NTASKS_PER_NODE': '8'}, 2),
        ({'SLURM_NTASKS_PER_NODE': '8'}, 8),
        ({'SLURM_STEP_TASKS_PER_NODE': '4(x2),3'}, 4),
        ({'SLURM_NTASKS_PER_NODE': '', 'SLURM_STEP_TASKS_PER_NODE': '3'}, 3),
        ({'LOCAL_WORLD_SIZE': 'many'}, 1),
    ],
)
def test_every_process_of_the_machine_counts(monkeypatch, environment, processes):
    for name in ('LOCAL_WORLD_SIZE', 'SLURM_NTASKS_PER_NODE', 'SLURM_STEP_TASKS_PER_NODE'):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr('cellgan_plugin.datasets.memory.available_memory', lambda: 1000)
    require_memory(900 // processes, 'it', 'Buy some')
    with pytest.raises(MemoryError) as error:
        require_memory(900 // processes + 1, 'it', 'Buy some')
    assert (f'in each of {processes} processes' in str(error.value)) == (processes > 1)


def test_control_group_limit_counts(tmp_path, monkeypatch):
    (tmp_path / 'memory.max').write_text('1000\n')
    (tmp_path / 'memory.current').write_text('900\n')
    (tmp_path / 'memory.stat').write_text('anon 100\ninactive_file 300\n')
    monkeypatch.setattr(
        'cellgan_plugin.datasets.memory._cgroup_folders', lambda: iter([(tmp_path, True)])
    )
    assert available_memory() == 400
    (tmp_path / 'memory.max').write_text('max\n')
    assert available_memory() > 1000


def test_pixel_cache_refuses_another_shape():
    import numpy as np

    cache = PixelCache([(2, 3, 1), (4, 4, 3)])
    assert len(cache) == 2 and cache.pixels.nbytes == 6 + 48
    with pytest.raises(ValueError, match='expected'):
        cache.fill(0, lambda: np.zeros((3, 2, 1), np.uint8))


def test_names_cannot_drive_the_terminal():
    error = DatasetError([Problem('error', 'unreadable', 'a\x1b[2J\udcff.png', 'is\nbad')])
    assert '\x1b' not in str(error) and 'a\\x1b[2J' in str(error) and 'is\\nbad' in str(error)
    str(error).encode('utf-8')


def test_memory_of_a_long_list_stays_small(tmp_path):
    """A million rows must fit beside everything else: no dictionaries of all rows at once."""
    rows = 20_000
    lines = [f'A/{n // 1000:04d}/{n:07d}.png,A,train,slide{n // 500}' for n in range(rows)]
    text = '\n'.join(['file,label,split,group', *lines])
    (tmp_path / 'manifest.csv').write_text(text, encoding='utf-8')
    del lines, text
    options = dict(data_root=str(tmp_path), ann_file='manifest.csv', split='train', check='none')
    tracemalloc.start()
    images = CellPatchDataset(metainfo=dict(classes=['A']), **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(images) == rows
    assert images.get_data_info(12_345)['group'] == 'slide24'
    assert peak / rows < 250  # bytes; 176 as measured, 389 when all rows were dictionaries
