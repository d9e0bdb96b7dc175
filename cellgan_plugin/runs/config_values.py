"""Settings of a benchmark as a config file says them, and configs as plain values."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple, Union

from mmengine.config import Config

from cellgan_plugin.datasets.tiling import tile_size
from cellgan_plugin.errors import ProtocolError, did_you_mean
from cellgan_plugin.records import plain
from cellgan_plugin.runs.config_file import folders_of, merge_options, open_config
from cellgan_plugin.user_modules import import_of_config

FOLD = '{fold}'  # in the path of a folder: the number of a fold, from 1


def find_beside(path: str, config: Union[Config, Path, None]) -> str:
    """A path in a config is relative to the file that says it where it exists there, else to here.

    Args:
        path (str): As in the config, or in a base of it; one with ``{fold}`` exists where that of
            the first fold does.
        config (Config | Path | None): As read, or its file; None: of no file.
    """
    if '://' in path:
        return path
    file = config.filename if isinstance(config, Config) else config
    for folder in folders_of(path, Path(file)) if file else ():
        if (folder / path.replace(FOLD, '1')).exists():
            return str((folder / path).resolve())
    return str(Path(path).expanduser())


def read_settings(
    kind: type,
    config: Union[str, Path, Config],
    options: Optional[dict],
    overrides: Mapping[str, Any],
    what: str,
) -> Tuple[Config, Dict[str, Any]]:
    """Read the fields of a dataclass from a config file.

    Args:
        kind (type): The dataclass.
        config (str | Path | Config): Its keys are fields; names that start with _ are free, and
            modules of ``custom_imports`` are imported, by the jobs as well.
        options (dict, optional): Overrides of the config, as of ``--cfg-options``.
        overrides (Mapping): Field -> value; None leaves the config's.
        what (str): What the dataclass describes, for messages.

    Returns:
        tuple[Config, dict]: The config as read, and the fields that it or ``overrides`` give, as
        plain values.

    Raises:
        FileNotFoundError: No such config.
        ProtocolError: A key that is no field.
    """
    config = open_config(config, f'{what} config')
    import_of_config(config, for_jobs=True)
    merge_options(config, options)
    known = {f.name for f in fields(kind)}
    values = plain(config)
    values.pop('custom_imports', None)
    # Helpers of a config file are not settings; a misspelt setting must not pass as one.
    unknown = sorted(k for k in values if k not in known and not k.startswith('_'))
    if unknown:
        raise ProtocolError(
            f'{config.filename}: {", ".join(unknown)} is no setting of a {what}'
            f'{did_you_mean(unknown[0], known) or "."} There are {", ".join(sorted(known))} '
            '(names that start with _ are free)'
        )
    values = {key: value for key, value in values.items() if key in known}
    values.update({key: value for key, value in overrides.items() if value is not None})
    return config, values


def training_scale(config: Config) -> float:
    """At which share of their size a run sees its images: 1, or less with ``FitTissue``.

    Args:
        config (Config): Of the run.

    Raises:
        ValueError: Training tiles are fitted without a tile size, so that there is no one scale.
    """
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    for transform in dataset.get('pipeline') or []:
        if str(transform.get('type')).split('.')[-1] != 'FitTissue':
            continue
        if transform.get('scale') is not None:
            return float(transform['scale'])
        if not dataset.get('tile'):
            raise ValueError(
                'the training set fits whole images to one size, so that whole images have no '
                'scale: give its dataset a tile'
            )
        return tile_size(transform['out_size'])[0] / tile_size(dataset['tile'])[0]
    return 1.0
