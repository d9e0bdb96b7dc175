"""Packages and registries whose parts are imported when they are first asked for.

:class:`LazyPackage` resolves the names that a package's ``__init__.py`` would import one by one;
:class:`ImportingTable` is the table of a registry that knows from the source which module
registers which name, and imports it on the first look-up.
"""

import ast
import contextlib
import importlib
import importlib.util
import re
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple, Union

from cellgan_plugin.compat.quiet import quiet_upstream

_REGISTRATION = re.compile(
    r'^@?(?P<registry>[A-Z_]+)\.register_module\(\s*(?:name\s*=\s*)?'
    r'(?:[\'"](?P<name>[^\'"]+)[\'"])?[^)]*\)',
    re.MULTILINE,
)
_DEFINITION = re.compile(r'^(?:class|def) (\w+)', re.MULTILINE)


class _Init(NamedTuple):
    """What running an ``__init__.py`` would bring into its package."""

    imported: Dict[str, Tuple[str, str]]  # name -> (submodule, name there)
    stars: List[str]  # submodules imported with *
    defined: Set[str]  # names that only running the file gives
    public: List[str]  # __all__


def _read_init(path: Path) -> _Init:
    init = _Init({}, [], set(), [])
    for node in _statements(ast.parse(path.read_text(encoding='utf-8')).body):
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
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if ast.unparse(node.value.func) == '__all__.append':
                init.public.append(ast.literal_eval(node.value.args[0]))
    return init


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a file, with those that stand below a condition or a ``try``."""
    for node in body:
        if isinstance(node, (ast.If, ast.Try)):
            yield from _statements(node.body)
        else:
            yield node


class UnavailableError(ImportError):
    """What was asked for by name cannot be imported with the packages that are installed."""


@contextlib.contextmanager
def _importing(what: str, explain: Callable[[], str]) -> Iterator[None]:
    """Say what was asked for, and why it fails, if an import inside the block does."""
    try:
        with quiet_upstream():
            yield
    except UnavailableError:
        raise
    except Exception as error:  # upstream's imports fail in many ways
        raise UnavailableError(
            f'{what} cannot be imported with the packages that are installed here '
            f'({type(error).__name__}: {error}). {explain()}'.rstrip()
        ) from error


class LazyPackage(ModuleType):
    """A package that imports what its ``__init__.py`` names when it is asked for.

    A name that only running the ``__init__.py`` can give makes it run, once; from then on the
    package is an ordinary module.
    """

    _init: _Init
    _explain: Callable[[], str]

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        value = self._find(name)
        setattr(self, name, value)
        return value

    def _import(self, submodule: str, name: str) -> ModuleType:
        with _importing(f'{self.__name__}.{name}', self._explain):
            return importlib.import_module(f'{self.__name__}.{submodule}')

    def _find(self, name: str) -> Any:
        init = self._init
        if name in init.imported:
            submodule, attribute = init.imported[name]
            return getattr(self._import(submodule, name), attribute)
        for submodule in init.stars:
            source = self._import(submodule, name)
            if name in getattr(source, '__all__', vars(source)) and not name.startswith('_'):
                return getattr(source, name)
        if name in init.defined:
            with _importing(f'{self.__name__}.{name}', self._explain):
                self.run()
            return getattr(self, name)
        if importlib.util.find_spec(f'{self.__name__}.{name}') is not None:
            return self._import(name, name)
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


def make_packages_lazy(names: Sequence[str], explain: Callable[[], str] = str) -> None:
    """Put :class:`LazyPackage` in the place of packages that nobody has imported yet.

    Args:
        names (Sequence[str]): Dotted names, parents before children; the parent of the first is
            imported.
        explain (Callable): What to add to the message where a part cannot be imported.
    """
    root = importlib.import_module(names[0].partition('.')[0])
    for name in names:
        folder = Path(root.__file__).parent.joinpath(*name.split('.')[1:])
        spec = importlib.util.spec_from_file_location(
            name, folder / '__init__.py', submodule_search_locations=[str(folder)]
        )
        package = importlib.util.module_from_spec(spec)
        package._init = _read_init(folder / '__init__.py')
        package.__all__ = package._init.public
        package._explain = explain
        package.__class__ = LazyPackage
        sys.modules[name] = package
    for name in names:
        parent, _, child = name.rpartition('.')
        setattr(importlib.import_module(parent), child, sys.modules[name])


class ImportingTable(dict):
    """The table of a registry, with names whose module is imported when they are looked up.

    Registering a name that upstream has, and is not loaded yet, loads it first: the answer
    (MMEngine's KeyError, or with ``force`` the new class) is the one of an eager import.

    Args:
        entries (dict): What is registered by now.
        modules (Dict[str, str | Callable]): The module that registers each name, or what registers
            it when called.
        explain (Callable): What to add to the message where a module cannot be imported.
    """

    def __init__(
        self,
        entries: Dict[str, type],
        modules: Dict[str, Union[str, Callable[[], None]]],
        explain: Callable[[], str] = str,
    ) -> None:
        super().__init__(entries)
        self._modules = modules
        self._explain = explain

    def _load(self, name: str) -> None:
        module = None if super().__contains__(name) else self._modules.get(name)
        # A module that is there and is not lazy has registered the name, or is just about to.
        if module is None or type(sys.modules.get(module)) is ModuleType:
            return
        with _importing(name, self._explain):
            if callable(module):
                del self._modules[name]  # it registers the name in this table
                module()
            elif module in sys.modules:
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
        with contextlib.suppress(UnavailableError):  # nobody can want upstream's
            self._load(name)
        super().__setitem__(name, value)

    def get(self, name: str, default: Any = None) -> Any:
        """The class of a name, or the default."""
        return self[name] if name in self else default

    def _load_all(self) -> None:
        for name in list(self._modules):
            with contextlib.suppress(UnavailableError):  # not asked for by its name
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


class LoadedValuesTable(ImportingTable):
    """A table whose values are the classes that are loaded by now.

    For MMEngine's model wrappers: what is asked of their values is whether an object is an instance
    of one, which it cannot be of a class that nobody has imported.
    """

    def values(self):
        """The classes that are loaded."""
        return dict.values(self)


def registering_modules(package: str) -> Dict[str, Dict[str, str]]:
    """The modules that register names, found in the source of a package.

    Args:
        package (str): Dotted name of a package that is in ``sys.modules``.

    Returns:
        Dict[str, Dict[str, str]]: Module by registered name, by the registry's name in the source.
    """
    folder = Path(sys.modules[package].__file__).parent
    modules: Dict[str, Dict[str, str]] = defaultdict(dict)
    for path in sorted(folder.rglob('*.py')):
        text = path.read_text(encoding='utf-8')
        module = '.'.join((package, *path.relative_to(folder).with_suffix('').parts))
        for match in _REGISTRATION.finditer(text):
            name = match['name'] or _DEFINITION.search(text, match.end())[1]
            modules[match['registry']][name] = module.removesuffix('.__init__')
    return modules
