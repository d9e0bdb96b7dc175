"""Read the folder of a generator: ``model.safetensors`` and ``config.json``, neither of them code.

:mod:`cellgan_plugin.runs.generator_export` writes it.
"""

import json
from pathlib import Path
from typing import Any, Tuple, Union

from mmagic.registry import MODELS
from mmengine.config import Config

from cellgan_plugin.datasets.classes import check_class_names
from cellgan_plugin.runs.config_file import mappings_in
from cellgan_plugin.runs.config_problems import registered_names

WEIGHTS_NAME, CONFIG_NAME = 'model.safetensors', 'config.json'
FORMAT = 'cellgan_plugin generator'
_MOST_BYTES = 1_000_000  # of config.json

PathLike = Union[str, Path]


class GeneratorFolderError(ValueError):
    """A folder that is no generator; the message says what was expected."""


def is_generator_folder(path: Any) -> bool:
    """Whether a path is a folder that :func:`export_generator` wrote."""
    folder = Path(str(path))
    return all((folder / name).is_file() for name in (WEIGHTS_NAME, CONFIG_NAME))


def read_generator_folder(folder: PathLike) -> Tuple[Config, Path]:
    """Config and weights of a generator's folder.

    Args:
        folder (str | Path): Of :func:`export_generator`.

    Returns:
        tuple[Config, Path]: As :func:`~cellgan_plugin.runs.trained_model.load_model` takes them.

    Raises:
        GeneratorFolderError: ``config.json`` is damaged, another program's, or names what is no
            registered model: such a name could be any function of any package.
    """
    path = Path(folder) / CONFIG_NAME
    if path.stat().st_size > _MOST_BYTES:
        raise GeneratorFolderError(f'{path} has more than {_MOST_BYTES} bytes: no config of ours')
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise GeneratorFolderError(f'{path} is damaged ({error}): copy it again') from None
    if not isinstance(found, dict) or found.get('format') != FORMAT:
        raise GeneratorFolderError(
            f'{path} is not the config of a generator of this plugin (its "format" is not '
            f'{FORMAT!r}): give a folder that tools/model_converters/export_generator.py wrote'
        )
    model, classes = found.get('model'), found.get('classes')
    if not isinstance(model, dict) or not isinstance(classes, list):
        raise GeneratorFolderError(f'{path}: "model" and "classes" are missing')
    known = registered_names(MODELS)
    for name in (str(part['type']) for _, part in mappings_in(model) if 'type' in part):
        if name not in known:
            raise GeneratorFolderError(
                f'{path}: {name!r} is no registered model. A part of your own is registered by '
                '--import MODULE, or by importing its module first'
            )
    data = dict(dataset=dict(metainfo=dict(classes=list(check_class_names(classes)))))
    values = dict(default_scope='mmagic', model=model, train_dataloader=data)
    return Config(values, filename=str(path)), Path(folder) / WEIGHTS_NAME
