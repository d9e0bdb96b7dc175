"""MMagic's own GANs by configs alone: they train, resume, are evaluated, and sample like ours."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from cellgan_plugin.compat import load_tensors
from cellgan_plugin.datasets import CellPatchDataset
from cellgan_plugin.models import sample_pixels
from cellgan_plugin.models.sampling import draw_noise
from cellgan_plugin.runs.train import train

from .conftest import REPO, logged_losses, run_on_two_ranks
from .test_resume import assert_same_tensors

SMOKE = """
_base_ = {base!r}
model = dict(
    generator=dict(output_scale=32, {generator}),
    discriminator=dict(input_scale=32, base_channels=8),
    ema_config=dict(start_iter=2))
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        data_root={data!r},
        pipeline=[
            dict(type='FitCellPatch', out_size=32),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='PackCellInputs'),
        ]))
train_cfg = dict(max_iters=6)
default_hooks = dict(checkpoint=dict(interval=3, max_keep_ckpts=-1), logger=dict(interval=1))
log_processor = dict(window_size=1)
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='SampleSheetHook', interval=3, samples_per_class=2, real_per_class=1),
]
"""
AUGMENTED = """
_base_ = {base!r}
model = dict(discriminator=dict(
    _delete_=True,
    type='AugmentedDiscriminator',
    discriminator={{{{_base_.model.discriminator}}}},
    augment=dict(type='DiffAugment', policy=['color', 'translation', 'cutout'])))
"""
EVALUATED = """
_base_ = [{base!r}, {evaluation!r}]
train_cfg = dict(max_iters=2, val_interval=2)
val_dataloader = dict(
    batch_size=7,
    dataset=dict(data_root={data!r}, split='train', pipeline=[
        dict(type='FitCellPatch', out_size=32), dict(type='PackCellInputs')]))
val_evaluator = dict(metrics=[dict(
    type='ClassDistances',
    extractor=dict(
        type='ClassifierFeatures', config={classifier!r}, checkpoint={weights!r}, name='tiny'),
    cache_dir={cache!r})])
"""
CLASSIFIER = """
_base_ = {base!r}
model = dict(backbone=dict(stem_channels=4, base_channels=4), head=dict(in_channels=32))
"""
BASELINES = ['biggan', 'biggan_augmented', 'sngan']


@pytest.fixture(scope='module')
def baselines(tiny):
    """Configs of smoke-size baselines, by name."""
    folder = tiny.root / 'baselines'
    folder.mkdir()
    texts = dict(
        biggan=SMOKE.format(
            base=str(REPO / 'configs' / 'biggan' / 'biggan_phantom.py'),
            data=str(tiny.data),
            generator='base_channels=4, noise_size=32, shared_dim=8, arch_cfg=None',
        ),
        biggan_augmented=AUGMENTED.format(base=str(folder / 'biggan.py')),
        sngan=SMOKE.format(
            base=str(REPO / 'configs' / 'sngan_proj' / 'sngan_proj_phantom.py'),
            data=str(tiny.data),
            generator='base_channels=8',
        ),
    )
    for name, text in texts.items():
        (folder / f'{name}.py').write_text(text)
    return SimpleNamespace(folder=folder, **{name: folder / f'{name}.py' for name in texts})


def run(config, work_dir, **kwargs):
    # Runners of one process that start within a second would share their visualizer.
    options = dict(kwargs.pop('options', {}), experiment_name=work_dir.name)
    return train(config, work_dir, options=options, **kwargs)


@pytest.fixture(scope='module', params=BASELINES)
def straight(request, baselines):
    """A baseline trained for six iterations."""
    name = request.param
    config, work_dir = getattr(baselines, name), baselines.folder / f'{name}_straight'
    runner = run(config, work_dir)
    return SimpleNamespace(name=name, config=config, work_dir=work_dir, model=runner.model)


def test_it_trains_and_draws(straight):
    losses = logged_losses(straight.work_dir)
    assert set(losses) == set(range(1, 7))
    assert {'loss_disc_fake', 'loss_disc_real', 'loss_gen'} <= set(losses[6])
    for name in ('sheets/iter_00000003.png', 'sheets/iter_00000006.png', 'curves.png'):
        assert (straight.work_dir / name).read_bytes()[:4] == b'\x89PNG'


def test_a_resumed_run_gives_the_same_numbers(straight):
    # MMagic's classes draw from torch's generator, whose state the checkpoint holds.
    work_dir = straight.work_dir.with_name(f'{straight.name}_resumed')
    run(straight.config, work_dir, resume=straight.work_dir / 'iter_3.pth')
    expected, found = logged_losses(straight.work_dir), logged_losses(work_dir)
    assert found == {step: expected[step] for step in (4, 5, 6)}
    a, b = (load_tensors(folder / 'iter_6.pth', 'cpu') for folder in (straight.work_dir, work_dir))
    for part in ('state_dict', 'optimizer', 'random_states'):
        assert_same_tensors(a[part], b[part], part)


def test_it_samples_by_class_and_image_by_image(straight):
    model = straight.model
    rows = [(label, 0) for label in range(5)]
    z = draw_noise(model.noise_size, 0, 'test', [(0, 0)]).expand(5, -1)
    labels = torch.tensor([label for label, _ in rows])
    pixels = sample_pixels(model, z, labels)
    assert pixels.shape == (5, 3, 32, 32) and pixels.dtype == torch.uint8
    assert len({image.numpy().tobytes() for image in pixels}) == 5
    for i in range(5):  # batch statistics are those of training
        alone = sample_pixels(model, z[i : i + 1], labels[i : i + 1])
        assert (alone.int() - pixels[i : i + 1].int()).abs().max() <= 1
    orig = sample_pixels(model, z, labels, sample_model='orig')
    assert not torch.equal(orig, pixels)


@pytest.mark.parametrize('name', ['biggan', 'sngan'])
def test_it_is_evaluated_class_by_class(baselines, tiny, name):
    configs = REPO / 'configs'
    classifier = baselines.folder / 'classifier.py'
    classifier.write_text(
        CLASSIFIER.format(base=str(configs / 'classifiers' / 'resnet18_phantom.py'))
    )
    weights = classifier.with_suffix('.pth')
    torch.manual_seed(0)
    network = MODELS.build(dict(Config.fromfile(classifier).model, _scope_='mmpretrain'))
    torch.save(network.state_dict(), weights)
    config = baselines.folder / f'{name}_evaluated.py'
    config.write_text(
        EVALUATED.format(
            base=str(getattr(baselines, name)),
            evaluation=str(configs / '_base_' / 'evaluation' / 'phantom_fd.py'),
            data=str(tiny.data),
            classifier=str(classifier),
            weights=str(weights),
            cache=str(tiny.root / 'features_of_rivals'),
        )
    )
    work_dir = config.with_suffix('')
    run(config, work_dir, amp=True)  # bfloat16: MMagic's networks take it
    rows = [
        json.loads(line)
        for path in work_dir.glob('*/vis_data/scalars.json')
        for line in path.read_text().splitlines()
    ]
    (evaluated,) = [row for row in rows if 'FD(tiny)/mean' in row]
    classes = ['NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL']
    assert evaluated['FD(tiny)/mean'] == pytest.approx(
        sum(evaluated[f'FD(tiny)/{name}'] for name in classes) / 5
    )


@pytest.fixture
def batch(tiny):
    """A batch as the loader gives it: labels (1,) per image, classes mixed."""
    data = CellPatchDataset(
        data_root=str(tiny.data),
        ann_file='manifest.csv',
        split='train',
        metainfo=dict(classes=['NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL']),
        pipeline=[dict(type='FitCellPatch', out_size=32), dict(type='PackCellInputs')],
    )
    items = [data[index] for index in range(0, len(data), max(1, len(data) // 7))]
    return dict(
        inputs=dict(img=[item['inputs']['img'] for item in items]),
        data_samples=[item['data_samples'] for item in items],
    )


@pytest.mark.parametrize('name', BASELINES)
def test_real_images_are_scored_by_their_own_labels(baselines, batch, mmagic_scope, name):
    config = Config.fromfile(getattr(baselines, name))
    torch.manual_seed(0)
    built = MODELS.build(config.model)
    built.init_weights()
    mmagic_scope.update_info('iter', 0)

    def step(data):
        model = copy.deepcopy(built).train()
        seen = []
        model.discriminator.register_forward_hook(
            lambda module, args, kwargs, output: seen.append((kwargs['label'], output)),
            with_kwargs=True,
        )
        torch.manual_seed(1)
        wrappers = build_optim_wrapper(model, copy.deepcopy(config.optim_wrapper))
        return model.train_step(data, wrappers), seen

    losses, ((_, fake), (real_labels, real), _) = step(batch)
    truth = torch.cat([sample.gt_label.label for sample in batch['data_samples']])
    assert torch.equal(real_labels, truth) and len(truth.unique()) > 1
    # (N, 1) labels would have been broadcast to an (N, N, C) embedding.
    assert real.shape == fake.shape == (len(truth), 1)

    moved = dict(batch, data_samples=batch['data_samples'][1:] + batch['data_samples'][:1])
    others, _ = step(moved)
    assert others['loss_disc_real'] != losses['loss_disc_real']
    assert others['loss_disc_fake'] == losses['loss_disc_fake']


@pytest.mark.parametrize(
    'options, complaint',
    [
        ({'model.generator.output_scale': 48}, 'model.generator.output_scale=48: BigGANGenerator'),
        ({'model.generator.output_scale': 64}, 'output_scale=64 but .*input_scale=32'),
        ({'model.num_classes': 3}, 'model.num_classes=3 but the training set has 5 classes'),
    ],
)
def test_what_does_not_fit_is_said_before_training(baselines, tmp_path, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        run(baselines.biggan, tmp_path / 'bad', options=options)


def test_ranks_draw_noise_of_their_own(baselines):
    worker = Path(__file__).with_name('noise_worker.py')
    result = run_on_two_ranks(worker, baselines.biggan_augmented, baselines.folder / 'two_ranks')
    assert result.stdout.count('weights agree, noise differs') == 2
