"""Rows that choose from pools: the graph of jobs, what is refused, and what is chosen by whom."""

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_helpers import CLASSES, write_images
from mmengine.config import Config

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'selection'))
from selection_helpers import build_network, save, write_config  # noqa: E402

from cellgan_plugin.benchmark.classifier_run import write_run  # noqa: E402
from cellgan_plugin.benchmark.experiment import Benchmark
from cellgan_plugin.benchmark.generators import evaluated_by  # noqa: E402
from cellgan_plugin.benchmark.leak import LeakError  # noqa: E402
from cellgan_plugin.benchmark.predictions import (  # noqa: E402
    Predictions,
    write_predictions,
)
from cellgan_plugin.benchmark.protocol import read_protocol  # noqa: E402
from cellgan_plugin.benchmark.run import open_benchmark
from cellgan_plugin.benchmark.selection_job import check_trained_on, choose  # noqa: E402
from cellgan_plugin.datasets.content_hash import (  # noqa: E402
    content_hashes,
    to_hex,
    write_training_images,
)
from cellgan_plugin.datasets.manifest import read_manifest, write_manifest  # noqa: E402
from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.records import RecordError, digest_of  # noqa: E402
from cellgan_plugin.selection import PoolError, ScoreError  # noqa: E402
from cellgan_plugin.selection import scoring as scoring_module  # noqa: E402
from cellgan_plugin.selection.image_tree import SelectionError  # noqa: E402

REAL = 'real only'
RULES = ('none', 'random', 'single_filtering', 'selective')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Real images in groups of two, a folder of candidates, and a classifier."""
    root = tmp_path_factory.mktemp('rows')
    write_images(root / 'real', 16, seed=1, groups=2)
    write_images(root / 'pool', 40, seed=2)
    (root / 'pool' / 'manifest.csv').unlink()
    shutil.copy(write_config(root), root / 'classifier.py')
    text = (root / 'classifier.py').read_text() + (
        'train_dataloader.update(batch_size=8, num_workers=0)\n'
        'train_dataloader["dataset"]["pipeline"].append(dict(type="mmpretrain.PackInputs"))\n'
        'val_dataloader = train_dataloader\n'
        'optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1))\n'
    )
    (root / 'classifier.py').write_text(text)
    rows = {rule: dict(generator='G', rule=rule) for rule in RULES}
    rows['jitter'] = dict(transforms=[dict(type='RandomTissueColor')])
    (root / 'benchmark.py').write_text(
        f'data = dict(data_root={str(root / "real")!r}, ann_file="manifest.csv")\n'
        f'classes = {list(CLASSES)}\n'
        'classifiers = dict(A="classifier.py")\n'
        f'generators = dict(G=dict(folder={str(root / "pool")!r}, trained_on="itself"))\n'
        f'rows = {rows!r}\n'
        'ratios = [2, 1, 1]\nnum_folds = 1\nper_class = None\nseeds = [0, 1]\nsteps = 3\n'
        'selection = dict(passes=2)\nmetrics = ["accuracy", "sensitivity"]\n'
    )
    return root


def protocol(folder, options=None, **changes):
    return read_protocol(folder / 'benchmark.py', options=options, **changes)


def listed(path):
    with open(path, newline='') as file:
        return [row['file'] for row in csv.DictReader(file)]


# The graph --------------------------------------------------------------------------------------


def test_one_choice_per_fold_needs_the_baseline_and_serves_all_rows(folder, tmp_path):
    found = Benchmark(protocol(folder), tmp_path)
    jobs = {job.name: job for job in found.jobs()}
    assert len(jobs) == 1 + 6 * 2
    assert jobs['selection/G/fold1'].needs == ('A/real/fold1_seed0',)
    for rule in RULES:
        assert jobs[f'A/{rule}/fold1_seed1'].needs == ('selection/G/fold1',)
    assert jobs['A/jitter/fold1_seed0'].needs == () == jobs['A/real/fold1_seed1'].needs
    # The weights that choose are kept, and only these; the job is done when they are named.
    assert jobs['A/real/fold1_seed0'].done_file.name == 'weights.json'
    assert jobs['A/real/fold1_seed1'].done_file.name == 'predictions.csv'
    kept = {
        name: json.loads((jobs[name].work_dir / 'job.json').read_text())['keep_weights']
        for name in jobs if name[0] == 'A'
    }  # fmt: skip
    assert [name for name, keeps in kept.items() if keeps] == ['A/real/fold1_seed0']
    # Equal pools, equal numbers.
    request = json.loads((jobs['selection/G/fold1'].work_dir / 'job.json').read_text())
    train = found.plan.class_counts('train')[0].tolist()
    assert [row['name'] for row in request['rows']] == list(RULES)
    for row in request['rows']:
        assert row['pool'] == [2 * n for n in train] and row['asked'] == [n // 2 for n in train]
    assert {tuple(s.counts) for s in found.arms[1:5]} == {(sum(train) // 2,)}


GENERATOR = """
default_scope = 'mmagic'
model = dict(type='HistoGAN', num_classes=3, noise_size=8)
_data = dict(type='CellPatchDataset', data_root='elsewhere', ann_file='manifest.csv',
             split='train', metainfo=dict(classes=['NILM', 'LSIL', 'HSIL']),
             pipeline=[dict(type='PackCellInputs')])
train_dataloader = dict(batch_size=2, dataset=dict(**_data))
train_cfg = dict(type='ResumableTrainLoop', max_iters=4, val_interval=2)
val_cfg = dict(type='MultiValLoop')
val_dataloader = dict(batch_size=2, dataset=dict(**_data))
val_evaluator = dict(metrics=[dict(type='ClassDistances', extractor=dict(
    type='ClassifierFeatures', config='x.py', checkpoint='x'))])
custom_hooks = [dict(type='PreemptionHook'), dict(type='ModelSelectionHook', alpha=0.5)]
optim_wrapper = dict()
"""


def test_classifiers_that_judge_are_found_in_every_form_of_an_evaluator():
    metric = dict(type='ClassDistances', extractor=dict(type='mmagic.ClassifierFeatures'))
    for evaluator in (dict(type='Evaluator', metrics=[metric]), dict(metrics=metric), [metric],
                      metric):  # fmt: skip
        run = Config(dict(val_evaluator=evaluator, val_dataloader=dict(dataset=dict())))
        evaluated_by(run, dict(data_root='here'), Path('baseline'))
        assert "checkpoint='" in run.pretty_text and run.val_dataloader.dataset.data_root == 'here'


def test_the_best_weights_of_a_generator_are_scored_by_the_baseline_on_training_images(
    folder, tmp_path
):
    (tmp_path / 'gan.py').write_text(GENERATOR)

    def options(**more):
        one = dict(_delete_=True, config=str(tmp_path / 'gan.py'), iterations=8, **more)
        return {'generators': dict(G=one), 'train_generators': True}

    out = tmp_path / 'last'
    last = {job.name: job for job in Benchmark(protocol(folder, options()), out).jobs()}
    assert last['generator/G/fold1'].needs == ()
    run = Config.fromfile(out / 'generators/G/fold1/run.py')
    assert run.train_cfg.max_iters == 8 and 'val_dataloader' not in run
    assert [hook.type for hook in run.custom_hooks] == ['PreemptionHook']
    request = json.loads((out / 'jobs/pool/G/fold1/job.json').read_text())
    assert request['checkpoint'].endswith('generators/G/fold1/final.pth')

    out = tmp_path / 'best'
    best = Benchmark(protocol(folder, options(best_by_fd=True)), out)
    jobs = {job.name: job for job in best.jobs()}
    assert jobs['generator/G/fold1'].needs == ('A/real/fold1_seed0',)
    run = Config.fromfile(out / 'generators/G/fold1/run.py')
    # It trains on all images outside of the test part, and is compared with the classifiers'.
    for loader, name in ((run.train_dataloader, 'generator'), (run.val_dataloader, 'train')):
        assert loader.dataset.ann_file == str((out / f'lists/fold1_{name}.csv').absolute())
        assert loader.dataset.data_root == str(folder / 'real') and loader.dataset.split is None
    extractor = run.val_evaluator.metrics[0].extractor
    baseline = jobs['A/real/fold1_seed0'].work_dir.absolute()
    assert extractor.name == 'x', 'a hook may look for its value by this name'
    assert extractor.checkpoint == str(baseline) and extractor.config == str(baseline / 'run.py')
    assert [hook.type for hook in run.custom_hooks] == ['PreemptionHook', 'ModelSelectionHook']
    request = json.loads((out / 'jobs/pool/G/fold1/job.json').read_text())
    assert request['checkpoint'].endswith('generators/G/fold1'), 'of a folder, the best weights'
    assert any('lowest smoothed FD' in note for note in best.notes())

    (tmp_path / 'gan.py').write_text(GENERATOR.replace('val_interval=2', 'val_begin=9'))
    with pytest.raises(ProtocolError, match=r'first validation is at iteration 9 .*trains for 8'):
        Benchmark(protocol(folder, options(best_by_fd=True)), tmp_path / 'late')
    (tmp_path / 'gan.py').write_text(GENERATOR.replace('ModelSelectionHook', 'OtherHook'))
    with pytest.raises(ProtocolError, match='best_by_fd needs a config that is evaluated'):
        Benchmark(protocol(folder, options(best_by_fd=True)), tmp_path / 'none')
    with pytest.raises(ProtocolError, match='best_by_fd is of generators that are trained'):
        protocol(folder, {'generators.G.best_by_fd': True})


def test_no_test_image_reaches_what_chooses(folder, tmp_path):
    found = Benchmark(protocol(folder), tmp_path)
    found.jobs()
    test = set(listed(tmp_path / 'lists/fold1_test.csv'))
    request = json.loads((tmp_path / 'jobs/selection/G/fold1/job.json').read_text())
    for path in (request['real']['ann_file'], tmp_path / 'lists/fold1_val.csv'):
        assert listed(path) and not set(listed(path)) & test
    baseline = Config.fromfile(Path(request['baseline']) / 'run.py')
    assert baseline.train_dataloader.dataset.ann_file == request['real']['ann_file']
    assert any(hook.type == 'mmagic.TrainingImagesHook' for hook in baseline.custom_hooks)
    train = {found.plan.samples[i].content for i in found.plan.folds[0].train}
    assert request['trained_on'] == digest_of(sorted(train))


def test_transforms_of_a_row_come_before_packing_and_are_seeded(folder, tmp_path):
    Benchmark(protocol(folder), tmp_path).jobs()

    def pipeline(row, seed):
        run = Config.fromfile(tmp_path / f'jobs/A/{row}/fold1_seed{seed}/run.py')
        data = run.train_dataloader.dataset
        return [dict(t) for t in (data if 'pipeline' in data else data.datasets[0]).pipeline]

    plain, jittered = pipeline('real', 1), pipeline('jitter', 1)
    assert [t['type'] for t in plain] == ['FitCellPatch', 'mmpretrain.PackInputs']
    assert [t['type'] for t in jittered] == [
        'FitCellPatch', 'RandomTissueColor', 'mmpretrain.PackInputs'
    ]  # fmt: skip
    assert jittered[1]['seed'] == 1 and pipeline('jitter', 0)[1]['seed'] == 0
    assert pipeline('selective', 1) == plain, 'a row changes what it says, and nothing else'


def test_synthetic_images_are_added_or_train_alone_or_first(folder, tmp_path):
    uses = {name: None for name in (*RULES, 'jitter')}
    uses |= {use: dict(generator='G', use=use) for use in ('added', 'alone', 'first')}
    found = Benchmark(protocol(folder, dict(rows=uses, epochs=2, steps=None)), tmp_path)
    found.jobs()
    real, more = len(found.plan.folds[0].train), found.arms[1].counts[0]
    assert [arm.images(0, real) for arm in found.arms] == [real, real + more, more, real + more]
    assert len({run.iterations for run in found.runs}) == 1, 'equal steps'
    assert [arm.shown for arm in found.arms[1:]] == ['+ added', 'alone', 'first']
    files = {}
    for name in ('real', 'added', 'alone', 'first'):
        data = Config.fromfile(tmp_path / f'jobs/A/{name}/fold1_seed0/run.py').train_dataloader
        parts = data.dataset.get('datasets', [data.dataset])
        files[name] = [Path(part.ann_file).name for part in parts]
        assert (data.sampler.type == 'mmagic.PretrainingSampler') == (name == 'first')
    assert files == dict(
        real=['fold1_train.csv'], alone=['kept.csv'],
        added=['fold1_train.csv', 'kept.csv'], first=['fold1_train.csv', 'kept.csv'],
    )  # fmt: skip


def test_rows_and_larger_pools_may_be_added_and_other_choices_are_refused(folder, tmp_path):
    first = Benchmark(protocol(folder), tmp_path)
    done = {job.name: job.done_file for job in first.jobs()}
    sweep = {'sweep': dict(generator='G', pools=[2, 4], ratios=[0.5, 1.0])}
    more = Benchmark(protocol(folder, sweep), tmp_path)
    jobs = {job.name: job for job in more.jobs()}
    assert len(jobs) == 1 + (6 + 4) * 2
    assert jobs['selection/G/fold1'].done_file != done['selection/G/fold1'], 'it is done again'
    assert all(jobs[name].done_file == path for name, path in done.items() if name[0] == 'A')
    for options, words in (
        ({'selection.passes': 3}, 'selective.selection.passes: 2 there, 3 now'),
        ({'rows.selective.ratio': 0.25}, 'selective.ratio: 0.5 there, 0.25 now'),
        ({'rows.selective.pool': 1.5}, 'selective.pool'),
        ({'rows.random.rule': 'confidence'}, 'random.rule: "random" there'),
        ({'steps': 4}, 'steps: 3 there, 4 now'),
    ):
        with pytest.raises(RecordError, match=words):
            Benchmark(protocol(folder, options), tmp_path)


def test_shares_are_benchmarks_of_their_own_in_one_table(folder, tmp_path):
    text = (folder / 'real/manifest.csv').read_text().splitlines()
    rows = [text[0] + ',split']
    for index, line in enumerate(text[1:]):
        rows.append(f'{line},{("train", "train", "val", "test")[index % 16 // 4]}')
    shutil.copytree(folder / 'real', tmp_path / 'real')
    (tmp_path / 'real/manifest.csv').write_text('\n'.join(rows) + '\n')
    options = {'data.data_root': str(tmp_path / 'real'), 'ratios': None, 'fixed_splits': True,
               'shares': [0.5, 1.0], 'rows.random.shares': [1.0]}  # fmt: skip
    found = open_benchmark(protocol(folder, options), tmp_path / 'out')
    jobs = {job.name: job for job in found.jobs()}
    assert 'share_100/A/random/fold1_seed0' in jobs
    assert 'share_50/A/random/fold1_seed0' not in jobs and 'share_50/selection/G/fold1' in jobs
    assert jobs['share_50/A/selective/fold1_seed0'].needs == ('share_50/selection/G/fold1',)
    tests = [listed(tmp_path / f'out/share_{n}/lists/fold1_test.csv') for n in (50, 100)]
    train = [set(listed(tmp_path / f'out/share_{n}/lists/fold1_train.csv')) for n in (50, 100)]
    assert tests[0] == tests[1] and len(tests[0]) == 12
    assert len(train[0]) == 12 and len(train[1]) == 24 and train[0] < train[1]
    assert tmp_path / 'out/shares.png' in found.write()
    table = json.loads((tmp_path / 'out/table.json').read_text())['rows']
    assert [row['share'] for row in table] == ['50 %'] * 5 + ['100 %'] * 6
    assert table[0]['arm'] == REAL and '50 %' in found.describe()


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('options', 'error', 'words'),
    [
        ({'rows.selective.rule': 'best'}, ProtocolError, "row 'selective': there is no selection"),
        (
            {'sweep': dict(generator='G', rule=dict(type='selective', x=1))},
            ProtocolError,
            'unexpected keyword argument',
        ),
        ({'selection.passes': 0}, ProtocolError, 'selection: passes 0'),
        ({'selection.dropout': 1.5}, ProtocolError, 'selection: the dropout probability'),
        ({'selection.layers': [5]}, ProtocolError, 'layers .*: there are stages 1, 2, 3, 4$'),
        ({'rows.selective.pool': 0.8}, PoolError, "row 'selective', class NILM .*7 candidates"),
        ({'rows.random.pool': 0.3}, PoolError, "row 'random', class NILM"),
        ({'rows.none.pool': 6}, ProtocolError, 'NILM 40, LSIL 40, HSIL 40 images, and the pool'),
        ({'rows.none.ratio': 0.01}, ProtocolError, 'asks for no image at all'),
        ({'generators.G.trained_on': None}, LeakError, 'does not say which images'),
    ],
)
def test_mistakes_are_found_before_the_first_job(folder, tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        Benchmark(protocol(folder, options), tmp_path)
    assert not (tmp_path / 'benchmark.json').exists()


def test_a_backbone_that_cannot_be_cut_is_refused_before_a_generator_trains(folder, tmp_path):
    text = (folder / 'classifier.py').read_text()
    config = tmp_path / 'other.py'
    config.write_text(text + 'model.update(backbone=dict(type="LeNet5"))\n')
    with pytest.raises(ProtocolError, match=r"classifier 'B' cannot select: .*LeNet5.*selector"):
        Benchmark(protocol(folder, classifiers=dict(B=str(config))), tmp_path / 'out')


def test_the_best_weights_of_a_split_without_validation_images_are_refused(folder, tmp_path):
    shutil.copytree(folder / 'real', tmp_path / 'real')
    rows = read_manifest(tmp_path / 'real/manifest.csv')
    for index, row in enumerate(rows):
        row['split'] = 'test' if index % 4 == 0 else 'train'
    write_manifest(tmp_path / 'real/manifest.csv', rows, ('file', 'label', *sorted(
        set(rows[0]) - {'file', 'label'})))  # fmt: skip
    options = {'data.data_root': str(tmp_path / 'real'), 'ratios': None, 'fixed_splits': True,
               'select': 'best'}  # fmt: skip
    with pytest.raises(ProtocolError, match="no row of split 'val'"):
        Benchmark(protocol(folder, options), tmp_path / 'out')


def test_a_leaky_pool_labels_every_row_that_chooses_from_it(folder, tmp_path):
    list_ = tmp_path / 'training_images.txt'
    write_training_images(list_, content_hashes(sorted((folder / 'real').rglob('*.png'))))
    options = {'generators.G.trained_on': str(list_), 'leak': 'allow'}
    found = Benchmark(protocol(folder, options), tmp_path / 'out')
    leaky = [arm.name for arm in found.arms if arm.leaks]
    assert leaky == list(RULES) and 'LEAK' in found.title


# The choice -------------------------------------------------------------------------------------


@pytest.fixture
def request_of(folder, tmp_path):
    """A function that gives a selection job whose baseline was 'trained' (random weights)."""

    def make(options=None, damage=None):
        out = tmp_path / 'out'
        found = Benchmark(protocol(folder, options), out)
        found.jobs()
        path = out / 'jobs/selection/G/fold1/job.json'
        job = json.loads(path.read_text())
        baseline = Path(job['baseline'])
        network = build_network(folder / 'classifier.py')
        if damage:
            damage(network)
        checkpoint = save(network, baseline / 'iter_3.pth')
        state = torch.load(checkpoint)
        files = [found.plan.samples[i].file for i in found.plan.folds[0].train]
        state['training_images'] = torch.from_numpy(content_hashes(files))
        torch.save(state, checkpoint)
        (baseline / 'weights.json').write_text(json.dumps(dict(checkpoint='iter_3.pth')))
        return found, path.parent, job

    return make


def kept(out):
    return {
        path.parent.parent.name: [row['file'] for row in read_manifest(path)]
        for path in Path(out).glob('selected/*/fold1/kept.csv')
    }


def test_all_rows_choose_from_scores_that_are_computed_once(request_of, monkeypatch):
    sweep = {'sweep': dict(generator='G', pools=[2, 4], ratios=[0.5, 1.0])}
    found, work_dir, job = request_of(sweep)
    batches, original = [], scoring_module.score_batch

    def counted(network, centroids, images, labels, keys, *settings):
        batches.extend(keys)
        return original(network, centroids, images, labels, keys, *settings)

    monkeypatch.setattr(scoring_module, 'score_batch', counted)
    rows = choose(work_dir, job)
    train = found.plan.class_counts('train')[0].tolist()
    assert len(batches) == len(set(batches)) == 4 * sum(train), 'the largest pool, each image once'
    chosen = kept(found.out_dir)
    assert set(chosen) == {*RULES, *(f'selective_of_{p}N_r_{r}' for p in (2, 4) for r in (0.5, 1))}
    assert chosen['selective_of_2N_r_0.5'] == chosen['selective'], 'pools are nested'
    assert len({len(chosen[rule]) for rule in RULES}) == 1
    for row in rows:
        assert row['kept'] == sum(r['asked'] for r in row['classes'])
    # What is first in the list, for a pool without selection.
    for name in CLASSES:
        own = [file for file in chosen['none'] if file.startswith(name)]
        assert own == [f'{name}/2_{i:03d}.png' for i in range(len(own))]
    # Again, in another order of rows: the same choices, and nothing is scored.
    batches.clear()
    job['rows'] = job['rows'][::-1]
    choose(work_dir, job)
    assert kept(found.out_dir) == chosen and not batches


def test_the_choice_is_that_of_the_selection_tool(request_of, folder, tmp_path):
    from cellgan_plugin.selection.select import select

    found, work_dir, job = request_of()
    choose(work_dir, job)
    # The same images as folders: the first 2 N of the pool, and the training images.
    for name, files, root in (
        ('real', listed(job['real']['ann_file']), folder / 'real'),
        ('pool', [f'{c}/2_{i:03d}.png' for c, n in zip(CLASSES, job['rows'][0]['pool'],
                                                       strict=True) for i in range(n)],
         folder / 'pool'),
    ):  # fmt: skip
        for file in files:
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / file, tmp_path / name / file)
    result = select(
        tmp_path / 'pool', tmp_path / 'real', folder / 'classifier.py',
        Path(job['baseline']) / 'iter_3.pth', tmp_path / 'by_hand', passes=2, tsne_images=0,
        batch_size=5,
    )  # fmt: skip
    by_hand = [row['source'] for row in read_manifest(result['manifest'])]
    assert by_hand == kept(found.out_dir)['selective']


def test_a_classifier_of_other_images_does_not_choose(request_of, folder):
    found, work_dir, job = request_of()
    checkpoint = Path(job['baseline']) / 'iter_3.pth'
    state = torch.load(checkpoint)
    files = [sample.file for sample in found.plan.samples]  # test images among them
    state['training_images'] = torch.from_numpy(content_hashes(files))
    torch.save(state, checkpoint)
    with pytest.raises(SelectionError, match='not the training images of this fold'):
        choose(work_dir, job)
    assert not (found.out_dir / 'selected').exists()
    check_trained_on(checkpoint, digest_of(sorted(to_hex(content_hashes(files)))))
    # And the table says so when it was done all the same.
    write_training_images(Path(job['baseline']) / 'training_images.txt', content_hashes(files))
    results = found.results()
    assert 'LEAK' in results.title
    assert [s.name for s in found.arms if s.leaks] == list(RULES)


def test_damaged_weights_and_missing_candidates_are_said(request_of, folder, tmp_path):
    def damage(network):
        network.head.fc.weight.data[:] = np.nan

    found, work_dir, job = request_of(damage=damage)
    with pytest.raises(ScoreError, match='entropy is NaN'):
        choose(work_dir, job)
    short = tmp_path / 'short'
    shutil.copytree(folder / 'pool', short)
    shutil.rmtree(short / 'HSIL')
    write_images(short, dict(HSIL=3), manifest=False)
    job['pool'] = dict(data_root=str(short), ann_file='')
    with pytest.raises(SelectionError, match='has 3 candidates of HSIL, and 16 are needed'):
        choose(work_dir, job)
    assert not kept(found.out_dir)


def test_the_run_of_the_baseline_is_read_as_a_classifiers_config(request_of):
    """The job reads the config that trained the classifier, with its classes and image size."""
    _, work_dir, job = request_of()
    run = Config.fromfile(Path(job['baseline']) / 'run.py')
    write_run(run, work_dir / 'again.py')
    assert run.train_dataloader.dataset.metainfo.classes == list(CLASSES)
    assert run.train_dataloader.dataset.pipeline[0] == dict(type='FitCellPatch', out_size=32)


# Tables -----------------------------------------------------------------------------------------


def test_runs_of_one_split_make_mean_and_deviation_and_a_sweep_its_figure(folder, tmp_path):
    sweep = {'sweep': dict(generator='G', pools=[2], ratios=[0.5, 1.0]), 'baseline': 'Baseline'}
    found = Benchmark(protocol(folder, sweep, seeds=(0, 1, 2)), tmp_path)
    found.jobs()
    rng, right = np.random.default_rng(0), {}
    for planned in found.runs:
        samples = [found.plan.samples[i] for i in found.plan.folds[0].test]
        labels = np.array([sample.label for sample in samples])
        taken = np.where(rng.random(len(labels)) < 0.7, labels, (labels + 1) % 3)
        right.setdefault(planned.arm, []).append(100 * (taken == labels).mean())
        write_predictions(
            planned.work_dir / 'predictions.csv',
            Predictions(
                files=['/'.join(s.file.split('/')[-2:]) for s in samples],
                labels=labels,
                probabilities=np.eye(3)[taken],
                classes=CLASSES,
            ),
        )
    files = {path.name for path in found.write()}
    assert {'table.md', 'sweep.png', 'boxes.png'} <= files
    table = json.loads((tmp_path / 'table.json').read_text())
    rows = {row['arm']: row for row in table['rows']}
    assert len(rows) == 1 + 5 + 2 and 'Baseline' in rows
    for name, values in right.items():
        row = rows['Baseline' if name == REAL else f'+ {name}']
        assert row['accuracy']['mean'] == pytest.approx(np.mean(values))
        assert row['accuracy']['std'] == pytest.approx(np.std(values, ddof=1))
        assert row['jobs'] == '3/3' and 'precision' not in row and 'p' not in row
        if name != REAL:
            assert row['difference'] == pytest.approx(np.mean(values) - np.mean(right[REAL]))
            assert row['interval'].startswith('[')
    text = (tmp_path / 'table.md').read_text()
    assert 'one split 2:1:1, 3 trainings' in text and 'over test groups drawn again' in text
    statistics = json.loads((tmp_path / 'statistics.json').read_text())['rows']
    assert len(statistics) == 7 * 2 and {row['metric'] for row in statistics} == {
        'Accuracy', 'Sensitivity'
    }  # fmt: skip
