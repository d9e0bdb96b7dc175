"""HistoGAN's protocol as a user runs it: generator, baseline, pool, choice, rows as one graph."""

import csv
import json
import os

import pytest

from cellgan_plugin.benchmark.experiment import Benchmark
from cellgan_plugin.benchmark.protocol import read_protocol
from cellgan_plugin.benchmark.score_registry import SCORES
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.manifest import read_manifest
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.runs.provenance import training_images_of
from cellgan_plugin.selection import SELECTION_RULES
from cellgan_plugin.user_modules import IMPORT_VARIABLE

from .conftest import run_tool
from .test_benchmark import CLASSIFIER, GENERATOR

# Judged, at its end, by the features of the baseline that the benchmark trains.
EVALUATED = """
val_cfg = dict(type='MultiValLoop')
val_dataloader = dict(
    batch_size=7, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CellPatchDataset', data_root='elsewhere', ann_file='manifest.csv',
                 metainfo=dict(classes=['NILM', 'HSIL']), test_mode=True, pipeline=[
                     dict(type='FitCellPatch', out_size=32), dict(type='PackCellInputs')]))
val_evaluator = dict(type='Evaluator', metrics=[dict(
    type='ClassDistances', options=dict(interval='never'),
    extractor=dict(type='ClassifierFeatures', config='x.py', checkpoint='x'))])
custom_hooks = [dict(type='ModelSelectionHook')]
"""
# A rule and a score of the user's own, in one module; the rule does what 'none' does.
MODULE = """
import numpy as np

from cellgan_plugin.benchmark.score_registry import register_score
from cellgan_plugin.selection import SELECTION_RULES, SelectionRule


@SELECTION_RULES.register_module(name='mine')
class Mine(SelectionRule):
    shows = {'late': 'distance'}
    uses_features = True

    def __call__(self, pool, asked):
        assert pool.features.shape[0] == len(pool) and pool.features.std() > 0
        return self._ranked(pool, pool.order, asked, 'late')


@register_score('misses', 'Missed HSIL')
def misses(predictions):
    return 1 - predictions.from_confusion['sensitivity']
"""
BENCHMARK = """
custom_imports = dict(imports=['mine_parts'])
title = 'Rows'
data = dict(data_root={data!r}, ann_file='manifest.csv')
classes = ['NILM', 'HSIL']
classifiers = dict(ResNet='classifier.py')
generators = dict(GAN=dict(config='generator.py', iterations=2, best_by_fd=True))
train_generators = True
ratios = [2, 1, 1]
num_folds = 1
per_class = None
seeds = [3]
steps = 2
metrics = ['accuracy', 'auc', 'sensitivity', 'specificity', 'misses']
rows = {{
    'all': dict(generator='GAN', rule='mine'),
    'chosen': dict(generator='GAN', rule='selective'),
}}
selection = dict(passes=2)
baseline = 'Baseline'
"""


@pytest.fixture(scope='module')
def folder(tiny, tmp_path_factory, request):
    root = tmp_path_factory.mktemp('rows')
    configs = request.config.rootpath / 'configs'
    base = str(configs / 'classifiers' / 'benchmark_resnet18_64.py')
    (root / 'classifier.py').write_text(CLASSIFIER.format(base=base))
    generator = GENERATOR.format(base=str(tiny.config)).replace(
        'max_iters=2', 'max_iters=2, val_interval=2'
    )
    (root / 'generator.py').write_text(generator + EVALUATED)
    counts = dict(NILM=8, HSIL=8)
    write_phantom_dataset(root / 'data', size=32, splits=dict(train=counts))
    (root / 'mine_parts.py').write_text(MODULE)
    (root / 'benchmark.py').write_text(BENCHMARK.format(data=str(root / 'data')))
    sweep = "_base_ = 'benchmark.py'\nsweep = dict(generator='GAN', pools=[3], ratios=[0.5])\n"
    (root / 'sweep.py').write_text(sweep)
    return root


def read(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


def test_rows_share_pool_baseline_and_scores_and_a_sweep_goes_on(folder, monkeypatch):
    out = folder / 'out'
    monkeypatch.setenv(
        'PYTHONPATH', os.pathsep.join([str(folder), os.environ.get('PYTHONPATH', '')])
    )
    monkeypatch.setenv(IMPORT_VARIABLE, '')  # set for jobs; other tests are not to have it
    result = run_tool('tools/benchmark.py', folder / 'benchmark.py', '--work-dir', out)
    assert 'LEAK' not in result.stdout and '+ chosen' in result.stdout
    plan = json.loads((out / 'folds.json').read_text())
    content = [sample['content'] for sample in plan['samples']]
    train, test = ({content[i] for i in plan['folds'][0][part]} for part in ('train', 'test'))
    assert train and test and not train & test
    # Neither the generator nor the classifier that chooses has seen another image than the
    # training images of the split; the centroids are of the same list.
    assert training_images_of(out / 'pools/GAN/fold1') == train
    baseline = out / 'jobs/ResNet/real/fold1_seed3'
    weights = json.loads((baseline / 'weights.json').read_text())['checkpoint']
    assert training_images_of(baseline / weights) == train
    assert not list((out / 'jobs/ResNet/chosen/fold1_seed3').glob('*.pth'))
    request = json.loads((out / 'jobs/selection/GAN/fold1/job.json').read_text())
    assert request['real']['ann_file'] == str((out / 'lists/fold1_train.csv').absolute())

    # The generator's weights were chosen by the distance of the baseline's features.
    assert len(list((out / 'generators/GAN/fold1').glob('best_iter_2.pth'))) == 1
    record = json.loads((out / 'pools/GAN/fold1/synthesis.json').read_text())
    assert record['checkpoint'].endswith('best_iter_2.pth')

    # One pool, and the same number of images from it in every row.
    (scored,) = (out / 'jobs/selection/GAN/fold1/scores').iterdir()
    parts = {path: path.stat().st_mtime_ns for path in scored.glob('part_*.npz')}
    assert len(parts) == 1
    images = read(out / 'lists/fold1_train.csv')
    per_class = sum(row['label'] == 'NILM' for row in images)
    kept = {}
    for row in ('all', 'chosen'):
        folder_of_row = out / 'selected' / row / 'fold1'
        scores = read(folder_of_row / 'scores.csv')
        assert len(scores) == 4 * per_class, '4 r N of two classes, r = 0.5'
        kept[row] = read_manifest(folder_of_row / 'kept.csv')
        labels = [line['label'] for line in kept[row]]
        assert labels.count('NILM') == labels.count('HSIL') == -(-per_class // 2)
        assert {s['file'] for s in scores if s['kept'] == '1'} == {k['file'] for k in kept[row]}
        assert load_image(str(folder_of_row / 'best_worst.png')).std() > 5
    ranks = [int(line['file'].split('_')[-1].split('.')[0]) for line in kept['all']]
    assert ranks == [*range(len(ranks) // 2)] * 2, 'the rule of mine_parts.py: the first ones'

    table = json.loads((out / 'table.json').read_text())
    rows = {row['arm']: row for row in table['rows']}
    assert list(rows) == ['Baseline', '+ all', '+ chosen']
    assert {row['jobs'] for row in rows.values()} == {'1/1'}
    assert rows['+ chosen']['synthetic'] == len(kept['chosen'])
    assert {'accuracy', 'auc', 'sensitivity', 'specificity'} <= set(rows['+ chosen'])
    for row in rows.values():
        assert row['misses']['mean'] == pytest.approx(100 - row['sensitivity']['mean'])

    # The sweep takes everything over that is there, and draws 3 N where 2 N are.
    before = {path: path.stat().st_mtime_ns for path in out.glob('jobs/ResNet/*/*/predictions.csv')}
    assert len(before) == 3
    monkeypatch.syspath_prepend(folder)
    found = Benchmark(read_protocol(folder / 'sweep.py'), out)
    results = found.run()
    states = [result.state for result in results.values()]
    assert states.count('done') == 3 and states.count('already done') == 4, results
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert read_manifest(out / 'selected/chosen/fold1/kept.csv') == kept['chosen'], (
        'of the first 2 N, as before'
    )
    scores = read(out / 'selected/selective_of_3N_r_0.5/fold1/scores.csv')
    assert len(scores) == 6 * per_class
    found.write(results)
    assert load_image(str(out / 'sweep.png')).std() > 5
    del SCORES['misses'], SELECTION_RULES.module_dict['mine']  # of this process
