"""The pyramid GAN by its tools: train, stop in the middle of scale 2, resume, make tissue."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from cellgan_plugin.datasets import TissueMaskDataset

from .conftest import REPO, run_tool

CONFIG = """
_base_ = {base!r}
model = dict(
    generator=dict(base_channels=4, num_blocks=1),
    discriminator=dict(base_channels=4),
    segmenter=dict(first_channels=6, growth_rate=4, block_layers=[1, 1], bottleneck_layers=1),
    scales=[
        dict(size=8, batch_size=4, iters=4),
        dict(size=16, batch_size=3, iters=4),
    ],
    # No weights are given, so that the term is off.
    perceptual_loss=dict(_delete_=True, type='VGGPerceptualLoss', arch='vgg19', distance='l1'),
    synthetic_start=0,
    pseudo_start=0,
    pseudo_probability=0.5)
train_dataloader = dict(
    dataset=dict(
        data_root={data!r},
        tile=32,
        labelled_ratio=0.5,
        pipeline=[
            dict(type='FitTissue', out_size=16),
            dict(type='RandomTissueFlip'),
            dict(type='RandomTissueColor'),
            dict(type='PackTissueInputs'),
        ]))
val_dataloader = dict(
    dataset=dict(
        data_root={data!r},
        pipeline=[dict(type='FitTissue', scale=0.5), dict(type='PackTissueInputs')]))
test_dataloader = val_dataloader
train_cfg = dict(val_interval=6)
default_hooks = dict(
    checkpoint=dict(interval=2, max_keep_ckpts=-1), logger=dict(interval=1))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PyramidSheetHook', interval=100, rows=2),
]
"""


def write_pairs(root, count=8, size=32):
    """Bright discs on a dark ground and their masks of instance ids; the last two are the test."""
    rows = []
    y, x = np.mgrid[:size, :size]
    for index in range(count):
        rng = np.random.default_rng(index)
        inside = (y - rng.integers(8, 24)) ** 2 + (x - rng.integers(8, 24)) ** 2 < 60
        image = rng.integers(0, 80, (size, size, 3), dtype=np.uint8) + 150 * inside[..., None]
        for folder, array in (('images', image), ('masks', inside)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(root / folder / f'{index}.png')
        split = 'test' if index >= count - 2 else 'train'
        rows.append((f'images/{index}.png', 'disc', f'masks/{index}.png', split))
    with open(root / 'manifest.csv', 'w', newline='') as file:
        csv.writer(file).writerows([('file', 'label', 'mask', 'split'), *rows])


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp('pyramid')
    write_pairs(root / 'data')
    config = root / 'tiny_pyramid.py'
    base = str(REPO / 'configs' / 'pyramid_gan' / 'pyramid_phantom_semi.py')
    config.write_text(CONFIG.format(base=base, data=str(root / 'data')))
    straight = root / 'straight'
    result = run_tool('tools/train.py', config, '--work-dir', straight)
    return SimpleNamespace(root=root, config=config, straight=straight, result=result)


def test_a_run_leaves_sheets_of_every_scale_and_says_its_schedule(run):
    for name in ('sheets/iter_00000004_8px.png', 'sheets/iter_00000008_16px.png', 'curves.png'):
        assert (run.straight / name).is_file(), name
    said = run.result.stdout + run.result.stderr
    assert '8 px: 4 iterations of 4 of 6 images; 16 px: 4 iterations of 3 of 6 images' in said
    assert 'Scale 2 of 2: 16 px, iterations 5 to 8' in said
    assert 'The perceptual loss is off: there are no VGG weights' in said
    assert 'vgg19' in said
    assert said.count('mIoU: ') == 3, 'iteration 6 and the end of every scale are validated'
    last = next(line for line in said.splitlines() if '[8/8]' in line)
    for word in ('loss_disc_segmented: ', 'loss_synthetic: ', 'loss_segmenter: ', 'size: '):
        assert word in last


def test_a_run_stopped_in_the_middle_of_scale_2_ends_with_the_same_numbers(run):
    resumed = run.root / 'resumed'
    run_tool(
        'tools/train.py', run.config, '--work-dir', resumed,
        '--resume', run.straight / 'iter_6.pth',
    )  # fmt: skip
    # Iteration 6 was saved and then validated; the dropout of iteration 7 must not notice.
    a, b = (torch.load(d / 'iter_8.pth', weights_only=True) for d in (run.straight, resumed))
    assert int(a['state_dict']['scale_index']) == 1
    assert a['state_dict'].keys() == b['state_dict'].keys()
    for name, value in a['state_dict'].items():
        assert torch.equal(value, b['state_dict'][name]), name
    assert set(a['optimizer']) == {'generator', 'discriminator', 'segmenter'}
    for name in a['optimizer']:
        for number, state in a['optimizer'][name]['state'].items():
            for key, value in state.items():
                assert torch.equal(value, b['optimizer'][name]['state'][number][key]), name


def test_masks_become_pairs_that_train_again(run):
    out = run.root / 'synthetic'
    command = [
        'tools/synthesize.py', run.config, run.straight, '--masks', run.root / 'data' / 'masks',
        '--out', out, '--device', 'cpu',
    ]  # fmt: skip
    run_tool(*command)
    first = {path.name: path.read_bytes() for path in (out / 'images').iterdir()}
    assert len(first) == 8
    # Continued with more images of each mask; one that is lost comes back as it was.
    (out / 'images' / '3_0000.png').unlink()
    run_tool(*command, '--per-mask', 2)
    second = {path.name: path.read_bytes() for path in (out / 'images').iterdir()}
    assert len(second) == 16 and all(second[name] == first[name] for name in first)
    assert second['0_0000.png'] != second['0_0001.png']
    record = json.loads((out / 'synthesis.json').read_text())
    assert record['classes'] == ['stroma', 'gland'] and (out / '__about__/sheet.png').is_file()
    assert len((out / '__about__/training_images.txt').read_text().splitlines()) == 6

    dataset = TissueMaskDataset(
        str(out), 'manifest.csv', split='train', metainfo=dict(classes=['stroma', 'gland']),
        tile=16, pipeline=[dict(type='PackTissueInputs')],
    )  # fmt: skip
    assert len(dataset) == 16
    assert set(dataset[0]['inputs']['mask'].unique().tolist()) == {0, 1}
    refused = run_tool(*command, '--seed', 5, check=False)
    assert refused.returncode != 0 and 'seed: 0 there, 5 now' in refused.stderr
