"""The benchmark as a user runs it: a generator per fold, a job that fails, what is done stays."""

import fcntl
import json

import pytest

from cellgan_plugin.benchmark.experiment import Benchmark
from cellgan_plugin.benchmark.protocol import read_protocol
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.runs.provenance import training_images_of

from .conftest import run_tool

CLASSIFIER = """
_base_ = {base!r}
model = dict(
    backbone=dict(stem_channels=4, base_channels=4),
    head=dict(in_channels=32, num_classes=2),
    data_preprocessor=dict(num_classes=2))
train_dataloader = dict(batch_size=4)
"""
GENERATOR = """
_base_ = {base!r}
model = dict(num_classes=2)
train_dataloader = dict(dataset=dict(metainfo=dict(classes=['NILM', 'HSIL'])))
train_cfg = dict(max_iters=2)
default_hooks = dict(checkpoint=dict(interval=2))
"""
BENCHMARK = """
title = 'Phantoms'
data = dict(data_root={data!r}, ann_file='manifest.csv')
classes = ['NILM', 'HSIL']
classifiers = dict(ResNet='classifier.py')
generators = dict(CellGAN=dict(config='generator.py'))
num_folds = 2
per_class = 4
synthetic_per_class = 4
epochs = 1
"""


@pytest.fixture(scope='module')
def folder(tiny, tmp_path_factory, request):
    root = tmp_path_factory.mktemp('benchmark')
    configs = request.config.rootpath / 'configs'
    base = str(configs / 'classifiers' / 'benchmark_resnet18_64.py')
    (root / 'classifier.py').write_text(CLASSIFIER.format(base=base))
    (root / 'generator.py').write_text(GENERATOR.format(base=str(tiny.config)))
    data = root / 'data'
    # Splits share no pseudo slide, so that there are groups for two folds.
    counts = dict(NILM=2, HSIL=2)
    write_phantom_dataset(data, size=32, splits=dict(train=counts, val=counts, test=counts))
    (root / 'benchmark.py').write_text(BENCHMARK.format(data=str(data)))
    return root


def test_a_benchmark_with_a_failing_job_and_again(folder):
    out = folder / 'out'
    command = ['tools/benchmark.py', folder / 'benchmark.py', '--work-dir', out,
               '--train-generators', '--jobs', '2']  # fmt: skip
    # One job fails: its directory is in use, as when the process that started it was killed.
    busy = out / 'generators/CellGAN/fold2'
    busy.mkdir(parents=True)
    with open(busy / '.job.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        first = run_tool(*command, check=False)
    assert first.returncode == 1, first.stdout + first.stderr
    assert 'generator/CellGAN/fold2: failed' in first.stdout
    assert 'ResNet/CellGAN/fold2_seed0: skipped' in first.stdout
    assert 'ResNet/CellGAN/fold1_seed0: done' in first.stdout
    rows = {r['arm']: r for r in json.loads((out / 'table.json').read_text())['rows']}
    assert rows['real only']['jobs'] == '2/2' and rows['+ CellGAN']['jobs'] == '1/2'
    assert 'synthesis/CellGAN/fold2, which was skipped' in rows['+ CellGAN']['jobs_why']
    assert rows['+ CellGAN']['jobs_why'] in first.stdout
    assert not list(out.glob('jobs/ResNet/**/*.pth'))

    # The generator of a fold has seen all images outside of its test part, drawn or not.
    folds = json.loads((out / 'folds.json').read_text())
    content = [sample['content'] for sample in folds['samples']]
    trained_on = training_images_of(out / 'synthetic/CellGAN/fold1')
    assert trained_on > {content[i] for i in folds['folds'][0]['train']}
    assert not trained_on & {content[i] for i in folds['folds'][0]['test']}
    made = sorted(p.name for p in (out / 'synthetic/CellGAN/fold1').glob('[!_]*/*.png'))
    assert made == [f'{c}_00000{i}.png' for c in ('HSIL', 'NILM') for i in range(4)]

    done = {p: p.stat().st_mtime_ns for p in out.glob('jobs/ResNet/*/*/predictions.csv')}
    assert len(done) == 3
    second = run_tool(*command)
    assert second.stdout.count(': done (') == 3, 'what failed is done, and what needed it'
    assert '2/2' in second.stdout and 'LEAK' not in second.stdout
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    for name in ('table.md', 'table.tex', 'table.csv', 'statistics.md', 'per_class.md',
                 'boxes.png', 'confusion.png', 'learning_curves.png', 'results.json'):  # fmt: skip
        assert (out / name).stat().st_size > 0

    protocol = read_protocol(folder / 'benchmark.py', train_generators=True)
    third = Benchmark(protocol, out).run()
    assert len(third) == 8 and {result.state for result in third.values()} == {'already done'}
