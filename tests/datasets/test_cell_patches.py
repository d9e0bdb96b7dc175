"""Layouts, classes, cache, determinism and packing of CellPatchDataset."""

import copy

import numpy as np
import pytest
import torch
from cell_images import SIZE, encoded, make_folders, pixels, save
from mmagic.registry import DATASETS
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset, pseudo_collate
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import FUNCTIONS, DefaultScope
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader

from cellgan_plugin.datasets import (
    BETHESDA_CLASSES,
    CellPatchDataset,
    DatasetError,
    ResumableInfiniteSampler,
    image_io,
    load_image,
    stack_cell_batch,
)
from cellgan_plugin.datasets.memory import require_device_memory
from cellgan_plugin.datasets.training_checks import evenly_spaced
from cellgan_plugin.models.data_preprocessor import CellDataPreprocessor

PIPELINE = [
    dict(type='FitCellPatch', out_size=SIZE),
    dict(type='RandomCellFlip', seed=3),
    dict(type='PackCellInputs'),
]


def dataset(root, classes=('A', 'B'), **kwargs):
    kwargs = {'pipeline': PIPELINE, **kwargs}
    return CellPatchDataset(data_root=str(root), metainfo=dict(classes=list(classes)), **kwargs)


@pytest.mark.parametrize('cache', [None, 'ram'])
def test_classes_of_another_task_and_images_that_are_not_square(tmp_path, cache):
    grades = ['Normal', 'CIN1', 'CIN2', 'CIN3']  # 'Normal' is a spelling of NILM elsewhere
    root = make_folders(tmp_path / 'tissue', grades)
    (root / 'CIN1').rename(root / 'cin_1')
    pipeline = [dict(type='FitCellPatch', out_size=(SIZE, SIZE // 2)), *PIPELINE[1:]]
    data = dataset(root, grades, pipeline=pipeline, cache=cache)
    assert data.class_counts() == dict.fromkeys(grades, 4)
    index = next(i for i in range(len(data)) if 'cin_1' in data.get_data_info(i)['img_path'])
    assert data[index]['inputs']['img'].shape == (3, SIZE, SIZE // 2)
    assert data[index]['data_samples'].gt_label.label.item() == 1


@pytest.fixture
def root(tmp_path):
    return make_folders(tmp_path / 'data')


def samples(images):
    """file -> (label, pixels)"""
    packed = [images[i] for i in range(len(images))]
    return {
        images.get_data_info(i)['file']: (
            int(sample['data_samples'].gt_label.label),
            sample['inputs']['img'],
        )
        for i, sample in enumerate(packed)
    }


def assert_same(first, second):
    assert first.keys() == second.keys()
    for key in first:
        assert first[key][0] == second[key][0]
        assert torch.equal(first[key][1], second[key][1])


def test_three_layouts_give_the_same_samples(root):
    files = [f'{name}/{i}.png' for name in 'AB' for i in range(4)]
    (root / 'img_list.txt').write_text('# list\n' + '\n'.join(files) + '\n', newline='\r\n')
    rows = [f'{file},{file[0]}' for file in files]
    (root / 'manifest.csv').write_text('\ufefffile,label\n' + '\n'.join(rows), encoding='utf-8')
    folders = samples(dataset(root))
    assert list(folders) == files
    assert_same(folders, samples(dataset(root, ann_file='img_list.txt')))
    assert_same(folders, samples(dataset(root, ann_file='manifest.csv')))
    # Without data_root, paths are relative to the list.
    absolute = CellPatchDataset(
        ann_file=str(root / 'manifest.csv'), metainfo=dict(classes=['A', 'B']), pipeline=PIPELINE
    )
    assert_same(folders, samples(absolute))


def test_data_prefix_and_splits(root, tmp_path):
    outer = dataset(tmp_path, data_prefix=dict(img_path='data'))
    assert_same(samples(dataset(root)), samples(outer))
    rows = ['A/0.png,A,train', 'A/1.png,A,val', 'B/0.png,B,train', 'B/1.png,B,val', 'B/2.png,B,val']
    (tmp_path / 'folds').mkdir()
    (tmp_path / 'folds' / '0.csv').write_text('file,label,split\n' + '\n'.join(rows))
    options = dict(ann_file='folds/0.csv', data_prefix=dict(img_path='data'))
    assert dataset(tmp_path, split='train', **options).class_counts() == {'A': 1, 'B': 1}
    val = dataset(tmp_path, split='val', **options)
    assert list(samples(val)) == ['A/1.png', 'B/1.png', 'B/2.png']


def test_class_order_aliases_and_single_class(tmp_path):
    spellings = ['NILM', 'ASC_US', 'lsil', 'asc h', 'Hsil']
    make_folders(tmp_path, spellings, per_class=1)
    images = CellPatchDataset(data_root=str(tmp_path))
    assert images.metainfo['classes'] == BETHESDA_CLASSES
    by_folder = {images.get_data_info(i)['file'].split('/')[0]: i for i in range(5)}
    labels = [images[by_folder[spelling]]['gt_label'] for spelling in spellings]
    assert labels == [0, 1, 2, 3, 4]
    one = dataset(tmp_path, classes=['ASC-US'], extra_classes='skip')
    assert one.get_labels().tolist() == [0]
    swapped = dataset(tmp_path, classes=['HSIL', 'NILM'], extra_classes='skip')
    assert swapped.class_counts() == {'HSIL': 1, 'NILM': 1}
    assert samples(swapped)['Hsil/0.png'][0] == 0


def test_class_names_from_a_text_file(root, tmp_path):
    (tmp_path / 'classes.txt').write_text('A\nB\n')
    images = CellPatchDataset(
        data_root=str(root), metainfo=dict(classes=str(tmp_path / 'classes.txt'))
    )
    assert images.classes == ('A', 'B')
    with pytest.raises(ValueError, match='neither a list'):
        CellPatchDataset(data_root=str(root), metainfo=dict(classes='AB'), lazy_init=True)


def test_subfolders_and_other_files(tmp_path):
    save(tmp_path / 'A' / 'slide1' / 'x.png', 1)
    save(tmp_path / 'A' / 'slide2' / 'deep' / 'y.jpg', 2)
    save(tmp_path / 'B' / 'z.TIF', 3)
    (tmp_path / 'A' / 'Thumbs.db').write_bytes(b'x')
    files = [dataset(tmp_path).get_data_info(i)['file'] for i in range(3)]
    assert files == ['A/slide1/x.png', 'A/slide2/deep/y.jpg', 'B/z.TIF']


@pytest.mark.parametrize('extension', ['.png', '.bmp', '.tif', '.webp', '.jpg'])
def test_formats(tmp_path, extension):
    (tmp_path / f'x{extension}').write_bytes(encoded(extension, seed=4))
    image = load_image(str(tmp_path / f'x{extension}'))
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
    if extension in ('.png', '.bmp', '.tif'):
        np.testing.assert_array_equal(image, pixels(4))
    header = image_io.read_header(str(tmp_path / f'x{extension}'))
    assert header[:2] == (SIZE, SIZE) and header.complete and not header.conversion


def test_one_channel(root):
    images = dataset(root, channels=1)
    assert images[0]['inputs']['img'].shape == (1, SIZE, SIZE)
    plain = dataset(root, channels=1, pipeline=[])[0]['img']
    expected = Image.fromarray(dataset(root, pipeline=[])[0]['img']).convert('L')
    np.testing.assert_array_equal(plain[..., 0], np.asarray(expected))
    with pytest.raises(ValueError, match='channels'):
        load_image(str(root / 'A' / '0.png'), channels=2)


@pytest.fixture
def decodes(monkeypatch):
    """Count what is decoded, without changing it."""
    calls = []
    real = image_io.load_image

    def counted(path, *args, **kwargs):
        calls.append(path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr('cellgan_plugin.datasets.inspection.load_image', counted)
    return calls


def test_cache_gives_the_same_tensors_and_decodes_once(root, decodes):
    save(root / 'B' / 'large.png', seed=9, size=2 * SIZE)
    from_files = samples(dataset(root))
    decodes.clear()
    cached = dataset(root, cache='ram')
    assert len(decodes) == 9
    assert_same(from_files, samples(cached))
    assert_same(from_files, samples(cached))
    loader = DataLoader(cached, batch_size=3, num_workers=2, collate_fn=pseudo_collate)
    assert sum(len(batch['data_samples']) for batch in loader) == 9
    assert len(decodes) == 9
    # The larger image is kept at the size that training sees.
    assert cached._cached.pixels.images.nbytes == 9 * SIZE * SIZE * 3


def test_cached_images_cannot_be_changed(root):
    cached = dataset(root, cache='ram', pipeline=[])
    with pytest.raises(ValueError, match='read-only'):
        cached[0]['img'][0, 0, 0] = 1
    packed = dataset(root, cache='ram', channels=1, pipeline=[dict(type='PackCellInputs')])
    before = packed[0]['inputs']['img'].clone()
    packed[0]['inputs']['img'].zero_()
    assert torch.equal(packed[0]['inputs']['img'], before)


@pytest.mark.parametrize('serialize_data', [True, False])
@pytest.mark.parametrize('cache', [None, 'ram'])
def test_subsets(root, cache, serialize_data):
    plain = dict(pipeline=[], cache=cache, serialize_data=serialize_data)
    images = dataset(root, **plain)
    subset = images.get_subset([5, 1])
    assert len(subset) == 2 and subset.get_labels().tolist() == [1, 0]
    np.testing.assert_array_equal(subset[0]['img'], images[5]['img'])
    np.testing.assert_array_equal(subset[1]['img'], images[1]['img'])
    first = dataset(root, indices=[6, 2], **plain)
    np.testing.assert_array_equal(first[0]['img'], images[6]['img'])
    np.testing.assert_array_equal(first[1]['img'], images[2]['img'])
    np.testing.assert_array_equal(images[-1]['img'], images[7]['img'])
    with pytest.raises(IndexError):
        images[8]


def test_flips_follow_the_position_not_the_worker(root):
    images = dataset(root)
    batches = []
    for workers in (0, 2):
        sampler = ResumableInfiniteSampler(images, seed=5)
        loader = iter(
            DataLoader(
                images,
                batch_size=5,
                sampler=sampler,
                num_workers=workers,
                collate_fn=pseudo_collate,
            )
        )
        batches.append([next(loader) for _ in range(6)])
        del loader
    resumed = ResumableInfiniteSampler(images, seed=5)
    resumed.set_position(15)
    loader = DataLoader(images, batch_size=5, sampler=resumed, collate_fn=pseudo_collate)
    loader = iter(loader)
    batches.append(batches[0][:3] + [next(loader) for _ in range(3)])
    views = {}
    for one, two, three in zip(*batches, strict=True):
        for a, b, c, sample in zip(
            one['inputs']['img'],
            two['inputs']['img'],
            three['inputs']['img'],
            two['data_samples'],
            strict=True,
        ):
            assert torch.equal(a, b) and torch.equal(a, c)
            views.setdefault(sample.sample_idx, set()).add(a.numpy().tobytes())
    assert max(map(len, views.values())) > 1  # an image is flipped anew in every epoch


def test_position_survives_wrappers(root):
    images = dataset(root)
    joined = ConcatDataset([images, images])
    repeated = RepeatDataset(images, times=3)
    for wrapped in (joined, repeated):
        sampler = iter(ResumableInfiniteSampler(wrapped, seed=1))
        for position in range(30):
            index = next(sampler)
            assert wrapped[index]['data_samples'].sample_position == position
            assert wrapped.get_data_info(index)['sample_seed'] == 1
    balanced = ClassBalancedDataset(images, oversample_thr=0.9)
    assert len(balanced) >= len(images)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('cache', ['ram', 'device'])
def test_a_batch_made_as_one_is_the_batch_of_its_samples(root, cache, channels):
    """Same images, flips, labels and metainfo from files, item by item, and as one tensor."""
    pipeline = [*PIPELINE[:2], dict(type='PackCellInputs', with_gt_img=True)]
    options = dict(channels=channels, pipeline=pipeline)
    from_files, cached = dataset(root, **options), dataset(root, cache=cache, **options)
    by_item, as_one = [
        iter(
            DataLoader(
                images,
                batch_size=6,
                sampler=ResumableInfiniteSampler(images, seed=5),
                num_workers=workers,
                collate_fn=stack_cell_batch,
            )
        )
        for images, workers in ((from_files, 0), (cached, 2))
    ]
    preprocess = CellDataPreprocessor()
    for _ in range(5):
        a, b = next(by_item), next(as_one)
        assert torch.equal(a['inputs']['img'], b['inputs']['img'])
        assert torch.equal(a['data_samples'].gt_img, b['data_samples'].gt_img)
        assert torch.equal(a['data_samples'].gt_label.label, b['data_samples'].gt_label.label)
        assert a['data_samples'].metainfo == b['data_samples'].metainfo
        a, b = preprocess(a)['inputs']['img'], preprocess(b)['inputs']['img']
        assert torch.equal(a, b)
        assert all(x.is_contiguous(memory_format=torch.channels_last) for x in (a, b))
    items = pseudo_collate(cached.__getitems__([3, 1]))  # another collate function: samples
    assert torch.equal(items['inputs']['img'][1], cached[1]['inputs']['img'])
    assert len(cached.get_subset([5, 1]).__getitems__([0, 1])) == 2


@pytest.mark.parametrize('first', [0, 1])
def test_a_group_that_some_rows_have_does_not_stop_a_batch(root, first):
    files = sorted(path.relative_to(root) for path in root.glob('*/*.png'))
    rows = [f'{file},{file.parent},{"slide" * (i % 2)}' for i, file in enumerate(files)]
    (root / 'manifest.csv').write_text('\n'.join(['file,label,group', *rows]) + '\n')
    images = dataset(root, ann_file='manifest.csv', cache='ram')
    indices = [first, 1 - first, 2]
    batch = stack_cell_batch(images.__getitems__(indices))
    expected = stack_cell_batch([images[index] for index in indices])
    assert torch.equal(batch['inputs']['img'], expected['inputs']['img'])
    assert batch['data_samples'].metainfo == expected['data_samples'].metainfo


def test_what_cannot_be_gathered_is_made_one_by_one(root):
    class Unknown:
        def __call__(self, results):
            return results

    cached = dataset(root, cache='ram', pipeline=[PIPELINE[0], Unknown(), *PIPELINE[1:]])
    assert isinstance(cached.__getitems__([0, 1]), list)
    save(root / 'A' / 'large.png', seed=9, size=2 * SIZE)
    several = dict(pipeline=PIPELINE[1:], test_mode=True)
    assert isinstance(dataset(root, cache='ram', **several).__getitems__([0, 1]), list)
    with pytest.raises(ValueError, match="cache='device' needs images of one size"):
        dataset(root, cache='device', **several)


def test_a_device_that_has_no_room_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda device: (2**30, 2**31))
    require_device_memory(2**29, torch.device('cuda'), 'images')
    require_device_memory(2**40, torch.device('cpu'), 'images')
    with pytest.raises(MemoryError, match="0.60 GiB on cuda, of which 1.00 GiB .* cache='ram'"):
        require_device_memory(int(0.6 * 2**30), torch.device('cuda'), 'images')


def test_checks_of_many_files_are_bounded(root):
    (root / 'B' / '2.png').write_bytes(b'no image')  # the seventh of eight
    with pytest.raises(DatasetError, match='2.png'):
        dataset(root)
    with pytest.raises(DatasetError, match='2.png'):
        dataset(root, check_limit=2, cache='ram')
    images = dataset(root, check_limit=2)  # the first and the fifth
    with pytest.raises(DatasetError, match='2.png'):
        images[6]
    assert evenly_spaced(8, 2, '') == [0, 4] and len(evenly_spaced(10**6, 10**5, '')) == 10**5
    assert list(evenly_spaced(3, 5, '')) == [0, 1, 2]


def test_packing_for_this_package_and_for_mmagic(root):
    sample = dataset(root)[3]
    assert set(sample) == {'inputs', 'data_samples'}
    image = sample['inputs']['img']
    assert image.shape == (3, SIZE, SIZE) and image.dtype == torch.uint8 and image.is_contiguous()
    packed = sample['data_samples']
    assert packed.gt_label.label.tolist() == [0] and packed.gt_label.label.dtype == torch.int64
    assert packed.metainfo['img_path'].endswith('A/3.png')
    assert packed.metainfo['gt_channel_order'] == 'RGB'
    assert 'gt_img' not in packed

    both = copy.deepcopy(PIPELINE)
    both[-1]['with_gt_img'] = True
    sample = dataset(root, pipeline=both)[3]
    assert sample['data_samples'].gt_img.data_ptr() == sample['inputs']['img'].data_ptr()


def test_stacked_batch(root):
    for with_gt_img in (False, True):
        pipeline = [*PIPELINE[:2], dict(type='PackCellInputs', with_gt_img=with_gt_img)]
        images = dataset(root, pipeline=pipeline)
        batch = stack_cell_batch([images[i] for i in range(8)])
        assert batch['inputs']['img'].shape == (8, 3, SIZE, SIZE)
        assert torch.equal(batch['inputs']['img'][2], images[2]['inputs']['img'])
        assert batch['data_samples'].gt_label.label.flatten().tolist() == [0] * 4 + [1] * 4
        assert ('gt_img' in batch['data_samples']) == with_gt_img
    assert FUNCTIONS.get('stack_cell_batch') is stack_cell_batch


def test_built_from_a_config_in_any_scope(root):
    config = dict(data_root=str(root), metainfo=dict(classes=['A', 'B']), pipeline=PIPELINE)
    assert len(DATASETS.build(dict(config, type='CellPatchDataset'))) == 8
    # As a classifier's config would name it.
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        assert len(ROOT_DATASETS.build(dict(config, type='mmagic.CellPatchDataset'))) == 8


def test_through_the_runner(root):
    config = dict(
        batch_size=3,
        num_workers=1,
        sampler=dict(type='ResumableInfiniteSampler'),
        collate_fn=dict(type='stack_cell_batch'),
        dataset=dict(
            type='CellPatchDataset',
            data_root=str(root),
            metainfo=dict(classes=['A', 'B']),
            cache='ram',
            pipeline=PIPELINE,
        ),
    )
    with DefaultScope.overwrite_default_scope('mmagic'):
        loader = Runner.build_dataloader(config, seed=11)
    assert loader.sampler.seed == 11
    loader.sampler.set_position(30)
    batch = next(iter(loader))
    assert batch['inputs']['img'].shape == (3, 3, SIZE, SIZE)
    assert batch['data_samples'].metainfo['sample_position'] == [30, 31, 32]


def test_a_transform_must_not_skip_a_sample(root):
    images = dataset(root, pipeline=[lambda results: None])
    with pytest.raises(ValueError, match='A/0.png.*returned None'):
        images[0]


def test_list_is_serialised_compactly(root):
    images = dataset(root)
    assert images.data_list == []
    assert images.data_bytes.nbytes / len(images) < 100
