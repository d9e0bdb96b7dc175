"""The configs hold the paper's numbers, and each is one of its methods."""

from pathlib import Path

import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config

from cellgan_plugin.models.pyramid_gan import parse_scales

FOLDER = Path(__file__).resolve().parents[3] / 'configs'
PATHS = {path.stem: path for path in FOLDER.glob('pyramid_gan*/*.py')}
CONFIGS = sorted(PATHS)
# Method -> the players that it has.
PLAYERS = {
    'pyramid': {'generator', 'discriminator', 'segmenter'},
    'generation': {'generator', 'discriminator'},
    'types': None,
    'pix2pix': {'generator', 'discriminator'},
    'pix2pixhd': {'generator', 'discriminator'},
    'fc_densenet': {'segmenter'},
    'mean_teacher': {'segmenter'},
    'unet': {'segmenter'},
    'deeplabv3plus': {'segmenter'},
    'fpn': {'segmenter'},
}


def config_of(name):
    return Config.fromfile(PATHS[name])


def players(model):
    return {kind for kind in ('generator', 'discriminator', 'segmenter') if model.get(kind)}


@pytest.mark.parametrize('name', CONFIGS)
def test_every_config_is_whole(name):
    config = config_of(name)
    scales = parse_scales(config.model.scales)
    assert config.train_cfg.type == 'ScaleTrainLoop'
    classes = config.train_dataloader.dataset.metainfo.classes
    assert len(classes) == config.model.num_classes
    assert players(config.model) <= set(config.optim_wrapper)
    methods = [key for key in PLAYERS if key in name and PLAYERS[key]]
    expected = PLAYERS['generation' if 'phantom_types' in name else methods[-1]]
    assert players(config.model) == expected
    tile = config.train_dataloader.dataset.tile
    fitted = [t.out_size for t in config.train_dataloader.dataset.pipeline if t.type == 'FitTissue']
    # What the loader delivers is what the finest scale trains on, or the model makes smaller.
    assert config.model.get('tile_size', scales[-1].size) == (fitted or [tile])[0]
    semi = bool(config.model.get('semi_supervised')) or config.model.type == 'MeanTeacher'
    sampler = config.train_dataloader.sampler.type
    assert (sampler == 'LabelledBatchSampler') == semi
    assert (config.train_dataloader.dataset.get('labelled_ratio') == 0.2) == semi


@pytest.mark.parametrize('name', [name for name in CONFIGS if 'phantom' in name])
def test_small_models_are_built(name, mmagic_scope, tmp_path):
    config = config_of(name).model
    if loss := config.get('perceptual_loss'):  # its classifier is trained by another command
        loss.weights = str(tmp_path / 'classifier.pth')
        state = MODELS.build(loss.network).state_dict()
        torch.save({f'backbone.{key}': value for key, value in state.items()}, loss.weights)
    model = MODELS.build(config)
    assert set(model.trained_networks()) == players(config_of(name).model)


def test_numbers_of_sec_3_4():
    config = config_of('pyramid_glas')
    assert [(s.size, s.batch_size, s.epochs) for s in config.model.scales] == [
        (64, 8, 200), (128, 6, 200), (256, 4, 200), (512, 4, 200),
    ]  # fmt: skip
    prostate = config_of('pyramid_prostate')
    assert [(s.size, s.batch_size) for s in prostate.model.scales] == [
        (64, 8), (128, 6), (256, 4), (512, 4), (1024, 3),
    ]  # fmt: skip
    rates = {name: config.optim_wrapper[name].optimizer for name in players(config.model)}
    assert {name: optimizer.lr for name, optimizer in rates.items()} == dict(
        generator=1e-4, segmenter=5e-4, discriminator=5e-4
    )
    assert all(o.type == 'Adam' and tuple(o.betas) == (0.5, 0.999) for o in rates.values())
    model = config.model
    weights = [
        model[name].loss_weight
        for name in ('reconstruction_loss', 'feature_matching_loss', 'perceptual_loss')
    ]
    assert weights == [0.001, 10, 10]
    assert (model.cross_entropy_weight, model.synthetic_weight) == (1, 0.03)
    assert model.synthetic_start == 100
