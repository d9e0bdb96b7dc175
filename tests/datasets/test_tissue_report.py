"""The checker's table for image + mask pairs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import run_program
from tissue_images import edit_manifest, pair_arrays, tissue, write_pairs

from cellgan_plugin.datasets import check_dataset
from cellgan_plugin.datasets.checks import datasets_of_config

REPO = Path(__file__).parents[2]


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(
        tmp_path,
        [
            ('a', 'low', 'train', 'p'),
            ('b', 'high', 'train', 'q'),
            ('c', 'low', 'train', 'q'),
            ('d', 'low', 'test', 'r'),
        ],
    )


def lazy(root, **kwargs):
    return tissue(root, lazy_init=True, **kwargs)


def kinds(report):
    return {problem.kind: problem.severity for problem in report.problems}


def test_good_pairs_are_ready_and_described(pairs, tmp_path_factory):
    report = check_dataset(
        lazy(pairs, tile=20, min_overlap=7, labelled_ratio=0.3, labelled_by='image')
    )
    assert not report.problems and not report.harmful
    assert report.counts['train'] == {'stroma': 3, 'gland': 3}
    assert report.counts['test'] == {'stroma': 1, 'gland': 1}
    text = report.to_text()
    # 40x56 in tiles of 20 with 7 px in common: 3 x 4 of each.
    assert 'training uses 3 images (1 labelled, 2 unlabelled) in 36 tiles' in text
    gland = sum((pair_arrays(k, 40, 56)[1] > 0).mean() for k in range(3)) / 3
    assert f'train: area of stroma {100 - 100 * gland:.1f} %, gland {100 * gland:.1f} %, 6' in text
    folder = tmp_path_factory.mktemp('report')
    assert {path.name for path in report.save(folder)} >= {'report.txt', 'gland.png'}
    picture = np.asarray(Image.open(folder / 'gland.png'))
    assert picture.shape[2] == 3 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_every_problem_of_every_split_is_in_the_table(pairs):
    masks, images = pairs / 'masks', pairs / 'images'
    Image.fromarray(pair_arrays(0, 40, 50)[1]).save(masks / 'a.png')
    (masks / 'd.png').unlink()
    Image.fromarray(np.full((40, 56), 9, np.uint8)).save(masks / 'c.png')
    (images / 'c.png').write_bytes((images / 'b.png').read_bytes())
    report = check_dataset(lazy(pairs, instances=None, mask_map={0: 0, 1: 1, 2: 1, 3: 1, 4: 1}))
    assert kinds(report) == {
        'mask size': 'error',
        'missing mask': 'error',
        'mask value': 'error',
        'duplicate': 'warning',
    }
    text = report.to_text()
    for words in ('a.png: is 50x40', 'd.png', '9 (2240 px)', 'has the same pixels as'):
        assert words in text
    assert text.endswith('NOT READY: training would be harmed')


def test_leaks_and_tiles_and_transductive_images(pairs):
    edit_manifest(pairs, group='r')
    (pairs / 'images' / 'd.png').write_bytes((pairs / 'images' / 'b.png').read_bytes())
    report = check_dataset(lazy(pairs, tile=41))
    found = kinds(report)
    assert found['group in two splits'] == found['two splits'] == 'error'
    assert found['smaller than a tile'] == 'error'
    assert len(report.of_kind('smaller than a tile')) == 3  # the test image is never cut
    published = check_dataset(lazy(pairs, shared_groups='warn'))
    assert kinds(published)['group in two splits'] == 'warning'
    advice = 'Keep each group on one side'  # not where the setting says that they are shared
    assert advice in report.to_text() and advice not in published.to_text()
    edit_manifest(pairs, group='p')
    Image.fromarray(pair_arrays(3, 40, 56)[0]).save(pairs / 'images' / 'd.png')
    (pairs / 'masks' / 'd.png').write_text('secret')
    hidden = lazy(pairs, transductive='test', labelled_ratio=0.5)
    test = lazy(pairs, split='test', test_mode=True)
    assert not check_dataset(hidden).harmful  # nothing looks at that mask
    report = check_dataset(hidden, dict(test=test))
    assert report.of_kind('unreadable')[0].where.endswith('d.png')  # the test does
    shared = report.of_kind('shared files')
    assert len(shared) == 1 and 'transductive' in shared[0].message


def test_black_and_white_masks_are_not_taken_for_instances_unnoticed(pairs):
    for name in 'abc':
        mask = (np.asarray(Image.open(pairs / 'masks' / f'{name}.png')) > 0) * np.uint8(255)
        Image.fromarray(mask).save(pairs / 'masks' / f'{name}.png')
    assert kinds(check_dataset(lazy(pairs))) == {'one instance': 'warning'}
    assert not check_dataset(
        lazy(pairs, instances=None, mask_map={0: 0, 255: 1}, split='train')
    ).of_kind('one instance')


def test_the_tool_reads_a_config_of_pairs(pairs, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        "train_dataloader = dict(dataset=dict(type='TissueMaskDataset', split='train',\n"
        f"    data_root={str(pairs)!r}, ann_file='manifest.csv', instances='binary', tile=64))\n"
        "val_dataloader = dict(dataset=dict(type='TissueMaskDataset', split='test',\n"
        f"    data_root={str(pairs)!r}, ann_file='manifest.csv', instances='binary'))\n"
    )
    found = run_program('tools/check_dataset.py', config, check=False)
    assert found.returncode == 1, found.stderr
    assert found.stdout.count('smaller than a tile of 64x64') == 3


def test_what_can_be_checked_is_said():
    with pytest.raises(TypeError, match='CellPatchDataset and TissueMaskDataset can be checked'):
        datasets_of_config(dict(train_dataloader=dict(dataset=dict(type='BasicImageDataset'))))
