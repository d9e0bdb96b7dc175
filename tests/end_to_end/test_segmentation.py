"""Real tools on the gland phantom: make it, train and score a segmenter, segment a folder."""

import json

import pytest
import torch
import torchvision

from cellgan_plugin.datasets.image_io import load_image

from .conftest import REPO, run_on_two_ranks, run_tool

BENCHMARK = """
_base_ = {base!r}
_data = dict(dataset=dict(
    tile=64, pipeline=[dict(type='FitTissue', out_size=32), dict(type='RandomTissueFlip'),
                       dict(type='PackTissueInputs')]))
_scale = dict(batch_size=2, iters=3)
methods = dict(
    _delete_=True,
    single=dict(
        config={folder!r} + '/fc_densenet_phantom.py',
        options=dict(model=dict(scales=[dict(_scale, size=32)]), train_dataloader=_data)),
    pyramid=dict(
        config={folder!r} + '/pyramid_phantom.py',
        options=dict(model=dict(scales=[dict(_scale, size=16), dict(_scale, size=32)]),
                     train_dataloader=_data)))
generation = dict(
    extractor=dict(
        type='BackboneFeatures', arch='shufflenet_v2_x0_5', weights={weights!r}, input_size=32),
    similarity_masks=1, similarity_samples=2, split=['train'])
baseline = None
"""


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp('phantom') / 'glands'
    run_tool(
        'tools/dataset_converters/gland_phantom.py', '--out', out, '--size', 64, '--splits',
        'train=4,test=1', '--categories', 'healthy', '--quiet',
    )  # fmt: skip
    return out


def test_from_phantom_to_tables(data, tmp_path):
    config = tmp_path / 'tiny.py'
    config.write_text(
        BENCHMARK.format(
            base=str(REPO / 'configs/benchmarks/segmentation_gland_phantom.py'),
            folder=str(REPO / 'configs/pyramid_gan'),
            weights=str(tmp_path / 'weights.pth'),
        )
    )
    network = torchvision.models.shufflenet_v2_x0_5(weights=None)
    torch.save(network.state_dict(), tmp_path / 'weights.pth')
    out = tmp_path / 'out'
    done = run_tool(
        'tools/segmentation_benchmark.py', config, '--work-dir', out, '--ratios', '0.5',
        '--keep-weights', '--jobs', '2', env=dict(CELLGAN_GLAND_ROOT=str(data)),
    )  # fmt: skip
    table = json.loads((out / 'mIoU.json').read_text())
    assert 0 < table['rows'][0]['0.5']['mean'] < 1
    assert any('seen at 0.5 of their size' in note for note in table['notes'])
    assert '| single |' in done.stdout and '| pyramid |' in done.stdout
    table = json.loads((out / 'generation.json').read_text())
    rows = {row['method']: row for row in table['rows']}
    assert rows['single']['fd'] is None and rows['pyramid']['fd']['mean'] > 0
    assert 0 < rows['pyramid']['among']['mean'] <= 1 and rows['original images']['fd'] > 0
    assert any('FD(shufflenet_v2_x0_5) of 4 images' in note for note in table['notes'])
    assert len(list(out.glob('jobs/pyramid/*/*/generated.png'))) == 1
    assert load_image(str(out / 'generation.png')).ndim == 3  # masks, pyramid, originals (Fig. 3)
    for metric in ('NLL', 'ECE'):  # of the training that starts at random: near log 2, and small
        value = json.loads((out / f'{metric}.json').read_text())['rows'][0]['0.5']['mean']
        assert 0 < value < 3

    # The trained segmenter on a folder of images, and on true masks by the tool for others' masks.
    (folder,) = out.glob('jobs/single/50percent/seed0')
    result = tmp_path / 'masks'
    done = run_tool(
        'tools/segment.py', folder / 'run.py', folder, data / 'images', '--masks', data / 'masks',
        '--instances', 'binary', '--out', result, '--parts', 'train=train_', 'test=test_',
    )  # fmt: skip
    assert '5 images in' in done.stdout and '5 of them segmented now' in done.stdout
    assert len(list((result / 'overlays').glob('*.png'))) == 5
    by_part = {row['part']: row for row in json.loads((result / 'table.json').read_text())['rows']}
    job = json.loads((folder / 'scores.json').read_text())
    assert by_part['test']['images'] == 1 and job['iterations'] == 3
    confusion = job['images'][0]['confusion']
    assert by_part['test']['OPA'] == pytest.approx(
        (confusion[0][0] + confusion[1][1]) / sum(map(sum, confusion))
    )


def test_mistakes_end_with_one_message(data, tmp_path):
    done = run_tool(
        'tools/segment.py', REPO / 'configs/pyramid_gan/fc_densenet_phantom.py', tmp_path,
        data / 'images', '--out', tmp_path / 'out', check=False,
    )  # fmt: skip
    assert done.returncode == 2 and 'has no checkpoint: train first' in done.stderr
    assert 'Traceback' not in done.stderr


def test_metric_on_two_ranks():
    done = run_on_two_ranks(REPO / 'tests' / 'end_to_end' / 'segmentation_worker.py')
    assert done.stdout.count('ranks agree') == 2
