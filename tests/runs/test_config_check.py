"""Misspelt options are named before anything is built, and every config of the house passes."""

import argparse
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from cellgan_plugin.errors import ConfigError, check_known, did_you_mean, nearest_name
from cellgan_plugin.runs.command_line import KeyValues
from cellgan_plugin.runs.config_check import check_config
from cellgan_plugin.runs.config_file import merge_options, open_config
from cellgan_plugin.runs.config_fit import check_fit
from cellgan_plugin.runs.signatures import arguments_of
from cellgan_plugin.runs.train import load_config

CONFIGS = Path(__file__).parents[2] / 'configs'
OF_OTHER_KINDS = ('benchmarks', 'comparisons')  # read by tests of their own
ALL = sorted(p for p in CONFIGS.rglob('*.py') if p.parent.name not in OF_OTHER_KINDS)
PHANTOM = CONFIGS / 'cellgan_phantom_fd.py'


@pytest.mark.parametrize('path', ALL, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_config_passes_and_so_does_its_copy(path, tmp_path):
    config = open_config(path)
    check_config(config)
    check_fit(config)
    copy = tmp_path / path.name  # as it lies in a work directory, all names flattened
    copy.write_text('\n'.join(f'{key} = {value!r}' for key, value in config.to_dict().items()))
    check_config(open_config(copy))


UPSTREAM = {
    'mmpretrain': [
        'resnet/resnet18_8xb32_in1k.py',
        'vision_transformer/vit-base-p16_64xb64_in1k.py',
        'densenet/densenet121_4xb256_in1k.py',
        '_base_/datasets/imagenet_bs32.py',
        '_base_/schedules/imagenet_bs256.py',
        '_base_/default_runtime.py',
        '_base_/models/resnet34.py',
    ],
    'mmagic': [
        'biggan/biggan_2xb25-500kiters_cifar10-32x32.py',
        'sngan_proj/sngan-proj_woReLUinplace_lr2e-4-ndisc5-1xb64_cifar10-32x32.py',
        'cyclegan/cyclegan_lsgan-resnet-in_1xb1-80kiters_facades.py',
        'dcgan/dcgan_1xb128-300kiters_celeba-cropped-64.py',
        '_base_/gen_default_runtime.py',
        '_base_/models/sngan_proj/base_sngan_proj_128x128.py',
    ],
}


@pytest.mark.parametrize(
    'package, path', [(package, path) for package, paths in UPSTREAM.items() for path in paths]
)
def test_configs_of_other_packages_pass(package, path):
    folder = Path(pytest.importorskip(package).__file__).parent / '.mim' / 'configs'
    check_config(open_config(folder / path))


# Key, value, and what the message must have: the full key and the right name.
MISSPELT = [
    ('max_iters', 50, ["'max_iters'", 'train_cfg.max_iters']),
    ('modell.x', 1, ["'modell'", 'model.x']),
    ('classes', ['a'], ["'classes'", 'train_dataloader.dataset.metainfo.classes']),
    ('data_root', 'd', ["'data_root'", 'train_dataloader.dataset.data_root']),
    ('batch_size', 4, ["'batch_size'", 'train_dataloader.batch_size']),
    ('nonsense', 1, ["'nonsense'", 'train_cfg']),
    ('train_cfg.max_iter', 9, ['train_cfg.max_iter', "'max_iters'"]),
    ('train_cfg.typ', 'x', ['train_cfg.typ', "'type'"]),
    ('train_cfg.type', 'ResumableTrianLoop', ['train_cfg.type', 'ResumableTrainLoop']),
    ('train_cfg.max_iters', -5, ['train_cfg.max_iters=-5', 'at least 1']),
    ('train_cfg.max_iters', 0, ['train_cfg.max_iters=0']),
    ('train_cfg.max_iters', 'fifty', ["train_cfg.max_iters='fifty'"]),
    ('train_cfg.max_iters', 1.5, ['train_cfg.max_iters=1.5']),
    ('train_cfg.val_interval', 0, ['train_cfg.val_interval=0']),
    ('train_dataloader.batch_size', 0, ['train_dataloader.batch_size=0']),
    ('train_dataloader.num_workers', -1, ['train_dataloader.num_workers=-1']),
    ('train_dataloader.batchsize', 4, ['train_dataloader.batchsize', "'batch_size'"]),
    ('val_dataloader.batchsize', 4, ['val_dataloader.batchsize', "'batch_size'"]),
    ('train_dataloader.dataset.dataroot', 'd', ['dataset.dataroot', "'data_root'"]),
    ('train_dataloader.dataset.pipeline.0.out_sise', 8, ['pipeline.0.out_sise', "'out_size'"]),
    ('train_dataloader.dataset.typ', 'x', ["'type'"]),
    ('train_dataloader.dataset.metainfo.clases', ['a'], ['metainfo.clases', "'classes'"]),
    ('train_dataloader.sampler.shuffel', True, ['sampler.shuffel', "'shuffle'"]),
    ('train_dataloader.collate_fn.type', 'stack_cell_bach', ["'stack_cell_batch'"]),
    ('default_hooks.checkpoint.intervall', 5, ['checkpoint.intervall', "'interval'"]),
    ('default_hooks.checkpoint.interval', 0, ['default_hooks.checkpoint.interval=0', '-1']),
    ('default_hooks.checkpoint.interval', -5, ['default_hooks.checkpoint.interval=-5']),
    ('default_hooks.logger.interval', 0, ['default_hooks.logger.interval=0']),
    ('default_hooks.checkpont.interval', 5, ['default_hooks.checkpont', "'checkpoint'"]),
    ('custom_hooks.4.intervall', 5, ['custom_hooks.4.intervall', "'interval'"]),
    ('custom_hooks.9.interval', 5, ['custom_hooks.9.interval', '9']),
    ('optim_wrapper.generator.optimizer.learning_rate', 1, ['optimizer.learning_rate', "'lr'"]),
    ('optim_wrapper.generator.optimizer.type', 'Adm', ["'Adam'"]),
    ('optim_wrapper.generator.optimizer.lr', 'big', ["optimizer.lr='big'"]),
    ('optim_wrapper.generator.optimizer.lr', -1, ['optimizer.lr=-1']),
    ('optim_wrapper.generatr.optimizer.lr', 1, ['optim_wrapper.generatr', "'generator'"]),
    ('optim_wrapper.generator.clip_gard', 1, ['generator.clip_gard', "'clip_grad'"]),
    ('param_scheduler.type', 'MultiStepLr', ["'MultiStepLR'"]),
    ('randomness.sed', 1, ['randomness.sed', "'seed'"]),
    ('env_cfg.cudnn_benchmrk', True, ["'cudnn_benchmark'"]),
    ('model.ema_config.momentun', 0.1, ['model.ema_config.momentun', "'momentum'"]),
    ('model.generator.base_chanels', 8, ['generator.base_chanels', "'base_channels'"]),
    ('model.generator.type', 'CellGANGenrator', ["'CellGANGenerator'"]),
    ('model.num_clases', 3, ['model.num_clases', "'num_classes'"]),
    ('model.r1_loss.weight', 3, ['model.r1_loss.weight', "'loss_weight'"]),
    ('model.num_classes.x', 3, ['model.num_classes.x']),
    ('visualizer.vis_backend', 3, ["'vis_backends'"]),
    ('log_processor.windowsize', 3, ["'window_size'"]),
    ('val_evaluator.metrics.0.fake_num', 3, ["'fake_nums'"]),
    ('val_evaluator.metrics.0.extractor.chekpoint', 'x', ["'checkpoint'"]),
    ('val_evaluator.metrics.0.type', 'ClassDistance', ["'ClassDistances'"]),
]


@pytest.mark.parametrize('key, value, words', MISSPELT, ids=[f'{k}={v}' for k, v, _ in MISSPELT])
def test_a_misspelt_option_is_named_with_the_right_one(key, value, words):
    with pytest.raises(ConfigError) as raised:
        load_config(PHANTOM, options={key: value}, parts=None)
    for word in words:
        assert word in str(raised.value)


def test_a_part_that_is_not_read_is_looked_at_where_it_is_overridden():
    config = load_config(PHANTOM)
    config.train_dataloader.batchsize = 4
    check_config(config, parts=['model'])
    with pytest.raises(ConfigError, match="train_dataloader.batchsize.*'batch_size'"):
        load_config(PHANTOM, options={'train_dataloader.batchsize': 4})
    config.model.generator.base_chanels = 4
    with pytest.raises(ConfigError, match="'base_channels'"):
        load_config(config)


def test_a_data_set_inside_of_a_metric_is_looked_at():
    config = load_config(PHANTOM)
    training = {**config.val_dataloader.dataset, 'spilt': 'train'}
    config.val_evaluator.metrics[0].memorisation = dict(training=training)
    with pytest.raises(ConfigError, match="memorisation.training.spilt.*'split'"):
        check_config(config)


def test_all_mistakes_are_said_at_once():
    options = {'randomness.sed': 1, 'train_cfg.max_iter': 3}
    with pytest.raises(ConfigError) as raised:
        load_config(PHANTOM, options=options, parts=None)
    assert 'randomness.sed' in str(raised.value) and 'train_cfg.max_iter' in str(raised.value)


@pytest.mark.parametrize(
    'text, words',
    [
        ("classes = ['a', 'b']\n", ["'classes'", 'train_dataloader.dataset.metainfo.classes']),
        ("data_root = 'mine'\n", ["'data_root'", 'train_dataloader.dataset.data_root']),
        ('max_iters = 3\n', ["'max_iters'", 'train_cfg.max_iters']),
        ('modell = dict(num_classes=3)\n', ["'modell'", "'model'"]),
        ('something = 3\n', ["'something'", '_']),
        ('train_dataloader = dict(dataset=dict(\n', ['line', 'never closed']),
        ('train_cfg = dict(max_iters=itr)\n', ['line 2', 'itr']),
    ],
)
def test_a_file_that_says_what_nothing_reads(tmp_path, text, words):
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = '{PHANTOM}'\n{text}")
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    for word in [str(path), *words]:
        assert word in str(raised.value)


def test_helpers_that_a_file_uses_are_free(tmp_path):
    base = tmp_path / 'base.py'
    base.write_text(
        f"_base_ = '{PHANTOM}'\nlong = 100\nshort = 7\ntrain_cfg = dict(max_iters=long)\n"
    )
    path = tmp_path / 'mine.py'
    path.write_text(
        "_base_ = './base.py'\nrate = 1e-3\n_note = 'free'\n"
        'train_cfg = dict(max_iters={{_base_.short}})\n'
        'optim_wrapper = dict(generator=dict(optimizer=dict(lr=rate)))\n'
    )
    assert load_config(path).train_cfg.max_iters == 7


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='gone.py does not exist'):
        open_config(tmp_path / 'gone.py')


@pytest.mark.parametrize(
    'text, words',
    [
        ('model.scales=[dict(size=64)]', 'model.scales.0.NAME=VALUE'),
        ('model.scales=dict(a=1,b=2)', 'a dict cannot be given here'),
        ("model.scales={'a': 1}", 'a dict cannot be given here'),
        ('model.scales=[1,(2', 'is no value'),
        ('model.scales=1,),(', 'is no value'),
        ('model.scales', 'KEY=VALUE'),
        ('=3', 'KEY=VALUE'),
    ],
)
def test_a_value_that_cannot_be_read_is_a_message(text, words, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=KeyValues)
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(['--cfg-options', text])
    assert stop.value.code == 2 and words in capsys.readouterr().err


def test_values_are_read_as_mmengine_reads_them():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=KeyValues)
    words = ['a.b=[1,(2,x)]', 'c=', 'd=None', 'e=1e-3', 'f={stage0}', 'g=h=i']
    options = parser.parse_args(['--cfg-options', *words]).cfg_options
    expected = {'a.b': [1, (2, 'x')], 'c': '', 'd': None, 'e': 1e-3, 'f': '{stage0}', 'g': 'h=i'}
    assert options == expected


CLASSIFIER = CONFIGS / 'classifiers' / 'resnet18_phantom.py'
SEVEN = list('abcdefg')


@pytest.mark.parametrize(
    'path, options, words',
    [
        (CLASSIFIER, {}, 'model.head.num_classes=5 but the training set has 7 classes'),
        (PHANTOM, {}, 'model.num_classes=5 but the training set has 7 classes'),
        (CONFIGS / 'pyramid_gan' / 'pyramid_phantom.py', {}, 'model.num_classes=2 but the tr'),
        (PHANTOM, {'model.num_classes': 7}, 'val_dataloader.dataset.metainfo.classes'),
    ],
)  # fmt: skip
def test_numbers_of_classes_that_differ_are_named(path, options, words):
    config = load_config(path, options=options)
    config.train_dataloader.dataset.metainfo.classes = SEVEN
    with pytest.raises(ConfigError, match=words):
        check_fit(config)


def test_image_sizes_that_differ_are_named():
    config = load_config(PHANTOM, options={'train_dataloader.dataset.pipeline.0.out_size': 32})
    with pytest.raises(ConfigError, match='generator.out_size=64 but FitCellPatch'):
        check_fit(config)


class Base:
    def __init__(self, a, b=1, c=2):
        self.a, self.b, self.c = a, b, c


class Middle(Base):
    def __init__(self, d=3, **kwargs):
        self.e = kwargs.pop('e', None)
        super().__init__(c=5, **kwargs)


class Keeps(Middle):
    def __init__(self, f, **kwargs):
        super().__init__(**kwargs)
        self.options = kwargs


class Open:
    def __init__(self, x, **kwargs):
        self.made = dict(**kwargs)


def test_keyword_arguments_are_followed_to_the_class_that_takes_them():
    assert arguments_of(Base) == (frozenset('abc'), False)
    assert arguments_of(Middle) == (frozenset('deab'), False)
    names, is_open = arguments_of(Keeps)
    assert is_open and 'f' in names
    assert arguments_of(Open) == (frozenset('x'), True)
    # What was found is what a call takes.
    for name in 'deab':
        Middle(**{'a': 0, name: 0})
    with pytest.raises(TypeError):
        Middle(a=0, c=1)


def test_options_of_parts_are_named_where_they_are_built(mmagic_scope):
    from cellgan_plugin.evaluation.metrics import ClassDistances
    from cellgan_plugin.models.latent_diffusion.sampler import check_schedule

    with pytest.raises(ConfigError, match="options.intervall: .* did you mean 'interval'"):
        ClassDistances(dict(type='InceptionFeatures'), options=dict(intervall='never'))
    with pytest.raises(ConfigError, match="scheduler.beta_starts: .* did you mean 'beta_start'"):
        check_schedule(dict(beta_starts=1))
    with pytest.raises(ConfigError, match="sampling.num_inference_step: .*'num_inference_steps'"):
        check_known('sampling', ['num_inference_step'], ['sampler', 'num_inference_steps'])


def test_a_generator_of_a_user_has_to_take_what_the_gan_gives_it():
    class WithoutNoiseSize(torch.nn.Module):
        def __init__(self, num_classes):
            super().__init__()

    config = Config.fromfile(PHANTOM)
    config.model.generator = dict(type=WithoutNoiseSize)
    with pytest.raises(
        ConfigError, match="model.generator: WithoutNoiseSize takes no 'noise_size'"
    ):
        check_config(config)


def test_nearest_names():
    known = ['batch_size', 'num_workers', 'dataset']
    assert nearest_name('batchsize', known) == 'batch_size'
    assert nearest_name('Batch_Size', known) == 'batch_size'
    assert nearest_name('learning_rate', ['lr', 'betas']) == 'lr'
    assert nearest_name('zzz', known) is None
    assert did_you_mean('zzz', known) == ''
    assert did_you_mean('datset', known) == "; did you mean 'dataset'?"


def test_merging_says_the_key():
    config = Config(dict(a=[dict(b=1)]))
    merge_options(config, {'a.0.b': 2})
    assert config.a[0].b == 2
    with pytest.raises(ConfigError, match='--cfg-options a.1.b'):
        merge_options(config, {'a.1.b': 2})


def test_a_part_that_is_left_out_can_be_given_entry_by_entry():
    config = Config(dict(model=dict(loss=None, parts=[None], rate=3)))
    merge_options(config, {'model.loss.type': 'L1', 'model.loss.weight': 2})
    merge_options(config, {'model.parts.0.type': 'Part'})
    assert config.model.to_dict() == dict(
        loss=dict(type='L1', weight=2), parts=[dict(type='Part')], rate=3
    )
    with pytest.raises(ConfigError, match='--cfg-options model.rate.type'):
        merge_options(config, {'model.rate.type': 'x'})
