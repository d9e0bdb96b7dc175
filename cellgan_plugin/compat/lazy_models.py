"""MMagic's models are imported when they are first asked for, not all of them at once.

For: mmagic 1.2.0, whose ``mmagic.models`` imports every editor and with them diffusers,
transformers, scikit-learn and half of SciPy: more than half of the start-up of every process,
for models that hardly any process builds.

Two parts make them lazy. The packages of :data:`LAZY_PACKAGES` resolve the names that their
``__init__.py`` would import one by one (:class:`LazyPackage`); and the table of
``mmagic.registry.MODELS`` knows from the source which module registers which name and imports it
on the first look-up (:class:`ImportingTable`).
"""

import ast
import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Iterator, List, NamedTuple, Set, Tuple

from cellgan_plugin.compat.noise import quiet_upstream

EAGER_VARIABLE = 'CELLGAN_EAGER_IMPORT'
LAZY_PACKAGES = (
    'mmagic.models',
    'mmagic.models.archs',
    'mmagic.models.editors',
    'mmagic.models.losses',
)
# Its ``__init__`` wraps and registers every model and pipeline of diffusers.
_DIFFUSERS_WRAPPERS = 'mmagic.models.archs'
_REGISTRATION = re.compile(
    r'^@?MODELS\.register_module\(\s*(?:name\s*=\s*)?(?:[\'"](?P<name>[^\'"]+)[\'"])?[^)]*\)', re.M
)
_DEFINITION = re.compile(r'^(?:class|def) (\w+)', re.M)
_CLASS_NAME = re.compile(r'[\'"]([A-Z]\w+)[\'"]')


class _Init(NamedTuple):
    """What running an ``__init__.py`` would bring into its package."""

    imported: Dict[str, Tuple[str, str]]  # name -> (submodule, name there)
    stars: List[str]  # submodules imported with *
    defined: Set[str]  # names that only running the file gives
    public: List[str]  # __all__


def _read_init(path: Path) -> _Init:
    init = _Init({}, [], set(), [])
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            for alias in node.names:
                if alias.name == '*':
                    init.stars.append(node.module)
                else:
                    init.imported[alias.asname or alias.name] = (node.module, alias.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            init.defined.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            init.defined.add(node.name)
        elif isinstance(node, ast.Assign):
            targets = {x.id for t in node.targets for x in ast.walk(t) if isinstance(x, ast.Name)}
            if '__all__' in targets:
                init.public.extend(ast.literal_eval(node.value))
            init.defined.update(targets)
    return init


class LazyPackage(ModuleType):
    """A package that imports what its ``__init__.py`` names when it is asked for.

    A name that only running the ``__init__.py`` can give makes it run, once; from then on the
    package is an ordinary module.
    """

    _init: _Init

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        with quiet_upstream():
            value = self._find(name)
        setattr(self, name, value)
        return value

    def _find(self, name: str) -> Any:
        init = self._init
        if name in init.imported:
            submodule, attribute = init.imported[name]
            return getattr(importlib.import_module(f'{self.__name__}.{submodule}'), attribute)
        for submodule in init.stars:
            source = importlib.import_module(f'{self.__name__}.{submodule}')
            if name in getattr(source, '__all__', vars(source)) and not name.startswith('_'):
                return getattr(source, name)
        if name in init.defined:
            self.run()
            return getattr(self, name)
        if importlib.util.find_spec(f'{self.__name__}.{name}') is not None:
            return importlib.import_module(f'{self.__name__}.{name}')
        raise AttributeError(f'module {self.__name__!r} has no attribute {name!r}')

    def __dir__(self) -> List[str]:
        return sorted({*super().__dir__(), *self._init.imported, *self._init.public})

    def run(self) -> None:
        """Run the ``__init__.py`` after all."""
        self.__class__ = ModuleType  # what it imports may ask for what is not there yet
        try:
            self.__spec__.loader.exec_module(self)
        except BaseException:
            self.__class__ = LazyPackage
            raise


class ImportingTable(dict):
    """The table of a registry, with names whose module is imported when they are looked up.

    Registering a name that upstream has, and is not loaded yet, loads it first: the answer
    (MMEngine's KeyError, or with ``force`` the new class) is the one of an eager import.

    Args:
        entries (dict): What is registered by now.
        modules (Dict[str, str]): The module that registers each name.
    """

    def __init__(self, entries: Dict[str, type], modules: Dict[str, str]) -> None:
        super().__init__(entries)
        self._modules = modules

    def _load(self, name: str) -> None:
        module = self._modules.get(name)
        # A module that is there and is not lazy has registered the name, or is just about to.
        if module is None or type(sys.modules.get(module)) is ModuleType:
            return
        with quiet_upstream():
            if module in sys.modules:
                sys.modules[module].run()
            else:
                importlib.import_module(module)

    def __contains__(self, name: str) -> bool:
        self._load(name)
        return super().__contains__(name)

    def __getitem__(self, name: str) -> type:
        self._load(name)
        return super().__getitem__(name)

    def __setitem__(self, name: str, value: type) -> None:
        self._load(name)
        super().__setitem__(name, value)

    def get(self, name: str, default: Any = None) -> Any:
        """The class of a name, or the default."""
        return self[name] if name in self else default

    def _load_all(self) -> None:
        for name in self._modules:
            self._load(name)

    def __len__(self) -> int:
        self._load_all()
        return super().__len__()

    def __iter__(self) -> Iterator[str]:
        self._load_all()
        return super().__iter__()

    def keys(self):
        """All names; everything is imported for it."""
        self._load_all()
        return super().keys()

    def values(self):
        """All classes; everything is imported for it."""
        self._load_all()
        return super().values()

    def items(self):
        """All names and classes; everything is imported for it."""
        self._load_all()
        return super().items()


def registering_modules(folder: Path, package: str) -> Dict[str, str]:
    """The module that registers each name in ``MODELS``, found in the source of a package.

    Args:
        folder (Path): Where the package lies.
        package (str): Its dotted name.

    Returns:
        Dict[str, str]: Module by registered name.
    """
    modules = {}
    for path in sorted(folder.rglob('*.py')):
        text = path.read_text(encoding='utf-8')
        module = '.'.join((package, *path.relative_to(folder).with_suffix('').parts))
        for match in _REGISTRATION.finditer(text):
            name = match['name'] or _DEFINITION.search(text, match.end())[1]
            modules[name] = module.removesuffix('.__init__')
    return modules


def _diffusers_names() -> Set[str]:
    """Names of models and pipelines in diffusers' own lists of what it has, and some others."""
    spec = importlib.util.find_spec('diffusers')
    if spec is None:
        return set()
    inits = (Path(spec.origin).parent / part / '__init__.py' for part in ('models', 'pipelines'))
    return {x for init in inits for x in _CLASS_NAME.findall(init.read_text(encoding='utf-8'))}


def make_models_lazy() -> bool:
    """Let ``mmagic.models`` import each of its models when it is first asked for.

    Does nothing where ``mmagic.models`` has been imported already, or where the environment
    variable ``CELLGAN_EAGER_IMPORT=1`` asks for MMagic's own way.

    Returns:
        bool: Whether the models are lazy.
    """
    from mmagic.registry import MODELS

    root = LAZY_PACKAGES[0]
    if root in sys.modules:
        return isinstance(MODELS.module_dict, ImportingTable)
    if os.environ.get(EAGER_VARIABLE) == '1':
        importlib.import_module(root)
        return False
    for name in LAZY_PACKAGES:
        package = importlib.util.module_from_spec(importlib.util.find_spec(name))
        package._init = _read_init(Path(package.__file__))
        package.__all__ = package._init.public
        package.__class__ = LazyPackage
        sys.modules[name] = package
        parent, _, child = name.rpartition('.')
        setattr(sys.modules[parent], child, package)
    modules = dict.fromkeys(_diffusers_names(), _DIFFUSERS_WRAPPERS)
    modules.update(registering_modules(Path(sys.modules[root].__file__).parent, root))
    MODELS._module_dict = ImportingTable(MODELS.module_dict, modules)
    return True
