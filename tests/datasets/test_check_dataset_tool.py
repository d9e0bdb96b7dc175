"""The command, as a person runs it, and the report."""

import argparse
import csv
import runpy
import sys
from pathlib import Path

import pytest
from cell_images import SIZE, make_folders, save
from mmagic.registry import DATASETS
from mmengine.config import Config, DictAction
from PIL import Image
from programs import run_program

from cellgan_plugin.datasets import check_dataset
from cellgan_plugin.datasets.checks import datasets_of_config

REPOSITORY = Path(__file__).resolve().parents[2]


def dataset_config(root, **kwargs):
    pipeline = [dict(type='FitCellPatch', out_size=SIZE), dict(type='PackCellInputs')]
    return dict(
        type='CellPatchDataset',
        data_root=str(root),
        metainfo=dict(classes=['A', 'B']),
        pipeline=pipeline,
        **kwargs,
    )


def write_config(path, root):
    path.write_text(
        "custom_imports = dict(imports=['cellgan_plugin'], allow_failed_imports=False)\n"
        f'train_dataloader = dict(batch_size=2, dataset={dataset_config(root)!r})\n'
    )
    return path


def run(*args):
    return run_program('tools/check_dataset.py', *args, check=False)


def test_exit_codes_and_files(tmp_path):
    root = make_folders(tmp_path / 'data')
    config = write_config(tmp_path / 'config.py', root)
    good = run(config, '--out', tmp_path / 'report')
    assert good.returncode == 0, good.stderr
    assert 'ready for training' in good.stdout
    written = sorted(path.name for path in (tmp_path / 'report').iterdir())
    assert written == ['A.png', 'B.png', 'problems.csv', 'report.txt']

    (root / 'A' / 'bad.png').write_bytes(b'')
    option = 'train_dataloader.dataset.metainfo.classes=[A,B,C]'
    bad = run(config, '--cfg-options', option)
    assert bad.returncode == 1, bad.stderr
    assert 'zero-byte' in bad.stdout and 'A/bad.png' in bad.stdout
    assert "class 'C' has no image" in bad.stdout and 'NOT READY' in bad.stdout


def test_config_that_cannot_be_used(tmp_path, monkeypatch, capsys):
    main = runpy.run_path(str(REPOSITORY / 'tools' / 'check_dataset.py'))['main']
    (tmp_path / 'empty.py').write_text('model = dict()\n')
    (tmp_path / 'broken.py').write_text('model = dict(\n')
    for name, argument in (('value', "cache='disk'"), ('name', 'spilt="train"')):
        (tmp_path / f'{name}.py').write_text(
            f"train_dataloader = dict(dataset=dict(type='CellPatchDataset', {argument}))\n"
        )
    for name, words in (
        ('gone.py', 'gone.py'),
        ('empty.py', 'no train_dataloader.dataset'),
        ('broken.py', 'never closed'),
        ('value.py', "cache must be one of (None, 'ram', 'device'), got 'disk'"),
        ('name.py', "spilt: CellPatchDataset takes no 'spilt'; did you mean 'split'?"),
    ):
        monkeypatch.setattr(sys, 'argv', ['check_dataset.py', str(tmp_path / name)])
        assert main() == 2
        assert words in capsys.readouterr().err


def test_what_is_called_ready_fits_the_rest_of_the_config(tmp_path, monkeypatch, capsys):
    main = runpy.run_path(str(REPOSITORY / 'tools' / 'check_dataset.py'))['main']
    config = write_config(tmp_path / 'config.py', make_folders(tmp_path / 'data'))
    whole = config.read_text()
    for model, words in (
        ('dict(head=dict(num_classes=5))', 'model.head.num_classes=5 but the training set has 2'),
        (f'dict(generator=dict(out_size={SIZE * 2}))', f'model.generator.out_size={SIZE * 2} but'),
    ):
        config.write_text(f'{whole}model = {model}\n')
        monkeypatch.setattr(sys, 'argv', ['check_dataset.py', str(config)])
        assert main() == 2
        assert words in capsys.readouterr().err


@pytest.fixture
def report(tmp_path):
    root = make_folders(tmp_path / 'data', per_class=60)
    save(root / 'A' / 'grey.png', seed=999)
    Image.open(root / 'A' / 'grey.png').convert('L').save(root / 'A' / 'grey.png')
    for i in range(30):
        (root / 'B' / f'bad{i:02d}.png').write_bytes(b'')
    save(root / 'B' / 'large.png', seed=1000, size=2 * SIZE)
    return check_dataset(dataset_config(root))


def test_report(report, tmp_path):
    assert report.counts == {'': {'A': 61, 'B': 61}}
    assert report.sizes == {(SIZE, SIZE): 121, (2 * SIZE, 2 * SIZE): 1}
    assert len(report.of_kind('zero-byte')) == 30
    assert [p.severity for p in report.problems] == ['error'] * 30 + ['warning']
    text = report.to_text()
    assert 'and 10 more (problems.csv has all)' in text
    assert '30 errors, 1 warnings, 0 notes: NOT READY' in text
    report.save(tmp_path / 'out')
    with open(tmp_path / 'out' / 'problems.csv', encoding='utf-8') as file:
        assert len(list(csv.DictReader(file))) == 31
    sheet = Image.open(tmp_path / 'out' / 'A.png')
    assert sheet.width > 8 * SIZE and sheet.height > 4 * SIZE


def test_balance(tmp_path):
    root = make_folders(tmp_path, per_class=2)
    for i in range(60):
        save(root / 'A' / f'more{i}.png', seed=1000 + i)
    report = check_dataset(dataset_config(root))
    assert not report.harmful
    assert [p.where for p in report.of_kind('few images')] == ['B']
    assert '62 A against 2 B' in report.of_kind('imbalance')[0].message


def test_all_splits_without_choosing_one(tmp_path):
    root = make_folders(tmp_path)
    rows = ['A/0.png,A,train', 'B/0.png,B,train', 'A/1.png,A,val', 'B/1.png,B,val']
    (root / 'm.csv').write_text('file,label,split\n' + '\n'.join(rows))
    report = check_dataset(dataset_config(root, ann_file='m.csv'))
    assert not report.harmful
    assert "choose one with split='train'" in report.of_kind('split')[0].message


def test_datasets_of_config():
    train, val = dataset_config('a'), dataset_config('b')
    other = dict(type='GrowScaleImgDataset')
    config = Config(
        dict(
            train_dataloader=dict(dataset=dict(type='RepeatDataset', times=2, dataset=train)),
            val_dataloader=[dict(dataset=other), dict(dataset=val)],
            test_dataloader=None,
        )
    )
    found, others = datasets_of_config(config)
    assert found['data_root'] == 'a'
    assert {split: dataset['data_root'] for split, dataset in others.items()} == {'val': 'b'}
    with pytest.raises(KeyError, match='train_dataloader'):
        datasets_of_config(Config(dict(model=1)))
    with pytest.raises(TypeError, match='GrowScaleImgDataset'):
        datasets_of_config(Config(dict(train_dataloader=dict(dataset=other))))
    with pytest.raises(TypeError, match='list'):
        check_dataset([1])


CRIC = [
    'cellgan_cric.py',
    'cellgan_cric_64.py',
    'cellgan_cric_64_fd.py',
    'classifiers/resnet18_cric_64.py',
    'classifiers/resnet34_cric.py',
]


@pytest.mark.parametrize('name', CRIC)
def test_cric_configs_read_the_training_fields_or_class_folders_when_told(tmp_path, name):
    classes = ['NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL']
    root = make_folders(tmp_path / 'cric', classes, per_class=2)
    rows = [f'{c}/{i}.png,{c},{split}' for c in classes for i, split in enumerate(('train', 'val'))]
    (root / 'manifest.csv').write_text('\n'.join(['file,label,split', *rows]) + '\n')
    path = REPOSITORY / 'configs' / name
    config = Config.fromfile(path)
    said = path.read_text()
    keys = ['train_dataloader', 'val_dataloader'] if 'val_dataloader' in config else []
    for key in keys or ['train_dataloader']:
        dataset = {**config[key]['dataset'], 'data_root': str(root), 'pipeline': [], 'cache': None}
        assert len(build(dataset)) == 5
        options = [f'{key}.dataset.ann_file=', f'{key}.dataset.split=None']
        parser = argparse.ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=DictAction)
        changed = Config.fromfile(path)
        changed.merge_from_dict(parser.parse_args(['--cfg-options', *options]).cfg_options)
        (root / 'manifest.csv').rename(root / 'away.csv')
        dataset = {**dataset, **{k: changed[key]['dataset'][k] for k in ('ann_file', 'split')}}
        assert len(build(dataset)) == 10
        (root / 'away.csv').rename(root / 'manifest.csv')
    if name != 'cellgan_cric_64_fd.py':  # which names its parts
        assert 'train_dataloader.dataset.ann_file= ' in said
        assert 'train_dataloader.dataset.split=None' in said


def build(dataset):
    return DATASETS.build({'_scope_': 'mmagic', **dataset})


def test_scale_by_class(tmp_path):
    root = make_folders(tmp_path / 'data', per_class=12)
    for number in range(20):
        save(root / 'B' / f'small{number}.png', seed=500 + number, size=12)
    report = check_dataset(dataset_config(root))
    assert 'B 2.7x, A 1.0x: blur tells the class' in report.of_kind('uneven scale')[0].message
    enlarged = report.of_kind('enlarged')
    assert [problem.where for problem in enlarged] == ['B']
    assert '20 of 32 images are enlarged, 2.7x to 2.7x' in enlarged[0].message
    table = [line.split() for line in report.to_text().splitlines() if line.startswith('B ')]
    assert table[-1] == ['B', '32', *['12x12'] * 4, *['32x32'] * 3, '2.67x']


def test_the_scale_of_the_converter_counts(tmp_path):
    root = make_folders(tmp_path / 'data', per_class=2)
    rows = ['file,label,factor']
    rows += [f'{c}/{i}.png,{c},{f}' for c, f in (('A', 0.9), ('B', 3)) for i in (0, 1)]
    (root / 'manifest.csv').write_text('\n'.join(rows))
    for ann_file in ('', 'manifest.csv'):
        report = check_dataset(dataset_config(root, ann_file=ann_file))
        assert report.scales == {'A': 0.9, 'B': 3.0}
        assert 'B 3.0x, A 0.9x' in report.of_kind('uneven scale')[0].message
