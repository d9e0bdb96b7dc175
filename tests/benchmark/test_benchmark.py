"""The benchmark without training: what is refused, what becomes a job, and what the tables say."""

import csv
import dataclasses
import json
import pickle
import runpy
import shutil
import sys

import numpy as np
import pytest
import torch
from benchmark_helpers import CLASSES, write_classifier, write_images
from mmengine.config import Config
from PIL import Image
from scipy import stats
from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_auc_score

from cellgan_plugin.benchmark.collect import BenchmarkResults, Outcome, ResultRow
from cellgan_plugin.benchmark.experiment import Benchmark
from cellgan_plugin.benchmark.fold_plan import FoldError, Sample
from cellgan_plugin.benchmark.folds import plan_folds
from cellgan_plugin.benchmark.leak import LeakError
from cellgan_plugin.benchmark.protocol import REAL, Generator, read_protocol
from cellgan_plugin.benchmark.scores import compute_scores
from cellgan_plugin.benchmark.tables import main_table
from cellgan_plugin.datasets import DatasetError
from cellgan_plugin.datasets.content_hash import content_hashes, write_training_images
from cellgan_plugin.errors import ConfigError, ProtocolError
from cellgan_plugin.files import atomic_write
from cellgan_plugin.jobs.outcome import JobResult
from cellgan_plugin.records import RecordError
from cellgan_plugin.visualization.report_tables import markdown_table

GENERATOR = """
default_scope = 'mmagic'
model = dict(type='CellGAN', num_classes=3, noise_size=8)
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='ResumableInfiniteSampler'),
    dataset=dict(type='CellPatchDataset', data_root={data!r}, ann_file='manifest.csv',
                 split='train', metainfo=dict(classes=['HSIL', 'nilm', 'LSIL']),
                 pipeline=[dict(type='PackCellInputs')]))
train_cfg = dict(type='ResumableTrainLoop', max_iters=4)
val_cfg = dict(type='MultiValLoop')
val_dataloader = dict(batch_size=2)
val_evaluator = dict(metrics=[])
custom_hooks = [dict(type='PreemptionHook'), dict(type='ModelSelectionHook')]
optim_wrapper = dict()
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Real images in groups of two, synthetic ones of another seed, a classifier, a generator."""
    root = tmp_path_factory.mktemp('benchmark')
    write_images(root / 'real', 10, seed=1, groups=2)
    write_images(root / 'synthetic', dict(NILM=5, LSIL=6, HSIL=7), seed=2)
    write_classifier(root)
    (root / 'gan.py').write_text(GENERATOR.format(data=str(root / 'real')))
    (root / 'benchmark.py').write_text(
        'title = "Tiny"\n'
        f'data = dict(data_root={str(root / "real")!r}, ann_file="manifest.csv")\n'
        f'classes = {list(CLASSES)}\n'
        'classifiers = dict(Tiny="tiny.py")\n'
        'num_folds = 2\nper_class = 8\nsynthetic_per_class = 6\nepochs = 3\n'
    )
    return root


def protocol(folder, *generators, equal_steps=False, **changes):
    return read_protocol(
        folder / 'benchmark.py', list(generators), equal_steps=equal_steps, **changes
    )


def synthetic(root, **changes):
    settings = dict(folder=str(root / 'synthetic'), trained_on='itself')
    return Generator('CellGAN', **{**settings, **changes})


# The description --------------------------------------------------------------------------------


def test_a_generator_is_named_in_one_word():
    assert Generator.from_text('A=configs/a.py:run/x.pth') == Generator(
        'A', config='configs/a.py', checkpoint='run/x.pth'
    )
    assert Generator.from_text('A b=a.py') == Generator('A b', config='a.py')
    assert Generator.from_text('A=out/kept') == Generator('A', folder='out/kept')
    assert Generator.from_text('A=kept.csv').folder == 'kept.csv'
    for text in ('A', '=x', 'A=', 'real=x'):
        with pytest.raises(ProtocolError):
            Generator.from_text(text)


@pytest.mark.parametrize(
    ('line', 'words'),
    [
        ('epoch = 3', 'epoch is no setting'),
        ('epochs = 0', 'epochs must be 1 or more'),
        ('seeds = [1, 1]', 'seeds'),
        ('select = "best"', 'ratios'),
        ('data = dict(root="x")', 'root is not known'),
        ('data = dict(ann_file="x")', 'data_root'),
        ('classifiers = dict()', 'at least one classifier'),
        ('classifiers = {"a b": "tiny.py", "a/b": "tiny.py"}', 'same folder'),
        ('generators = dict(A=dict(path="x"))', 'path is not one of'),
        ('generators = dict(A=dict(folder="x", config="gan.py"))', 'either a folder'),
        ('generators = dict(A=dict(config="gan.py"))', '--train-generators'),
        ('train_generators = True\nleak = "paper"', 'one generator per fold'),
        ('generators = dict(A=dict(folder="x", checkpoint="y"))', 'has no checkpoint'),
    ],
)
def test_mistakes_in_the_description_are_named(folder, tmp_path, line, words):
    text = (folder / 'benchmark.py').read_text()
    path = tmp_path / 'benchmark.py'
    path.write_text(text + line + '\n')
    with pytest.raises(ProtocolError, match=words):
        read_protocol(path)


def test_what_cannot_be_built_is_named_before_any_job(folder, tmp_path):
    deep = write_classifier(tmp_path, name='deep.py')
    deep.write_text(deep.read_text().replace('depth=18', 'depth=19'))
    with pytest.raises(ConfigError, match='deep.py: model .ImageClassifier. cannot be .*19'):
        Benchmark(protocol(folder, options={'classifiers.Tiny': str(deep)}), tmp_path / 'a')
    turned = dict(transforms=[dict(type='RandomFlip', prob=2.0)])
    options = {'rows': {'Turned': turned}}
    with pytest.raises(ConfigError, match=r'tiny.py: train_dataloader.dataset.pipeline.1'):
        Benchmark(protocol(folder, options=options), tmp_path / 'b')
    assert not (tmp_path / 'a/jobs').exists() and not (tmp_path / 'b/jobs').exists()


def test_paths_are_found_beside_the_config_and_options_win(folder, tmp_path):
    found = read_protocol(
        folder / 'benchmark.py', epochs=7, options={'per_class': 3, 'data.split': 'x'}
    )
    assert found.classifiers == dict(Tiny=str(folder / 'tiny.py'))
    assert (found.epochs, found.per_class, found.data['split']) == (7, 3, 'x')
    with pytest.raises(FileNotFoundError, match='none.py'):
        read_protocol(folder / 'none.py')
    # Of images and weights as well, and in a config that inherits them from another folder.
    shutil.copytree(folder, tmp_path / 'one')
    (tmp_path / 'one/run').mkdir()
    with open(tmp_path / 'one/benchmark.py', 'a') as file:
        file.write(
            'generators = dict(Made=dict(folder="synthetic", trained_on="real"),\n'
            '                  Trained=dict(config="gan.py", checkpoint="run"),\n'
            '                  Elsewhere=dict(folder="not/there"))\n'
        )
    (tmp_path / 'mine.py').write_text('_base_ = "one/benchmark.py"\n')
    made, trained, elsewhere = read_protocol(tmp_path / 'mine.py').generators
    one = tmp_path / 'one'
    assert (made.folder, made.trained_on) == (str(one / 'synthetic'), str(one / 'real'))
    assert (trained.config, trained.checkpoint) == (str(one / 'gan.py'), str(one / 'run'))
    assert elsewhere.folder == 'not/there', 'relative to where the command is given'


# Jobs -------------------------------------------------------------------------------------------


def test_jobs_train_on_their_folds_images_and_the_synthetic_ones(folder, tmp_path):
    found = Benchmark(protocol(folder, synthetic(folder), seeds=(0, 4)), tmp_path)
    jobs = {job.name: job for job in found.jobs()}
    assert len(jobs) == len(found.runs) == 2 * 2 * 2
    assert 'Tiny/CellGAN/fold2_seed4' in jobs
    seen = []
    for planned in found.runs:
        run = Config.fromfile(planned.work_dir / 'run.py')
        data = run.train_dataloader.dataset
        real = data.datasets[0] if planned.arm != REAL else data
        with open(real.ann_file) as file:
            train = {row['file'] for row in csv.DictReader(file)}
        with open(run.prediction_dataloader.dataset.ann_file) as file:
            test = {row['file'] for row in csv.DictReader(file)}
        assert len(train) == len(test) == 12 and not train & test
        assert run.randomness.seed == planned.seed
        count = 12 if planned.arm == REAL else 12 + 5 + 6 + 6
        assert run.train_cfg.max_iters == planned.iterations == 3 * -(-count // 8)
        if planned.arm != REAL:
            with open(data.datasets[1].ann_file) as file:
                rows = list(csv.DictReader(file))
            assert [sum(r['label'] == c for r in rows) for c in CLASSES] == [5, 6, 6]
            assert data.datasets[1].data_root == str(folder / 'synthetic')
        seen.append((planned.fold, planned.arm, frozenset(test)))
    # Every arm and seed of a fold has the same test images; the folds share none.
    tests = {fold: {test for f, _, test in seen if f == fold} for fold in (0, 1)}
    assert all(len(t) == 1 for t in tests.values()) and tests[0] != tests[1]
    notes = ' '.join(found.notes())
    assert 'NILM 5 synthetic images, all that there are (6 of each' in notes
    assert 'Tiny: starts from random weights' in notes and '2 trainings per fold' in notes


def test_equal_steps_are_those_of_the_largest_setting(folder, tmp_path):
    found = Benchmark(protocol(folder, synthetic(folder), equal_steps=True), tmp_path)
    assert {planned.iterations for planned in found.runs} == {3 * -(-29 // 8)}
    assert any('same number of optimizer steps' in note for note in found.notes())


def test_more_steps_are_no_gain_unless_the_paper_is_asked_for(folder):
    assert protocol(folder, synthetic(folder), equal_steps=None).equal_steps is True
    paper = protocol(folder, synthetic(folder), equal_steps=None, leak='paper')
    assert paper.equal_steps is False
    assert protocol(folder, synthetic(folder), leak='paper', equal_steps=True).equal_steps is True


def test_the_title_says_how_classifiers_start(folder, tmp_path):
    found = Benchmark(protocol(folder, synthetic(folder)), tmp_path)
    assert found.title == 'Tiny, classifiers from random weights'
    found.classifiers['Tiny'].load_from = '/models/resnet34_in1k.pth'
    assert found.title == 'Tiny, Tiny from resnet34_in1k.pth'


@pytest.mark.parametrize('which', ['all', 'drawn'])
def test_generators_train_on_everything_outside_of_the_test_part(folder, tmp_path, which):
    generator = Generator('GAN', config=str(folder / 'gan.py'))
    asked = {} if which == 'all' else dict(generator_images='drawn')  # all is the default
    options = dict(per_class=4, train_generators=True, **asked)
    found = Benchmark(protocol(folder, generator, **options), tmp_path)
    found.jobs()
    for number, fold in enumerate(found.plan.folds, 1):
        run = Config.fromfile(tmp_path / f'generators/GAN/fold{number}/run.py')
        with open(run.train_dataloader.dataset.ann_file) as file:
            files = {row['file'] for row in csv.DictReader(file)}
        test = [found.plan.samples[i] for i in fold.test]
        groups = {sample.group for sample in test}
        if which == 'drawn':
            expected = {found.plan.samples[i].file for i in fold.train}
        else:
            samples = found._builder.samples
            expected = {s.file for s in samples if s.group not in groups}
            assert len(expected) > len(fold.train)
        assert {str(folder / 'real' / file) for file in files} == expected
    assert any(f'({len(expected)}' in note for note in found.notes() if note.startswith('GAN:'))


def test_a_share_of_the_images_is_the_generators_too(folder):
    assert protocol(folder, shares=(0.5,)).generator_images == 'drawn'
    with pytest.raises(ProtocolError, match='on more images than the share'):
        protocol(folder, shares=(0.5,), generator_images='all')
    with pytest.raises(ProtocolError, match='must be one of'):
        protocol(folder, generator_images='some')


def test_the_same_call_makes_the_same_jobs_and_another_protocol_is_refused(folder, tmp_path):
    found = Benchmark(protocol(folder, synthetic(folder)), tmp_path)
    found.jobs()
    before = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.name in ('job.json', 'run.py')}
    Benchmark(protocol(folder, synthetic(folder)), tmp_path).jobs()
    assert {p: p.read_bytes() for p in before} == before
    for changes, words in (
        (dict(epochs=4), 'epochs: 3 there, 4 now'),
        (dict(num_folds=3), 'num_folds: 2 there, 3 now'),
        (dict(fold_seed=1), 'fold_seed'),
        (dict(equal_steps=True), 'equal_steps: false there, true now'),
        (dict(synthetic_per_class=5), 'arms.CellGAN.images: 17 there, 15 now'),
    ):
        with pytest.raises(RecordError, match=words):
            Benchmark(protocol(folder, synthetic(folder), **changes), tmp_path)
    other = write_classifier(tmp_path / 'other', optim_wrapper=dict(optimizer=dict(type='Adam')))
    with pytest.raises(RecordError, match='Tiny.optim_wrapper.optimizer.type: "SGD" there'):
        Benchmark(protocol(folder, classifiers=dict(Tiny=str(other))), tmp_path)
    # More of it is no other protocol: further arms, classifiers, seeds, folds' order.
    more = Generator('more', folder=str(folder / 'synthetic'), trained_on='itself')
    larger = protocol(folder, synthetic(folder), more, seeds=(0, 1))
    assert len(Benchmark(larger, tmp_path).jobs()) == 2 * 3 * 2
    record = json.loads((tmp_path / 'benchmark.json').read_text())
    assert set(record['identity']['arms']) == {REAL, 'CellGAN', 'more'}
    # And with less, what is on record stays there.
    Benchmark(protocol(folder), tmp_path).jobs()
    with pytest.raises(RecordError, match='images: 17 there'):
        Benchmark(protocol(folder, synthetic(folder), synthetic_per_class=5), tmp_path)


def test_changed_real_images_are_another_protocol(folder, tmp_path):
    shutil.copytree(folder / 'real', tmp_path / 'real')
    options = {'data.data_root': str(tmp_path / 'real')}
    out = tmp_path / 'out'
    Benchmark(protocol(folder), out).jobs()
    # Moved is not changed.
    Benchmark(protocol(folder, options=options), out)
    write_images(tmp_path / 'real', 10, seed=1, groups=2, noise=50)
    with pytest.raises(RecordError, match='images_and_folds'):
        Benchmark(protocol(folder, options=options), out)


def test_generators_of_the_folds_are_jobs_that_others_need(folder, tmp_path):
    gan = Generator('GAN', config=str(folder / 'gan.py'))
    found = Benchmark(protocol(folder, gan, train_generators=True), tmp_path)
    assert [report.clean for report in found.reports] == [True, True]
    jobs = {job.name: job for job in found.jobs()}
    assert len(jobs) == 2 + 2 + 4
    for fold in (1, 2):
        assert jobs[f'Tiny/GAN/fold{fold}_seed0'].needs == (f'synthesis/GAN/fold{fold}',)
        assert jobs[f'synthesis/GAN/fold{fold}'].needs == (f'generator/GAN/fold{fold}',)
        run = Config.fromfile(tmp_path / f'generators/GAN/fold{fold}/run.py')
        assert not [key for key in run if key.startswith('val')]
        assert [hook.type for hook in run.custom_hooks] == ['PreemptionHook']
        data = run.train_dataloader.dataset
        assert data.split is None and data.data_root == str(folder / 'real')
        assert data.ann_file.endswith(f'fold{fold}_generator.csv')
        request = json.loads((tmp_path / f'jobs/synthesis/GAN/fold{fold}/job.json').read_text())
        assert request['classes'] == dict.fromkeys(CLASSES, 6)
        assert request['checkpoint'].endswith(f'generators/GAN/fold{fold}/final.pth')
        classifier = Config.fromfile(tmp_path / f'jobs/Tiny/GAN/fold{fold}_seed0/run.py')
        assert classifier.train_dataloader.dataset.datasets[1].data_root == request['out']
    assert any('one generator per fold' in note for note in found.notes())
    assert 'LEAK' not in found.title


def test_what_a_generator_stands_on_is_trained_on_the_same_images(folder, tmp_path):
    text = (folder / 'benchmark.py').read_text() + (
        'train_generators = True\n'
        'generators = dict(LDM=dict(stages=[\n'
        '    dict(config="gan.py", options={"train_cfg.max_iters": 3}),\n'
        '    dict(config="gan.py", options={"load_from": "{stage0}"})]))\n'
    )
    (folder / 'staged.py').write_text(text)
    found = Benchmark(read_protocol(folder / 'staged.py'), tmp_path)
    assert [report.clean for report in found.reports] == [True, True]
    jobs = {job.name: job for job in found.jobs()}
    for fold in (1, 2):
        first = f'generator/LDM/fold{fold}_stage1'
        assert jobs[first].needs == () and jobs[f'generator/LDM/fold{fold}'].needs == (first,)
        assert jobs[f'synthesis/LDM/fold{fold}'].needs == (f'generator/LDM/fold{fold}',)
        early, late = (
            Config.fromfile(tmp_path / f'generators/LDM/{name}/run.py')
            for name in (f'fold{fold}_stage1', f'fold{fold}')
        )
        lists = [run.train_dataloader.dataset.ann_file for run in (early, late)]
        assert lists[0] == lists[1] and lists[0].endswith(f'fold{fold}_generator.csv')
        assert late.load_from == str(tmp_path / f'generators/LDM/fold{fold}_stage1/final.pth')
        assert early.train_cfg.max_iters == 3 != late.train_cfg.max_iters
    # Another first stage is another generator.
    (folder / 'staged.py').write_text(text.replace('max_iters": 3', 'max_iters": 4'))
    with pytest.raises(RecordError):
        Benchmark(read_protocol(folder / 'staged.py'), tmp_path)
    # A stage that starts from unknown weights is no way out.
    (folder / 'staged.py').write_text(text.replace('"train_cfg.max_iters": 3', '"load_from": "x"'))
    with pytest.raises(LeakError, match='(?s)does not say.*trained per fold already.*stages='):
        Benchmark(read_protocol(folder / 'staged.py'), tmp_path / 'other')
    for wrong, words in (
        ('stages=[dict(options={})]', 'a stage is dict'),
        ('stages=[dict(config="gan.py")], config="gan.py"', 'has stages'),
        ('stages=[dict(config="gan.py", seed=1)] * 2', 'seed is not one of'),
    ):
        line = f'generators = dict(LDM=dict({wrong}))\n'
        (folder / 'staged.py').write_text((folder / 'benchmark.py').read_text() + line)
        with pytest.raises(ProtocolError, match=words):
            read_protocol(folder / 'staged.py')


# Leaks ------------------------------------------------------------------------------------------


def trained_on(folder, path, *names):
    """A list of the training images of a generator, by their contents."""
    files = [path for name in names for path in sorted((folder / name).rglob('*.png'))]
    return str(write_training_images(path, content_hashes(files)))


def checkpoint(path, hashes=None, classes=('HSIL', 'nilm', 'LSIL')):
    state = dict(state_dict={}, meta=dict(dataset_meta=dict(classes=list(classes)), iter=4))
    if hashes is not None:
        state['training_images'] = torch.from_numpy(hashes)
    torch.save(state, path)
    return str(path)


def leaky(folder, tmp_path, kind):
    """A generator that is not clean, and what is said of it."""
    real = sorted((folder / 'real').rglob('*.png'))
    if kind == 'unknown folder':
        return synthetic(folder, trained_on=None), 'does not say which images'
    if kind == 'folder of a leaky generator':
        source = trained_on(folder, tmp_path / 'list.txt', 'real')
        shutil.copy(source, tmp_path / 'training_images.txt')
        return synthetic(folder, trained_on=str(tmp_path)), '12 of 12 test images'
    if kind == 'real images as the data folder':
        return synthetic(folder, trained_on=str(folder / 'real')), '12 of 12 test images'
    if kind == 'copies among the synthetic images':
        shutil.copytree(folder / 'synthetic', tmp_path / 'copies')
        (tmp_path / 'copies' / 'manifest.csv').unlink()
        for path in real[:10]:
            shutil.copy(path, tmp_path / 'copies' / path.parent.name / f'a_{path.name}')
        return synthetic(folder, folder=str(tmp_path / 'copies'), trained_on=None), 'test images'
    if kind == 'checkpoint that saw a slide':
        hashes = content_hashes(real[:1])
        path = checkpoint(tmp_path / 'gan.pth', hashes)
        return Generator('CellGAN', config=str(folder / 'gan.py'), checkpoint=path), 'fold'
    assert kind == 'checkpoint of unknown images'
    path = checkpoint(tmp_path / 'gan.pth')
    return Generator('CellGAN', config=str(folder / 'gan.py'), checkpoint=path), 'does not say'


@pytest.mark.parametrize(
    'kind',
    [
        'unknown folder',
        'folder of a leaky generator',
        'real images as the data folder',
        'copies among the synthetic images',
        'checkpoint that saw a slide',
        'checkpoint of unknown images',
    ],
)
def test_a_leak_is_refused_and_allowed_only_with_a_label(folder, tmp_path, kind):
    generator, words = leaky(folder, tmp_path, kind)
    out = tmp_path / 'out'
    with pytest.raises(LeakError, match=words) as error:
        Benchmark(protocol(folder, generator), out)
    assert '--train-generators' in str(error.value) and '--allow-leak' in str(error.value)
    assert not (out / 'benchmark.json').exists(), 'nothing is begun'

    found = Benchmark(protocol(folder, generator, leak='allow'), out)
    assert 'LEAK' in found.title and any(note.startswith('LEAK: CellGAN') for note in found.notes())
    found.jobs()
    found.write()
    for name in ('table', 'statistics', 'per_class'):
        for suffix in ('md', 'tex', 'json'):
            text = (out / f'{name}.{suffix}').read_text()
            assert 'LEAK' in text, f'{name}.{suffix} does not warn'
    rows = json.loads((out / 'table.json').read_text())['rows']
    assert [row['arm'] for row in rows] == [REAL, '+ CellGAN (LEAK)']

    found = Benchmark(protocol(folder, generator, leak='paper'), out)
    assert 'paper protocol' in found.title and 'LEAK' in found.title


def test_a_folder_for_every_fold_is_looked_at_for_that_fold_alone(folder, tmp_path):
    plan = Benchmark(protocol(folder), tmp_path / 'plan').plan
    for number, fold in enumerate(plan.folds, 1):  # copies of what trains in each fold
        for index in fold.train:
            sample = plan.samples[index]
            target = tmp_path / f'copies/fold{number}' / CLASSES[sample.label]
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample.file, target / f'{index}.png')
        trained_on = content_hashes(sorted((tmp_path / f'copies/fold{number}').rglob('*.png')))
        write_training_images(tmp_path / f'copies/fold{number}', trained_on)
    path = str(tmp_path / 'copies/fold{fold}')
    found = Benchmark(protocol(folder, Generator.from_text(f'Copies={path}')), tmp_path / 'out')
    assert [report.clean for report in found.reports] == [True, True]
    parts = found.arm['Copies'].parts
    assert [part['data_root'][-5:] for part in parts] == ['fold1', 'fold2']
    found.jobs()
    for number, (part, fold) in enumerate(zip(parts, plan.folds, strict=True), 1):
        with open(part['ann_file'], newline='') as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(fold.train) and part['ann_file'].endswith(
            f'Copies_fold{number}.csv'
        )
    # Those of one fold in all folds have seen the tests of the other.
    with pytest.raises(LeakError, match='fold 2: 12 of 12 test images'):
        one = Generator('Copies', folder=path.format(fold=1))
        Benchmark(protocol(folder, one), tmp_path / 'other')
    (tmp_path / 'copies/fold2').rename(tmp_path / 'gone')
    with pytest.raises(ProtocolError, match='there is no folder .*fold2'):
        Benchmark(protocol(folder, Generator.from_text(f'Copies={path}')), tmp_path / 'out')
    with pytest.raises(ProtocolError, match='trained_on has {fold}'):
        Generator('G', folder='x', trained_on='lists/fold{fold}')


def test_the_papers_generator_is_trained_once_and_labelled(folder, tmp_path):
    text = (folder / 'gan.py').read_text().replace("split='train'", 'split=None')
    (tmp_path / 'gan.py').write_text(text)
    gan = Generator('GAN', config=str(tmp_path / 'gan.py'))
    found = Benchmark(protocol(folder, gan, leak='paper'), tmp_path / 'out')
    names = [job.name for job in found.jobs()]
    assert names[:2] == ['generator/GAN', 'synthesis/GAN']
    assert 'paper protocol' in found.title and 'LEAK' in found.title
    assert found.reports[0].found and found.reports[0].known


def test_a_generator_of_other_images_is_clean(folder, tmp_path):
    path = checkpoint(tmp_path / 'gan.pth', content_hashes([folder / 'synthetic/NILM/2_000.png']))
    gan = Generator('GAN', config=str(folder / 'gan.py'), checkpoint=path)
    found = Benchmark(protocol(folder, gan), tmp_path / 'out')
    assert found.reports[0].clean and 'LEAK' not in found.title
    names = [job.name for job in found.jobs()]
    assert names[0] == 'synthesis/GAN' and len(names) == 5


def test_what_was_made_is_looked_at_again(folder, tmp_path):
    gan = Generator('GAN', config=str(folder / 'gan.py'))
    found = Benchmark(protocol(folder, gan, train_generators=True), tmp_path / 'out')
    found.jobs()
    made = tmp_path / 'out/synthetic/GAN/fold1'
    made.mkdir(parents=True)
    trained_on(folder, made, 'real')  # as if the config had trained on other images
    write_images(made, 3)
    for path in made.rglob('*.png'):
        Image.open(path).resize((20, 20)).save(path)
    results = found.results()
    assert 'LEAK' in results.title
    # Drawn images are compared with the real ones, as those of folders are; said once.
    (note,) = [note for note in results.notes if 'SHORTCUT' in note]
    assert note.startswith(
        '+ GAN: SHORTCUT: most real images have 16x16 px, most synthetic ones 20'
    )
    assert sum('SHORTCUT' in note for note in found.results().notes) == 1


def test_a_run_that_starts_from_unknown_weights_is_unknown(folder, tmp_path):
    text = (folder / 'gan.py').read_text() + 'load_from = "elsewhere.pth"\n'
    (tmp_path / 'gan.py').write_text(text)
    gan = Generator('GAN', config=str(tmp_path / 'gan.py'))
    with pytest.raises(LeakError, match='does not say') as caught:
        Benchmark(protocol(folder, gan, train_generators=True), tmp_path / 'out')
    assert '--train-generators trains' not in str(caught.value)  # that was done
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


# Bad input --------------------------------------------------------------------------------------


def test_bad_real_images_are_named_before_the_first_job(folder, tmp_path):
    with pytest.raises(FoldError, match="class 'LSIL' has 1 image"):
        write_images(tmp_path / 'one', dict(NILM=4, LSIL=1, HSIL=4))
        options = {'data.data_root': str(tmp_path / 'one')}
        Benchmark(protocol(folder, options=options), tmp_path / 'out')
    with pytest.raises(FoldError, match="class 'HSIL' has 6 images .1 groups"):
        write_images(tmp_path / 'slide', dict(NILM=6, LSIL=6, HSIL=6), groups=3)
        rows = (tmp_path / 'slide/manifest.csv').read_text().replace('HSIL_0_1', 'HSIL_0_0')
        (tmp_path / 'slide/manifest.csv').write_text(rows)
        options = {'data.data_root': str(tmp_path / 'slide')}
        Benchmark(protocol(folder, options=options), tmp_path / 'out')
    with pytest.raises(DatasetError, match="'HSIL' has no image"):
        write_images(tmp_path / 'none', dict(NILM=4, LSIL=4))
        options = {'data.data_root': str(tmp_path / 'none')}
        Benchmark(protocol(folder, options=options), tmp_path / 'out')


def test_bad_synthetic_folders_are_named_before_the_first_job(folder, tmp_path):
    def refused(error, words, path):
        with pytest.raises(error, match=words):
            Benchmark(protocol(folder, synthetic(folder, folder=str(path))), tmp_path / 'out')

    refused(ProtocolError, 'no folder', tmp_path / 'nowhere')
    write_images(tmp_path / 'odd', dict(NILM=2, SCC=2), manifest=False)
    refused(DatasetError, "folder 'SCC' .2 images", tmp_path / 'odd')
    write_images(tmp_path / 'gone', dict(NILM=2))
    (tmp_path / 'gone/NILM/0_001.png').unlink()
    refused(DatasetError, '0_001.png: is named in .*manifest.csv, but there', tmp_path / 'gone')
    refused(DatasetError, '0_001.png: is named', tmp_path / 'gone/manifest.csv')
    write_images(tmp_path / 'broken', dict(NILM=2), manifest=False)
    (tmp_path / 'broken/NILM/0_001.png').write_bytes(b'')
    refused(ValueError, 'is empty', tmp_path / 'broken')
    (tmp_path / 'empty/NILM').mkdir(parents=True)
    refused(ProtocolError, 'no image of', tmp_path / 'empty')


def test_generators_of_other_classes_are_named_before_the_first_job(folder, tmp_path):
    text = (folder / 'gan.py').read_text().replace("'HSIL', 'nilm', 'LSIL'", "'A', 'NILM', 'HSIL'")
    config = tmp_path / 'gan.py'
    config.write_text(text)
    path = checkpoint(tmp_path / 'gan.pth', classes=('A', 'NILM', 'HSIL'))
    with pytest.raises(ProtocolError, match=r"also has \['LSIL'\]"):
        gan = Generator('GAN', config=str(config), checkpoint=path)
        Benchmark(protocol(folder, gan), tmp_path / 'out')
    with pytest.raises(ProtocolError, match=r"also has \['LSIL'\]"):
        gan = Generator('GAN', config=str(config))
        Benchmark(protocol(folder, gan, train_generators=True), tmp_path / 'out')
    with pytest.raises(ProtocolError, match="generator 'GAN': checkpoint none.pth does not exist"):
        gan = Generator('GAN', config=str(folder / 'gan.py'), checkpoint='none.pth')
        Benchmark(protocol(folder, gan), tmp_path / 'out')


# Tables -----------------------------------------------------------------------------------------


@pytest.fixture
def finished(folder, tmp_path):
    """A benchmark whose jobs were done by hand, but for one; (benchmark, predictions)."""
    generators = (synthetic(folder), Generator('other', folder=str(folder / 'synthetic'),
                                               trained_on='itself'))  # fmt: skip
    found = Benchmark(protocol(folder, *generators, num_folds=4), tmp_path / 'out')
    found.jobs()
    rng = np.random.default_rng(0)
    made = {}
    for planned in found.runs:
        if (planned.arm, planned.fold) == ('other', 2):
            continue
        test = [found.plan.samples[i] for i in found.plan.folds[planned.fold].test]
        labels = np.array([sample.label for sample in test])
        logits = rng.normal(size=(len(test), 3)) + np.eye(3)[labels] * (planned.arm != REAL)
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        made[planned.arm, planned.fold] = labels, probabilities
        order = rng.permutation(len(test))  # the order of the rows does not matter
        with atomic_write(planned.work_dir / 'predictions.csv', 'w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(['file', 'label', *(f'p({c})' for c in CLASSES)])
            for i in order:
                name = '/'.join(test[i].file.split('/')[-2:])
                writer.writerow([name, CLASSES[labels[i]], *probabilities[i]])
    return found, made


def test_tables_agree_with_scikit_learn_on_the_same_predictions(finished):
    found, made = finished
    message = 'ended with status 1; see job.log\nLoading\nRuntimeError: no luck'
    failed = JobResult('Tiny/other/fold3_seed0', 'failed', 1, 2.0, message)
    found.write({failed.name: failed})
    expected = {}
    for (arm, fold), (labels, probabilities) in made.items():
        taken = probabilities.argmax(1)
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, taken, average='macro', zero_division=0
        )
        auc = roc_auc_score(labels, probabilities, multi_class='ovr', average='macro')
        values = (accuracy_score(labels, taken), precision, recall, f1, auc)
        expected.setdefault(arm, {})[fold] = 100 * np.array(values)
    table = json.loads((found.out_dir / 'table.json').read_text())
    rows = {row['arm']: row for row in table['rows']}
    assert list(rows) == [REAL, '+ CellGAN', '+ other']
    for arm, by_fold in expected.items():
        row = rows[arm if arm == REAL else f'+ {arm}']
        values = np.array(list(by_fold.values()))
        for i, metric in enumerate(('accuracy', 'precision', 'recall', 'f1', 'auc')):
            assert row[metric]['mean'] == pytest.approx(values[:, i].mean())
            assert row[metric]['std'] == pytest.approx(values[:, i].std(ddof=1))
    # The failed job is in the table, with what it said.
    assert rows['+ other']['jobs'] == '3/4' and rows['+ CellGAN']['jobs'] == '4/4'
    assert 'RuntimeError: no luck' in rows['+ other']['jobs_why']
    assert 'RuntimeError: no luck' in found.table()
    # The test: paired over the folds that both have, variance corrected for n_test / n_train.
    for arm, folds in (('CellGAN', (0, 1, 2, 3)), ('other', (0, 1, 3))):
        gains = np.array([expected[arm][f][0] - expected[REAL][f][0] for f in folds])
        ratio = np.mean([len(found.plan.folds[f].test) / len(found.plan.folds[f].train)
                         for f in folds])  # fmt: skip
        t = gains.mean() / np.sqrt((1 / len(folds) + ratio) * gains.var(ddof=1))
        p = 2 * stats.t.sf(abs(t), len(folds) - 1)
        row = rows[f'+ {arm}']
        assert row['difference'] == pytest.approx(gains.mean())
        assert row['p'] == ('< 0.001' if p < 0.001 else f'{p:.3f}')
    assert rows[REAL].get('p') is None
    assert rows[REAL]['steps'] == 3 * -(-18 // 8) and rows['+ other']['synthetic'] == 17


def test_other_files_of_the_report(finished):
    found, made = finished
    names = {path.name for path in found.write()}
    assert {'table.md', 'table.tex', 'table.csv', 'statistics.md', 'per_class.md', 'results.json',
            'boxes.png', 'confusion.png', 'learning_curves.png'} <= names  # fmt: skip
    results = json.loads((found.out_dir / 'results.json').read_text())
    jobs = results['rows'][1]['jobs']
    confusion = np.sum([job['scores']['confusion'] for job in jobs], axis=0)
    labels = np.concatenate([made['CellGAN', fold][0] for fold in range(4)])
    assert confusion.sum(axis=1).tolist() == np.bincount(labels).tolist()
    statistics = json.loads((found.out_dir / 'statistics.json').read_text())['rows']
    assert len(statistics) == 2 * 5 and statistics[0]['bootstrap'].startswith('[')
    classes = json.loads((found.out_dir / 'per_class.json').read_text())['rows']
    assert len(classes) == 3 * 3 and {row['support'] for row in classes} == {8}
    record = json.loads((found.out_dir / 'benchmark.json').read_text())
    assert record['protocol']['epochs'] == 3 and record['environment']['torch']


def test_predictions_of_other_images_are_not_counted(finished):
    found, _ = finished
    planned = found.runs[0]
    path = planned.work_dir / 'predictions.csv'
    text = path.read_text()
    path.write_text(text.replace('.png', '.jpg'))
    results = found.results()
    assert 'which are not the' in results.rows[0].why_incomplete
    path.write_text(text.replace('p(NILM)', 'p(SCC)'))
    assert 'the columns are' in found.results().rows[0].why_incomplete
    lines = text.splitlines()
    lines[1] = ','.join([*lines[1].split(',')[:2], 'nan', 'nan', 'nan'])
    path.write_text('\n'.join(lines) + '\n')
    assert 'are no probabilities' in found.results().rows[0].why_incomplete


def test_trainings_of_one_fold_are_averaged_before_anything_is_tested():
    truth = np.array([0, 0, 1, 1])

    def outcome(fold, seed, correct):
        labels = np.where(np.arange(4) < correct, truth, 1 - truth)
        probabilities = np.eye(2)[labels]
        return Outcome(
            'A', REAL, fold, seed, 5, probabilities, compute_scores(probabilities, truth, 'ab')
        )

    outcomes = [outcome(0, 0, 4), outcome(0, 1, 2), outcome(1, 0, 3), Outcome('A', REAL, 1, 1, 5)]
    row = ResultRow('A', REAL, outcomes, 3)
    assert row.values['accuracy'] == [0.75, 0.75, None]
    assert row.confusion.sum() == 12 and 'not run yet' in row.why_incomplete


def test_tables_before_anything_is_done(folder, tmp_path):
    found = Benchmark(protocol(folder, synthetic(folder)), tmp_path)
    found.write()
    assert '0/2' in found.table() and 'not run yet' in found.table()


def test_bold_is_beyond_chance_of_every_other_row():
    samples = [Sample(f'{k}/{i}', k, None, f'{k}{i}') for k in range(2) for i in range(50)]
    plan = plan_folds(samples, 'ab', 5)
    values = {
        REAL: [0.50, 0.51, 0.49, 0.50, 0.50],
        'good': [0.90, 0.91, 0.92, 0.90, 0.91],
        'near': [0.85, 0.97, 0.80, 0.99, 0.99],
    }

    def table(plan, *arms):
        rows = [ResultRow('A', arm, [Outcome('A', arm, 0, 0, 5)], 5) for arm in arms]
        for row in rows:
            row.values = {'accuracy': values[row.arm]}
        shown = {arm: arm for arm in arms}
        counts = dict.fromkeys(arms, 0)
        return markdown_table(main_table(
            BenchmarkResults(plan, rows, shown, {}, {}, counts, 'T', [], ('accuracy',))
        ))  # fmt: skip

    text = table(plan, REAL, 'good')
    assert '**90.80' in text and 'by the corrected t-test over folds' in text
    text = table(plan, REAL, 'good', 'near')  # the highest mean, and no more than chance
    assert '| **' not in text and 'Nothing is bold' in text
    one = dataclasses.replace(plan, folds=plan.folds[:1])
    text = table(one, REAL, 'good')
    assert '| **' not in text and 'runs of one split share all images' in text


# The program ------------------------------------------------------------------------------------


def run_program(request, monkeypatch, *arguments):
    """``tools/benchmark.py`` in this process; its exit status."""
    tool = str(request.config.rootpath / 'tools' / 'benchmark.py')
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(tool, run_name='__main__')
    return ended.value.code


def test_a_dry_run_checks_everything_and_begins_nothing(
    folder, tmp_path, request, monkeypatch, capsys
):
    arguments = [folder / 'benchmark.py', '--work-dir', tmp_path / 'out', '--dry-run']
    arguments += ['--epochs', '5', '--per-class', '6', '--equal-steps', '--seeds', '0', '1', '2']
    arguments += ['--synthetic-per-class', '3', '--generator', f'A={folder / "synthetic"}']
    assert run_program(request, monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert 'does not say which images' in error and 'Traceback' not in error
    assert run_program(request, monkeypatch, *arguments, '--allow-leak') == 0
    said = capsys.readouterr().out
    assert '+ A: 9 synthetic images added to each fold' in said and 'LEAK: A' in said
    assert '12 trainings of classifiers' in said and '15 to 15 steps each' in said
    assert not (tmp_path / 'out' / 'benchmark.json').exists()
    assert not (tmp_path / 'out' / 'jobs').exists()


def test_tables_can_be_written_without_running(folder, tmp_path, request, monkeypatch, capsys):
    arguments = (folder / 'benchmark.py', '--work-dir', tmp_path / 'out', '--tables-only')
    assert run_program(request, monkeypatch, *arguments) == 0
    assert 'not run yet' in capsys.readouterr().out
    assert (tmp_path / 'out' / 'table.tex').is_file()
