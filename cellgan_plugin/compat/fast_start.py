"""A start that imports of MMagic and MMEngine only what is asked for, for our own programs.

More than half of the start-up of a process goes into parts that hardly any process uses. To leave
them out, packages of MMagic and MMEngine are replaced in the whole process. Therefore this is done
only where the program is one of this repository: its tools, the jobs that they start, and the
workers of both (:func:`fast_start_wanted`). In anybody else's program an import of this package
leaves MMagic and MMEngine as they are.
"""

import contextlib
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Iterator, Tuple

from cellgan_plugin.compat.lazy_packages import (
    ImportingTable,
    LoadedValuesTable,
    make_packages_lazy,
    registering_modules,
)
from cellgan_plugin.compat.mmagic import make_mmagic_lazy
from cellgan_plugin.compat.mmengine import format_configs_once

FAST_START_VARIABLE = 'CELLGAN_FAST_START'
MMENGINE_PACKAGES: Tuple[Tuple[str, ...], ...] = (
    ('mmengine.optim', 'mmengine.optim.optimizer'),
    ('mmengine.model', 'mmengine.model.wrappers'),
    ('mmengine._strategy',),
)
_RARE_CLASSES = ('ZeroRedundancyOptimizer', 'MMFullyShardedDataParallel')


def _is_own_program() -> bool:
    """Whether this process runs a module or script of this package, or one of ``tools/``."""
    package = Path(__file__).resolve().parents[1]
    if sys.argv[:1] == ['-m']:  # the module is being looked for, which imports this package
        options = [word.startswith('-') and word.endswith('m') for word in sys.orig_argv]
        module = sys.orig_argv[options.index(True) + 1] if True in options else ''
        return module.partition('.')[0] == package.name
    script = getattr(sys.modules['__main__'], '__file__', None)
    if script is None:
        return False
    folders = [package, (package / '.mim' / 'tools').resolve()]  # of an installed package
    if (package.parent / 'model-index.yml').is_file():  # a checkout
        folders.append(package.parent / 'tools')
    return any(folder in Path(script).resolve().parents for folder in folders)


def fast_start_wanted() -> bool:
    """Whether the environment asks for the fast start, or, where it says nothing, the program.

    ``CELLGAN_FAST_START=1`` asks for it and ``CELLGAN_FAST_START=0`` forbids it. A program of this
    repository sets it for its workers, which may be started without its main module.
    """
    if _is_own_program():
        os.environ.setdefault(FAST_START_VARIABLE, '1')
    return os.environ.get(FAST_START_VARIABLE) == '1'


def start_fast() -> None:
    """Let MMagic and MMEngine import what is asked for, and format a config once."""
    make_mmengine_lazy()
    make_grids_lazy()
    make_mmagic_lazy(everything=True)
    format_configs_once()


@contextlib.contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Make ``import package`` fail inside the block, unless it has been imported already."""
    hide = package not in sys.modules
    if hide:
        sys.modules[package] = None
    try:
        yield
    finally:
        if hide:
            del sys.modules[package]


def _register_adafactor() -> None:
    from mmengine.optim.optimizer import builder

    builder.TRANSFORMERS_OPTIMIZERS.extend(builder.register_transformers_optimizers())


def make_mmengine_lazy() -> None:
    """Let MMEngine import some optimizers, wrappers and strategies when they are first asked for.

    For: mmengine 0.10.7, which imports transformers for ``Adafactor``, and fully sharded data
    parallelism, with it torch's symbolic shapes and SymPy, for three classes. A package that has
    been imported already is left as it is.
    """
    packages = [
        group for group in MMENGINE_PACKAGES if not any(name in sys.modules for name in group)
    ]
    for group in packages:
        make_packages_lazy(group)
    with _hidden('transformers'):
        for package in (sys.modules[name] for group in packages for name in group):
            if package.__name__ == 'mmengine._strategy':  # the runner needs the base class only
                continue
            for name in package.__all__:
                if name not in _RARE_CLASSES:
                    getattr(package, name)
    from mmengine import registry

    first = {group[0] for group in packages}
    if 'mmengine.optim' in first:
        modules = {
            'Adafactor': _register_adafactor,
            'ZeroRedundancyOptimizer': 'mmengine.optim.optimizer.zero_optimizer',
        }
        table = registry.OPTIMIZERS
        table._module_dict = ImportingTable(table.module_dict, modules)
    if 'mmengine.model' in first:
        sharded = 'mmengine.model.wrappers.fully_sharded_distributed'
        table = registry.MODEL_WRAPPERS
        table._module_dict = LoadedValuesTable(
            table.module_dict, {'MMFullyShardedDataParallel': sharded}
        )
    if 'mmengine._strategy' in first:
        table = registry.STRATEGIES
        modules = registering_modules('mmengine._strategy')['STRATEGIES']
        table._module_dict = ImportingTable(table.module_dict, modules)


def make_grids_lazy() -> None:
    """Let MMagic import torchvision when it first makes a grid of images.

    For: mmagic 1.2.0, whose ``mmagic.utils`` takes ``make_grid`` from torchvision, which imports
    all its models and operators, and for these torch's compiler. Left as it is where either has
    been imported already.
    """
    users, package = 'mmagic.utils.img_utils', 'torchvision'
    if users in sys.modules or package in sys.modules:
        return

    def make_grid(*args, **kwargs):
        return importlib.import_module('torchvision.utils').make_grid(*args, **kwargs)

    stand_in, utils = ModuleType(package), ModuleType(f'{package}.utils')
    stand_in.utils, utils.make_grid = utils, make_grid
    stand_in.__path__ = []
    sys.modules.update({package: stand_in, utils.__name__: utils})
    try:
        importlib.import_module(users)
    finally:
        del sys.modules[package], sys.modules[utils.__name__]
