"""tools/compare.py: trains, samples and evaluates two small models; a third one fails."""

import csv
import json
from types import SimpleNamespace

import cv2
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from cellgan_plugin.comparison.compare import main
from cellgan_plugin.engine.training_cost import read_training_cost

from .conftest import REPO, run_tool

CLASSES = ['NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL']
CLASSIFIER = """
_base_ = {base!r}
model = dict(backbone=dict(stem_channels=4, base_channels=4), head=dict(in_channels=32))
"""
COMPARISON = """
title = 'Two of a kind'
models = [
    dict(name='Small & slow', config={tiny!r}, settings=dict(SGC=True)),
    dict(
        name='Two stages',
        settings=dict(SGC=False),
        stages=[
            dict(name='first', config={tiny!r}, share=0.25,
                 options={{'model.generator.skip_type': 'sle'}}),
            dict(name='second', config={tiny!r}, share=0.75,
                 options={{'model.generator.skip_type': 'sle', 'load_from': '{{stage0}}'}}),
        ]),
    dict(
        name='Broken',
        config={tiny!r},
        settings=dict(SGC=True),
        options={{'optim_wrapper.generator.optimizer.lr': 1e30}}),
]
evaluation = {evaluation!r}
evaluation_options = {{
    'val_dataloader.dataset.data_root': {data!r},
    'val_dataloader.dataset.split': 'train',
    'val_dataloader.dataset.pipeline.0.out_size': 32,
    'val_evaluator.metrics.0.extractor.config': {classifier!r},
    'val_evaluator.metrics.0.extractor.checkpoint': {weights!r},
    'val_evaluator.metrics.0.extractor.name': 'tiny',
    'val_evaluator.metrics.0.cache_dir': {cache!r},
}}
options = {{'train_cfg.max_iters': 100000}}
budget = dict(cpu_minutes=0.04)
samples_per_class = 3
figure = dict(samples_per_class=2, columns=2)
"""


@pytest.fixture(scope='module')
def compared(tiny):
    """The comparison, run once by the tool."""
    classifier = tiny.root / 'compare_classifier.py'
    base = REPO / 'configs' / 'classifiers' / 'resnet18_phantom.py'
    classifier.write_text(CLASSIFIER.format(base=str(base)))
    weights = tiny.root / 'compare_classifier.pth'
    torch.manual_seed(0)  # any features evaluate two models alike
    model = MODELS.build({**Config.fromfile(classifier).model, '_scope_': 'mmpretrain'})
    torch.save(dict(state_dict=model.state_dict()), weights)
    config = tiny.root / 'two_of_a_kind.py'
    config.write_text(
        COMPARISON.format(
            tiny=str(tiny.config),
            evaluation=str(REPO / 'configs' / '_base_' / 'evaluation' / 'phantom_fd.py'),
            data=str(tiny.data),
            classifier=str(classifier),
            weights=str(weights),
            cache=str(tiny.root / 'features'),
        )
    )
    out = tiny.root / 'compared'
    result = run_tool('tools/compare.py', config, '--out', out, '--workers', 2, check=False)
    return SimpleNamespace(config=config, out=out, result=result)


def evaluated(out, *parts):
    return json.loads(out.joinpath(*parts, 'evaluated', 'evaluated.json').read_text())


def test_one_failure_leaves_the_others(compared):
    output = compared.result.stdout + compared.result.stderr
    assert compared.result.returncode == 1, output
    rows = {
        row['model']: row for row in json.loads((compared.out / 'table.json').read_text())['rows']
    }
    assert list(rows) == ['Small & slow', 'Two stages', 'Broken']
    broken = rows['Broken']
    assert broken['FD(tiny)/mean'] is None
    why = broken['FD(tiny)/mean_why']
    assert why.startswith('train Broken, seed 0 ended with status 2; see ')
    assert 'is not finite' in why and 'Broken/seed_0/training/job.log' in why
    assert f'failed: {why}' in output


def test_the_table_has_the_numbers_of_the_evaluation(compared):
    with open(compared.out / 'table.csv', newline='') as file:
        rows = {row['model']: row for row in csv.DictReader(file)}
    for name, folder in (('Small & slow', 'Small_slow'), ('Two stages', 'Two_stages')):
        found = evaluated(compared.out, folder, 'seed_0')
        lines = compared.out / folder / 'seed_0' / 'evaluated' / 'evaluation' / 'evaluation.jsonl'
        values = [json.loads(line) for line in lines.read_text().splitlines()]
        assert [line['row'] for line in values] == [*CLASSES, 'mean', 'pooled']
        for line in values[:-1]:
            assert float(rows[name][f'FD(tiny)/{line["row"]}']) == line['values']['FD(tiny)']
        assert [line['fake'] for line in values[:-2]] == [3] * 5
        assert float(rows[name]['sampling_images_per_second']) > 0
        assert float(rows[name]['generator_parameters']) * 1e6 == pytest.approx(
            found['parameters']['generator']
        )
    assert rows['Small & slow']['setting/SGC'] == 'true'
    text = (compared.out / 'table.md').read_text()
    assert text.startswith('**Two of a kind: FD(tiny) per class**')
    assert 'FD NILM ↓' in text and 'NILM 4 / 3' in text and 'Processor hours' in text
    assert 'Not comparable with FID' in text and '0.04 processor minutes' in text
    assert 'Small \\& slow' in (compared.out / 'distances.tex').read_text()


def test_every_model_had_its_time_and_the_second_stage_began_with_the_first(compared):
    folder = compared.out / 'Small_slow' / 'seed_0' / 'training'
    cost = read_training_cost(folder / 'final.pth')
    assert 0.04 * 60 <= cost.cpu_seconds < 0.04 * 60 + 3
    report = json.loads((folder / 'training.json').read_text())
    assert report['iterations'] == cost.iterations and cost.images == 4 * cost.iterations
    assert report['classes'] == CLASSES

    stages = [compared.out / 'Two_stages' / 'seed_0' / name for name in ('first', 'second')]
    costs = [read_training_cost(stage / 'final.pth') for stage in stages]
    spent = [cost.cpu_seconds for cost in costs]
    assert 0.6 <= spent[0] < 0.04 * 60 <= sum(spent)
    log = (stages[1] / 'job.log').read_text()
    assert f'Load checkpoint from {stages[0] / "final.pth"}' in log
    row = next(
        row
        for row in json.loads((compared.out / 'table.json').read_text())['rows']
        if row['model'] == 'Two stages'
    )
    assert row['iterations'] == f'{costs[0].iterations} + {costs[1].iterations}'
    assert row['device_hours'] == pytest.approx(sum(spent) / 3600)


def test_the_picture_has_a_row_per_model_and_one_of_real_images(compared):
    picture = cv2.imread(str(compared.out / 'figure.png'))
    height, width, _ = picture.shape
    # Three rows (real, two models) of 32 px; five columns of two images.
    assert 3 * 32 <= height < 4 * 32 + 30 and 5 * 2 * 32 <= width < 5 * 2 * 32 + 200


def test_nothing_is_done_twice(compared, capsys):
    before = {p: p.stat().st_mtime_ns for p in compared.out.rglob('*') if p.name.endswith('.pth')}
    files = {name: (compared.out / name).read_bytes() for name in ('figure.png',)}
    arguments = [str(compared.config), '--out', str(compared.out)]
    assert main([*arguments, '--only', 'Small & slow', 'Two stages']) == 0
    assert 'everything is done already' in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert files == {name: (compared.out / name).read_bytes() for name in files}
    rows = json.loads((compared.out / 'table.json').read_text())['rows']
    assert rows[2]['FD(tiny)/mean_why'] == 'not done yet'
