"""One training of a classifier: against a loop written by hand, resumed, and what it may see."""

import csv
import json
import os
import signal
import time

import numpy as np
import pytest
import torch
from benchmark_helpers import CLASSES, job_folder, write_classifier, write_images
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from cellgan_plugin.benchmark import job as benchmark_job
from cellgan_plugin.benchmark.classifier_run import classifier_run, read_classifier
from cellgan_plugin.benchmark.job import run_job
from cellgan_plugin.compat import load_tensors
from cellgan_plugin.datasets import CellPatchDataset, ResumableInfiniteSampler
from cellgan_plugin.runs.job_program import JobStopped


@pytest.fixture
def images(tmp_path):
    """Real images in a training and a test list, and synthetic ones."""
    real = write_images(tmp_path / 'real', 7, seed=1)
    lines = (real / 'manifest.csv').read_text().splitlines()
    for name, keep in (('train', lambda i: i % 7 < 4), ('test', lambda i: i % 7 >= 5),
                       ('val', lambda i: i % 7 == 4)):  # fmt: skip
        rows = [line for i, line in enumerate(lines[1:]) if keep(i)]
        (tmp_path / f'{name}.csv').write_text('\n'.join([lines[0], *rows]) + '\n')
    synthetic = write_images(tmp_path / 'synthetic', dict(LSIL=4, HSIL=3), seed=2)
    parts = {
        name: dict(data_root=str(real), ann_file=str(tmp_path / f'{name}.csv'))
        for name in ('train', 'val', 'test')
    }
    parts['synthetic'] = dict(data_root=str(synthetic), ann_file='manifest.csv')
    return parts


def run_of(images, tmp_path, iterations=3, seed=5, synthetic=True, val=False, **kwargs):
    config = read_classifier(write_classifier(tmp_path))
    train_parts = [images['train']] + [images['synthetic']] * synthetic
    return classifier_run(
        config, CLASSES, train_parts, images['val'] if val else None, images['test'],
        iterations, seed, **kwargs,
    )  # fmt: skip


def predictions_of(path):
    rows = list(csv.DictReader(open(path, encoding='utf-8')))
    probabilities = np.array([[float(row[f'p({c})']) for c in CLASSES] for row in rows])
    return rows, probabilities


def count_calls(monkeypatch, *names):
    """The order in which methods of SGD are called."""
    calls = []
    for name in names:
        original = getattr(torch.optim.SGD, name)

        def method(self, *args, name=name, original=original, **kwargs):
            calls.append(name)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(torch.optim.SGD, name, method)
    return calls


def test_a_job_equals_an_sgd_loop_written_by_hand(images, tmp_path, monkeypatch):
    iterations, batch = 5, 8
    calls = count_calls(monkeypatch, 'step', 'zero_grad')
    run = run_of(images, tmp_path, iterations)
    for part in run.train_dataloader.dataset.datasets:  # flips are MMPretrain's own numbers
        part['pipeline'] = [dict(type='mmpretrain.PackInputs')]
    run.model.backbone.norm_eval = False
    job = job_folder(tmp_path / 'job', run, keep_weights=True)
    path = run_job(job)
    trained = load_tensors(job.parent / f'iter_{iterations}.pth')['state_dict']
    # One step an iteration, and gradients are cleared between any two.
    assert calls.count('step') == iterations
    assert 'step step' not in ' '.join(calls)
    calls.clear()

    # The same start: an untrained model of the same seed. The rest is plain PyTorch.
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        from mmengine.runner import set_random_seed
        from mmpretrain.registry import MODELS

        set_random_seed(5)
        start = MODELS.build(run.model)
        start.init_weights()
    net = nn.Sequential(
        start.backbone, Last(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), start.head.fc
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    data = [
        CellPatchDataset(**part, metainfo=dict(classes=CLASSES), test_mode=True)
        for part in (images['train'], images['synthetic'])
    ]
    pixels = [torch.from_numpy(d[i]['img'].copy()) for d in data for i in range(len(d))]
    labels = torch.tensor([label for d in data for label in d.get_labels()])
    order = iter(ResumableInfiniteSampler(pixels, shuffle=True, seed=5))
    net.train()
    for step in range(1, iterations + 1):
        rows = [int(next(order)) for _ in range(batch)]
        x = torch.stack([pixels[i] for i in rows]).permute(0, 3, 1, 2).float()
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(net((x - 127.5) / 64.0), labels[rows]).backward()
        optimizer.step()
        # Milestones of 60 and 90 epochs of 100: at 60 % and 90 % of the run.
        for group in optimizer.param_groups:
            group['lr'] = 0.05 * 0.1 ** ((step >= 3) + (step >= 4))
    expected = start.state_dict()
    assert trained.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(trained[name], value, rtol=1e-4, atol=1e-6, msg=name)

    # And the test images are predicted by these weights, in evaluation mode, in the list's order.
    net.eval()
    test = CellPatchDataset(**images['test'], metainfo=dict(classes=CLASSES))
    x = torch.stack([torch.from_numpy(test[i]['img'].copy()) for i in range(len(test))])
    with torch.no_grad():
        wanted = net((x.permute(0, 3, 1, 2).float() - 127.5) / 64.0).softmax(1).numpy()
    rows, probabilities = predictions_of(path)
    np.testing.assert_allclose(probabilities, wanted, atol=1e-5)
    assert [row['file'] for row in rows] == [
        test.get_data_info(i)['file'] for i in range(len(test))
    ]
    assert [CLASSES.index(row['label']) for row in rows] == test.get_labels().tolist()


class Last(nn.Module):
    """The last of a backbone's outputs."""

    def forward(self, features):
        return features[-1]


def test_no_loader_of_the_run_sees_a_test_image(images, tmp_path):
    run = run_of(images, tmp_path, 2, val=True)
    assert not [key for key in run if key.startswith('test')], 'nothing that a Runner would test on'
    with open(images['test']['ann_file']) as file:
        test_names = {row['file'] for row in csv.DictReader(file)}
    seen = {}
    for name in ('train', 'val'):
        dataset = Runner.build_dataloader(run[f'{name}_dataloader'], seed=0).dataset
        seen[name] = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    assert len(seen['train']) == 4 * 3 + 7 and len(seen['val']) == 3 and len(test_names) == 6
    assert not set(seen['train']) & set(seen['val'])
    real = [path for paths in seen.values() for path in paths if 'synthetic' not in path]
    assert len(real) == 4 * 3 + 3
    assert not {os.path.relpath(path, images['test']['data_root']) for path in real} & test_names


def test_jobs_that_start_in_one_second_do_not_mix(images, tmp_path, monkeypatch):
    now = time.localtime()
    monkeypatch.setattr('time.localtime', lambda *_: now)
    texts, lengths = [], []
    for name in 'ab':
        path = run_job(job_folder(tmp_path / name, run_of(images, tmp_path, 2)))
        texts.append(path.read_text())
        curves = json.loads((path.parent / 'curves.json').read_text())
        lengths.append(len(curves['train']['loss']['value']))
    assert texts[0] == texts[1] and lengths == [2, 2]


@pytest.mark.parametrize('select', ['last', 'best'])
def test_a_killed_job_goes_on_and_ends_with_the_same_numbers(images, tmp_path, monkeypatch, select):
    # Every iteration is validated, after its checkpoint was saved.
    options = dict(val=True, select=select)
    settings = dict(select=select, keep_weights=True)

    def job(name):
        return job_folder(tmp_path / name, run_of(images, tmp_path, 10, **options), **settings)

    from mmpretrain.models import ImageClassifier

    original, count = ImageClassifier.loss, []

    def loss(self, *args, **kwargs):
        count.append(1)
        if len(count) == 14:
            os.kill(os.getpid(), signal.SIGTERM)
        losses = original(self, *args, **kwargs)
        # What dropout or mixup would do: numbers of the global generator get into the weights.
        return dict(losses, loss=losses['loss'] * (1 + torch.rand(())))

    monkeypatch.setattr(ImageClassifier, 'loss', loss)
    whole, stopped = run_job(job('whole')), job('stopped')
    with pytest.raises(JobStopped, match='SIGTERM'):
        run_job(stopped)
    assert not (stopped.parent / 'predictions.csv').exists()
    assert (stopped.parent / 'iter_4.pth').exists()
    again = run_job(stopped)
    assert len(count) == 20, 'the iterations before the stop are not repeated'
    assert again.read_text() == whole.read_text()
    assert (stopped.parent / 'curves.json').read_text() == (
        whole.parent / 'curves.json'
    ).read_text()
    kept = [sorted(p.name for p in w.parent.glob('*.pth')) for w in (whole, again)]
    assert kept[0] == kept[1] and 'iter_10.pth' in kept[0]
    a, b = (load_tensors(w.parent / 'iter_10.pth') for w in (whole, again))
    for part in ('state_dict', 'optimizer', 'random_states'):
        assert_same(a[part], b[part], part)


def assert_same(a, b, where):
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
    if isinstance(a, (dict, list, tuple)):
        assert len(a) == len(b), where
        for key in a if isinstance(a, dict) else range(len(a)):
            assert_same(a[key], b[key], f'{where}.{key}')
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def test_checkpoints_are_not_kept_unless_asked_for(images, tmp_path):
    path = run_job(job_folder(tmp_path / 'job', run_of(images, tmp_path, 2)))
    assert not list(path.parent.glob('*.pth'))


def test_predictions_are_written_last_and_whole(images, tmp_path, monkeypatch):
    job = job_folder(tmp_path / 'job', run_of(images, tmp_path, 2))
    original = benchmark_job.predict

    def fail(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(benchmark_job, 'predict', fail)
    with pytest.raises(OSError):
        run_job(job)
    assert not (job.parent / 'predictions.csv').exists()
    monkeypatch.setattr(benchmark_job, 'predict', original)
    rows, probabilities = predictions_of(run_job(job))
    assert len(rows) == 6
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)


def test_the_best_weights_are_chosen_on_validation_images(images, tmp_path):
    run = run_of(images, tmp_path, 20, val=True, select='best')
    job = job_folder(tmp_path / 'job', run, select='best', keep_weights=True)
    path = run_job(job)
    curve = json.loads((job.parent / 'curves.json').read_text())['val']['accuracy']
    assert curve['iteration'] == list(range(1, 21))
    (best,) = job.parent.glob('best_*.pth')
    at = curve['value'].index(max(curve['value'])) + 1
    assert f'_{at}.pth' in best.name
    # The predictions are those of the best checkpoint.
    model = Config.fromfile(job.parent / 'run.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        from mmpretrain.registry import MODELS

        net = MODELS.build(model.model)
    net.load_state_dict(load_tensors(best)['state_dict'])
    net.eval()
    test = CellPatchDataset(**images['test'], metainfo=dict(classes=CLASSES))
    x = torch.stack([torch.from_numpy(test[i]['img'].copy()) for i in range(len(test))])
    with torch.no_grad():
        wanted = net((x.permute(0, 3, 1, 2).float() - 127.5) / 64.0).softmax(1).numpy()
    np.testing.assert_allclose(predictions_of(path)[1], wanted, atol=1e-5)


def test_the_program_says_what_is_wrong_with_the_data(images, tmp_path, capsys):
    run = run_of(images, tmp_path, 2, synthetic=False)
    with open(images['train']['ann_file'], 'a') as file:
        file.write('NILM/gone.png,NILM\n')
    with pytest.raises(SystemExit) as error:
        benchmark_job.main([str(job_folder(tmp_path / 'job', run))])
    assert error.value.code == 2
    assert 'gone.png' in capsys.readouterr().err
