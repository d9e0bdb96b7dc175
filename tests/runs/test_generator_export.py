"""A generator as a folder: the same images, one call, no code, nothing else is shared."""

import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from programs import run_program
from tiny_generators import CLASSES, TRAINING_IMAGES, write_run

from cellgan_plugin.apis import load_generator
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.runs.generator_export import (
    GeneratorFolderError,
    export_generator,
    push_generator,
)
from cellgan_plugin.synthesis.synthesize import synthesize

FILES = {'model.safetensors', 'config.json', 'README.md'}


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp('export')
    run = write_run(root / 'run')
    return run, export_generator(*run, root / 'generator', 'Tiny')


def test_an_exported_generator_makes_the_images_of_its_checkpoint(exported, tmp_path):
    run, folder = exported
    assert {path.name for path in folder.iterdir()} == FILES
    generator = load_generator(folder, device='cpu')
    assert generator.classes == tuple(CLASSES) and not generator.model.training
    assert np.array_equal(generator.sampling.loaded.training_images, TRAINING_IMAGES)
    synthesize(*run, tmp_path / 'a', per_class=2, workers=1, sheet=0)
    made = generator.images('asc_us', [1, 0, 1])
    for image, seed in zip(made, (1, 0, 1), strict=True):
        own = load_image(str(tmp_path / 'a' / 'ASC-US' / f'ASC-US_{seed:06d}.png'))
        assert np.array_equal(image, own)
    # The folder stands where a config and a checkpoint do.
    synthesize(folder, None, tmp_path / 'b', per_class=2, workers=1, sheet=0)
    for path in (tmp_path / 'a').glob('*/*.png'):
        assert path.read_bytes() == (tmp_path / 'b' / path.relative_to(tmp_path / 'a')).read_bytes()


@pytest.mark.parametrize('kind', ['biggan', 'ldm'])
def test_every_kind_of_generator_is_exported(kind, tmp_path):
    run = write_run(tmp_path / 'run', kind)
    folder = export_generator(*run, tmp_path / 'out', half=kind == 'biggan')
    assert load_generator(folder, 'cpu').images(CLASSES[2], [0]).shape == (1, *_shape(folder))


def _shape(folder):
    return json.loads((folder / 'config.json').read_text())['image_shape']


def test_the_card_and_the_config_say_what_it_is(exported):
    _, folder = exported
    config = json.loads((folder / 'config.json').read_text())
    assert config['classes'] == CLASSES and config['iteration'] == 5
    assert config['training_images'] == len(TRAINING_IMAGES)
    assert config['image_shape'] == [32, 32, 3]
    card = (folder / 'README.md').read_text()
    assert card.startswith('---\nlicense: other') and '# Tiny' in card
    assert config['weights_sha256'] in card and ', '.join(CLASSES) in card
    assert str(folder.parent) not in card + json.dumps(config)  # no path of this machine


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(model=dict(type='os.system', command='true')), "'os.system' is no registered model"),
        (dict(model=dict(type='CellGAN', generator=dict(type='shutil.rmtree'))), 'shutil.rmtree'),
        (dict(format='other'), 'not the config of a generator'),
        (dict(classes='x'), '"classes" are missing'),
        (dict(classes=['../x', 'b', 'c']), 'class'),
        (dict(classes=['a', 'b']), 'classes'),
    ],
)
def test_a_config_from_anywhere_cannot_name_a_function(exported, tmp_path, change, words):
    folder = tmp_path / 'evil'
    shutil.copytree(exported[1], folder)
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**config, **change}))
    with pytest.raises(ValueError, match=words):
        load_generator(folder, 'cpu')


def test_the_tool_writes_the_same_folder(exported, tmp_path):
    run, folder = exported
    tool = Path(__file__).parents[2] / 'tools' / 'model_converters' / 'export_generator.py'
    done = run_program(tool, *run, tmp_path / 'out', '--title', 'Tiny')
    assert 'load_generator(' in done.stdout, done.stderr
    for name in FILES:
        assert (tmp_path / 'out' / name).read_bytes() == (folder / name).read_bytes()


def test_what_is_no_generator_is_named(exported, tmp_path):
    with pytest.raises(GeneratorFolderError, match=r'has no model\.safetensors'):
        load_generator(tmp_path)
    with pytest.raises(FileNotFoundError, match='no folder'):
        load_generator(tmp_path / 'nowhere')
    folder = tmp_path / 'cut'
    shutil.copytree(exported[1], folder)
    (folder / 'config.json').write_text('{')
    with pytest.raises(GeneratorFolderError, match='damaged'):
        load_generator(folder)
    shutil.copy(exported[1] / 'config.json', folder)
    weights = (folder / 'model.safetensors').read_bytes()
    (folder / 'model.safetensors').write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ValueError, match='damaged'):
        load_generator(folder)
    generator = load_generator(exported[1], 'cpu')
    with pytest.raises(ValueError, match='none of'):
        generator.images('other', [0])
    with pytest.raises(ValueError, match='no seed'):
        generator.images(CLASSES[0], [])


def test_the_hub_is_asked_only_for_its_address(exported, tmp_path, monkeypatch):
    """What would go over the network, as calls of huggingface_hub."""
    calls = []

    class HfApi:
        def create_repo(self, name, **options):
            calls.append(('create', name, options))

        def upload_folder(self, **options):
            calls.append(('upload', options))

    def snapshot_download(name, **options):
        calls.append(('download', name, options))
        return str(exported[1])

    hub = types.SimpleNamespace(HfApi=HfApi, snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', hub)
    assert load_generator('hf://me/tiny@v1', 'cpu').classes == tuple(CLASSES)
    assert push_generator(exported[1], 'me/tiny') == 'hf://me/tiny'
    (_, name, pulled), (_, _, created), (_, pushed) = calls
    assert name == 'me/tiny' and pulled['revision'] == 'v1' and created['private']
    assert set(pulled['allow_patterns']) == set(pushed['allow_patterns']) == FILES
    with pytest.raises(GeneratorFolderError):
        push_generator(tmp_path, 'me/tiny')
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(ImportError, match='pip install huggingface_hub'):
        load_generator('hf://me/tiny')
    assert len(calls) == 3
