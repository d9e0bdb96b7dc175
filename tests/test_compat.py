import logging
import os
import pickle
import subprocess
import sys
import zipfile

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from cellgan_plugin import compat


def test_versions_here_are_supported():
    compat.check_versions()


@pytest.mark.parametrize(
    'package, version, complaint',
    [
        ('torch', '2.3.1', 'torch 2.3.1 is not supported (needs >=2.4,<2.16)'),
        ('torch', '2.16.0+cu130', 'torch 2.16.0+cu130 is not supported'),
        ('numpy', '2.1.0', 'numpy 2.1.0 is not supported (needs <2)'),
        ('mmagic', None, 'mmagic is not installed (needs ==1.2.0)'),
        ('mmcv', '2.2.0', 'mmcv 2.2.0 is not supported'),
    ],
)
def test_an_unsupported_version_is_named_with_its_fix(monkeypatch, package, version, complaint):
    installed = compat.installed_version
    monkeypatch.setattr(
        compat, 'installed_version', lambda name: version if name == package else installed(name)
    )
    with pytest.raises(compat.UnsupportedVersionError) as error:
        compat.check_versions()
    assert complaint in str(error.value)
    assert f'pip install "{package}' in str(error.value)


@pytest.mark.parametrize('version', ['2.4.0', '2.11.0+cu130', '2.15.0'])
def test_local_and_patch_versions_of_torch_are_accepted(monkeypatch, version):
    installed = compat.installed_version
    monkeypatch.setattr(
        compat, 'installed_version', lambda name: version if name == 'torch' else installed(name)
    )
    compat.check_versions()


def test_importing_the_package_is_quiet_and_registers():
    code = (
        'import warnings; warnings.simplefilter("default")\n'
        'import cellgan_plugin\n'
        'from mmagic.registry import MODELS, DATASETS, HOOKS\n'
        'assert "CellGAN" in MODELS.module_dict and "CellGANGenerator" in MODELS.module_dict\n'
        'assert "CellPatchDataset" in DATASETS.module_dict\n'
        'assert "SampleSheetHook" in HOOKS.module_dict'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == '' and result.stderr == ''


def test_an_op_of_the_compiled_mmcv_says_what_is_missing():
    from mmcv.ops import nms  # noqa: F401  imports with mmcv-lite

    extension = sys.modules['mmcv._ext']
    if isinstance(extension, compat._MissingOps):
        with pytest.raises(NotImplementedError, match="'nms' needs the compiled mmcv"):
            extension.nms()
    assert compat.stub_mmcv_ops() == isinstance(extension, compat._MissingOps)


def test_the_stub_is_inert_where_mmcv_is_compiled(monkeypatch):
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    monkeypatch.setattr(compat.importlib.util, 'find_spec', lambda name: object())
    assert compat.stub_mmcv_ops() is False
    assert 'mmcv._ext' not in sys.modules


class _RunsCode:
    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize('load', [compat.load_tensors, CheckpointLoader.load_checkpoint])
def test_a_checkpoint_with_foreign_code_is_refused_and_not_run(tmp_path, load):
    payload = _RunsCode()
    payload.target = str(tmp_path / 'owned')
    path = tmp_path / 'foreign.pth'
    torch.save({'state_dict': {}, 'meta': payload}, path)
    with pytest.raises(compat.UntrustedCheckpointError, match='--trust-checkpoint'):
        load(str(path))
    assert not (tmp_path / 'owned').exists()


def test_a_trusted_checkpoint_is_loaded(tmp_path, monkeypatch):
    from mmengine.logging import HistoryBuffer

    path = tmp_path / 'old.pth'
    torch.save({'message_hub': HistoryBuffer([1.0], [1])}, path)
    monkeypatch.setenv(compat.TRUST_VARIABLE, '1')
    assert compat.load_tensors(path)['message_hub'].current() == 1.0


@pytest.mark.parametrize('damage', ['cut', 'empty', 'text', 'pickle'])
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    path = tmp_path / 'broken.pth'
    torch.save({'a': torch.arange(1000)}, path)
    data = path.read_bytes()
    path.write_bytes(
        {
            'cut': data[: len(data) // 2],
            'empty': b'',
            'text': b'hello there',
            'pickle': pickle.dumps(3),
        }[damage]
    )
    with pytest.raises((ValueError, compat.UntrustedCheckpointError), match=str(path)):
        compat.load_tensors(path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.pth'):
        compat.load_tensors(tmp_path / 'none.pth')


def test_our_zip_layout_is_what_the_damage_check_expects(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'a': torch.arange(3)}, path)
    assert zipfile.is_zipfile(path)


@pytest.mark.parametrize(
    'message, kept',
    [
        ('"FileClient" will be deprecated in future. Please use io functions', False),
        ('"HardDiskBackend" is the alias of "LocalBackend" and will be deprecated', False),
        ('your optimizer will be deprecated', True),
        ('a checkpoint is damaged', True),
    ],
)
def test_only_the_file_client_warning_is_dropped(message, kept):
    record = logging.LogRecord('mmengine', logging.WARNING, '', 0, message, (), None)
    assert compat.drop_file_client_warnings(record) is kept


def test_gloo_is_started_for_torchrun_only(monkeypatch):
    assert compat.start_cpu_process_group('none') is False
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match='torchrun'):
            compat.start_cpu_process_group('slurm')
