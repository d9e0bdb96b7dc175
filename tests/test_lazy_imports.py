import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from programs import run_program

from cellgan_plugin.compat import FAST_START_VARIABLE, fast_start, lazy_packages, mmagic

ROOT = Path(__file__).parents[1]
LEFT_OUT = re.compile(r'mmagic\.models\.editors\.(animatediff|vico)\b')
# What an eager MMagic has: the module of every registered class, and of every public name. Two
# editors that no diffusers of today lets import are left out.
EAGER = """
import importlib.util, json, sys
from types import ModuleType
# Not the package itself, which makes lazy what does not import.
folder, = importlib.util.find_spec('cellgan_plugin').submodule_search_locations
for name, path in (('cellgan_plugin', folder), ('cellgan_plugin.compat', folder + '/compat')):
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__path__ = [path]
from cellgan_plugin.compat import mmagic, mmcv, mmengine, quiet
mmcv.stub_mmcv_ops()
mmengine.restore_find_loader()
for name, classes in dict(animatediff=['AnimateDiff', 'UNet3DConditionMotionModel'],
                          vico=['ViCo']).items():
    stub = ModuleType(f'mmagic.models.editors.{name}')
    vars(stub).update({x: type(x, (), dict(__module__=f'{stub.__name__}.x')) for x in classes})
    sys.modules[stub.__name__] = stub
registered, public = {}, {}
with quiet.quiet_upstream(), mmagic.importable_mmagic():
    for group in mmagic.LAZY_GROUPS:
        for package in group.packages:
            module = importlib.import_module(package)
            # Some lists name what is not there.
            public[package] = {name: getattr(getattr(module, name, None), '__module__', None)
                               for name in module.__all__}
from mmagic import registry
for name in (x for group in mmagic.LAZY_GROUPS for x in group.registries):
    table = getattr(registry, name).module_dict
    assert type(table) is dict
    registered[name] = {key: x.__module__ for key, x in table.items()}
json.dump(dict(registered=registered, public=public), sys.stdout)
"""

LAZY = """
import sys
import torch
import cellgan_plugin
from mmagic.registry import MODELS
heavy = {'diffusers', 'transformers', 'sklearn', 'scipy', 'pandas', 'albumentations', 'lpips',
         'matplotlib', 'torch.distributed.optim', 'mmpretrain', 'mmagic.models.editors.biggan',
         'torchvision', 'torch._dynamo', 'torch.distributed.fsdp', 'sympy'}
if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 5):
    heavy.remove('sympy')  # torch.distributed needs it
assert not heavy & set(sys.modules), heavy & set(sys.modules)

# Wrappers: what nobody has imported is no instance of anything.
import torch
import mmengine.model
from mmengine.model import is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS, STRATEGIES
assert not is_model_wrapper(torch.nn.Identity())
assert is_model_wrapper(torch.nn.DataParallel(torch.nn.Identity()))
assert MODEL_WRAPPERS.get('MMSeparateDistributedDataParallel')
assert 'torch.distributed.fsdp' not in sys.modules
sharded = MODEL_WRAPPERS.get('MMFullyShardedDataParallel')
assert sharded is mmengine.model.MMFullyShardedDataParallel
assert issubclass(sharded, torch.distributed.fsdp.FullyShardedDataParallel)
import mmengine._strategy
assert 'FSDPStrategy' in mmengine._strategy.__all__
assert STRATEGIES.get('FSDPStrategy') is mmengine._strategy.FSDPStrategy
assert STRATEGIES.get('SingleDeviceStrategy').__module__ == 'mmengine._strategy.single_device'

# A grid of images.
from mmagic.utils import tensor2img
assert 'torchvision' not in sys.modules
grid = tensor2img(torch.rand(4, 3, 8, 8), min_max=(0, 1))
import torchvision
assert grid.shape[:2] == torchvision.utils.make_grid(torch.rand(4, 3, 8, 8), nrow=2).shape[1:]

# By name, as a config asks for it; only what belongs to it is imported.
BigGAN = MODELS.get('BigGAN')
assert BigGAN.__module__ == 'mmagic.models.editors.biggan.biggan'
assert MODELS.get('mmagic.SNGAN') is MODELS.get('SAGAN')
from mmengine.registry import MODELS as ROOT, init_default_scope
init_default_scope('mmagic')
loss = ROOT.build(dict(type='mmagic.GANLoss', gan_type='hinge'))
for name in ('BigGANGenerator', 'ProjDiscriminator', 'Pix2Pix', 'PatchDiscriminator', 'Deconv',
             'PerceptualLoss', 'DataPreprocessor', 'ResidualBlockNoBN'):
    assert (MODELS.get(name) is None) == (name == 'ResidualBlockNoBN'), name  # not registered
assert MODELS.get('Conv2d').__name__ == 'Conv2d'  # of MMCV, in the root registry
assert 'NoSuchThing' not in MODELS
try:
    MODELS.build(dict(type='NoSuchThing'))
except KeyError as error:
    assert 'NoSuchThing is not in the mmagic::model registry' in str(error), error
else:
    raise AssertionError('built')
assert 'mmagic.models.editors.dcgan' not in sys.modules and 'diffusers' not in sys.modules

from mmagic.registry import EVALUATORS, METRICS, TRANSFORMS
assert TRANSFORMS.get('PackInputs').__module__ == 'mmagic.datasets.transforms.formatting'
assert TRANSFORMS.get('RandomFlip').__module__.startswith('mmcv')
assert EVALUATORS.get('Evaluator').__module__ == 'mmagic.evaluation.evaluator'
assert METRICS.get('PSNR').__module__ == 'mmagic.evaluation.metrics.psnr'
assert 'albumentations' not in sys.modules and 'lpips' not in sys.modules
assert METRICS.get('FID').__module__ == 'mmagic.evaluation.metrics.fid'
from mmagic.datasets.transforms import blur_kernels, Albumentations
import mmagic.evaluation
assert mmagic.evaluation.NIQE is METRICS.get('NIQE')

from mmengine.registry import OPTIMIZERS
assert OPTIMIZERS.get('Adam').__module__ == 'torch.optim.adam'
assert not {'transformers', 'torch.distributed.optim'} & set(sys.modules)
import mmengine.optim
from torch.distributed.optim import ZeroRedundancyOptimizer
assert issubclass(OPTIMIZERS.get('ZeroRedundancyOptimizer'), ZeroRedundancyOptimizer)
assert mmengine.optim.ZeroRedundancyOptimizer is OPTIMIZERS.get('ZeroRedundancyOptimizer')
import transformers
assert OPTIMIZERS.get('Adafactor') is transformers.Adafactor

# By import, in every way.
import mmagic.models
from mmagic.models import BigGAN as B1, BaseConditionalGAN, GANLoss, DCGAN
from mmagic.models.editors import BigGAN as B2
from mmagic.models.editors.biggan import BigGAN as B3
from mmagic.models.archs import PatchDiscriminator, pixel_unshuffle
assert BigGAN is B1 is B2 is B3 is mmagic.models.editors.biggan.BigGAN
assert PatchDiscriminator is MODELS.get('PatchDiscriminator') and type(loss) is GANLoss
assert mmagic.models.editors.wgan_gp.WGANGP is MODELS.get('WGANGP')  # nobody imported it
assert 'StyleGAN2' in dir(mmagic.models.editors)
for broken in ('from mmagic.models import Nothing', 'from mmagic.models.editors import nothing'):
    try:
        exec(broken)
    except ImportError as error:
        assert 'cannot import name' in str(error), error
    else:
        raise AssertionError(broken)
assert 'diffusers' not in sys.modules

# Names of one's own, free and taken.
@MODELS.register_module()
class MyGenerator: pass
assert MODELS.get('MyGenerator') is MyGenerator
try:
    @MODELS.register_module()
    class EDSRNet: pass
except KeyError as error:
    assert 'EDSRNet is already registered in model at mmagic.models.editors.edsr' in str(error)
else:
    raise AssertionError('registered twice')
@MODELS.register_module(force=True)
class CycleGAN: pass
from mmagic.models.editors.cyclegan import CycleGAN as Theirs
assert MODELS.get('CycleGAN') is CycleGAN is not Theirs

# The models of diffusers are wrapped by MMagic; the package itself is itself.
from cellgan_plugin.compat import quiet_upstream
with quiet_upstream():
    from diffusers import UNet2DModel
wrapped = MODELS.get('UNet2DModel')
assert wrapped._module_cls is UNet2DModel
from mmagic.models.archs import REGISTERED_DIFFUSERS_PIPELINES
assert 'DDPMPipeline' in REGISTERED_DIFFUSERS_PIPELINES
"""


# What somebody else's program has after an import of this package: MMEngine as it is, and of MMagic
# all that imports here.
PLAIN = """
import os, sys
from types import ModuleType
import cellgan_plugin
import mmagic.models, mmagic.datasets, mmagic.evaluation, mmengine.optim, mmengine._strategy
from cellgan_plugin.compat import mmagic as groups
from mmagic import registry
from mmengine import registry as root
from mmengine.config import config
assert {x for group in groups.LAZY_GROUPS for x in group.packages} >= {
    'mmagic.models', 'mmagic.models.editors', 'mmagic.datasets.transforms', 'mmagic.evaluation'}
for group in groups.LAZY_GROUPS:
    whole = not group.unmet()
    for name in filter(sys.modules.get, group.packages):
        assert (type(sys.modules[name]) is ModuleType) >= whole, name
        assert hasattr(sys.modules[name], '_init') != whole, name
    for name in group.registries:
        assert (type(getattr(registry, name).module_dict) is dict) == whole, name
for name in ('mmengine.model', 'mmengine.optim', 'mmengine._strategy'):
    assert type(sys.modules[name]) is ModuleType and not hasattr(sys.modules[name], '_init')
for table in (root.OPTIMIZERS, root.MODEL_WRAPPERS, root.STRATEGIES, root.MODELS):
    assert type(table.module_dict) is dict, table.name
assert not hasattr(getattr(config, 'FormatCode', None), '__wrapped__')
assert 'StyleGAN2' in registry.MODELS.module_dict and 'CellGAN' in registry.MODELS.module_dict
assert mmagic.models.BigGAN is registry.MODELS.get('BigGAN')
assert 'CELLGAN_FAST_START' not in os.environ
"""

# A process without the packages that only some runs need.
BARE = """
import importlib.metadata, importlib.util, sys
missing = {'albumentations', 'diffusers', 'huggingface_hub', 'imageio', 'transformers'}
class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition('.')[0] in missing:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Missing)
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in missing else find_spec(name, *rest)
version = importlib.metadata.version
def without(name):
    if name.replace('-', '_') in missing:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
importlib.metadata.version = without
import cellgan_plugin
from mmagic.registry import METRICS, MODELS, TRANSFORMS, VISBACKENDS
from mmengine.registry import OPTIMIZERS, init_default_scope
init_default_scope('mmagic')
for registry, name in ((MODELS, 'CellGAN'), (MODELS, 'BigGAN'), (TRANSFORMS, 'PackInputs'),
                       (METRICS, 'PSNR'), (VISBACKENDS, 'LocalVisBackend'), (OPTIMIZERS, 'Adam')):
    assert registry.get(name).__name__ == name
assert MODELS.get('UNet2DModel') is None  # of diffusers, wrapped by MMagic where it is there
for registry, name, package in ((MODELS, 'AnimateDiff', 'diffusers'),
                                (MODELS, 'FastComposer', 'transformers'),
                                (TRANSFORMS, 'AlbuNormalize', 'albumentations'),
                                (VISBACKENDS, 'VisBackend', 'imageio')):
    try:
        registry.get(name)
    except ImportError as error:
        assert name in str(error) and 'MMagic needs' in str(error), error
        assert f'{package}' in str(error) and '(not installed)' in str(error), error
    else:
        raise AssertionError(name)
assert {'CellGAN', 'StyleGAN2'} <= set(MODELS.module_dict.keys())  # asked for all, not for one
assert 'AnimateDiff' not in list(MODELS.module_dict)
class ViCo: pass
MODELS.register_module(module=ViCo, force=True)
assert MODELS.get('ViCo') is ViCo
try:
    MODELS.build(dict(type='LatentUNet', num_classes=2, sample_size=8, in_channels=4,
                      block_out_channels=[8, 8]))
except ImportError as error:
    assert 'pip install -U diffusers' in str(error), error
else:
    raise AssertionError('built')
assert not missing & {name.partition('.')[0] for name in sys.modules}
"""


def run(*arguments, **environment):
    environment = {**os.environ, **environment}
    result = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={name: value for name, value in environment.items() if value is not None},
    )
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope='module')
def run_code(tmp_path_factory):
    """Run code in a process that has imported some packages of others, none of OpenMMLab."""

    def run_code(code, **environment):
        path = tmp_path_factory.mktemp('code') / 'code.py'
        path.write_text(code)
        return output(run_program(path, env=environment))

    return run_code


def output(result):
    # With torch 2.4, whatever the filters of warnings are.
    notice = r'.*`TorchScript` support for functional optimizers is deprecated.*\n(  .*\n)*'
    assert re.sub(notice, '', result.stderr) == ''
    return result.stdout


def test_somebody_elses_program_keeps_its_mmagic_and_mmengine(run_code):
    run_code(PLAIN, **{FAST_START_VARIABLE: None})


@pytest.mark.parametrize(
    'program, variable, fast',
    [
        (['tools/train.py'], None, True),
        (['-m', 'cellgan_plugin.runs.train'], None, True),
        (['-m', 'cellgan_plugin.runs.train'], '0', False),
    ],
)
def test_our_own_programs_start_fast_unless_the_environment_forbids_it(program, variable, fast):
    program = [str(ROOT / x) if x.endswith('.py') else x for x in program]
    result = run('-X', 'importtime', *program, '--help', **{FAST_START_VARIABLE: variable})
    imported = {line.rpartition('|')[2].strip() for line in result.stderr.splitlines()}
    assert 'mmagic.registry' in imported
    # Upstream imports it with its package, whatever else is installed.
    assert ('mmengine.optim.optimizer.zero_optimizer' not in imported) == fast


@pytest.mark.parametrize(
    'words, script, own',
    [
        (['python', '-m', 'cellgan_plugin.runs.train', '--help'], None, True),
        (['python', '-u', '-X', 'importtime', '-m', 'cellgan_plugin.a', '-m', 'b'], None, True),
        (['python', '-um', 'cellgan_plugin'], None, True),
        (['python', '-m', 'cellgan_plugin_of_mine.train'], None, False),
        (['python', '-m', 'pytest', '-m', 'cellgan_plugin'], None, False),
        (['python', '-mcellgan_plugin.runs.train'], None, False),  # slower, and right
        (['python', 'x'], ROOT / 'tools' / 'dataset_converters' / 'cric.py', True),
        (['python', 'x'], ROOT / 'tests' / 'conftest.py', False),
        (['python', 'x'], ROOT / 'cellgan_plugin' / '.mim' / 'tools' / 'train.py', True),
        (['python', '-c'], None, False),
    ],
)
def test_our_own_programs_are_known(monkeypatch, words, script, own):
    monkeypatch.setattr(sys, 'orig_argv', words)
    monkeypatch.setattr(sys, 'argv', ['-m' if words[1][-1] == 'm' or '-m' in words else 'x'])
    main = ModuleType('__main__')
    if script is not None:
        main.__file__ = os.path.relpath(script)
    monkeypatch.setitem(sys.modules, '__main__', main)
    monkeypatch.delenv(FAST_START_VARIABLE)
    assert fast_start.fast_start_wanted() is own
    # Workers that are started without the main module know it from the environment.
    assert os.environ.pop(FAST_START_VARIABLE, None) == ('1' if own else None)


def test_scripts_beside_an_installed_package_are_not_ours(monkeypatch, tmp_path):
    package = tmp_path / 'site-packages' / 'cellgan_plugin'
    monkeypatch.setattr(fast_start, '__file__', str(package / 'compat' / 'fast_start.py'))
    monkeypatch.setattr(sys, 'argv', ['x'])
    monkeypatch.delenv(FAST_START_VARIABLE)
    for script, own in (
        (package / '.mim' / 'tools' / 'train.py', True),
        (package.parent / 'tools' / 'train.py', False),
    ):
        main = ModuleType('__main__')
        main.__file__ = str(script)
        monkeypatch.setitem(sys.modules, '__main__', main)
        assert fast_start.fast_start_wanted() is own
        os.environ.pop(FAST_START_VARIABLE, None)


def test_models_are_imported_when_they_are_asked_for():
    output(run('-c', LAZY, **{FAST_START_VARIABLE: '1'}))


@pytest.fixture(scope='module')
def eager(run_code):
    return json.loads(run_code(EAGER, **{FAST_START_VARIABLE: '0'}))


@pytest.mark.parametrize('fast', ['0', '1'])
def test_packages_that_a_run_does_not_need_are_asked_for_when_they_are(run_code, fast):
    run_code(BARE, **{FAST_START_VARIABLE: fast})


def test_mmagic_stays_whole_where_all_of_it_imports(monkeypatch):
    for group in mmagic.LAZY_GROUPS:
        monkeypatch.setattr(mmagic, 'installed_version', lambda name: '0.25.1')
        assert group.unmet() == (
            []
            if 'transformers' not in group.needs
            else ['transformers>=4.27.4,<5 (0.25.1 is installed)']
        )
        monkeypatch.delitem(sys.modules, group.packages[0], raising=False)
    monkeypatch.setattr(mmagic.LazyGroup, 'unmet', lambda group: [])
    mmagic.make_mmagic_lazy(everything=False)
    assert not any(group.packages[0] in sys.modules for group in mmagic.LAZY_GROUPS)


def test_every_registered_name_is_known_before_it_is_imported(eager):
    from mmagic import registry

    assert eager['registered'].keys() == {
        'MODELS', 'TRANSFORMS', 'EVALUATORS', 'METRICS', 'VISUALIZERS', 'VISBACKENDS'
    }  # fmt: skip
    for kind, registered in eager['registered'].items():
        table = getattr(registry, kind).module_dict
        assert isinstance(table, lazy_packages.ImportingTable)
        wrapped = {n for n, module in table._modules.items() if module == 'mmagic.models.archs'}
        for name, module in registered.items():
            if module == 'mmagic.models.archs':  # made there from a class of diffusers
                assert name in wrapped, name
            elif module.startswith('mmagic.'):
                assert table._modules[name] == module, name
            elif name != 'Deconv':  # of torch
                assert module.startswith('cellgan_plugin.'), name
        left_out = {n for n, module in table._modules.items() if LEFT_OUT.match(module)}
        expected = {'animatediff', 'AnimateDiff', 'UNet3DConditionMotionModel', 'ViCo'}
        assert left_out == (expected if kind == 'MODELS' else set())
        assert table._modules.keys() - wrapped - left_out <= registered.keys()
    assert registry.MODELS.module_dict._modules['Deconv'] == 'mmagic.models.archs.conv'


def test_every_public_name_comes_from_where_upstream_has_it(eager):
    for package, names in eager['public'].items():
        module = importlib.import_module(package)
        assert set(names) == set(module.__all__) == set(module._init.public), package
        for name, origin in names.items():
            submodule = module._init.imported.get(name, [None])[0]
            assert origin is submodule is None or origin.startswith(f'{package}.{submodule}'), name


def test_what_the_user_has_imported_before_is_left_alone(monkeypatch):
    from mmagic.registry import MODELS
    from mmengine.registry import OPTIMIZERS

    for group in mmagic.LAZY_GROUPS:
        monkeypatch.setitem(sys.modules, group.packages[0], ModuleType(group.packages[0]))
    monkeypatch.setitem(sys.modules, 'mmengine.optim', ModuleType('mmengine.optim'))
    tables = MODELS._module_dict, OPTIMIZERS._module_dict
    mmagic.make_mmagic_lazy(everything=True)
    fast_start.make_mmengine_lazy()
    assert MODELS._module_dict is tables[0] and OPTIMIZERS._module_dict is tables[1]
