import importlib
import json
import os
import subprocess
import sys
from types import ModuleType

import pytest

from cellgan_plugin.compat import EAGER_VARIABLE, lazy_imports, lazy_packages

# What an eager MMagic has: the module of every registered class, and of every public name.
EAGER = """
import importlib, json, sys
import cellgan_plugin
from cellgan_plugin.compat import lazy_imports, lazy_packages
from mmagic import registry
registered, public = {}, {}
for packages, registries in lazy_imports.LAZY_PACKAGES:
    for package in packages:
        module = importlib.import_module(package)
        assert type(module) is not lazy_packages.LazyPackage
        # Some lists name what is not there.
        public[package] = {name: getattr(getattr(module, name, None), '__module__', None)
                           for name in module.__all__}
    for name in registries:
        table = getattr(registry, name).module_dict
        assert type(table) is dict
        registered[name] = {key: x.__module__ for key, x in table.items()}
json.dump(dict(registered=registered, public=public), sys.stdout)
"""

LAZY = """
import sys
import cellgan_plugin
from mmagic.registry import MODELS
heavy = {'diffusers', 'transformers', 'sklearn', 'scipy', 'pandas', 'albumentations', 'lpips',
         'matplotlib', 'torch.distributed.optim', 'mmpretrain', 'mmagic.models.editors.biggan',
         'torchvision', 'torch._dynamo', 'torch.distributed.fsdp', 'sympy'}
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


def run(code, **environment):
    result = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env=dict(os.environ, **environment),
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ''
    return result.stdout


def test_models_are_imported_when_they_are_asked_for():
    run(LAZY)


@pytest.fixture(scope='module')
def eager():
    return json.loads(run(EAGER, **{EAGER_VARIABLE: '1'}))


def test_every_registered_name_is_known_before_it_is_imported(eager):
    from mmagic import registry

    assert eager['registered'].keys() == {'MODELS', 'TRANSFORMS', 'EVALUATORS', 'METRICS'}
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
        assert table._modules.keys() - wrapped <= registered.keys()
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

    for packages, _ in lazy_imports.LAZY_PACKAGES:
        monkeypatch.setitem(sys.modules, packages[0], ModuleType(packages[0]))
    monkeypatch.setitem(sys.modules, 'mmengine.optim', ModuleType('mmengine.optim'))
    tables = MODELS._module_dict, OPTIMIZERS._module_dict
    lazy_imports.make_mmagic_lazy()
    lazy_imports.make_mmengine_lazy()
    assert MODELS._module_dict is tables[0] and OPTIMIZERS._module_dict is tables[1]
