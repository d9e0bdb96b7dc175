"""What ``mim search`` and ``mim download`` make of ``model-index.yml``."""

import functools
import http.server
import importlib
import threading
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from cellgan_plugin.compat.mim import mim_command, take_shipped_weights

mim_command()  # lends pkg_resources, which mim imports and setuptools no longer has

# Their package gives the functions these names, too.
download_module = importlib.import_module('mim.commands.download')
search_module = importlib.import_module('mim.commands.search')

REPOSITORY = Path(__file__).parents[1]
INDEX = REPOSITORY / 'model-index.yml'


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package as mim finds it in site-packages: a folder with ``.mim`` in it."""
    package = tmp_path / 'site-packages' / 'cellgan_plugin'
    (package / '.mim').mkdir(parents=True)
    (package / '.mim' / 'configs').symlink_to(REPOSITORY / 'configs')
    (package / '.mim' / 'model-index.yml').write_bytes(INDEX.read_bytes())
    for module in (search_module, download_module):
        monkeypatch.setattr(module, 'is_installed', lambda name: name == 'cellgan_plugin')
        monkeypatch.setattr(module, 'get_installed_path', lambda name: str(package))
    return package / '.mim'


def trainable():
    paths = (REPOSITORY / 'configs').rglob('*.py')
    paths = [path.relative_to(REPOSITORY) for path in paths]
    return {
        path.as_posix()
        for path in paths
        if not any(part.startswith('_') for part in path.parts)
        and path.parent.name not in ('benchmarks', 'comparisons', 'study')
    }


def test_search_lists_every_run_with_its_config(installed):
    found = search_module.get_model_info('cellgan_plugin', to_dict=True)
    assert {info['config'] for info in found.values()} == trainable()
    # A name is that of the config, but where the shipped weights are of its better twin.
    others = {'cellgan_phantom': 'cellgan_plus_phantom', 'cellgan_phantom_paper': 'cellgan_phantom'}
    for name, info in found.items():
        assert Path(info['config']).stem == others.get(name, name)
    cellgan = found['cellgan_cric_64']
    assert cellgan['architecture'] == 'cellgan' and cellgan['training_data'] == 'cric'
    assert cellgan['paper'].startswith('https://')
    for info in found.values():
        assert (REPOSITORY / info['readme']).is_file()
    only = search_module.get_model_info(
        'cellgan_plugin', models=['histogan'], training_datasets=['pcam'], to_dict=True
    )
    assert set(only) == {'histogan_pcam', 'histogan_pcam_fd'}


def test_download_copies_weights_that_ship(installed, tmp_path, monkeypatch):
    (installed / 'weights').symlink_to(REPOSITORY / 'weights')
    monkeypatch.setattr(download_module, 'download_from_file', download_module.download_from_file)
    take_shipped_weights(installed)
    names = ['cellgan_phantom', 'resnet18_phantom']
    got = download_module.download('cellgan_plugin', names, str(tmp_path / 'to'))
    assert got == [f'{name}.safetensors' for name in names]
    for name in names:
        shipped = REPOSITORY / 'weights' / f'{name}.safetensors'
        assert (tmp_path / 'to' / shipped.name).read_bytes() == shipped.read_bytes()
        assert Config.fromfile(tmp_path / 'to' / f'{name}.py').model.type


def test_download_takes_the_weights_and_the_whole_config(installed, tmp_path):
    served, index = tmp_path / 'served', yaml.safe_load(INDEX.read_text())
    served.mkdir()
    (served / 'cellgan_phantom-01234567.pth').write_bytes(b'weights')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}/cellgan_phantom-01234567.pth'
    for model in index['Models']:
        if model['Name'] == 'cellgan_phantom':
            model['Weights'] = url
    (installed / 'model-index.yml').write_text(yaml.safe_dump(index, sort_keys=False))
    try:
        got = download_module.download('cellgan_plugin', ['cellgan_phantom'], str(tmp_path / 'to'))
    finally:
        server.shutdown()
        server.server_close()
    assert got == ['cellgan_phantom-01234567.pth']
    assert (tmp_path / 'to' / got[0]).read_bytes() == b'weights'
    config = Config.fromfile(tmp_path / 'to' / 'cellgan_phantom.py')
    assert config.model.type == 'CellGAN' and config.train_cfg.max_iters
