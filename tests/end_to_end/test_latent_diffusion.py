"""Train both stages by the tools, resume, sample and evaluate them, on the phantom set."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from mmagic.registry import MODELS

from cellgan_plugin.engine import BFloat16OptimWrapper
from cellgan_plugin.evaluation import FeatureExtractor
from cellgan_plugin.models import draw_noise, sample_pixels
from cellgan_plugin.runs.train import train
from cellgan_plugin.runs.trained_model import load_model

from .conftest import REPO, logged_losses, run_tool
from .test_resume import assert_same_tensors

COMMON = """
_base_ = {base!r}
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
"""
STAGE_1 = (
    COMMON
    + """
model = dict(
    autoencoder=dict(sample_size=32, block_out_channels=[8, 8, 8], norm_num_groups=4),
    discriminator=dict(base_channels=4, num_conv=1),
    disc_start=2)
train_cfg = dict(max_iters=6, val_interval=6)
val_dataloader = dict(
    batch_size=7,
    dataset=dict(data_root={data!r}, split='train', pipeline=[
        dict(type='FitCellPatch', out_size=32), dict(type='PackCellInputs')]))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='ReconstructionSheetHook', interval=3, images_per_class=2),
]
"""
)
STAGE_2 = (
    COMMON
    + """
model = dict(
    autoencoder=dict(sample_size=32, block_out_channels=[8, 8, 8], norm_num_groups=4),
    generator=dict(
        sample_size=8,
        block_out_channels=[8, 8],
        down_block_types=['DownBlock2D', 'AttnDownBlock2D'],
        up_block_types=['AttnUpBlock2D', 'UpBlock2D'],
        attention_head_dim=4,
        norm_num_groups=4),
    scale_images=20,
    sampling=dict(num_inference_steps=3),
    ema_config=dict(start_iter=2))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='SampleSheetHook', interval=3, samples_per_class=2, real_per_class=1),
]
"""
)


@pytest.fixture(scope='module')
def stages(tiny):
    """Both stages trained by the tool, as a user would, and what it said."""
    root = tiny.root / 'latent_diffusion'
    root.mkdir()
    bases = REPO / 'configs' / 'latent_diffusion'
    found = SimpleNamespace(root=root, data=tiny.data)
    for name, text, base in (
        ('stage_1', STAGE_1, 'autoencoder_phantom.py'),
        ('stage_2', STAGE_2, 'ldm_phantom.py'),
    ):
        config, work_dir = root / f'{name}.py', root / name
        config.write_text(text.format(base=str(bases / base), data=str(tiny.data)))
        result = run_tool(
            'tools/train.py', config, '--work-dir', work_dir,
            env=dict(CELLGAN_AUTOENCODER=str(root / 'stage_1')),
        )  # fmt: skip
        setattr(found, name, SimpleNamespace(config=config, work_dir=work_dir, said=result.stdout))
    return found


def state_of(path):
    return torch.load(path, weights_only=True)


def test_stage_1_leaves_what_a_person_looks_for(stages):
    run = stages.stage_1
    for name in ('iter_6.pth', 'sheets/iter_00000003.png', 'sheets/iter_00000006.png'):
        assert (run.work_dir / name).is_file(), name
    assert (run.work_dir / 'curves.png').is_file()
    assert run.said.count('The perceptual loss is off') == 1
    assert 'PSNR: ' in run.said
    losses = logged_losses(run.work_dir)
    plain = {'loss', 'loss_l1', 'loss_kl'}
    adversarial = plain | {'loss_gen', 'loss_disc_real', 'loss_disc_fake', 'disc_real', 'disc_fake'}
    # At the sixth the row of the validation has the last word.
    assert [set(losses[i]) for i in range(1, 6)] == [plain] * 2 + [adversarial] * 3


def test_stage_2_leaves_what_a_person_looks_for(stages):
    run = stages.stage_2
    for name in ('iter_6.pth', 'sheets/iter_00000003.png', 'sheets/iter_00000006.png'):
        assert (run.work_dir / name).is_file(), name
    assert f'Autoencoder: {stages.stage_1.work_dir / "iter_6.pth"}' in run.said
    assert run.said.count('Latents are scaled by') == 1 and 'first 20 training images' in run.said
    assert 'img_per_s: ' in run.said
    state = state_of(run.work_dir / 'iter_6.pth')['state_dict']
    trained = state_of(stages.stage_1.work_dir / 'iter_6.pth')['state_dict']
    own = {k: v for k, v in state.items() if k.startswith('autoencoder.')}
    assert_same_tensors(own, {k: v for k, v in trained.items() if k in own})
    assert state['latent_scale'] != 1 and state['autoencoder_is_trained']


@pytest.mark.parametrize('name', ['stage_1', 'stage_2'])
def test_a_resumed_run_gives_the_same_numbers_without_the_other_stage(stages, name):
    run = getattr(stages, name)
    work_dir = stages.root / f'{name}_resumed'
    options = {'model.autoencoder_checkpoint': 'nowhere'} if name == 'stage_2' else None
    train(run.config, work_dir, resume=run.work_dir / 'iter_3.pth', options=options)
    expected, found = logged_losses(run.work_dir), logged_losses(work_dir)
    assert found == {i: expected[i] for i in (4, 5, 6)}
    a, b = (state_of(folder / 'iter_6.pth') for folder in (run.work_dir, work_dir))
    for part in ('state_dict', 'optimizer'):
        assert_same_tensors(a[part], b[part], part)


def test_one_file_samples(stages):
    checkpoint = stages.root / 'alone' / 'iter_6.pth'
    checkpoint.parent.mkdir()
    shutil.copy(stages.stage_2.work_dir / 'iter_6.pth', checkpoint)
    options = {'model.autoencoder_checkpoint': 'nowhere'}
    loaded = load_model(stages.stage_2.config, checkpoint, 'cpu', options)
    model = loaded.model
    labels = torch.arange(len(loaded.classes))
    z = draw_noise(model.noise_size, 0, 'test', [(int(label), 0) for label in labels])
    images = sample_pixels(model, z, labels)
    assert images.shape == (5, 3, 32, 32) and images.float().std() > 1
    assert torch.equal(sample_pixels(model, z, labels), images)
    guided = sample_pixels(model, z, labels, sample_kwargs=dict(guidance_scale=4.0, sampler='ddim',
                                                                num_inference_steps=5))  # fmt: skip
    assert not torch.equal(guided, images)


@MODELS.register_module(force=True)
class MeanColours(FeatureExtractor):
    """Mean and standard deviation of each colour."""

    name = 'colours'

    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(()))
        self.finish(8)

    def describe(self):
        return dict(kind='colours')

    def features(self, images):
        grey = images.double()
        return torch.cat([grey.mean((2, 3)), grey.std((2, 3))], dim=1)


EVALUATION = """
_base_ = [{config!r}, {evaluation!r}]
model = dict(autoencoder_checkpoint={autoencoder!r})
train_cfg = dict(max_iters=3, val_interval=3)
val_dataloader = dict(
    batch_size=6,
    dataset=dict(data_root={data!r}, split='train', pipeline=[
        dict(type='FitCellPatch', out_size=32), dict(type='PackCellInputs')]))
val_evaluator = dict(metrics=[dict(
    type='ClassDistances', extractor=dict(type='MeanColours'), fake_nums=2,
    sample_kwargs=dict(guidance_scale=2.0), cache_dir={cache!r})])
custom_hooks = [dict(type='ModelSelectionHook')]
"""


def test_mixed_precision_and_evaluation_while_training(stages, capfd):
    config = stages.root / 'evaluated.py'
    config.write_text(
        EVALUATION.format(
            config=str(stages.stage_2.config),
            evaluation=str(REPO / 'configs' / '_base_' / 'evaluation' / 'phantom_fd.py'),
            data=str(stages.data),
            autoencoder=str(stages.stage_1.work_dir / 'iter_6.pth'),
            cache=str(stages.root / 'features'),
        )
    )
    work_dir = stages.root / 'evaluated'
    runner = train(config, work_dir, amp=True)
    assert type(runner.optim_wrapper['generator']) is BFloat16OptimWrapper
    said = capfd.readouterr().out
    assert 'FD(colours), generated against real images' in said
    assert len(list(work_dir.glob('best_iter_3.pth'))) == 1
    full, half = (logged_losses(folder) for folder in (stages.stage_2.work_dir, work_dir))
    for i in (1, 2):
        assert half[i]['loss'] == pytest.approx(full[i]['loss'], rel=0.05)
        assert half[i]['loss'] != full[i]['loss']


def test_mixed_precision_of_stage_1(stages):
    work_dir = stages.root / 'amp'
    train(stages.stage_1.config, work_dir, amp=True, options={'train_cfg.max_iters': 3})
    full, half = (logged_losses(folder) for folder in (stages.stage_1.work_dir, work_dir))
    for i in (1, 2):
        assert half[i]['loss_l1'] == pytest.approx(full[i]['loss_l1'], rel=0.05)


def test_a_missing_autoencoder_stops_the_run_before_it_trains(stages, capfd):
    options = {'model.autoencoder_checkpoint': str(stages.root / 'nowhere')}
    with pytest.raises(FileNotFoundError) as error:
        train(stages.stage_2.config, stages.root / 'without', options=options)
    command = 'python tools/train.py configs/latent_diffusion/autoencoder_phantom.py'
    assert 'nowhere does not exist' in str(error.value) and command in str(error.value)
    assert 'CELLGAN_AUTOENCODER' in str(error.value)
    assert 'Iter(train)' not in capfd.readouterr().out


def test_an_autoencoder_of_another_size_is_named(stages):
    options = {
        'model.autoencoder_checkpoint': str(stages.stage_1.work_dir),
        'model.autoencoder.block_out_channels': [8, 8, 16],
    }
    with pytest.raises(ValueError, match='is of another autoencoder than model.autoencoder'):
        train(stages.stage_2.config, stages.root / 'other', options=options)
