import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.visualization import Visualizer

from cellgan_plugin import compat


def test_versions_here_are_supported():
    compat.check_versions()


# A set that fits; nothing else counts as installed.
FITTING = {
    'torch': '2.14.1', 'torchvision': '0.29.1', 'numpy': '2.5.5', 'scipy': '1.18.1',
    'mmagic': '1.2.0', 'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmpretrain': '1.2.0',
    'requests': '2.34.2',
}  # fmt: skip


def pretend(monkeypatch, needs_torch='>=2.14.0', **changes):
    """Installed are those of :data:`FITTING`, with changes (None: is not installed)."""
    versions = {**FITTING, **{name.replace('_', '-'): x for name, x in changes.items()}}
    monkeypatch.setattr(compat.versions, 'installed_version', versions.get)
    monkeypatch.setattr(compat.versions, '_torch_of_torchvision', lambda: needs_torch)


@pytest.mark.parametrize(
    'package, version, complaint',
    [
        ('torch', '2.3.1', 'torch 2.3.1 is not supported (needs >=2.4)'),
        ('numpy', '1.25.2', 'numpy 1.25.2 is not supported (needs >=1.26)'),
        ('numpy', 'unknown', 'numpy unknown is not supported'),
        ('mmagic', None, 'mmagic is not installed (needs mmagic==1.2.0)'),
        ('mmcv_lite', '2.2.0', 'mmcv-lite 2.2.0 is not supported (needs >=2.0,<2.2)'),
        (
            'mmpretrain',
            None,
            'mmpretrain is not installed (needs mmpretrain==1.2.0 or onedl-mmpretrain>=1.3,<1.4)',
        ),
        ('scipy', None, 'scipy is not installed: pip'),
        ('requests', None, 'requests is not installed: pip'),
        ('torchvision', None, 'torchvision is not installed: pip'),
    ],
)
def test_an_unsupported_version_is_named_with_its_fix(monkeypatch, package, version, complaint):
    pretend(monkeypatch, **{package: version})
    with pytest.raises(compat.UnsupportedVersionError) as error:
        compat.check_versions()
    assert complaint in str(error.value)
    fix = package.replace('_', '-')
    assert re.search(rf'pip install [^\n]*\b{fix}', str(error.value))


@pytest.mark.parametrize(
    'versions',
    [
        dict(torch='2.4.0', needs_torch='==2.4.1', numpy='1.26.4', scipy='1.11.4'),
        dict(torch='2.11.0+cu130', needs_torch='==2.11.0'),
        dict(torch='2.12.0a0+nv26.4', needs_torch=''),  # built from source
        dict(torch='2.15.0'),
        dict(torch='3.0.0', torchvision='1.0.0', numpy='3.0.0'),  # not there yet
        dict(mmcv_lite=None, mmcv='2.1.0'),  # the compiled one
        dict(
            mmengine=None, onedl_mmengine='0.10.12', mmcv_lite=None, onedl_mmcv='2.3.6',
            mmpretrain=None, onedl_mmpretrain='1.3.6',
        ),
        dict(mmpretrain=None, onedl_mmpretrain='1.3.6'),  # forks and originals side by side
        # Asked for by the runs that need them.
        dict(diffusers='0.42.1', huggingface_hub='2.4.0', transformers='5.24.0', setuptools='84'),
    ],
)  # fmt: skip
def test_old_new_and_forked_packages_are_accepted(monkeypatch, versions):
    pretend(monkeypatch, **versions)
    compat.check_versions()


@pytest.mark.parametrize(
    'changes, complaint, fix',
    [
        (
            dict(onedl_mmengine='0.10.12'),
            'mmengine 0.10.7 and onedl-mmengine 0.10.12 are installed into the same folder, '
            'mmengine/, and overwrite each other',
            'pip uninstall -y mmengine onedl-mmengine, then',
        ),
        (
            dict(mmcv='2.1.0', onedl_mmcv='2.3.6'),
            'mmcv-lite 2.1.0 and mmcv 2.1.0 and onedl-mmcv 2.3.6 are installed into the same',
            'pip uninstall -y mmcv-lite mmcv onedl-mmcv, then',
        ),
        (
            dict(onedl_mmpretrain='1.3.6'),
            'mmpretrain 1.2.0 and onedl-mmpretrain 1.3.6 are installed into the same folder',
            'install one of them, e.g. pip install "mmpretrain==1.2.0"',
        ),
    ],
)
def test_a_fork_beside_its_original_is_named(monkeypatch, changes, complaint, fix):
    pretend(monkeypatch, **changes)
    with pytest.raises(compat.UnsupportedVersionError) as error:
        compat.check_versions()
    assert complaint in str(error.value) and fix in str(error.value)


def test_torchvision_of_another_torch_is_refused(monkeypatch):
    pretend(monkeypatch, torch='2.6.0', torchvision='0.26.0', needs_torch='==2.11.0')
    with pytest.raises(compat.UnsupportedVersionError) as error:
        compat.check_versions()
    complaint = 'torchvision 0.26.0 is not supported beside torch 2.6.0 (needs torch==2.11.0)'
    assert complaint in str(error.value)
    assert 'pip install --upgrade "torch==2.6.*" torchvision' in str(error.value)


def test_the_torch_that_torchvision_declares_is_read():
    assert re.match('[=>]=2', compat.versions._torch_of_torchvision())


def test_missing_torch_is_named_without_a_window_for_torchvision(monkeypatch):
    pretend(monkeypatch, torch=None)
    with pytest.raises(compat.UnsupportedVersionError, match='torch is not installed') as error:
        compat.check_versions()
    assert 'torchvision 0' not in str(error.value)


@pytest.mark.parametrize(
    'version, fits', [('3.9.18', 0), ('3.10.0', 1), ('3.12.9', 1), ('3.14.1', 1), ('3.15.0', 0)]
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
    lines = (root / 'requirements' / 'constraints.txt').read_text().splitlines()
    pinned = [line.split(' ;')[0].split('==') for line in lines if '==' in line and line[0] != '#']
    declared = (root / 'requirements' / 'runtime.txt').read_text().splitlines()
    for package, (windows, _) in compat.SUPPORTED.items():
        versions = [(name, version) for name, version in pinned if name in windows]
        assert versions and all(compat.versions.fits(x, windows[name]) for name, x in versions)
        first = next(iter(windows))
        (line,) = (x for x in declared if re.split('[<>=]', x)[0] == first)
        assert line == first + windows[first] or line in compat.SUPPORTED[package].fix, package


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


def test_mmagic_gets_what_numpy_2_took_away_while_it_is_imported(monkeypatch):
    import numpy as np

    before = 'bool8' in vars(np)
    with compat.mmagic.importable_mmagic():
        assert hasattr(np, 'bool8') and np.bool8 is np.bool_
    assert ('bool8' in vars(np)) == before


def test_mmagic_accepts_the_fork_of_mmcv(monkeypatch):
    import mmcv

    monkeypatch.setattr(mmcv, '__version__', '2.3.6')
    monkeypatch.delitem(sys.modules, 'mmagic')
    monkeypatch.setattr(compat.mmagic, 'installed_version', {}.get)
    with pytest.raises(AssertionError, match=r'mmcv==2.3.6 is used but incompatible'):
        with compat.mmagic.importable_mmagic():
            pass
    monkeypatch.setattr(compat.mmagic, 'installed_version', {'onedl-mmcv': '2.3.6'}.get)
    with compat.mmagic.importable_mmagic():
        assert mmcv.__version__ == '2.3.6'
    assert mmcv.__version__ == '2.3.6'


def test_compiled_operators_are_looked_for_without_find_loader(monkeypatch):
    import pkgutil

    from mmcv.utils import ext_loader
    from mmengine.utils.dl_utils import misc

    has_ops = ext_loader.check_ops_exist(), misc.mmcv_full_available()
    for module in (ext_loader, misc):
        if hasattr(module, 'pkgutil'):
            monkeypatch.setattr(module, 'pkgutil', pkgutil)
    monkeypatch.delattr(pkgutil, 'find_loader', raising=False)  # as on Python 3.14
    compat.mmengine.restore_find_loader()
    assert (ext_loader.check_ops_exist(), misc.mmcv_full_available()) == has_ops
    assert not hasattr(pkgutil, 'find_loader')
    assert compat.mmengine._find_loader('no_such_package') is None


@pytest.fixture
def no_pkg_resources(monkeypatch):
    from mmengine import utils
    from mmengine.config import config
    from mmengine.utils import package_utils

    if 'pkg_resources' not in package_utils.get_installed_path.__code__.co_names:
        # Repaired already, or a fork that does without: what follows is asked of it all the same.
        return
    for module in (utils, config, package_utils):
        for name in ('is_installed', 'get_installed_path'):
            monkeypatch.setattr(module, name, getattr(module, name))
    find_spec = compat.mmengine.importlib.util.find_spec
    monkeypatch.setattr(
        compat.mmengine.importlib.util,
        'find_spec',
        lambda name, *rest: None if name == 'pkg_resources' else find_spec(name, *rest),
    )
    monkeypatch.setitem(sys.modules, 'pkg_resources', None)
    compat.mmengine.find_packages_without_pkg_resources()


@pytest.mark.parametrize(
    'base', ['mmagic::_base_/gen_default_runtime.py', 'mmpretrain::_base_/default_runtime.py']
)
def test_configs_of_other_packages_are_found_without_pkg_resources(
    tmp_path, no_pkg_resources, base
):
    from mmengine.config import Config

    config = tmp_path / 'mine.py'
    config.write_text(f"_base_ = ['{base}']\nlog_level = 'mine'\n")
    loaded = Config.fromfile(config)
    assert loaded.log_level == 'mine' and 'default_hooks' in loaded


def test_packages_are_found_without_pkg_resources():
    import mmcv

    is_installed, installed_path = compat.mmengine._is_installed, compat.mmengine._installed_path
    folder = str(Path(mmcv.__file__).parent)
    assert installed_path('mmcv') == folder
    name = next(x for x in compat.SUPPORTED['mmcv'].distributions if compat.installed_version(x))
    assert installed_path(name) == folder  # the distribution has another name than the module
    assert is_installed('mmcv') and is_installed(name)
    assert not is_installed('no_such_package')
    with pytest.raises(ModuleNotFoundError, match='no_such_package'):
        installed_path('no_such_package')


# In a process without pkg_resources, then without mim.
MIM = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: (
    None if name == 'pkg_resources' else find_spec(name, *rest))
from cellgan_plugin.compat import UnavailableError, mim_command
command = mim_command()
assert {'train', 'test', 'run'} <= set(command.list_commands(None))
assert sys.modules['pkg_resources'].__name__ == 'pip._vendor.pkg_resources'
for name in [name for name in sys.modules if name.split('.')[0] == 'mim']:
    sys.modules[name] = None
try:
    mim_command()
except UnavailableError as error:
    assert 'pip install openmim' in str(error), error
else:
    raise AssertionError('found')
"""


def test_mim_runs_whatever_setuptools_brings():
    result = subprocess.run([sys.executable, '-c', MIM], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_diffusers_that_does_not_import_is_named_with_its_fix(monkeypatch):
    from cellgan_plugin.models.latent_diffusion import LatentUNet

    for missing in (None, types.ModuleType('diffusers')):  # not installed; without the class
        monkeypatch.setitem(sys.modules, 'diffusers', missing)
        with pytest.raises(compat.UnavailableError, match='pip install -U diffusers') as error:
            LatentUNet(num_classes=2, sample_size=8, in_channels=4, block_out_channels=(8, 8))
        assert 'UNet2DModel' in str(error.value)


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
    if not hasattr(config, 'FormatCode'):  # a fork that formats without yapf, fast enough
        compat.mmengine.format_configs_once()
        return
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
    original = getattr(BaseDataset._copy_without_annotation, '__wrapped__', None)
    for memo in original.__defaults__ if original else ():  # a fork has mended it
        assert id(first) not in memo
    _, second = subset([lambda info: dict(info, seen=True)])
    assert [second[i] for i in range(2)] == [
        dict(number=2, sample_idx=0, seen=True),
        dict(number=0, sample_idx=1, seen=True),
    ]
    patched = BaseDataset._copy_without_annotation
    compat.mmengine.forget_earlier_copies()
    assert BaseDataset._copy_without_annotation is patched


class Recorder(types.ModuleType):
    """A package to whose server metrics would go: keeps what it is given."""

    def __init__(self, name):
        super().__init__(name)
        self.metrics, self.images = {}, {}
        self.config = types.SimpleNamespace(update=lambda *_, **__: None)

    def init(self, **_):
        """W&B begins."""

    def Image(self, image):  # noqa: N802
        return image

    def log(self, values, commit):
        """W&B takes any name."""
        for name, value in values.items():
            (self.images if isinstance(value, np.ndarray) else self.metrics)[name] = value

    def set_tracking_uri(self, *_, **__):
        """MLflow begins."""

    create_experiment = set_experiment = get_experiment_by_name = set_tracking_uri

    def log_metrics(self, values, step):
        """MLflow takes some names, see _VALID_PARAM_AND_METRIC_NAMES of mlflow.utils.validation."""
        for name, value in values.items():
            assert re.fullmatch(r'[/\w.\- ]*', name), name
            self.metrics[name, step] = value

    def log_metric(self, name, value, step):
        self.log_metrics({name: value}, step)

    def log_image(self, image, file):
        """The ending says the format."""
        assert Path(file).suffix in PIL.Image.registered_extensions() and file not in self.images
        self.images[file] = image


def test_sheets_and_distances_reach_w_and_b_and_mlflow(tmp_path, monkeypatch):
    wandb, mlflow = Recorder('wandb'), Recorder('mlflow')
    monkeypatch.setitem(sys.modules, 'wandb', wandb)
    monkeypatch.setitem(sys.modules, 'mlflow', mlflow)
    kinds = ('LocalVisBackend', 'WandbVisBackend', 'MLflowVisBackend')
    visualizer = Visualizer(
        vis_backends=[dict(type=f'mmengine.{kind}') for kind in kinds], save_dir=str(tmp_path)
    )
    compat.make_mlflow_names_valid()  # once more changes nothing
    sheet = np.zeros((4, 4, 3), np.uint8)
    for step in (2, 4):
        compat.show_image(visualizer, 'sheet', sheet, step)
        visualizer.add_scalars({'loss_disc': 0.5, 'FD(ResNet)/NILM': 1.0 * step}, step=step)
        visualizer.add_scalar('FD(ResNet)/mean smoothed', 2.0, step)
    assert wandb.images['sheet'] is sheet and wandb.metrics['FD(ResNet)/NILM'] == 4.0
    assert list(mlflow.images) == ['sheet_00000002.png', 'sheet_00000004.png']
    assert mlflow.metrics['loss_disc', 2] == 0.5 and mlflow.metrics['FD_ResNet_/NILM', 4] == 4.0
    assert mlflow.metrics['FD_ResNet_/mean smoothed', 4] == 2.0
    assert not list(tmp_path.rglob('*.png')), 'no second copy of a file of the work directory'
