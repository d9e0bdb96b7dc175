"""A trained model, ready to sample: what synthesis, comparison and selection start from."""

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from cellgan_plugin.checkpoint_files import find_checkpoint
from cellgan_plugin.compat import load_tensors
from cellgan_plugin.datasets import BETHESDA_CLASSES
from cellgan_plugin.datasets.classes import check_class_names
from cellgan_plugin.datasets.views import views_of_config
from cellgan_plugin.runs.data_settings import are_open, set_classes
from cellgan_plugin.runs.model_zoo import named_model
from cellgan_plugin.runs.provenance import classes_in_checkpoint, views_in_checkpoint
from cellgan_plugin.runs.test import load_weights
from cellgan_plugin.runs.train import load_config


@dataclass
class LoadedModel:
    """A model with its weights, in evaluation mode.

    Attributes:
        model (nn.Module): On its device.
        classes (tuple[str]): Class names in the order of the labels.
        config (Config): That it was built from.
        checkpoint (Path): The file.
        iteration (int | None): How long it was trained, where the checkpoint says it.
        training_images (Tensor | None): Hashes (N, 16) of the images it was trained on, where the
            checkpoint says it (:mod:`cellgan_plugin.datasets.content_hash`).
        training_views (tuple[str] | None): Views of them that its training showed, by the config
            in the checkpoint, else by ``config`` (:mod:`cellgan_plugin.datasets.views`).
    """

    model: nn.Module
    classes: Tuple[str, ...]
    config: Config
    checkpoint: Path
    iteration: Optional[int] = None
    training_images: Optional[torch.Tensor] = None
    training_views: Optional[Tuple[str, ...]] = None


def config_classes(config: Config) -> Optional[Tuple[str, ...]]:
    """Class names that a config gives its training set, else its validation set, else None."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = (config.get(name) or {}).get('dataset') or {}
        classes = (dataset.get('metainfo') or {}).get('classes')
        if classes:
            return tuple(classes)
    return None


def default_classes(config: Config) -> Optional[Tuple[str, ...]]:
    """Class names of a config, those of its data set's default where it leaves them open."""
    return config_classes(config) or (BETHESDA_CLASSES if are_open(config) else None)


def take_classes(config: Config, in_checkpoint: Optional[Sequence[str]]) -> None:
    """Give a config that leaves its classes open those of the checkpoint.

    Args:
        config (Config): Changed in place.
        in_checkpoint (Sequence[str], optional): As the checkpoint has them.
    """
    if in_checkpoint and are_open(config):
        set_classes(config, check_class_names(in_checkpoint))


def settle_classes(
    config: Config, in_checkpoint: Optional[List[str]], num_classes: Optional[int]
) -> Tuple[str, ...]:
    """The class names of a model, once config, checkpoint and model agree on them.

    Args:
        config (Config): See :func:`config_classes`.
        in_checkpoint (list[str], optional): Those of the training set, as the checkpoint has them.
        num_classes (int, optional): Of the model.

    Raises:
        ValueError: They differ, in number, name or order (the message shows both lists), or one
            cannot be a class name: a checkpoint may come from anywhere, and folders get its names.
    """
    in_config, in_checkpoint = (
        check_class_names(names) if names else None
        for names in (config_classes(config), in_checkpoint)
    )
    if in_config and in_checkpoint and in_checkpoint != in_config:
        raise ValueError(
            f'the config has the classes {list(in_config)}, the checkpoint was trained with '
            f'{list(in_checkpoint)}: give the config that it was trained with (a copy lies in its '
            'work directory), or set train_dataloader.dataset.metainfo.classes'
        )
    classes = in_checkpoint or in_config or default_classes(config) or ()
    if not classes:
        raise ValueError(
            'neither the config (train_dataloader.dataset.metainfo.classes) nor the checkpoint '
            'names the classes'
        )
    if num_classes is not None and num_classes != len(classes):
        raise ValueError(
            f'the model has {num_classes} classes, the config or checkpoint names {len(classes)}: '
            f'{list(classes)}'
        )
    return classes


def load_model(
    config: Union[str, Path, Config],
    checkpoint: Optional[Union[str, Path]] = None,
    device: Optional[Union[str, torch.device]] = None,
    options: Optional[dict] = None,
) -> LoadedModel:
    """Build a model and load its weights, to sample from it; no data set, no Runner.

    Args:
        config (str | Path | Config): The run, or the name of a shipped model
            (:mod:`cellgan_plugin.runs.model_zoo`).
        checkpoint (str | Path, optional): A file, or a work directory (see
            :func:`find_checkpoint`). Defaults to None: the shipped model's weights.
        device (str | torch.device, optional): Defaults to None: a GPU where there is one.
        options (dict, optional): Overrides of the config. Defaults to None.

    Returns:
        LoadedModel: In evaluation mode.

    Raises:
        FileNotFoundError: No such config or checkpoint.
        ValueError: Weights or class names do not fit the config.
    """
    config, checkpoint = named_model(config, checkpoint)
    config = load_config(config, options=options)
    checkpoint = find_checkpoint(checkpoint)
    init_default_scope(config.get('default_scope', 'mmagic'))
    state = load_tensors(checkpoint, 'cpu')
    in_checkpoint = classes_in_checkpoint(state)
    take_classes(config, in_checkpoint)
    model = MODELS.build(config.model)
    classes = settle_classes(config, in_checkpoint, getattr(model, 'num_classes', None))
    load_weights(model, checkpoint, state)
    model.to(device or ('cuda' if torch.cuda.is_available() else 'cpu')).eval()
    hashes = state.get('training_images')
    views = views_in_checkpoint(state) or views_of_config(config)
    iteration = (state.get('meta') or {}).get('iter')
    return LoadedModel(model, classes, config, checkpoint, iteration, hashes, views)
