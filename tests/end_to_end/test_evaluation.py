"""Train a classifier, train a GAN that it evaluates, evaluate the checkpoints: by the tools."""

import csv
import json

import pytest
import torch

from cellgan_plugin.runs.test import test as evaluate_checkpoint
from cellgan_plugin.runs.train import train

from .conftest import run_on_two_ranks, run_tool

CLASSIFIER = """
_base_ = {base!r}
model = dict(backbone=dict(stem_channels=4, base_channels=4), head=dict(in_channels=32))
train_dataloader = dict(batch_size=4)
train_cfg = dict(max_iters=4, val_interval=4)
param_scheduler = []
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
"""
EVALUATED = """
_base_ = [{tiny!r}, {evaluation!r}]
train_cfg = dict(max_iters=4, val_interval=2)
val_dataloader = dict(
    batch_size=7,
    dataset=dict(data_root={data!r}, split='train', pipeline=[
        dict(type='FitCellPatch', out_size=32), dict(type='PackCellInputs')]))
val_evaluator = dict(metrics=[dict(
    type='ClassDistances',
    extractor=dict(
        type='ClassifierFeatures', config={classifier!r}, checkpoint={weights!r}, name='tiny'),
    cache_dir={cache!r})])
custom_hooks = [dict(type='ModelSelectionHook')]
"""


@pytest.fixture(scope='module')
def evaluated(tiny, request):
    """A trained classifier, and a GAN that was validated with it while training."""
    configs = request.config.rootpath / 'configs'
    classifier = tiny.root / 'classifier.py'
    base = str(configs / 'classifiers' / 'resnet18_phantom.py')
    classifier.write_text(CLASSIFIER.format(base=base))
    weights = tiny.root / 'classifier'
    environment = dict(CELLGAN_PHANTOM_ROOT=str(tiny.data))
    options = [
        'train_dataloader.dataset.split=train',
        'val_dataloader.dataset.split=train',
    ]
    trained = run_tool(
        'tools/train.py', classifier, '--work-dir', weights, '--cfg-options', *options,
        env=environment,
    )  # fmt: skip
    assert 'accuracy/top1' in trained.stdout
    config = tiny.root / 'evaluated.py'
    config.write_text(
        EVALUATED.format(
            tiny=str(tiny.config),
            evaluation=str(configs / '_base_' / 'evaluation' / 'phantom_fd.py'),
            data=str(tiny.data),
            classifier=str(classifier),
            weights=str(weights),
            cache=str(tiny.root / 'features'),
        )
    )
    work_dir = tiny.root / 'evaluated'
    result = run_tool('tools/train.py', config, '--work-dir', work_dir)
    return config, work_dir, result


def test_the_curve_is_logged_and_the_best_checkpoint_kept(evaluated):
    _, work_dir, result = evaluated
    assert result.stdout.count('FD(tiny), generated against real images') == 2
    scalars = [
        json.loads(line)
        for path in work_dir.glob('*/vis_data/scalars.json')
        for line in path.read_text().splitlines()
    ]
    rows = [row for row in scalars if 'FD(tiny)/mean' in row]
    assert [row['step'] for row in rows] == [2, 4]
    assert {'FD(tiny)/NILM', 'FD(tiny)/pooled', 'FD(tiny)/mean smoothed'} <= set(rows[0])
    (best,) = work_dir.glob('best_iter_*.pth')
    assert 'optimizer' not in torch.load(best, weights_only=True)


def test_tools_test_gives_the_numbers_of_the_training_on_one_rank_and_on_two(evaluated, tiny):
    config, work_dir, _ = evaluated
    history = json.loads((work_dir / 'model_selection.json').read_text())
    out = tiny.root / 'tested'
    result = run_tool('tools/test.py', config, work_dir / 'iter_4.pth', '--work-dir', out)
    assert 'FD(tiny)' in result.stdout and 'Features of 20 real images: ' in result.stdout
    lines = [json.loads(line) for line in (out / 'evaluation.jsonl').read_text().splitlines()]
    assert [line['row'] for line in lines] == [
        'NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL', 'mean', 'pooled',
    ]  # fmt: skip
    mean = lines[5]['values']['FD(tiny)']
    assert mean == pytest.approx(dict(history['curve'])[4], rel=1e-3)
    for key in ('git', 'config_sha256', 'checkpoint', 'seconds', 'real', 'fake', 'protocol'):
        assert key in lines[0]
    with open(out / 'evaluation_iter_4.csv', newline='') as file:
        table = list(csv.DictReader(file))
    assert float(table[5]['FD(tiny)']) == mean
    assert (out / 'evaluation_iter_4.png').read_bytes()[:4] == b'\x89PNG'

    run_on_two_ranks(
        'tools/test.py', config, '--checkpoint', work_dir / 'iter_4.pth',
        '--launcher', 'pytorch', '--work-dir', out,
    )  # fmt: skip
    again = [json.loads(line) for line in (out / 'evaluation.jsonl').read_text().splitlines()]
    assert len(again) == 14 and again[12]['protocol']['ranks'] == 2
    assert again[12]['values']['FD(tiny)'] == pytest.approx(mean, rel=1e-3)


def test_a_resumed_run_goes_on_with_the_curve(evaluated, tiny):
    config, work_dir, _ = evaluated
    resumed = tiny.root / 'judged_resumed'
    train(config, resumed, resume=work_dir / 'iter_2.pth')
    expected = json.loads((work_dir / 'model_selection.json').read_text())
    found = json.loads((resumed / 'model_selection.json').read_text())
    assert [i for i, _ in found['curve']] == [2, 4]
    assert dict(found['curve']) == pytest.approx(dict(expected['curve']), rel=1e-4)
    assert found['best']['iteration'] == expected['best']['iteration']
    assert len(list(resumed.glob('best_iter_*.pth'))) == 1


def test_a_checkpoint_of_another_model_is_refused(evaluated, tiny):
    config, work_dir, _ = evaluated
    options = {'model.generator.base_channels': 2}
    with pytest.raises(ValueError, match='does not fit the config'):
        evaluate_checkpoint(config, work_dir / 'iter_4.pth', tiny.root / 'refused', options)


def test_missing_weights_stop_the_run_before_it_trains(evaluated, tiny, capfd):
    config, _, _ = evaluated
    options = {'val_evaluator.metrics.0.extractor.checkpoint': 'nowhere'}
    with pytest.raises(FileNotFoundError, match='nowhere does not exist. Train the classifier'):
        train(config, tiny.root / 'unweighted', options=options)
    assert 'Iter(train)' not in capfd.readouterr().out


def test_a_config_without_evaluation_is_told_what_to_add(evaluated, tiny):
    with pytest.raises(ValueError, match='says nothing of evaluation'):
        evaluate_checkpoint('configs/ablations/model_i.py', evaluated[1] / 'iter_4.pth', tiny.root)


def test_evaluate_folders(evaluated, tiny):
    fake = tiny.root / 'fake'
    with open(tiny.data / 'manifest.csv', newline='') as file:
        images = [(tiny.data / row['file'], row['label']) for row in csv.DictReader(file)]
    for path, name in images:
        if name != 'HSIL':
            (fake / name).mkdir(parents=True, exist_ok=True)
            (fake / name / path.name).write_bytes(path.read_bytes())
    out = tiny.root / 'folders'
    module = tiny.root / 'mine_distance.py'
    module.write_text(
        'from cellgan_plugin.evaluation import register_distance\n'
        "@register_distance('shift')\n"
        'def shift(real, fake, context):\n'
        "    return {'shift': abs(real - fake.mean(axis=0)).min()}\n"
    )
    result = run_tool(
        'tools/evaluate_folders.py', f'{tiny.data}:train', fake, '--work-dir', out,
        '--extractor', tiny.root / 'classifier.py', tiny.root / 'classifier',
        '--training', f'{tiny.data}:train', '--cache-dir', tiny.root / 'features',
        '--import', module, '--distances', 'fd', 'shift',
        '--classes', 'NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL',
        env=dict(CELLGAN_PHANTOM_ROOT=str(tiny.data)),
    )  # fmt: skip
    assert 'HSIL: not computable: no generated image' in result.stdout
    lines = [json.loads(line) for line in (out / 'evaluation.jsonl').read_text().splitlines()]
    by_row = {line['row']: line['values'] for line in lines}
    assert by_row['NILM']['FD(classifier)'] == pytest.approx(0, abs=1e-6)
    assert by_row['NILM']['memorised'] == 1 and by_row['NILM']['shift'] >= 0
    assert not by_row['HSIL']
