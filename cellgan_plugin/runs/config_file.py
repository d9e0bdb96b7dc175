"""Config files and their overrides, read with errors that name the file and the key."""

import ast
import re
import traceback
from pathlib import Path
from typing import Any, FrozenSet, Iterator, List, Mapping, Optional, Set, Tuple, Union

from mmengine.config import Config

from cellgan_plugin.errors import ConfigError, did_you_mean, nearest_name
from cellgan_plugin.user_modules import UserModuleError, read_config

# Read by MMEngine's Runner, and by the tools of MMagic, MMPretrain and this repository.
TOP_LEVEL = frozenset(
    'model work_dir train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg '
    'auto_scale_lr optim_wrapper param_scheduler val_evaluator test_evaluator default_hooks '
    'custom_hooks data_preprocessor load_from resume launcher env_cfg log_processor log_level '
    'visualizer default_scope randomness experiment_name custom_imports model_wrapper_cfg sync_bn '
    'find_unused_parameters activation_checkpointing efficient_conv_bn_eval compile runner_type '
    'strategy tta_model tta_pipeline tta_cfg'.split()
)
_PLACE = re.compile(r'\{\{.*?\}\}')
_BASE_NAME = re.compile(r'_base_\.(\w+)')
_NEAR = 0.85


def open_config(config: Union[str, Path, Config], what: str = 'config') -> Config:
    """Read a config file.

    Args:
        config (str | Path | Config): File; a config that has been read already is returned.
        what (str): For messages. Defaults to 'config'.

    Raises:
        FileNotFoundError: There is no such file.
        UserModuleError: A module of its ``custom_imports`` cannot be imported.
        ConfigError: It is no config: the message has its line and what Python says of it.
    """
    if isinstance(config, Config):
        return config
    path = Path(config).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'{what} {config} does not exist')
    try:
        return read_config(path)
    except (FileNotFoundError, MemoryError, UserModuleError):
        raise
    except Exception as error:  # the file is a program of the user's: whatever it raises is said
        raise ConfigError(
            f'{what} {config}{_line_of(path, error)} cannot be read: {_said(error)}'
        ) from error


def _line_of(path: Path, error: Exception) -> str:
    if isinstance(error, SyntaxError) and error.lineno:
        return f', line {error.lineno},'
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if Path(frame.filename).name == path.name]  # fmt: skip
    return f', line {lines[-1]},' if lines else ''


def _said(error: Exception) -> str:
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return f'{text} ({type(error).__name__})'


def _make_room(config: Config, key: str) -> None:
    """Put an empty dict where a key goes through an entry that is None, e.g. a loss left out."""
    node = config
    for name in key.split('.')[:-1]:
        if isinstance(node, list):
            name = int(name)
        elif not isinstance(node, (Config, dict)) or name not in node:
            return
        if node[name] is None:
            node[name] = {}
        node = node[name]


def merge_options(config: Config, options: Optional[Mapping[str, Any]]) -> None:
    """Override parts of a config, as ``--cfg-options`` does.

    A part that is None in the config becomes a dict where an option names an entry of it.

    Args:
        config (Config): Changed in place.
        options (Mapping, optional): ``{'train_cfg.max_iters': 10}``.

    Raises:
        ConfigError: An entry of a list that is not there, or a value where a dict would be.
    """
    for key, value in (options or {}).items():
        try:
            _make_room(config, key)
            config.merge_from_dict({key: value})
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f'--cfg-options {key}: {_said(error)}') from error


def check_options(config: Config, options: Optional[Mapping[str, Any]]) -> None:
    """Refuse overrides that nothing reads.

    Args:
        config (Config): With the overrides merged.
        options (Mapping, optional): The overrides.

    Raises:
        ConfigError: The first name of a key is none that a run reads. The message names the full
            keys that end so, or the nearest name.
    """
    for key in options or {}:
        first, _, rest = str(key).partition('.')
        if first in TOP_LEVEL or first.startswith('_'):
            continue
        last = key.rpartition('.')[2]
        full = [] if rest else _keys_ending_with(config, last)
        near = nearest_name(first, TOP_LEVEL)
        if full:
            hint = f'; did you mean {" or ".join(full)}?'
        elif near is not None:
            hint = f'; did you mean {".".join(filter(None, [near, rest]))!r}?'
        else:
            hint = f'. A run reads {", ".join(sorted(TOP_LEVEL & set(config)))}'
        raise ConfigError(f'--cfg-options {key}: nothing reads {first!r}{hint}')


def _keys_ending_with(config: Mapping[str, Any], name: str) -> List[str]:
    """Up to four full keys of a config whose last name is ``name``, shortest first."""
    found = [path for path in _keys({k: v for k, v in config.items() if k in TOP_LEVEL})
             if path.rpartition('.')[2] == name]  # fmt: skip
    return sorted(found, key=lambda path: (path.count('.'), path))[:4]


def _entries(value: Any, path: str) -> Iterator[Tuple[str, Any]]:
    """Full key and value of what a dict or a list holds."""
    pairs = ()
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, (list, tuple)):
        pairs = enumerate(value)
    for key, entry in pairs:
        yield (f'{path}.{key}' if path else str(key)), entry


def _keys(value: Any, path: str = '') -> Iterator[str]:
    for key, entry in _entries(value, path):
        yield key
        yield from _keys(entry, key)


def mappings_in(value: Any, path: str = '') -> Iterator[Tuple[str, Any]]:
    """Every dict in a piece of a config with its full key, the outer ones first.

    Args:
        value (Any): Dicts and lists are looked through.
        path (str): Full key of ``value``. Defaults to '': none.
    """
    if isinstance(value, Mapping):
        yield path, value
    for key, entry in _entries(value, path):
        yield from mappings_in(entry, key)


def check_top_level(config: Config) -> None:
    """Refuse names at the top of a config file that nothing reads.

    Helpers of a file are free as long as the file itself uses them. A file without bases may hold
    others: it may be a copy of a whole config, as lies in every work directory.

    Args:
        config (Config): As read from a file; one without a file passes.

    Raises:
        ConfigError: The message names the file, the key, and the full keys that end so.
    """
    if not config.filename or not Path(config.filename).is_file():
        return
    for path, assigned, used, inherits in _files(Path(config.filename), set()):
        for name in sorted(assigned - used - TOP_LEVEL):
            near = nearest_name(name, TOP_LEVEL, _NEAR)
            if name.startswith('_') or not (inherits or near):
                continue
            full = _keys_ending_with(config, name)
            hint = f'; say {" and ".join(full)}' if full else did_you_mean(name, TOP_LEVEL)
            raise ConfigError(
                f'{path}: nothing reads {name!r}{hint or ". Names that start with _ are free"}'
            )


def _files(
    path: Path, seen: Set[Path], from_above: FrozenSet[str] = frozenset()
) -> Iterator[Tuple[Path, Set[str], Set[str], bool]]:
    """A config file and its bases: names it assigns, names that are used, whether it inherits.

    Files of installed packages are left out: nobody can change them.
    """
    path = path.resolve()
    if path in seen or path.suffix != '.py' or 'site-packages' in path.parts or not path.is_file():
        return
    seen.add(path)
    text = path.read_text(encoding='utf-8')
    tree = ast.parse(_PLACE.sub('0', text))
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assigned: Set[str] = set()
    bases: List[str] = []
    lazy = False
    for node in tree.body:
        targets: List[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.With):
            lazy = lazy or 'read_base' in ast.dump(node.items[0].context_expr)
        names = {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)
                 and isinstance(n.ctx, ast.Store)}  # fmt: skip
        if '_base_' in names:
            bases = _texts(node.value)
        assigned |= names
    yield path, assigned, used | from_above, bool(bases) or lazy
    # A base's names may be used by whoever inherits from it.
    of_bases = from_above | frozenset(_BASE_NAME.findall(text))
    for base in bases:
        if '::' not in base:
            yield from _files(path.parent / base, seen, of_bases)


def folders_of(text: str, config: Path) -> List[Path]:
    """Folders to which a relative path in a config may refer, the likeliest first.

    A path is relative to the file that says it, which may be a base of the one that was read.

    Args:
        text (str): The path.
        config (Path): The file that was read.

    Returns:
        list[Path]: Folders of the config and its bases; first those of files that say the path.
    """
    files = [path for path, *_ in _files(config, set())] or [config]
    saying = [path for path in files if text in path.read_text(encoding='utf-8')]
    return list(dict.fromkeys(path.parent for path in [*saying, *files]))


def _texts(node: Optional[ast.expr]) -> List[str]:
    try:
        value = ast.literal_eval(node)
    except (TypeError, ValueError):
        return []
    return [value] if isinstance(value, str) else [str(entry) for entry in value]
