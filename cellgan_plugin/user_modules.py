"""A user's own modules: what they register is there in every tool and in every job it starts.

``--import MODULE`` of the tools and ``custom_imports`` of configs end here.
"""

import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from typing import Iterable, List, Optional, Set, Union

from mmengine.config import Config

from cellgan_plugin.errors import where_raised

IMPORT_VARIABLE = 'CELLGAN_IMPORT'  # modules that every program of the plugin imports
_imported: Set[str] = set()  # top-level names of the modules that users gave


class UserModuleError(ValueError):
    """A module cannot be imported; the message says why, and where."""


def import_user_modules(modules: Iterable[str]) -> None:
    """Import modules here, and in every program of the plugin that this process starts.

    Args:
        modules (Iterable[str]): Dotted names, found as Python finds them or else in the current
            folder, or paths of ``.py`` files.

    Raises:
        UserModuleError: There is no such module, or it fails.
    """
    for module in modules:
        _import(module)
        before = _named_in_environment()
        name = str(Path(module).resolve()) if module.endswith('.py') else module
        if name not in before and name.partition('.')[0] != __package__:
            os.environ[IMPORT_VARIABLE] = os.pathsep.join([*before, name])


def import_modules_of_environment() -> None:
    """Import what ``CELLGAN_IMPORT`` names (dotted names or files, separated as in ``PATH``)."""
    for module in _named_in_environment():
        _import(module)


def read_config(path: Union[str, Path]) -> Config:
    """Read a config file and import its ``custom_imports``.

    Raises:
        UserModuleError: One of these cannot be imported.
    """
    config = Config.fromfile(path, import_custom_modules=False)
    import_of_config(config)
    return config


def import_of_config(config: Config, for_jobs: bool = False) -> None:
    """Import the ``custom_imports`` of a config.

    Args:
        config (Config): Any config.
        for_jobs (bool): Whether jobs that are started from here, whose own configs do not name
            these modules, have to import them too. Defaults to False.

    Raises:
        UserModuleError: One of them cannot be imported.
    """
    wanted = config.get('custom_imports') or {}
    modules = wanted.get('imports') or []
    modules = [modules] if isinstance(modules, str) else list(modules)
    try:
        if for_jobs:
            import_user_modules(modules)
        else:
            for module in modules:
                _import(module)
    except UserModuleError as error:
        if not wanted.get('allow_failed_imports', False):
            raise UserModuleError(f'{config.filename}, custom_imports: {error}') from error


def place_in_user_module(error: BaseException) -> Optional[str]:
    """``FILE, line N`` of the deepest line of a user's module that an error passed.

    Args:
        error (BaseException): As it was caught.

    Returns:
        str | None: None where it passed no line of a user's module.
    """
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get('__name__')).partition('.')[0] in _imported:
            place = f'{frame.f_code.co_filename}, line {line}'
    return place


def _named_in_environment() -> List[str]:
    return [name for name in os.environ.get(IMPORT_VARIABLE, '').split(os.pathsep) if name]


def _import(module: str) -> None:
    path = Path(module)
    if module.endswith('.py'):
        if not path.is_file():
            raise UserModuleError(f'there is no file {path.absolute()}')
        name, folder = path.stem, path.resolve().parent
    else:
        name, folder = module, Path.cwd()
    top = name.partition('.')[0]
    if top not in sys.modules and importlib.util.find_spec(top) is None:
        _add_to_path(folder)
    try:
        imported = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f'{name}.'.startswith(f'{error.name}.'):
            raise UserModuleError(_failure(module, error)) from error
        raise UserModuleError(
            f'there is no module {module!r}, neither on the path of Python nor in {folder}: give '
            'a file (FOLDER/MODULE.py), or add its folder to PYTHONPATH'
        ) from error
    except Exception as error:
        raise UserModuleError(_failure(module, error)) from error
    if top != __package__:
        _imported.add(top)
    if module.endswith('.py') and Path(imported.__file__ or '').resolve() != path.resolve():
        raise UserModuleError(
            f'{path}: another module is called {name!r} ({imported.__file__}); rename the file'
        )


def _failure(module: str, error: Exception) -> str:
    return f'{module} fails: {type(error).__name__}: {error} ({where_raised(error)})'


def _add_to_path(folder: Path) -> None:
    """Let this process and those it starts find modules of a folder, after all others."""
    sys.path.append(str(folder))
    before = [entry for entry in os.environ.get('PYTHONPATH', '').split(os.pathsep) if entry]
    if str(folder) not in before:
        os.environ['PYTHONPATH'] = os.pathsep.join([*before, str(folder)])
