"""Pairs from disk to batches."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from cell_images import png_bomb
from mmagic.registry import DATASETS
from PIL import Image
from tissue_images import (
    edit_manifest,
    pair_arrays,
    ten_patients,
    tissue,
    write_manifest,
    write_pairs,
)

from cellgan_plugin.datasets import (
    IGNORE_INDEX,
    DatasetError,
    LabelledBatchSampler,
    SampleIndex,
    TissueMaskDataset,
    stack_tissue_batch,
)
from cellgan_plugin.datasets.tiling import cut_tile, stitch

GEOMETRY = [dict(type='RandomTissueFlip'), dict(type='PackTissueInputs')]


@pytest.fixture(scope='module')
def patients(tmp_path_factory):
    return ten_patients(tmp_path_factory.mktemp('pairs'))


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(
        tmp_path,
        [
            ('a', 'low', 'train', 'p'),
            ('b', 'high', 'train', 'q', (33, 61)),
            ('c', 'low', 'test', 'r'),
        ],
    )


@pytest.fixture
def said(monkeypatch) -> list:
    """What the log would hold."""
    texts = []
    for module in ('problems', 'tissue_masks'):
        monkeypatch.setattr(
            f'cellgan_plugin.datasets.{module}.print_log', lambda text, *_, **__: texts.append(text)
        )
    return texts


def kinds(error) -> set:
    return {problem.kind for problem in error.value.problems}


# What a sample is -------------------------------------------------------------------------------


@pytest.mark.parametrize('cache', [None, 'ram'])
def test_a_whole_image_is_one_sample(pairs, cache):
    data = tissue(pairs, cache=cache, with_instances=True)
    assert len(data) == 2
    image, ids = pair_arrays(1, 33, 61)
    sample = data[1]
    inputs, meta = sample['inputs'], sample['data_samples']
    assert inputs['img'].dtype == torch.uint8 and inputs['instances'].dtype == torch.int32
    assert (inputs['img'].permute(1, 2, 0).numpy() == image).all()
    assert (inputs['mask'].numpy() == (ids > 0)).all()
    assert (inputs['instances'].numpy() == ids).all()
    assert bool(inputs['labelled'])
    assert meta.tile == (0, 0, 33, 61) and meta.image_size == (33, 61) and meta.sample_idx == 1
    assert Path(meta.img_path) == pairs / 'images' / 'b.png'
    assert (meta.group, meta.label, meta.split) == ('q', 'high', 'train')


@pytest.mark.parametrize('cache', [None, 'ram'])
def test_tiles_come_from_their_place_and_make_the_image_again(pairs, cache):
    data = tissue(pairs, tile=20, min_overlap=7, cache=cache, with_instances=True)
    for row, size in ((0, (40, 56)), (1, (33, 61))):
        image, ids = pair_arrays(row, *size)
        found = [
            s for s in map(data.__getitem__, range(len(data)))
            if Path(s['data_samples'].img_path).stem == 'ab'[row]
        ]  # fmt: skip
        positions = [s['data_samples'].tile[:2] for s in found]
        tiles = torch.stack([s['inputs']['img'] for s in found]).float()
        assert (stitch(tiles, positions, size).round().permute(1, 2, 0).numpy() == image).all()
        masks = torch.stack([s['inputs']['instances'] for s in found]).float()
        assert (stitch(masks, positions, size, 'flat').round().numpy() == ids).all()


def test_both_ways_of_keeping_images_give_the_same_samples_in_workers_too(pairs):
    kept = tissue(pairs, tile=20, cache='ram', with_instances=True, pipeline=GEOMETRY)
    read = tissue(pairs, tile=20, with_instances=True, pipeline=GEOMETRY)
    loader = torch.utils.data.DataLoader(
        kept, batch_size=3, num_workers=1, collate_fn=stack_tissue_batch,
        sampler=[SampleIndex(i, 50 + i, 4) for i in range(len(kept))],
    )  # fmt: skip
    samples = [read[SampleIndex(i, 50 + i, 4)] for i in range(len(read))]
    for start, batch in zip(range(0, len(samples), 3), loader, strict=True):
        expected = stack_tissue_batch(samples[start : start + 3])
        assert batch['inputs'].keys() == {'img', 'mask', 'labelled', 'instances'}
        for key, value in expected['inputs'].items():
            assert torch.equal(batch['inputs'][key], value), key
        assert [s.tile for s in batch['data_samples']] == [s.tile for s in expected['data_samples']]


def test_image_and_mask_are_turned_together_and_every_symmetry_occurs(pairs):
    data = tissue(pairs, tile=33, with_instances=True, pipeline=GEOMETRY, small_images='mirror')
    image, _ = pair_arrays(0, 40, 56)
    tile = np.ascontiguousarray(image[:33, :33])
    seen = set()
    for position in range(100):
        inputs = data[SampleIndex(0, position, 7)]['inputs']
        assert torch.equal(inputs['img'][0], (inputs['instances'] * 10).to(torch.uint8))
        assert torch.equal(inputs['mask'], (inputs['instances'] > 0).to(torch.uint8))
        seen.add(inputs['img'].numpy().tobytes())
    turned = [np.rot90(t, k) for t in (tile, tile[:, ::-1]) for k in range(4)]
    assert seen == {np.ascontiguousarray(t.transpose(2, 0, 1)).tobytes() for t in turned}


def test_small_images_are_mirrored_only_when_asked_for(pairs):
    with pytest.raises(DatasetError, match='61x33, smaller than a tile of 40x40') as error:
        tissue(pairs, tile=40)
    assert kinds(error) == {'smaller than a tile'}
    data = tissue(pairs, tile=40, small_images='mirror')
    image, ids = pair_arrays(1, 33, 61)
    last = data[len(data) - 1]
    y, x, *size = last['data_samples'].tile
    assert (y, x, size) == (0, 21, [40, 40])
    assert (last['inputs']['img'].permute(1, 2, 0).numpy() == cut_tile(image, 0, 21, 40, 40)).all()
    assert (last['inputs']['mask'].numpy() == cut_tile(ids > 0, 0, 21, 40, 40)).all()
    with pytest.raises(DatasetError, match='by more than half'):
        tissue(pairs, tile=70, small_images='mirror')


# Masks ------------------------------------------------------------------------------------------


def test_masks_become_classes_by_map_by_label_or_as_they_are(pairs):
    three = dict(classes=['stroma', 'low', 'high'])
    ids = pair_arrays(1, 33, 61)[1]
    by_label = tissue(pairs, instances='label', metainfo=three)
    assert (by_label[1]['inputs']['mask'].numpy() == (ids > 0) * 2).all()
    assert by_label.metainfo['num_classes'] == 3
    mapped = tissue(
        pairs, instances=None, metainfo=three, mask_map={0: 0, 1: 2, 2: 1, '3': IGNORE_INDEX}
    )
    expected = np.array([0, 2, 1, 255])[ids]
    assert (mapped[1]['inputs']['mask'].numpy() == expected).all()
    with pytest.raises(DatasetError, match=r'b.png: holds values that have no class: 3 \(\d+ px\)'):
        tissue(pairs, instances=None, metainfo=three)  # as they are: 0, 1, 2


@pytest.mark.parametrize('cache', [None, 'ram'])
def test_every_bad_pair_is_listed_before_the_first_step(pairs, cache):
    Image.fromarray(pair_arrays(0, 40, 50)[1]).save(pairs / 'masks' / 'a.png')
    (pairs / 'masks' / 'b.png').unlink()
    with pytest.raises(DatasetError) as error:
        tissue(pairs, cache=cache)
    assert kinds(error) == {'mask size', 'missing mask'}
    text = str(error.value)
    assert 'is 50x40, but its image images/a.png is 56x40' in text
    assert 'check_dataset.py' in text
    Image.fromarray(pair_arrays(0, 40, 56)[0]).save(pairs / 'masks' / 'a.png')
    Image.fromarray(pair_arrays(1, 33, 61)[1]).save(pairs / 'masks' / 'b.jpg')
    edit_manifest(pairs, mask='masks/a.png')
    with pytest.raises(DatasetError, match='the mask of images/b.png does not exist'):
        tissue(pairs, cache=cache)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(mask='../masks/a.png'), 'leaves the folder of the manifest'),
        (dict(mask=''), r"images/a.png has no mask. Add it, or set missing_masks='unlabelled'"),
        (dict(file='images/none.png'), 'images/none.png: does not exist'),
        (dict(split='other'), None),
        (dict(label='odd'), None),
    ],
)
def test_manifest_rows_are_checked(pairs, changes, message):
    edit_manifest(pairs, **changes)
    if message is None:
        tissue(pairs)
        if 'label' in changes:
            with pytest.raises(DatasetError, match=r"row 2: label 'odd' \(1 images\) is none of"):
                tissue(pairs, instances='label', metainfo=dict(classes=['s', 'low', 'high']))
    else:
        with pytest.raises(DatasetError, match=message):
            tissue(pairs)


def test_a_mask_of_the_wrong_image_is_noticed(pairs, said):
    edit_manifest(pairs, mask='masks/b.png')
    with pytest.raises(DatasetError, match='is 61x33, but its image images/a.png is 56x40'):
        tissue(pairs)
    write_pairs(pairs, [('a', '', 'train', 'p'), ('b', '', 'train', 'q')])
    edit_manifest(pairs, mask='masks/b.png')
    tissue(pairs)
    assert any('b.png: has the mask masks/b.png of images/a.png' in text for text in said)
    edit_manifest(pairs, mask='images/a.png')
    with pytest.raises(DatasetError, match='a.png: is its own mask'):
        tissue(pairs)


def test_a_split_without_rows_is_an_error_except_beside_others_in_a_test(pairs):
    for options in (dict(split='val'), dict(split=['train', 'val'])):
        with pytest.raises(DatasetError, match="no row has split 'val'; there are"):
            tissue(pairs, **options)
    with pytest.raises(DatasetError, match="no row has split 'val'"):
        tissue(pairs, split='val', test_mode=True)
    assert len(tissue(pairs, split=['test', 'val'], test_mode=True)) == 1


def test_links_out_of_the_folder_are_refused(pairs, tmp_path_factory):
    outside = tmp_path_factory.mktemp('outside') / 'mask.png'
    Image.fromarray(pair_arrays(0, 40, 56)[1]).save(outside)
    (pairs / 'masks' / 'a.png').unlink()
    (pairs / 'masks' / 'a.png').symlink_to(outside)
    with pytest.raises(DatasetError, match='is a link that leaves the data folder'):
        tissue(pairs)
    assert len(tissue(pairs, follow_links=True)) == 2


def test_folders_without_a_manifest(pairs):
    data = tissue(pairs, ann_file='', split=None)
    assert len(data) == 3
    (pairs / 'masks' / 'b.png').rename(pairs / 'masks' / 'b_anno.png')
    with pytest.raises(DatasetError, match=r'b.png: has no mask \(looked for masks/b\.\*\)'):
        tissue(pairs, ann_file='', split=None)
    data = tissue(pairs, ann_file='', split=None, missing_masks='unlabelled')
    assert data.labelled.tolist() == [True, False, True]
    with pytest.raises(DatasetError, match='need a CSV manifest'):
        tissue(pairs, ann_file='')


@pytest.mark.parametrize('suffix', ['.bmp', '.tif', '.webp'])
def test_pairs_of_other_formats(tmp_path, suffix):
    image, ids = pair_arrays(0, 30, 41)
    for folder, array in (('images', image), ('masks', ids)):
        (tmp_path / folder).mkdir()
        options = dict(lossless=True) if suffix == '.webp' else {}
        Image.fromarray(array).save(tmp_path / folder / f'a{suffix}', **options)
    sample = tissue(tmp_path, ann_file='', split=None)[0]['inputs']
    assert (sample['img'].permute(1, 2, 0).numpy() == image).all()
    assert (sample['mask'].numpy() == (ids > 0)).all()


@pytest.mark.parametrize('cache', [None, 'ram'])
def test_hostile_files_are_refused_before_the_first_step(pairs, cache):
    pages = [Image.fromarray(pair_arrays(0, 40, 56)[0])] * 2
    pages[0].save(pairs / 'images' / 'a.png', 'TIFF', save_all=True, append_images=pages[1:])
    (pairs / 'images' / 'b.png').write_bytes(png_bomb())
    with pytest.raises(DatasetError) as error:
        tissue(pairs, cache=cache)
    assert kinds(error) == {'several frames', 'too large'}
    write_pairs(pairs, [('a', '', 'train', 'p'), ('b', '', 'train', 'q')])
    mask = pairs / 'masks' / 'a.png'
    mask.write_bytes(mask.read_bytes()[:-30])
    (pairs / 'masks' / 'b.png').write_bytes(png_bomb())
    with pytest.raises(DatasetError) as error:
        tissue(pairs, cache=cache)
    assert kinds(error) == {'too large'}  # headers are read before anything is decoded
    write_pairs(pairs, [('a', '', 'train', 'p'), ('b', '', 'train', 'q')])
    mask.write_bytes(mask.read_bytes()[:-30])
    with pytest.raises(DatasetError) as error:
        tissue(pairs, cache=cache)
    assert kinds(error) == {'truncated'}
    with pytest.raises(DatasetError, match='max_pixels=2000'):
        tissue(pairs, cache=cache, max_pixels=2000)


# Labelled and unlabelled ------------------------------------------------------------------------


def test_the_labelled_split_goes_by_patient_and_is_nested(patients):
    former = set()
    for ratio in (0.2, 0.4, 0.6, 0.8):
        data = tissue(patients, labelled_ratio=ratio, labelled_seed=1)
        now = {pair.file for pair, known in zip(data.pairs, data.labelled, strict=True) if known}
        groups = {pair.group for pair in data.pairs if pair.file in now}
        assert len(now) == 20 * ratio == 2 * len(groups)
        assert former < now
        former = now
    only = tissue(patients, labelled_ratio=0.8, labelled_seed=1, labelled_only=True)
    assert {pair.file for pair in only.pairs} == former and only.labelled.all()
    whole = tissue(patients, labelled_ratio=0.2, test_mode=True)
    assert whole.labelled.all() and len(whole) == 20


def test_the_split_does_not_depend_on_the_order_of_the_manifest(patients, tmp_path):
    lines = (patients / 'manifest.csv').read_text().splitlines()
    shuffled = [lines[0], *np.random.default_rng(0).permutation(lines[1:])]
    other = patients / 'other.csv'
    other.write_text('\n'.join(shuffled) + '\n')
    chosen = []
    for manifest in ('manifest.csv', 'other.csv'):
        data = tissue(patients, ann_file=manifest, labelled_ratio=0.4)
        chosen.append(
            {pair.file for pair, known in zip(data.pairs, data.labelled, strict=True) if known}
        )
    other.unlink()
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize('cache', [None, 'ram'])
def test_masks_of_unlabelled_images_are_never_opened(tmp_path, cache):
    root = ten_patients(tmp_path)
    data = tissue(root, labelled_ratio=0.4)
    for pair, known in zip(data.pairs, data.labelled, strict=True):
        if not known:
            (root / pair.mask).write_text('secret')
    data = tissue(root, labelled_ratio=0.4, tile=20, cache=cache, with_instances=True)
    flags = data.labelled_flags()
    batch = stack_tissue_batch([data[int(np.flatnonzero(flags)[0])], data[int((~flags).argmax())]])
    assert batch['inputs']['labelled'].tolist() == [True, False]
    assert (batch['inputs']['mask'][1] == IGNORE_INDEX).all()
    assert (batch['inputs']['instances'][1] == 0).all()
    assert batch['inputs']['mask'][0].max() == 1
    assert data.summary()['unlabelled_images'] == 12


def test_transductive_images_come_without_masks_and_are_said_loudly(patients, said):
    data = tissue(patients, transductive='test', labelled_ratio=0.5, tile=32)
    assert any(text.startswith('TRANSDUCTIVE: 4 images') for text in said)
    hidden = [pair for pair in data.pairs if pair.split == 'test']
    assert len(hidden) == 4 and not any(pair.mask or pair.label for pair in hidden)
    assert data.summary()['unlabelled_images'] == 10 + 4
    with pytest.raises(ValueError, match='beside the one that is trained on'):
        tissue(patients, transductive='train')


def test_semi_supervised_training_needs_unlabelled_images(tmp_path):
    root = write_pairs(tmp_path, [('a', '', 'train', 'p'), ('b', '', 'train', 'p')])
    with pytest.raises(DatasetError, match='leaves no unlabelled image') as error:
        tissue(root, labelled_ratio=0.5)
    assert kinds(error) == {'no unlabelled image'}
    with pytest.raises(ValueError, match='none of the 2 samples is unlabelled'):
        LabelledBatchSampler(tissue(root), 1, 1)
    edit_manifest(root, mask='')
    data = tissue(root, missing_masks='unlabelled')
    assert list(LabelledBatchSampler(data, 1, 1, seed=0).members) == [[1], [0]]
    (root / 'masks' / 'b.png').unlink()
    write_manifest(root, [('images/a.png', '', '', 'train', '')])
    with pytest.raises(DatasetError, match='no image has a mask'):
        tissue(root, missing_masks='unlabelled')


# Leaks ------------------------------------------------------------------------------------------


def test_patients_and_images_on_both_sides_are_found(tmp_path, said):
    root = ten_patients(tmp_path)
    edit_manifest(root, group='q0')
    with pytest.raises(DatasetError, match=r'1 of 11 groups .* are in other splits too') as error:
        tissue(root)
    assert kinds(error) == {'group in two splits'}
    tissue(root, shared_groups='warn')
    assert any('patients that were trained on' in text for text in said)
    (root / 'images' / 'p0_0.png').write_bytes((root / 'images' / 'q1_0.png').read_bytes())
    with pytest.raises(DatasetError, match='the same file as') as error:
        tissue(root, shared_groups='warn')
    assert kinds(error) == {'two splits'}
    tissue(root, test_mode=True)  # evaluation trains on nothing


# Configuration ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(mask_map={0: 0}, instances='binary'), 'Give one of the two'),
        (dict(mask_map={0: 5}, instances=None), 'becomes class 5, but classes are numbered 0 to 1'),
        (dict(mask_map={-1: 0}, instances=None), 'value -1 is not between 0 and 65535'),
        (dict(mask_map={'a': 0}, instances=None), "value 'a' is not a whole number"),
        (dict(instances='all'), 'instances must be None or one of'),
        (dict(metainfo=dict(classes=['one'])), 'needs 2 to 255 classes'),
        (dict(metainfo=dict(classes=['a', 'b', 'c'])), "instances='binary' gives two classes"),
        (dict(instances=None, with_instances=True), 'needs masks of instance ids'),
        (dict(tile=0), 'positive int'),
        (dict(tile=8, min_overlap=8), 'less than the tile'),
        (dict(labelled_ratio=20), 'above 0 and at most 1'),
        (dict(cache='disk'), 'cache must be one of'),
    ],
)
def test_options_that_cannot_be_meant(pairs, options, message):
    with pytest.raises(ValueError, match=message):
        tissue(pairs, **options)


def test_it_is_built_from_a_config_and_pickles_and_takes_subsets(pairs):
    config = dict(
        type='TissueMaskDataset', data_root=str(pairs), ann_file='manifest.csv', split=['train'],
        instances='binary', tile=20, pipeline=GEOMETRY,
    )  # fmt: skip
    data = DATASETS.build(config)
    assert isinstance(data, TissueMaskDataset) and data.metainfo['classes'] == ('stroma', 'gland')
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again[0]['inputs']['img'], data[0]['inputs']['img'])
    few = DATASETS.build({**config, 'indices': 5})
    assert len(few) == 5 == len(few.labelled_flags())
    lazy = DATASETS.build({**config, 'lazy_init': True})
    assert len(LabelledBatchSampler(lazy, 1, 0, seed=0).members[0]) == len(data)
    with pytest.raises(IndexError, match='index 99 of'):
        data[99]


def test_batches_of_different_sizes_are_refused(pairs):
    data = tissue(pairs)
    with pytest.raises(ValueError, match='use batch_size=1 for whole images'):
        stack_tissue_batch([data[0], data[1]])


def test_memory_is_asked_for_before_it_is_used(pairs, monkeypatch):
    monkeypatch.setattr('cellgan_plugin.datasets.memory.available_memory', lambda: 1000)
    with pytest.raises(MemoryError, match='Set cache=None'):
        tissue(pairs, cache='ram')
