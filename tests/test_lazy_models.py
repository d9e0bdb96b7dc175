import importlib
import json
import os
import subprocess
import sys

import pytest

from cellgan_plugin.compat import EAGER_VARIABLE, lazy_models

# What an eager MMagic has: the module of every registered class, and of every public name.
EAGER = """
import importlib, json, sys
import cellgan_plugin
from cellgan_plugin.compat import lazy_models
from mmagic.registry import MODELS
assert type(MODELS.module_dict) is dict
ours = {name for name, x in MODELS.module_dict.items() if x.__module__.startswith('cellgan')}
public = {}
for package in lazy_models.LAZY_PACKAGES:
    module = importlib.import_module(package)
    assert type(module) is not lazy_models.LazyPackage
    public[package] = {name: getattr(module, name).__module__ for name in module.__all__}
json.dump(dict(
    registered={n: x.__module__ for n, x in MODELS.module_dict.items() if n not in ours},
    public=public), sys.stdout)
"""

LAZY = """
import sys
import cellgan_plugin
from mmagic.registry import MODELS
heavy = {'diffusers', 'sklearn', 'scipy', 'pandas', 'mmagic.models.editors.biggan'}
assert not heavy & set(sys.modules), heavy & set(sys.modules)

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
    from mmagic.registry import MODELS

    table = MODELS.module_dict
    assert isinstance(table, lazy_models.ImportingTable)
    wrapped = {n for n, module in table._modules.items() if module == 'mmagic.models.archs'}
    for name, module in eager['registered'].items():
        if module == 'mmagic.models.archs':  # made there from a class of diffusers
            assert name in wrapped, name
        elif module.startswith('mmagic.models.base_models'):
            assert dict.__contains__(table, name), name
        elif module.startswith('mmagic.'):
            assert table._modules[name] == module, name
    assert not {n for n in table._modules if n not in eager['registered']} - wrapped
    assert eager['registered'].keys() - table._modules.keys() == set()
    assert table._modules['Deconv'] == 'mmagic.models.archs.conv'


def test_every_public_name_comes_from_where_upstream_has_it(eager):
    for package, names in eager['public'].items():
        module = importlib.import_module(package)
        assert set(names) == set(module.__all__) == set(module._init.public), package
        for name, origin in names.items():
            submodule = module._init.imported[name][0]
            assert origin.startswith(f'{package}.{submodule}'), name


def test_models_imported_by_the_user_before_are_left_alone(monkeypatch):
    from types import ModuleType

    monkeypatch.setitem(sys.modules, 'mmagic.models', ModuleType('mmagic.models'))
    from mmagic.registry import MODELS

    table = dict(dict.items(MODELS._module_dict))
    monkeypatch.setattr(MODELS, '_module_dict', table)
    assert lazy_models.make_models_lazy() is False
    assert MODELS._module_dict is table
