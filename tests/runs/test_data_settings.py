"""A data folder says classes, list, splits and size; a config that contradicts is refused."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from cellgan_plugin.benchmark.protocol import read_protocol
from cellgan_plugin.comparison.plan_reading import read_comparison
from cellgan_plugin.datasets import DatasetError
from cellgan_plugin.datasets.data_folder import fitting_size, read_data_folder
from cellgan_plugin.datasets.manifest import ManifestError, iter_manifest
from cellgan_plugin.errors import ConfigError, ProtocolError
from cellgan_plugin.runs.config_fit import check_fit
from cellgan_plugin.runs.data_settings import DATA_VARIABLE, apply_data, patch_sets
from cellgan_plugin.runs.train import load_config
from cellgan_plugin.runs.trained_model import take_classes

CONFIGS = Path(__file__).parents[2] / 'configs'
SEVEN = ('blast', 'eosinophil', 'lymphocyte', 'monocyte', 'neutrophil', 'other 2', 'platelet')


def write_image(path, side=(40, 40), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope='module')
def seven(tmp_path_factory):
    """Seven class folders, two images each, of three sizes."""
    root = tmp_path_factory.mktemp('seven')
    for number, name in enumerate(reversed(SEVEN)):
        for index in range(2):
            side = (50, (48, 70, 100)[number % 3])
            write_image(root / name / f'{index}.png', side, 2 * number + index)
    (root / 'notes').mkdir()
    (root / 'notes' / 'readme.txt').write_text('no class')
    return root


@pytest.fixture(scope='module')
def listed(tmp_path_factory):
    """A manifest with splits and groups, its classes in an order of its own, folders beside it."""
    root = tmp_path_factory.mktemp('listed')
    rows = ['# classes: low, mid, high', 'file,label,split,group']
    for number, (name, split) in enumerate((n, s) for n in ('high', 'low', 'mid') for s in 'abc'):
        split = dict(a='train', b='train', c='test')[split]
        write_image(root / name / f'{number}.png', seed=number)
        rows.append(f'{name}/{number}.png,{name},{split},slide{number}')
    (root / 'manifest.csv').write_text('\n'.join(rows))
    return root


def test_class_folders_say_what_they_are(seven):
    folder = read_data_folder(seven)
    assert folder.classes == SEVEN and 'alphabetical' in folder.order
    assert folder.ann_file == '' and folder.groups == 0 and not folder.splits
    assert set(folder.counts.values()) == {2}
    assert folder.notes == ('notes: no image in there, and so no class',)
    # Longer sides 100, 70, 50, 100, 70, 50, 100: the median is 70, and 128 the power of two above.
    assert folder.median_side == 70 and folder.image_size == 128
    assert [fitting_size(n) for n in (1, 32, 33, 64, 65, 256, 257, 4000)] == [
        32, 32, 64, 64, 128, 256, 256, 256,
    ]  # fmt: skip


def test_a_manifest_wins_and_its_first_line_orders_the_classes(listed):
    folder = read_data_folder(listed)
    assert folder.classes == ('low', 'mid', 'high') and 'manifest.csv' in folder.order
    assert (folder.ann_file, folder.splits, folder.groups) == (
        'manifest.csv', dict(train=6, test=3), 9,
    )  # fmt: skip
    assert 'not the class folders beside it (high, low, mid)' in folder.notes[0]
    # Nothing is chosen by test images.
    assert [folder.split_for(part) for part in ('train', 'val', 'test')] == [
        'train', 'train', 'test',
    ]  # fmt: skip


def test_rows_below_comments_are_counted_from_the_first_line(tmp_path):
    path = tmp_path / 'manifest.csv'
    path.write_text('# a\n# classes: "b, c", d\nfile,label\nx.png,d\ny.png,\n')
    with pytest.raises(ManifestError, match='row 5: label is empty'):
        list(iter_manifest(path))
    path.write_text('# a\nfile,label\nx.png,d\nx.png,d\n')
    with pytest.raises(ManifestError, match='row 4: x.png was already named in row 3'):
        list(iter_manifest(path))


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (lambda root: None, ['does not exist', 'tools/dataset_converters']),
        (lambda root: root.mkdir(), ['holds no class folder']),
        (lambda root: write_image(root / 'train' / 'a' / '0.png'), ['are splits', 'folders.py']),
        (
            lambda root: [write_image(root / name / '0.png') for name in ('images', 'masks')],
            ['images and masks', 'configs/pyramid_gan'],
        ),
        (
            lambda root: (write_image(root / 'a' / '0.png'),
                          (root / 'manifest.csv').write_text(
                              '# classes: b\nfile,label\na/0.png,a')),
            ["names the classes ['b']", "label 'a'"],
        ),
        (
            lambda root: (root.mkdir(), (root / 'manifest.csv').write_text('file,split\nx,train')),
            ['column label is missing'],
        ),
    ],
)  # fmt: skip
def test_a_folder_that_says_nothing_is_refused(tmp_path, make, words):
    make(tmp_path / 'data')
    with pytest.raises(DatasetError) as raised:
        read_data_folder(tmp_path / 'data')
    assert all(word in str(raised.value) for word in words), raised.value


def test_a_manifest_of_another_program_is_passed_over_and_said(tmp_path):
    for name in ('a', 'b'):
        write_image(tmp_path / name / '0.png')
    (tmp_path / 'manifest.csv').write_text('"class","file","x0"\na,a/0.png,3\n')
    folder = read_data_folder(tmp_path)
    assert (folder.classes, folder.ann_file) == (('a', 'b'), '')
    assert 'no column label (it has class, file, x0)' in folder.notes[0]


def test_bethesda_folders_keep_their_order_and_spelling(tmp_path):
    for name in ('HSIL', 'asc_us', 'NILM'):
        write_image(tmp_path / name / '0.png')
    folder = read_data_folder(tmp_path)
    assert folder.classes == ('NILM', 'ASC-US', 'HSIL') and folder.counts['ASC-US'] == 1


# Every part of every kind of run that counts classes, and what it is then.
RUNS = {
    'cellgan_phantom_fd.py': ['num_classes'],
    'cellgan_plus/cellgan_plus_phantom.py': ['num_classes'],
    'biggan/biggan_phantom.py': ['num_classes'],
    'sngan_proj/sngan_proj_phantom.py': ['num_classes'],
    'latent_diffusion/ldm_phantom.py': ['num_classes'],
    'latent_diffusion/autoencoder_phantom.py': [],
    'classifiers/resnet18_phantom.py': ['head.num_classes', 'data_preprocessor.num_classes'],
    'classifiers/benchmark_densenet_64.py': ['head.num_classes', 'data_preprocessor.num_classes'],
    'classifiers/resnet34_tct.py': ['head.num_classes', 'data_preprocessor.num_classes'],
    'cellgan_tct.py': ['num_classes'],
}


@pytest.mark.parametrize('path', RUNS)
def test_every_part_of_a_run_gets_the_classes_of_the_folder(seven, path):
    config = load_config(CONFIGS / path, parts=None, data=seven)
    for key, dataset, _ in patch_sets(config):
        assert dataset.metainfo.classes == list(SEVEN), key
        assert (dataset.data_root, dataset.ann_file, dataset.split) == (str(seven), '', None), key
    for key in RUNS[path]:
        value = config.model
        for part in key.split('.'):
            value = value[part]
        assert value == 7, key
    check_fit(config)


def test_splits_are_those_of_the_part_unless_the_config_says_one(listed):
    config = load_config(CONFIGS / 'classifiers/resnet34_tct.py', parts=None, data=listed)
    found = {s.key: s.dataset.split for s in patch_sets(config)}
    assert found['train_dataloader.dataset'] == 'train'
    assert found['val_dataloader.dataset'] == 'train', 'there is no val, and test chooses nothing'
    assert found['test_dataloader.dataset'] in ('test', 'train')
    options = {'val_dataloader.dataset.split': 'test'}
    config = load_config(
        CONFIGS / 'cellgan_phantom_fd.py', options=options, parts=None, data=listed
    )
    assert config.val_dataloader.dataset.split == 'test'
    assert config.train_dataloader.dataset.metainfo.classes == ['low', 'mid', 'high']


def test_classes_that_contradict_are_refused_with_both_lists(seven, listed):
    options = {'train_dataloader.dataset.metainfo.classes': ['a', 'b', 'c', 'd', 'e']}
    with pytest.raises(ConfigError) as raised:
        load_config(CONFIGS / 'cellgan_phantom.py', options=options, parts=None, data=seven)
    assert "['a', 'b', 'c', 'd', 'e']" in str(raised.value) and str(list(SEVEN)) in str(
        raised.value
    )
    assert 'train_dataloader.dataset.metainfo.classes' in str(raised.value)
    # The same classes in another order: the config's order stays.
    options = {'train_dataloader.dataset.metainfo.classes': ['high', 'low', 'mid']}
    config = load_config(CONFIGS / 'cellgan_phantom.py', options=options, parts=None, data=listed)
    assert config.train_dataloader.dataset.metainfo.classes == ['high', 'low', 'mid']
    for path in ('histogan/histogan_cervical.py', 'cellgan_cric_64.py'):  # of four, and of Bethesda
        with pytest.raises(ConfigError, match='names the classes'):
            load_config(CONFIGS / path, parts=None, data=seven)
    with pytest.raises(ConfigError, match='reads a TissueMaskDataset'):
        load_config(CONFIGS / 'pyramid_gan/pyramid_phantom.py', parts=None, data=seven)


def test_the_environment_is_a_data_folder_where_the_config_reads_it(seven, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(seven))
    config = load_config(CONFIGS / 'cellgan_tct.py', parts=None)
    assert config.train_dataloader.dataset.metainfo.classes == list(SEVEN)
    assert config.model.num_classes == 7
    config = load_config(CONFIGS / 'cellgan_phantom.py', parts=None)  # lies elsewhere
    assert config.train_dataloader.dataset.metainfo.classes is None


SIZED = """
_base_ = {base!r}
model = dict(generator=dict(out_size={generator!r}), discriminator=dict(in_size='auto'))
train_dataloader = dict(dataset=dict(data_root={data!r}, pipeline=[
    dict(type='FitCellPatch', out_size={pipeline!r}), dict(type='PackCellInputs')]))
"""


@pytest.mark.parametrize(
    ('generator', 'pipeline', 'with_data', 'size'),
    [('auto', 'auto', True, 128), ('auto', 'auto', False, 128), (64, 'auto', True, 64),
     ('auto', 32, True, 32)],
)  # fmt: skip
def test_sizes_that_are_open_follow_what_is_said(
    seven, tmp_path, generator, pipeline, with_data, size
):
    path = tmp_path / 'sized.py'
    base = str(CONFIGS / 'cellgan_phantom.py')
    path.write_text(
        SIZED.format(base=base, generator=generator, pipeline=pipeline, data=str(seven))
    )
    config = load_config(path, parts=None, data=seven if with_data else None)
    assert config.model.generator.out_size == config.model.discriminator.in_size == size
    assert config.train_dataloader.dataset.pipeline[0].out_size == size
    check_fit(config)


def test_a_config_takes_the_classes_of_a_checkpoint():
    config = load_config(CONFIGS / 'cellgan_phantom.py')
    take_classes(config, SEVEN)
    assert config.model.num_classes == 7
    named = Config(dict(train_dataloader=dict(dataset=dict(
        type='CellPatchDataset', metainfo=dict(classes=['a', 'b'])))))  # fmt: skip
    take_classes(named, SEVEN)
    assert named.train_dataloader.dataset.metainfo.classes == ['a', 'b']


def test_a_benchmark_and_a_comparison_take_the_folder(seven, listed):
    table = CONFIGS / 'benchmarks/cellgan_table3_phantom.py'
    protocol = read_protocol(table, data=seven)
    assert protocol.classes == SEVEN
    assert protocol.data == dict(data_root=str(seven), ann_file='', split=None)
    protocol = read_protocol(table, data=listed)
    assert (protocol.data['ann_file'], protocol.data['split']) == ('manifest.csv', None)
    with pytest.raises(ProtocolError, match='blast') as raised:
        read_protocol(CONFIGS / 'benchmarks/histogan_table1_cervical.py', data=seven)
    assert 'CIN3' in str(raised.value)
    plan = read_comparison(CONFIGS / 'comparisons/cellgan_table1_phantom.py', dict(data=str(seven)))
    assert plan.classes == SEVEN
    for model in plan.models:
        for index in range(len(model.stages)):
            config = plan.stage_config(model, index, 0)
            assert config.train_dataloader.dataset.metainfo.classes == list(SEVEN)
            assert config.train_dataloader.dataset.data_root == str(seven)
            assert config.model.get('num_classes') in (7, None)


def test_a_list_that_was_read_is_not_read_again(listed, monkeypatch):
    from cellgan_plugin.runs import data_settings

    config = load_config(CONFIGS / 'cellgan_phantom.py')
    apply_data(config, listed)
    monkeypatch.setattr(data_settings, 'read_data_folder', None)
    apply_data(config, listed)
