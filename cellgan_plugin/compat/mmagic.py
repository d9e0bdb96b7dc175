"""MMagic beside a newer NumPy or MMCV, and beside other packages that it cannot use."""

import contextlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Set, Tuple

from cellgan_plugin.compat.lazy_packages import (
    ImportingTable,
    make_packages_lazy,
    registering_modules,
)
from cellgan_plugin.compat.versions import fits, installed_version


class LazyGroup(NamedTuple):
    """Packages of MMagic whose ``__init__`` can be read instead of run.

    Attributes:
        packages (Tuple[str, ...]): Dotted names, parents before children.
        registries (Tuple[str, ...]): The registries that they fill.
        needs (Dict[str, str]): The distributions, and the versions of them, that all of the group
            needs to be imported at once.
    """

    packages: Tuple[str, ...]
    registries: Tuple[str, ...]
    needs: Dict[str, str]

    def unmet(self) -> List[str]:
        """What is missing, or has another version, in words."""
        problems = []
        for name, window in self.needs.items():
            version = installed_version(name)
            if version is None:
                problems.append(f'{name}{window} (not installed)')
            elif not fits(version, window):
                problems.append(f'{name}{window} ({version} is installed)')
        return problems

    def explain(self) -> str:
        """What MMagic would need, for the message about a part that cannot be imported."""
        problems = self.unmet()
        return f'MMagic needs {", ".join(problems)} for it.' if problems else ''


LAZY_GROUPS: Tuple[LazyGroup, ...] = (
    # Every editor, and with them diffusers, transformers, scikit-learn and half of SciPy.
    LazyGroup(
        ('mmagic.models', 'mmagic.models.archs', 'mmagic.models.editors', 'mmagic.models.losses'),
        ('MODELS',),
        {
            'diffusers': '>=0.23,<0.29',
            'huggingface-hub': '<0.26',  # that diffusers needs an older one
            'transformers': '>=4.27.4,<5',
            'einops': '',
            'imageio': '',
            'lpips': '',
            'pandas': '',
            'resize-right': '',
        },
    ),
    # Albumentations and pydantic.
    LazyGroup(('mmagic.datasets.transforms',), ('TRANSFORMS',), {'albumentations': ''}),
    # LPIPS, the other half of SciPy, and the transforms.
    LazyGroup(
        ('mmagic.evaluation', 'mmagic.evaluation.functional', 'mmagic.evaluation.metrics'),
        ('EVALUATORS', 'METRICS'),
        {'lpips': ''},
    ),
    LazyGroup(('mmagic.visualization',), ('VISUALIZERS', 'VISBACKENDS'), {'imageio': ''}),
)
# Its ``__init__`` wraps and registers every model and pipeline of diffusers.
_DIFFUSERS_WRAPPERS = 'mmagic.models.archs'
_CLASS_NAME = re.compile(r'[\'"]([A-Z]\w+)[\'"]')


def _diffusers_names() -> Set[str]:
    """Names of models and pipelines in diffusers' own lists of what it has, and some others."""
    spec = importlib.util.find_spec('diffusers')
    if spec is None:
        return set()
    inits = (Path(spec.origin).parent / part / '__init__.py' for part in ('models', 'pipelines'))
    return {x for init in inits for x in _CLASS_NAME.findall(init.read_text(encoding='utf-8'))}


def make_mmagic_lazy(everything: bool) -> None:
    """Let MMagic import each model, transform and metric when it is first asked for.

    For: mmagic 1.2.0, whose packages import all of their parts at once, and so none at all where
    one of these needs what is not installed, or another version of it: ``animatediff`` and ``vico``
    an old diffusers, say. Here only those parts fail, when somebody asks for them.

    A package that has been imported already is left as it is. Names that are registered nowhere
    still raise MMEngine's KeyError, and a name of MMagic stays taken.

    Args:
        everything (bool): For the sake of a fast start, also where upstream would import.
    """
    from mmagic import registry

    for group in LAZY_GROUPS:
        first = group.packages[0]
        if first in sys.modules or not (everything or group.unmet()):
            continue
        make_packages_lazy(group.packages, group.explain)
        modules = registering_modules(first)
        if _DIFFUSERS_WRAPPERS in group.packages:
            wrapped: Dict[str, str] = dict.fromkeys(_diffusers_names(), _DIFFUSERS_WRAPPERS)
            modules['MODELS'] = {**wrapped, **modules['MODELS']}
        for name in group.registries:
            table = getattr(registry, name)
            entries = ImportingTable(table.module_dict, modules[name], group.explain)
            table._module_dict = entries


@contextlib.contextmanager
def importable_mmagic() -> Iterator[None]:
    """Let MMagic be imported inside the block beside a newer NumPy and MMCV.

    For: mmagic 1.2.0, which asks NumPy for ``bool8``, removed in 2.0, and asserts an MMCV below
    2.2, although it runs with the maintained fork of it, onedl-mmcv 2.3. Both are as before when
    the block is left.
    """
    import mmcv
    import numpy as np

    mmcv_version, lacks_bool8 = mmcv.__version__, not hasattr(np, 'bool8')
    if 'mmagic' not in sys.modules and installed_version('onedl-mmcv') is not None:
        mmcv.__version__ = '2.1.0'
    if lacks_bool8:
        np.bool8 = np.bool_
    try:
        importlib.import_module('mmagic')
        mmcv.__version__ = mmcv_version
        yield
    finally:
        mmcv.__version__ = mmcv_version
        if lacks_bool8:
            del np.bool8
