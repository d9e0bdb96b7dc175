import multiprocessing
import os

import numpy as np
import pytest
import torch
from evaluation_helpers import CLASSES, TinyFeatures, dataset_of, write_images

from cellgan_plugin.evaluation.statistics_cache import CACHE_VARIABLE, cache_folder, real_features
from cellgan_plugin.runs.evaluate_folders import folder_dataset


@pytest.fixture
def real(tmp_path):
    return write_images(tmp_path / 'real', dict(NILM=3, LSIL=2, HSIL=2))


@pytest.fixture
def cache(tmp_path):
    return tmp_path / 'cache'


def computed(dataset, cache, seed=0):
    """Features, and how many images went through the extractor for them."""
    extractor = TinyFeatures(seed)
    found = real_features(dataset, extractor, cache, batch_size=2)
    return found, extractor.calls


def test_computed_once_then_read(real, cache):
    first, calls = computed(dataset_of(real), cache)
    assert calls == 7 and len(list(cache.iterdir())) == 1
    second, calls = computed(dataset_of(real), cache)
    assert calls == 0
    assert np.array_equal(first.features, second.features)
    assert np.array_equal(first.labels, second.labels)
    assert first.counts() == dict(NILM=3, LSIL=2, HSIL=2)


def test_everything_that_matters_makes_a_new_entry(real, cache):
    computed(dataset_of(real), cache)

    def is_new(dataset, seed=0):
        return computed(dataset, cache, seed)[1] > 0

    assert is_new(dataset_of(real), seed=1)  # the extractor
    assert is_new(dataset_of(real, CLASSES[::-1]))  # the labels
    assert is_new(dataset_of(real, size=8))  # the transforms
    assert not is_new(dataset_of(real))
    path = real / 'NILM' / '0.png'
    other = write_images(real.parent / 'other', dict(NILM=1), seed=9)
    path.write_bytes((other / 'NILM' / '0.png').read_bytes())
    os.utime(path, (1, 1))
    assert is_new(dataset_of(real))  # the contents
    path.rename(path.with_name('7.png'))
    assert is_new(dataset_of(real))  # the names
    path.with_name('7.png').unlink()
    assert is_new(dataset_of(real))  # the number
    lines = ['file,label,split'] + [
        f'{p.parent.name}/{p.name},{p.parent.name},{split}'
        for p, split in zip(sorted(real.glob('*/*.png')), 'aabbab', strict=True)
    ]
    (real / 'manifest.csv').write_text('\n'.join(lines))
    for split in 'ab':  # the fold: MMagic's stock FID reads the first fold's statistics again
        dataset = folder_dataset(real, CLASSES, ann_file='manifest.csv', split=split)
        found, calls = computed(dataset, cache)
        assert calls == len(found) == len(dataset) == 3


@pytest.mark.parametrize('damage', ['cut', 'empty', 'foreign', 'pickled', 'not_finite', 'swapped'])
def test_a_damaged_entry_is_computed_again(real, cache, damage, caplog):
    expected, _ = computed(dataset_of(real), cache)
    (path,) = cache.iterdir()
    content = path.read_bytes()
    if damage == 'cut':
        path.write_bytes(content[: len(content) // 2])
    elif damage == 'empty':
        path.write_bytes(b'')
    elif damage == 'foreign':
        path.write_bytes(b'no archive')
    elif damage == 'pickled':
        with open(path, 'wb') as file:
            np.savez(file, key=np.array([print], dtype=object), labels=[], features=[])
    else:
        with np.load(path) as archive:
            arrays = dict(archive)
        if damage == 'not_finite':
            arrays['features'][0] = np.nan
        else:
            arrays['key'] = np.array('of another set')
        with open(path, 'wb') as file:
            np.savez(file, **arrays)
    again, calls = computed(dataset_of(real), cache)
    assert calls == 7
    assert np.array_equal(again.features, expected.features)
    assert computed(dataset_of(real), cache)[1] == 0
    assert not list(cache.glob('.*'))


def test_two_processes_at_once(real, cache):
    context = multiprocessing.get_context('fork')
    start = context.Event()

    def work():
        torch.set_num_threads(1)
        start.wait()
        for _ in range(3):
            computed(dataset_of(real), cache)

    processes = [context.Process(target=work) for _ in range(2)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert [path.suffix for path in cache.iterdir()] == ['.npz']
    assert computed(dataset_of(real), cache)[1] == 0


def test_a_folder_that_cannot_be_written_does_not_stop_the_run(real, tmp_path):
    blocked = tmp_path / 'file'
    blocked.write_text('')
    found, calls = computed(dataset_of(real), blocked / 'cache')
    assert calls == 7 and len(found) == 7


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    assert str(cache_folder()) == os.path.join('work_dirs', 'feature_cache')
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder('here').name == 'here'
