from pathlib import Path

import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from cellgan_plugin.compat import load_safetensors, load_tensors, save_safetensors
from cellgan_plugin.models import sample_pixels
from cellgan_plugin.runs.model_zoo import ShippedModel, named_model, shipped_models
from cellgan_plugin.runs.trained_model import load_model

CLASSES = ['NILM', 'HSIL']
CONFIG = dict(
    default_scope='mmagic',
    model=dict(
        type='CellGAN',
        num_classes=2,
        noise_size=8,
        generator=dict(type='CellGANGenerator', out_size=32, base_channels=2, init_gain=1.0),
        discriminator=dict(
            type='CellGANDiscriminator', in_size=32, base_channels=1, decoder_channels=(2,)
        ),
        ema_config=dict(type='ForeachEMA'),
    ),
    train_dataloader=dict(dataset=dict(metainfo=dict(classes=CLASSES))),
)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A model whose average differs from the weights that were trained last."""
    init_default_scope('mmagic')
    torch.manual_seed(0)
    model = MODELS.build(Config(CONFIG).model)
    with torch.no_grad():
        for parameter in model.generator_ema.module.parameters():
            parameter.mul_(1.5).add_(0.01)
    path = tmp_path_factory.mktemp('run') / 'iter_7.pth'
    torch.save(
        dict(
            state_dict=model.state_dict(),
            meta=dict(dataset_meta=dict(classes=CLASSES), iter=7),
            training_images=torch.arange(32, dtype=torch.uint8).view(2, 16),
        ),
        path,
    )
    return path


@pytest.fixture(scope='module')
def shipped(checkpoint):
    path = checkpoint.with_name('small.safetensors')
    save_safetensors(path, load_tensors(checkpoint, 'cpu'))
    return path


def test_images_stay_within_a_grey_level_or_two(checkpoint, shipped):
    noise, labels = torch.randn(4, 8), torch.tensor([0, 1, 0, 1])
    ours, theirs = (load_model(Config(CONFIG), path, 'cpu') for path in (shipped, checkpoint))
    images = [sample_pixels(m.model, noise, labels).int() for m in (ours, theirs)]
    assert (images[0] - images[1]).abs().max() <= 2
    assert ours.classes == theirs.classes and ours.iteration == theirs.iteration == 7
    assert torch.equal(ours.training_images, theirs.training_images)


def test_it_holds_the_average_alone_in_half_precision(checkpoint, shipped):
    whole = load_tensors(checkpoint, 'cpu')['state_dict']
    found = load_tensors(shipped)['state_dict']
    assert {key.split('.')[0] for key in found} == {'generator', 'generator_ema'}
    for key, value in whole.items():
        if not key.startswith('generator_ema.module.'):
            continue
        expected = value.half().float() if value.ndim >= 2 else value
        assert torch.equal(found[key], expected), key
        assert torch.equal(found[key.replace('_ema.module', '')], expected), key
    assert shipped.stat().st_size < 0.4 * checkpoint.stat().st_size


def test_a_classifier_keeps_its_names(tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    path = tmp_path / 'net.safetensors'
    save_safetensors(path, dict(state_dict=net.state_dict()))
    found = load_safetensors(path)['state_dict']
    assert found.keys() == net.state_dict().keys()
    assert torch.equal(found['1.running_var'], net[1].running_var)
    assert found['0.weight'].dtype == torch.float32


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(ValueError, match='no weights'):
        save_safetensors(tmp_path / 'x.safetensors', dict(state_dict={}))
    with pytest.raises(ValueError, match='big has values that float16 cannot hold'):
        save_safetensors(
            tmp_path / 'x.safetensors', dict(state_dict=dict(big=torch.full((1, 1), 1e5)))
        )
    assert not list(tmp_path.iterdir())


def test_damaged_and_foreign_files_are_said(shipped, tmp_path):
    from safetensors.torch import save_file

    cut = tmp_path / 'cut.safetensors'
    cut.write_bytes(shipped.read_bytes()[:-100])
    with pytest.raises(ValueError, match='damaged or no safetensors'):
        load_tensors(cut)
    foreign = tmp_path / 'foreign.safetensors'
    save_file(dict(x=torch.zeros(1)), foreign)
    with pytest.raises(ValueError, match='not written by tools/model_converters/export_weights'):
        load_tensors(foreign)
    with pytest.raises(FileNotFoundError):
        load_tensors(tmp_path / 'no.safetensors')


def index(folder, shipped):
    (folder / 'a.py').write_text('')
    (folder / 'a.safetensors').write_bytes(shipped.read_bytes())
    (folder / 'model-index.yml').write_text(
        'Models:\n'
        '- {Name: here, Config: a.py, Weights: a.safetensors}\n'
        '- {Name: trained elsewhere, Config: a.py}\n'
        '- {Name: lost, Config: a.py, Weights: b.safetensors}\n'
    )


def test_the_index_names_what_is_there(shipped, tmp_path):
    assert shipped_models(tmp_path) == {}
    index(tmp_path, shipped)
    expected = ShippedModel('here', tmp_path / 'a.py', tmp_path / 'a.safetensors')
    assert shipped_models(tmp_path) == {'here': expected}


def test_a_name_stands_for_config_and_checkpoint(shipped, tmp_path, monkeypatch):
    index(tmp_path, shipped)
    found = shipped_models(tmp_path)
    monkeypatch.setattr('cellgan_plugin.runs.model_zoo.shipped_models', lambda: found)
    assert named_model('here', None) == (tmp_path / 'a.py', tmp_path / 'a.safetensors')
    assert named_model('here', 'own.pth') == (tmp_path / 'a.py', 'own.pth')
    assert named_model('configs/x.py', 'own.pth') == ('configs/x.py', 'own.pth')
    with pytest.raises(ValueError, match=r'other: no checkpoint.*there are: here\)'):
        named_model('other', None)
    monkeypatch.chdir(tmp_path)
    Path('here').mkdir()  # a file or folder of that name comes first
    with pytest.raises(ValueError, match='no checkpoint'):
        named_model('here', None)


def test_every_shipped_model_builds_loads_and_has_a_card():
    models = shipped_models()
    total = sum(model.weights.stat().st_size for model in models.values())
    assert total < 15e6
    for model in models.values():
        assert model.weights.with_suffix('.md').is_file(), model.name
        loaded = load_tensors(model.weights)
        assert loaded['meta']['dataset_meta']['classes'], model.name
        assert all(v.isfinite().all() for v in loaded['state_dict'].values()), model.name
