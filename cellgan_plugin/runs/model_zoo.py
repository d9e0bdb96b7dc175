"""Models that ship with the repository: known by name, with config and weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple, Union

import yaml
from mmengine.config import Config

from cellgan_plugin.runs.generator_folder import is_generator_folder, read_generator_folder

PACKAGE = Path(__file__).parents[1]
INDEX = 'model-index.yml'


@dataclass(frozen=True)
class ShippedModel:
    """One entry of ``model-index.yml`` whose weights are here.

    Attributes:
        name (str): Its name.
        config (Path): Its config.
        weights (Path): Its weights, ``*.safetensors``; the model card is ``*.md`` beside them.
    """

    name: str
    config: Path
    weights: Path


def shipped_models(root: Optional[Union[str, Path]] = None) -> Dict[str, ShippedModel]:
    """Models by name.

    Args:
        root (str | Path, optional): Folder with ``model-index.yml``. Defaults to None: the checkout
            that this package is imported from, else what was installed with it.

    Returns:
        dict[str, ShippedModel]: In the order of the index; empty where there is none.
    """
    candidates = [PACKAGE.parent, PACKAGE / '.mim'] if root is None else [Path(root)]
    root = next((folder for folder in candidates if (folder / INDEX).is_file()), None)
    if root is None:
        return {}
    index = yaml.safe_load((root / INDEX).read_text(encoding='utf-8')) or {}
    found = {}
    for entry in index.get('Models') or []:
        config, weights = (root / str(entry.get(key) or '') for key in ('Config', 'Weights'))
        if config.is_file() and weights.is_file():
            found[entry['Name']] = ShippedModel(entry['Name'], config, weights)
    return found


def named_model(
    config: Union[str, Path, Config], checkpoint: Optional[Union[str, Path]]
) -> Tuple[Union[str, Path, Config], Union[str, Path]]:
    """Config and checkpoint of a run, or of a shipped model's name in the place of both.

    The folder of an exported generator stands in the place of both, too.

    A file of that name comes first; with a checkpoint of one's own the name stands for the config.

    Args:
        config (str | Path | Config): A config, or a name.
        checkpoint (str | Path, optional): A checkpoint; None only with a name.

    Returns:
        tuple: Config and checkpoint; what is no name is returned as it is.

    Raises:
        ValueError: There is no checkpoint, and no shipped model of that name; the message lists
            the names.
    """
    if not isinstance(config, Config) and is_generator_folder(config):
        own, weights = read_generator_folder(config)
        return own, weights if checkpoint is None else checkpoint
    if not isinstance(config, Config) and not Path(config).exists():
        model = shipped_models().get(str(config))
        if model is not None:
            return model.config, model.weights if checkpoint is None else checkpoint
    if checkpoint is None:
        names = ', '.join(shipped_models()) or 'none'
        shown = (config.filename or 'config') if isinstance(config, Config) else config
        raise ValueError(
            f'{shown}: no checkpoint was given, and no model of this name ships with the '
            f'repository (there are: {names}). Say CONFIG CHECKPOINT, or one of these names'
        )
    return config, checkpoint
