"""What a trained model was made from, as far as its files say."""

from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Set, Tuple, Union

import numpy as np
import torch
from mmengine.config import Config

from cellgan_plugin.compat import load_tensors
from cellgan_plugin.datasets.content_hash import (
    TRAINING_IMAGES,
    as_hashes,
    read_training_images,
    split_groups,
    to_hex,
    training_images_file,
)
from cellgan_plugin.datasets.views import check_views, views_of_config_text
from cellgan_plugin.engine import find_resumable
from cellgan_plugin.engine.hooks.training_images_hook import HASHES
from cellgan_plugin.records import read_json

# Lies in a folder of synthetic images.
SYNTHESIS_RECORD = 'synthesis.json'


def training_images_of(source: Union[str, Path]) -> Optional[Set[str]]:
    """Which images a generator was trained on, as far as it says.

    Args:
        source (str | Path): A checkpoint; a work directory (its ``training_images.txt``, else its
            newest checkpoint); or a folder of synthetic images with ``training_images.txt``.

    Returns:
        set[str] | None: Content hashes in hexadecimal; None when nothing says it, which is not
        the same as none.

    Raises:
        FileNotFoundError: No such file or folder.
        ValueError: The list or the checkpoint is damaged.
        UntrustedCheckpointError: The checkpoint holds more than tensors and plain containers.
    """
    rows = _seen_by(source)
    return None if rows is None else set(to_hex(split_groups(rows)[0]))


def training_groups_of(source: Union[str, Path]) -> Set[str]:
    """Of which slides, fields or patients a generator's training images are, as far as it says.

    Args:
        source (str | Path): As of :func:`training_images_of`.

    Returns:
        set[str]: :func:`~cellgan_plugin.datasets.content_hash.group_hashes` in hexadecimal; empty
        where nothing says it.

    Raises:
        FileNotFoundError: As :func:`training_images_of`, with its other errors.
    """
    rows = _seen_by(source)
    return set() if rows is None else set(to_hex(split_groups(rows)[1]))


def training_views_of(source: Union[str, Path]) -> Optional[Tuple[str, ...]]:
    """Which views of its images (flips, quarter turns) a generator's training showed.

    Args:
        source (str | Path): A checkpoint, which carries the text of its config (read, never run); a
            work directory (its newest checkpoint); or a folder of synthetic images with
            ``synthesis.json``.

    Returns:
        tuple[str] | None: See :func:`~cellgan_plugin.datasets.views.views_of_pipeline`; None
        where nothing says it.

    Raises:
        FileNotFoundError: As :func:`training_images_of`, with its other errors.
    """
    source = _existing(source)
    if source.is_dir():
        said = (read_json(source / SYNTHESIS_RECORD) or {}).get('training_views')
        if said:
            return check_views(said)
        source = find_resumable(source)
        if source is None:
            return None
    return views_in_checkpoint(load_tensors(source, 'cpu'))


def classes_in_checkpoint(checkpoint: Mapping[str, Any]) -> Optional[Sequence[str]]:
    """Class names of the training set, as a checkpoint that was read has them."""
    meta = checkpoint.get('meta') or {}
    return (meta.get('dataset_meta') or {}).get('classes')


def views_in_checkpoint(checkpoint: Any) -> Optional[Tuple[str, ...]]:
    """As :func:`training_views_of`, of a checkpoint that was read."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    text = meta.get('config_text') if isinstance(meta, dict) else None
    return views_of_config_text(text) if isinstance(text, str) else None


def say_training_views(config: Config, part: str, views: Optional[Sequence[str]]) -> None:
    """Tell the metrics of a config which views of training images a copy may show.

    Args:
        config (Config): Changed in place, where a metric looks for memorised images.
        part (str): 'val_evaluator' or 'test_evaluator'.
        views (Sequence[str], optional): None: not known; all eight are then looked through.
    """
    for metric in config_metrics(config, part) if views else ():
        if metric.get('memorisation'):
            metric['memorisation'].setdefault('views', list(views))


def config_metrics(config: Config, part: str) -> List[Any]:
    """The metrics of an evaluator: MMEngine takes an Evaluator, a list of metrics, or one."""
    evaluator = config.get(part) or {}
    metrics = evaluator.get('metrics', evaluator) if isinstance(evaluator, Mapping) else evaluator
    return [metrics] if isinstance(metrics, Mapping) else list(metrics or [])


def _existing(source: Union[str, Path]) -> Path:
    source = Path(source).expanduser()
    if not source.exists():
        raise FileNotFoundError(f'{source} does not exist: name a checkpoint or a folder')
    return source


def _seen_by(source: Union[str, Path]) -> Optional[np.ndarray]:
    """Everything that a generator says of its training: images and groups, uint8 (N, 16)."""
    source = _existing(source)
    if source.is_dir():
        if training_images_file(source).is_file():
            return read_training_images(source)
        newest = find_resumable(source)
        if newest is None:
            return None
        source = newest
    if source.name == TRAINING_IMAGES:
        return read_training_images(source)
    checkpoint = load_tensors(source, 'cpu')
    hashes = checkpoint.get(HASHES) if isinstance(checkpoint, dict) else None
    if hashes is None:
        return None
    try:
        if not isinstance(hashes, torch.Tensor):
            raise ValueError(f'a {type(hashes).__name__} is no tensor')
        return as_hashes(hashes)
    except ValueError as error:
        raise ValueError(f'{source}: {HASHES} cannot be read ({error})') from error
