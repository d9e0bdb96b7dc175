from pathlib import Path

import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmpretrain.models import ImageClassifier
from torch import nn

from cellgan_plugin.models import CellGAN
from cellgan_plugin.models.model_checks import (
    check_model_and_data,
    check_model_config,
    check_training_set,
    generated_shape,
)

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
UP = dict(in_channels=[8] * 3, out_channels=[8] * 3, upsample=[True] * 3, attention=[False] * 3)


def model(generator, discriminator=None, kind='BigGAN'):
    types = dict(
        BigGAN=('BigGANGenerator', 'BigGANDiscriminator'),
        SNGAN=('SNGANGenerator', 'ProjDiscriminator'),
        CellGAN=('CellGANGenerator', 'CellGANDiscriminator'),
    )[kind]
    config = dict(type=kind, generator=dict(type=types[0], **generator))
    if discriminator is not None:
        config['discriminator'] = dict(type=types[1], **discriminator)
    return config


@pytest.mark.parametrize(
    'config, complaint',
    [
        (model(dict(output_scale=100)), 'model.generator.output_scale=100: BigGANGenerator knows'),
        (model(dict()), 'model.generator.output_scale=None'),
        (model(dict(output_scale=64), dict(input_scale=96)), 'model.discriminator.input_scale=96'),
        # MMagic's own list of layers is one too short there.
        (model(dict(output_scale=256), dict(input_scale=256)), 'say the layers in .*arch_cfg'),
        (model(dict(output_scale=48), kind='SNGAN'), 'for 32, 64, 128 pixels'),
        (
            model(dict(output_scale=64), dict(input_scale=32)),
            'output_scale=64 but .*input_scale=32',
        ),
        (
            model(dict(out_size=64), dict(in_size=32), kind='CellGAN'),
            'model.generator.out_size=64 but model.discriminator.in_size=32',
        ),
        (model(dict(output_scale=48, arch_cfg=UP)), 'make 32 pixels: the size must be a power'),
        (
            model(dict(output_scale=256, channels_cfg=[2, 2]), kind='SNGAN'),
            'the blocks in its channels_cfg make 16 pixels',
        ),
        (
            model(dict(output_scale=32, arch_cfg=dict(UP, attention=[False]))),
            'in_channels 3, out_channels 3, upsample 3, attention 1',
        ),
        (
            dict(
                generator=dict(type='mmagic.BigGANGenerator', output_scale=64),
                discriminator=dict(
                    type='AugmentedDiscriminator',
                    discriminator=dict(type='BigGANDiscriminator', input_scale=128),
                ),
            ),
            'output_scale=64 but model.discriminator.input_scale=128',
        ),
    ],
)
def test_sizes_that_cannot_be_are_named(config, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_model_config(config)


@pytest.mark.parametrize(
    'path',
    [
        *sorted((CONFIGS / 'biggan').glob('*.py')),
        *sorted((CONFIGS / 'sngan_proj').glob('*.py')),
        CONFIGS / 'cellgan_tct.py',
        CONFIGS / 'classifiers' / 'resnet18_phantom.py',
    ],
    ids=lambda path: path.stem,
)
def test_the_configs_pass_and_their_networks_can_be_built(path, mmagic_scope):
    config = Config.fromfile(path).model
    check_model_config(config)
    if config.type not in ('BigGAN', 'SNGAN'):
        return  # built by tests of their own
    with torch.device('meta'):  # all layers, no memory
        built = MODELS.build(config)
    assert built.num_classes == 5 and built.discriminator.num_classes == 5
    assert built.with_ema_gen


@pytest.fixture
def biggan(mmagic_scope):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            model(
                dict(output_scale=32, base_channels=1, noise_size=8, shared_dim=4),
                dict(input_scale=32, base_channels=1),
            ),
            num_classes=2,
            data_preprocessor=dict(type='CellDataPreprocessor'),
        )
    )


def dataset(classes=('a', 'b'), shape=(3, 32, 32)):
    class OneImage:
        metainfo = dict(classes=classes)

        def __getitem__(self, index):
            return dict(inputs=dict(img=torch.zeros(shape, dtype=torch.uint8)))

    return OneImage()


def test_asking_for_the_shape_leaves_no_trace(biggan):
    biggan.train()
    before = {key: value.clone() for key, value in biggan.state_dict().items()}
    random_state = torch.get_rng_state()
    assert generated_shape(biggan) == (3, 32, 32)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert biggan.generator.training
    assert all(torch.equal(value, before[key]) for key, value in biggan.state_dict().items())


@pytest.mark.parametrize(
    'options, complaint',
    [
        (dict(classes=('a', 'b', 'c')), r'model.num_classes=2 but .* 3 classes \(a, b, c\)'),
        (dict(shape=(3, 64, 64)), r'shape \(3, 64, 64\).*makes \(3, 32, 32\).*output_scale'),
        (dict(shape=(1, 32, 32)), r'shape \(1, 32, 32\)'),
    ],
)
def test_data_that_do_not_fit_are_named(biggan, options, complaint):
    check_training_set(biggan, dataset())
    with pytest.raises(ValueError, match=complaint):
        check_training_set(biggan, dataset(**options))


def test_a_discriminator_of_another_size_is_named(biggan):
    biggan.discriminator.input_scale = 64
    with pytest.raises(ValueError, match='input_scale=64 but the images have 32'):
        check_training_set(biggan, dataset())


@pytest.fixture
def dcgan(mmagic_scope):
    part = dict(base_channels=2)
    config = dict(
        type='DCGAN',
        noise_size=4,
        data_preprocessor=dict(type='CellDataPreprocessor'),
        generator=dict(part, type='DCGANGenerator', output_scale=32, noise_size=4),
        discriminator=dict(
            part, type='DCGANDiscriminator', input_scale=32, output_scale=4, out_channels=1
        ),
    )
    check_model_config(config)  # its output_scale is no size of images
    return MODELS.build(config)


def test_a_gan_without_classes_is_refused_several_of_them(dcgan):
    check_model_and_data(dcgan, dataset(('a',)))
    with pytest.raises(ValueError, match=r'DCGAN knows no classes.* 2 \(a, b\).*classes=\[a\]"'):
        check_model_and_data(dcgan, dataset())


class OwnGenerator(nn.Module):
    """A generator of a user's; ``fault`` is what is wrong with it."""

    def __init__(self, noise_size=8, num_classes=2, fault=None):
        super().__init__()
        self.noise_size, self.fault = noise_size, fault
        self.first = nn.Linear(noise_size + num_classes, 3 * 32 * 32)

    def forward(self, noise, label=None, return_noise=False):
        if self.fault == 'label':
            nn.functional.embedding(label, self.first.weight)
        size = (-1, 3, 16, 64) if self.fault == 'size' else (-1, 3, 32, 32)
        images = self.first(torch.cat([noise, label], dim=1)).view(size)
        return images[:1] if self.fault == 'number' else images


class Unaware(OwnGenerator):
    def forward(self, noise, label):
        return super().forward(noise, label)


@pytest.mark.parametrize(
    'kind, fault, complaint',
    [
        (Unaware, None, r"Unaware: forward\(.*unexpected keyword argument 'return_noise'\. docs"),
        (OwnGenerator, 'label', r'label \(2, 2\), class weights fails: RuntimeError: .*functional'),
        (OwnGenerator, 'size', r'generator makes \(3, 16, 64\)'),
        (OwnGenerator, 'number', r'returns \(1, 3, 32, 32\); images \(2, C, H, W\) expected'),
    ],
)
def test_a_generator_of_a_user_is_run_before_training(mmagic_scope, kind, fault, complaint):
    def cellgan(generator):
        return CellGAN(generator, noise_size=8, num_classes=2, reconstruction_loss=None)

    fits = cellgan(OwnGenerator()).train()
    check_training_set(fits, dataset())
    assert fits.generator.training
    with pytest.raises(ValueError, match=complaint):
        check_training_set(cellgan(kind(fault=fault)), dataset())


@pytest.mark.parametrize(
    'returned, in_channels, complaint',
    [
        (tuple, 4, None),
        (tuple, 512, r'head.in_channels=512, but model.backbone, Network, gives 4: set .*=4'),
        (list, 4, 'model.backbone, Network: forward returns no tuple'),
        (lambda maps: maps[0], 4, 'model.backbone, Network: forward returns no tuple'),
    ],
)
def test_a_classifier_whose_parts_do_not_fit_is_named(returned, in_channels, complaint):
    class Network(nn.Conv2d):
        def forward(self, x):
            assert not self.training
            return returned([super().forward(x)])

    classifier = ImageClassifier(
        backbone=Network(3, 4, 3),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(type='mmpretrain.LinearClsHead', num_classes=2, in_channels=in_channels),
    ).train()
    if complaint is None:
        check_model_and_data(classifier, dataset())
        assert classifier.training and classifier.backbone.training
        return
    with pytest.raises(ValueError, match=complaint):
        check_model_and_data(classifier, dataset())
