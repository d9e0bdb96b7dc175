import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from cellgan_plugin import compat


def test_versions_here_are_supported():
    compat.check_versions()


def pretend(monkeypatch, **versions):
    installed = compat.installed_version
    monkeypatch.setattr(
        compat.versions, 'installed_version', lambda name: versions.get(name, installed(name))
    )


@pytest.mark.parametrize(
    'package, version, complaint',
    [
        ('torch', '2.3.1', 'torch 2.3.1 is not supported (needs >=2.4,<2.16)'),
        ('torch', '2.16.0+cu130', 'torch 2.16.0+cu130 is not supported'),
        ('numpy', '2.1.0', 'numpy 2.1.0 is not supported (needs <2)'),
        ('mmagic', None, 'mmagic is not installed (needs ==1.2.0)'),
        ('mmcv', '2.2.0', 'mmcv 2.2.0 is not supported'),
        ('transformers', '4.49.0', 'transformers 4.49.0 is not supported (needs <4.49)'),
        ('albumentations', None, 'albumentations is not installed: pip'),
        ('imageio', None, 'imageio is not installed: pip'),
        ('requests', None, 'requests is not installed: pip'),
    ],
)
def test_an_unsupported_version_is_named_with_its_fix(monkeypatch, package, version, complaint):
    pretend(monkeypatch, **{package: version})
    with pytest.raises(compat.UnsupportedVersionError) as error:
        compat.check_versions()
    assert complaint in str(error.value)
    assert re.search(f'pip install "?{package}', str(error.value))


@pytest.mark.parametrize(
    'torch_version, torchvision', [('2.4.0', '0.19.1'), ('2.11.0+cu130', '0.26.0+cu130')]
)
def test_local_and_patch_versions_of_torch_are_accepted(monkeypatch, torch_version, torchvision):
    pretend(monkeypatch, torch=torch_version, torchvision=torchvision)
    compat.check_versions()


def test_torchvision_of_another_torch_is_refused(monkeypatch):
    pretend(monkeypatch, torch='2.6.0', torchvision='0.26.0')
    with pytest.raises(compat.UnsupportedVersionError) as error:
        compat.check_versions()
    assert 'torchvision 0.26.0 is not supported (needs ==0.21.*)' in str(error.value)
    assert 'pip install "torch==2.6.*" "torchvision==0.21.*"' in str(error.value)


def test_missing_torch_is_named_without_a_window_for_torchvision(monkeypatch):
    pretend(monkeypatch, torch=None)
    with pytest.raises(compat.UnsupportedVersionError, match='torch is not installed') as error:
        compat.check_versions()
    assert 'torchvision 0' not in str(error.value)


@pytest.mark.parametrize(
    'version, fits', [('3.9.18', 0), ('3.10.0', 1), ('3.12.9', 1), ('3.13.0', 0)]
)
def test_python_itself_is_checked(monkeypatch, version, fits):
    monkeypatch.setattr(compat.versions.platform, 'python_version', lambda: version)
    if fits:
        return compat.check_versions()
    with pytest.raises(compat.UnsupportedVersionError, match=f'Python {version} is not supported'):
        compat.check_versions()


def test_windows_agree_with_what_is_declared():
    root = Path(__file__).parents[1]
    assert f"python_requires='{compat.SUPPORTED_PYTHON}'" in (root / 'setup.py').read_text()
    pinned = dict(
        line.split(' ;')[0].split('==')
        for line in (root / 'requirements' / 'constraints.txt').read_text().splitlines()
        if '==' in line and not line.startswith('#')
    )
    for package, (window, _) in compat.SUPPORTED.items():
        name = 'mmcv-lite' if package == 'mmcv' else package
        assert name in pinned and compat.versions._fits(pinned[name], window), package


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
    if isinstance(extension, compat.mmcv._MissingOps):
        with pytest.raises(NotImplementedError, match="'nms' needs the compiled mmcv"):
            extension.nms()
    assert compat.mmcv.stub_mmcv_ops() == isinstance(extension, compat.mmcv._MissingOps)


def test_the_stub_is_inert_where_mmcv_is_compiled(monkeypatch):
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    monkeypatch.setattr(compat.mmcv.importlib.util, 'find_spec', lambda name: object())
    assert compat.mmcv.stub_mmcv_ops() is False
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


@pytest.mark.parametrize('trust', ['0', '1'])
@pytest.mark.parametrize(
    'damage', ['cut', 'empty', 'text', 'pickle', 'angle', 'html', 'lfs', 'lfs with mark']
)
def test_a_damaged_checkpoint_is_named_and_nobody_is_told_to_trust_it(
    tmp_path, monkeypatch, damage, trust
):
    monkeypatch.setenv(compat.TRUST_VARIABLE, trust)
    lfs = b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n'
    path = tmp_path / 'broken.pth'
    torch.save({'a': torch.arange(1000)}, path)
    data = path.read_bytes()
    path.write_bytes(
        {
            'cut': data[: len(data) // 2],
            'empty': b'',
            'text': b'hello there',
            'pickle': pickle.dumps(3),
            'angle': b'<h1>unsupported global class</h1>',
            'html': b'\n<!DOCTYPE HTML><html><body>Sign in</body></html>',
            'lfs': lfs,
            'lfs with mark': b'\xef\xbb\xbf' + lfs,
        }[damage]
    )
    with pytest.raises(ValueError, match=str(path)) as error:
        compat.load_tensors(path)
    message = str(error.value)
    assert 'trust' not in message and 'weights_only' not in message
    assert ('git lfs pull' in message) == damage.startswith('lfs')
    assert ('web page' in message and 'download it again' in message) == (damage == 'html')


def foreign_checkpoint(folder):
    payload = _RunsCode()
    payload.target = str(folder / 'owned')
    torch.save({'state_dict': {}, 'meta': payload}, folder / 'foreign.pth')
    return folder / 'foreign.pth'


@pytest.fixture
def web(tmp_path, monkeypatch):
    """Downloads copy ``source``; ``urls`` has what was asked for."""

    class Web:
        source = tmp_path / 'source.pth'
        urls = []

    def download(url, dst, hash_prefix=None, progress=True):
        Web.urls.append(url)
        shutil.copy(Web.source, dst)

    Web.urls = []
    torch.save({'a': torch.arange(3)}, Web.source)
    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    monkeypatch.delenv(compat.TRUST_VARIABLE, raising=False)
    return Web


ADDRESSES = [
    'https://example.org/models/a.pth?download=1',
    'torchvision://resnet18',
    'modelzoo://resnet18',
    'mmcls://mobilenet_v2',
    'open-mmlab://detectron2/resnet50_caffe',
    'openmmlab://detectron2/resnet50_caffe',
]


@pytest.mark.parametrize('address', ADDRESSES)
def test_a_download_is_loaded_once_and_safely(tmp_path, web, monkeypatch, address):
    if address.startswith('mmcls'):  # takes the backbone out of what it gets
        torch.save({'state_dict': {'backbone.a': torch.arange(3)}}, web.source)
    for _ in range(2):
        state = CheckpointLoader.load_checkpoint(address)
        state = state.get('state_dict', state)
        assert state['a'].tolist() == [0, 1, 2]
    assert len(web.urls) == 1 and web.urls[0].startswith('https://')

    (cached,) = (tmp_path / 'hub' / 'checkpoints').iterdir()
    cached.unlink()
    web.source = foreign_checkpoint(tmp_path)
    with pytest.raises(compat.UntrustedCheckpointError, match='--trust-checkpoint'):
        CheckpointLoader.load_checkpoint(address)
    assert not (tmp_path / 'owned').exists()
    monkeypatch.setenv(compat.TRUST_VARIABLE, '1')
    CheckpointLoader.load_checkpoint(address)
    assert (tmp_path / 'owned').exists()


def test_a_web_page_instead_of_a_download_is_named(web):
    web.source.write_text('<!DOCTYPE html><html>moved</html>')
    with pytest.raises(ValueError, match='a.pth is not a checkpoint but a web page'):
        CheckpointLoader.load_checkpoint('https://example.org/a.pth')


@pytest.mark.parametrize('scheme', ['pavi://', 's3://', 'cluster:s3://', 'petrel://'])
def test_addresses_that_mmengine_reads_unsafely_are_refused(scheme):
    with pytest.raises(ValueError, match='Download the file and name its path'):
        CheckpointLoader.load_checkpoint(f'{scheme}bucket/a.pth')


def test_an_unknown_openmmlab_model_is_named(web):
    with pytest.raises(ValueError, match='open-mmlab://none: MMEngine knows no model'):
        CheckpointLoader.load_checkpoint('open-mmlab://none')


def test_every_loader_of_mmengine_is_safe_or_refused():
    names = {loader.__name__ for loader in CheckpointLoader._schemes.values()}
    ours = {'load_from_local', 'load_from_http', 'load_from_openmmlab', 'load_from_refused'}
    # These two call load_from_http of their module, which is ours.
    assert names == ours | {'load_from_torchvision', 'load_from_mmcls'}


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


@pytest.mark.parametrize('update_buffers', [True, False])
def test_averages_go_on_after_the_model_has_moved(update_buffers):
    from mmagic.models.base_models import ExponentialMovingAverage

    source = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3))
    average = ExponentialMovingAverage(source, momentum=0.5, update_buffers=update_buffers)
    source.double(), average.double()  # as a move to a GPU: other tensors
    for value in (2.0, 4.0):
        with torch.no_grad():
            source[0].bias.fill_(value)
            source[1].running_mean.fill_(value)
        average.update_parameters(source)
    assert average.module[0].bias.tolist() == [3.0] * 3
    assert average.module[1].running_mean.tolist() == [3.0 if update_buffers else 4.0] * 3
    patched = type(average).update_parameters
    compat.mmengine.keep_averages_attached()
    assert type(average).update_parameters is patched


def test_a_config_is_formatted_once_and_as_before(monkeypatch):
    from mmengine.config import Config, config

    text = Config(dict(a=dict(b=[1, 2.5, 'x'], c=None))).pretty_text
    with monkeypatch.context() as context:
        context.setattr(config, 'FormatCode', config.FormatCode.__wrapped__)
        assert Config(dict(a=dict(b=[1, 2.5, 'x'], c=None))).pretty_text == text
    calls = []
    original = config.FormatCode.__wrapped__
    monkeypatch.setattr(config, 'FormatCode', lambda *a, **k: calls.append(a) or original(*a, **k))
    compat.mmengine.format_configs_once()
    changing = Config(dict(a=1))
    assert changing.pretty_text == changing.pretty_text == 'a = 1\n' and len(calls) == 1
    changing.a = 2
    assert changing.pretty_text == 'a = 2\n' and len(calls) == 2
    compat.mmengine.format_configs_once()
    assert changing.pretty_text == 'a = 2\n' and len(calls) == 2


def test_a_subset_is_of_this_data_set_whatever_was_copied_before():
    from mmengine.dataset import BaseDataset

    def subset(pipeline):
        dataset = BaseDataset(lazy_init=True, serialize_data=False, pipeline=pipeline)
        dataset.data_list, dataset._fully_initialized = [dict(number=i) for i in range(3)], True
        return dataset, dataset.get_subset([2, 0])

    first, _ = subset([])
    # What the next data set's pipeline would meet at the address of a data set that is gone.
    for memo in BaseDataset._copy_without_annotation.__wrapped__.__defaults__:
        assert id(first) not in memo
    _, second = subset([lambda info: dict(info, seen=True)])
    assert [second[i] for i in range(2)] == [
        dict(number=2, sample_idx=0, seen=True),
        dict(number=0, sample_idx=1, seen=True),
    ]
    patched = BaseDataset._copy_without_annotation
    compat.mmengine.forget_earlier_copies()
    assert BaseDataset._copy_without_annotation is patched
