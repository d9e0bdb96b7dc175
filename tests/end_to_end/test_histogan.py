"""HistoGAN by its tools: train, resume, on two ranks, sheets of every stage, attention maps."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cellgan_plugin.models import draw_noise, sample_pixels
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.runs.trained_model import load_model

from .conftest import REPO, logged_losses, run_on_two_ranks, run_tool
from .test_resume import assert_same_tensors

CLASSES = ['NILM', 'LSIL', 'HSIL']
CONFIG = """
_base_ = {base!r}
model = dict(
    num_classes=3,
    generator=dict(base_channels=4),
    discriminator=dict(base_channels=4, max_channels=8, num_kernels=3))
train_dataloader = dict(
    batch_size={batch},
    dataset=dict(
        data_root={data!r},
        ann_file='',
        split=None,
        metainfo=dict(classes={classes!r}),
        pipeline=[
            dict(type='FitCellPatch', out_size=(64, 32), policy='crop'),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.0),
            dict(type='PackCellInputs'),
        ]))
train_cfg = dict(max_iters=4)
# Not Adam: it would turn rounding errors of vanishing gradients into whole steps, and two ranks
# could not be compared with one.
sgd = dict(_delete_=True, type='SGD', lr=1e-4, momentum=0.9)
optim_wrapper = dict(generator=dict(optimizer=sgd), discriminator=dict(optimizer=sgd))
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=-1), logger=dict(interval=1))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='SampleSheetHook', interval=4, samples_per_class=3, real_per_class=1),
]
log_processor = dict(window_size=1)
"""


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('histogan')
    write_phantom_dataset(root / 'data', size=64, counts=dict.fromkeys(CLASSES, 3), seed=0)
    base = str(REPO / 'configs' / 'histogan' / 'histogan_tissue_phantom.py')
    for name, batch in (('whole', 4), ('half', 2)):
        text = CONFIG.format(base=base, data=str(root / 'data'), classes=CLASSES, batch=batch)
        (root / f'{name}.py').write_text(text)
    return root


@pytest.fixture(scope='module')
def work_dir(root):
    run_tool('tools/train.py', root / 'whole.py', '--work-dir', root / 'run')
    return root / 'run'


def test_losses_of_every_stage_are_logged(work_dir):
    names = {f'loss_{n}_stage{k}' for n in ('disc', 'disc_gp', 'gen') for k in (1, 2)}
    losses = logged_losses(work_dir)
    assert set(losses) == {1, 2, 3, 4}
    assert all(names < set(row) for row in losses.values())


def test_there_is_a_sheet_for_every_stage(work_dir):
    names = sorted(path.name for path in (work_dir / 'sheets').iterdir())
    assert names == ['iter_00000004.png', 'iter_00000004_stage1.png']
    whole, small = (cv2.imread(str(work_dir / 'sheets' / name)) for name in names)
    assert whole.shape == small.shape  # the smaller stage is enlarged
    # A column of generated images: enlarged pixels come in twos.
    rows, columns = np.nonzero((small != 255).any(axis=2))
    image = small[rows.max() - 63 : rows.max() + 1, columns.max() - 31 : columns.max() + 1]
    np.testing.assert_array_equal(image[::2], image[1::2])


def test_a_resumed_run_gives_the_same_numbers(root, work_dir):
    resumed = root / 'resumed'
    resumed.mkdir()
    shutil.copy(work_dir / 'iter_2.pth', resumed)
    run_tool('tools/train.py', root / 'whole.py', '--work-dir', resumed, '--resume')
    expected, found = logged_losses(work_dir), logged_losses(resumed)
    assert set(found) == {3, 4}
    assert all(found[i] == expected[i] for i in found)
    a, b = (torch.load(f / 'iter_4.pth', weights_only=True) for f in (work_dir, resumed))
    for part in ('state_dict', 'optimizer', 'random_states'):
        assert_same_tensors(a[part], b[part], part)


def test_two_ranks_train_the_model_that_one_trains(root, work_dir):
    """Batch norm, minibatch discrimination and the penalty's second derivative over both ranks.

    The worker compares gradients to eleven digits. Trained weights agree less: the penalty's
    gradient is large, and jumps where a LeakyReLU turns.
    """
    worker = Path(__file__).with_name('histogan_worker.py')
    result = run_on_two_ranks(worker, root / 'half.py', root / 'two_ranks')
    assert result.stdout.count('gradients agree') == result.stdout.count('ranks agree') == 2
    one, two = (
        torch.load(f / 'iter_4.pth', weights_only=True)['state_dict']
        for f in (work_dir, root / 'two_ranks')
    )
    start = torch.load(work_dir / 'iter_2.pth', weights_only=True)['state_dict']

    def distance(a, b, network):
        return sum((a[k] - b[k]).square().sum().item() for k in a if k.startswith(network)) ** 0.5

    for network in ('generator.', 'generator_ema.module', 'discriminator.'):
        assert distance(two, one, network) < 0.05 * distance(one, start, network), network


def test_the_trained_model_samples_images_that_are_not_square(root, work_dir):
    loaded = load_model(root / 'whole.py', work_dir, device='cpu')
    labels = torch.tensor([0, 1, 2])
    noise = draw_noise(loaded.model.noise_size, 0, 'test', [(0,), (1,), (2,)])
    pixels = sample_pixels(loaded.model, noise, labels)
    assert pixels.shape == (3, 3, 64, 32) and pixels.dtype == torch.uint8
    alone = sample_pixels(loaded.model, noise[1:2], labels[1:2])
    assert (alone.int() - pixels[1:2].int()).abs().max() <= 1


def test_attention_maps_are_drawn_and_exported(root, work_dir):
    picture, arrays = root / 'attention.png', root / 'attention.npz'
    result = run_tool(
        'tools/attention_maps.py',
        *(root / 'whole.py', work_dir, '--out', picture, '--npz', arrays),
        *('--classes', 'hsil', 'NILM', '--seeds', 3, 4, 5),
    )
    assert 'gamma' in result.stdout
    with np.load(arrays) as saved:
        assert saved['images'].shape == (6, 64, 32, 3)
        assert saved['attention'].shape == (6, 16, 8)  # of the keys, which are pooled by two
        np.testing.assert_allclose(saved['attention'].mean(axis=(1, 2)), 1, rtol=1e-4)
        assert saved['labels'].tolist() == [2, 2, 2, 0, 0, 0]
        assert saved['seeds'].tolist() == [3, 4, 5] * 2
        # A seed is the same z whatever else is drawn with it.
        loaded = load_model(root / 'whole.py', work_dir, device='cpu')
        noise = draw_noise(loaded.model.noise_size, 4, 'attention', [()])
        alone = sample_pixels(loaded.model, noise, torch.tensor([0]))[0].permute(1, 2, 0)
        assert np.abs(alone.numpy().astype(int) - saved['images'][4]).max() <= 1
    assert cv2.imread(str(picture)).shape[0] > 4 * 64
