"""The report for issues tells what matters, and nothing about whoever makes it."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cellgan_plugin import __version__
from cellgan_plugin.report import (
    config_hash,
    device_lines,
    environment_lines,
    main,
    package_versions,
    report,
)

BASE = """
data_root = '{{$CELLGAN_DATA_ROOT:data/tct}}'
model = dict(type='CellGAN', noise_size=128)
"""
CHILD = """
# A comment.
_base_ = 'base.py'
model = dict(num_classes=5)
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)
    path = tmp_path / 'child.py'
    path.write_text(CHILD)
    return path


def test_the_hash_is_of_the_values(config, tmp_path, monkeypatch):
    expected = config_hash(config)
    assert re.fullmatch(r'[0-9a-f]{32}', expected)
    flat = tmp_path / 'other_name.py'
    flat.write_text(
        "model = dict(num_classes=5, noise_size=128, type='CellGAN')\ndata_root = 'data/tct'\n"
    )
    assert config_hash(flat) == expected
    monkeypatch.setenv('CELLGAN_DATA_ROOT', '/somewhere')  # differs from machine to machine
    assert config_hash(config) == expected
    import os

    assert os.environ['CELLGAN_DATA_ROOT'] == '/somewhere'
    for change in ({'model.noise_size': 64}, {'data_root': '/mine'}, {'new': None}):
        assert config_hash(config, change) != expected
    assert config_hash(config, {'model.noise_size': 128}) == expected
    (tmp_path / 'base.py').write_text(BASE.replace('128', '127'))
    assert config_hash(config) != expected


def test_versions_are_those_that_are_imported():
    versions = package_versions()
    assert versions['torch'] == torch.__version__ or torch.__version__.startswith(
        versions['torch'] + '+'
    )
    assert versions['numpy'] == np.__version__
    assert {'mmagic', 'torchvision'} <= set(versions)
    for package in ('mmengine', 'mmcv', 'mmpretrain'):  # or a fork of it
        assert sum(name.removeprefix('onedl-').startswith(package) for name in versions) == 1
    assert any(name.startswith('opencv') for name in versions)


def test_a_machine_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    cpu, gpu = device_lines()
    assert re.fullmatch(r'CPU: .+, \d+ of \d+ cores, \d+\.\d GiB', cpu)
    assert gpu.startswith('GPU: none that PyTorch can use (built ')


def test_a_machine_with_two_gpus(monkeypatch):
    properties = [
        SimpleNamespace(name='NVIDIA A', total_memory=24 * 2**30, major=8, minor=6),
        SimpleNamespace(name='NVIDIA B', total_memory=139 * 2**30, major=9, minor=0),
    ]
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', properties.__getitem__)
    monkeypatch.setenv('PATH', '')  # without nvidia-smi
    _, first, second, versions = device_lines()
    assert first == 'GPU 0: NVIDIA A, 24.0 GiB, compute capability 8.6'
    assert second == 'GPU 1: NVIDIA B, 139.0 GiB, compute capability 9.0'
    assert re.fullmatch(r'CUDA \S+, cuDNN \S+, driver unknown', versions)


def test_own_variables_are_named_without_their_paths():
    lines = environment_lines(
        dict(
            OMP_NUM_THREADS='1',
            CELLGAN_DATA_ROOT='/home/someone/patients',
            CELLGAN_TRUST_CHECKPOINT='1',
            HOME='/home/someone',
        )
    )
    assert lines == ['OMP_NUM_THREADS=1', 'CELLGAN_TRUST_CHECKPOINT=1', 'set: CELLGAN_DATA_ROOT']
    assert environment_lines({}) == []


def test_the_command(config, capsys, monkeypatch):
    monkeypatch.setenv('CELLGAN_DATA_ROOT', '/home/someone/patients')
    main([str(config), '--cfg-options', 'model.noise_size=64'])
    text = capsys.readouterr().out
    assert text.startswith(f'cellgan_plugin {__version__}')
    assert f'child.py with 1 options: {config_hash(config, {"model.noise_size": 64})}' in text
    assert 'someone' not in text and str(config.parent) not in text
    assert 'config' not in report().split('\n')  # none was given
    for arguments, message in (
        (['nowhere.py'], 'there is no config nowhere.py'),
        (['--cfg-options', 'a=1'], 'need the config'),
        ([str(config), '--cfg-options', 'model.type.a=1'], '--cfg-options model.type.a'),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err


def test_a_part_that_is_left_out_can_be_given_as_to_the_tools(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('model = dict(loss=None)\n')
    given = tmp_path / 'given.py'
    given.write_text("model = dict(loss=dict(type='L1'))\n")
    assert config_hash(path, {'model.loss.type': 'L1'}) == config_hash(given)
