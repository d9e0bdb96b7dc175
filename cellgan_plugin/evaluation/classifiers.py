"""Features of classifiers that were trained on the task's own images (MMPretrain)."""

from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Union

import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from cellgan_plugin.checkpoint_files import find_chosen
from cellgan_plugin.compat import load_tensors
from cellgan_plugin.datasets.content_hash import to_hex
from cellgan_plugin.evaluation.extractors import ExtractorError, FeatureExtractor, Weights
from cellgan_plugin.evaluation.inputs import checked_file, load_fitting, pooled, resized
from cellgan_plugin.files import file_sha256
from cellgan_plugin.user_modules import read_config


@MODELS.register_module()
class ClassifierFeatures(FeatureExtractor):
    """Backbone features of an MMPretrain classifier, averaged over positions.

    HistoGAN (Sec. 3.1.2) takes a ResNet-34 trained on the real training images.
    Images are normalised by the classifier's own data preprocessor.

    Args:
        config (str | Path | Config): The classifier's config (``configs/classifiers/``).
        checkpoint (str | Path): Its weights: a file, or a work directory: the best by validation
            where it holds one (``best_*.pth``), else the newest whole one.
        name (str, optional): For tables. Defaults to the stem of the config file.
        input_size (int | Sequence[int], optional): What images are resized to in pixels, a side or
            (height, width). Defaults to None: ``out_size`` of the ``FitCellPatch`` in the config's
            pipelines, else as they come.
        channel_order (str, optional): 'RGB' or 'BGR', what the network was trained on. Defaults to
            None: RGB where the data preprocessor converts to it or the config reads a
            ``CellPatchDataset``, else BGR (MMPretrain's loader).
        any_classes (bool): Evaluate images of classes that the classifier was not trained on.
            Defaults to False: :meth:`check_classes` refuses them.

    Attributes:
        classes (tuple[str, ...] | None): What the classifier tells apart; None where its
            checkpoint does not say.

    Raises:
        FileNotFoundError: No such config or checkpoint.
        ExtractorError: The checkpoint does not fit the config.
    """

    def __init__(
        self,
        config: Union[str, Path, Config],
        checkpoint: Weights,
        name: Optional[str] = None,
        input_size: Optional[Union[int, Sequence[int]]] = None,
        channel_order: Optional[str] = None,
        any_classes: bool = False,
    ):
        super().__init__()
        self.any_classes = any_classes
        if not isinstance(config, Config):
            hint = 'Classifier configs are in configs/classifiers/'
            config = read_config(checked_file(config, 'classifier config', hint))
        where = config.filename or 'the classifier config'
        path = self._find_checkpoint(checkpoint, where)
        state = load_tensors(path, 'cpu')
        meta = state.get('meta')
        named = ((meta if isinstance(meta, dict) else {}).get('dataset_meta') or {}).get('classes')
        self.classes = tuple(named) if named else None
        model = _for_classes(config.model, len(self.classes)) if named else config.model
        self.network = self._build(model, path, where, state)
        hashes = state.get('training_images')
        #: Hashes of the images that trained it, in hexadecimal; None where it does not say.
        self.training_images = None if hashes is None else set(to_hex(hashes))
        self.recorded_accuracy = None if _validates_on_training(config) else _validated(state)
        self.sha256 = file_sha256(path)
        self.name = name or Path(config.filename or 'classifier').stem
        size = input_size or _pipeline_size(config)
        if size == 'auto':
            raise ExtractorError(
                f"{where}: FitCellPatch(out_size='auto') leaves the size to the images: give the "
                "config in the training's work directory, or input_size"
            )
        self.input_size = tuple(size) if isinstance(size, (tuple, list)) else size
        preprocessor = self.network.data_preprocessor
        normalised = getattr(preprocessor, '_enable_normalize', False)
        # Buffers of the preprocessor would be lost with strict=False above; take its numbers.
        mean = preprocessor.mean.flatten().tolist() if normalised else [0.0] * 3
        std = preprocessor.std.flatten().tolist() if normalised else [1.0] * 3
        if channel_order is None:
            own_data = 'CellPatchDataset' in str(config.get('train_dataloader', {}))
            is_rgb = getattr(preprocessor, 'to_rgb', False) or own_data
            channel_order = 'RGB' if is_rgb else 'BGR'
        self.channel_order = channel_order
        self.model_text = Config(dict(config.model)).pretty_text
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.finish(64)  # images are resized in any case, where a size is said

    @staticmethod
    def _find_checkpoint(checkpoint: Weights, config: str) -> Path:
        hint = f'Train the classifier first: python tools/train.py {config}'
        path = checked_file(checkpoint, 'classifier checkpoint', hint)
        if path.is_dir():
            chosen = find_chosen(path)
            if chosen is None:
                raise FileNotFoundError(f'{path} holds no whole checkpoint. {hint}')
            path = chosen
        return path

    @staticmethod
    def _build(model: dict, path: Path, where: str, state: dict) -> nn.Module:
        from mmengine.registry import DefaultScope
        from mmpretrain.registry import MODELS as CLASSIFIERS

        model = Config(dict(model=model)).model  # a copy
        for part in (model, model.get('backbone', {})):
            part.pop('init_cfg', None)  # pretrained weights that the checkpoint replaces
        model.pop('pretrained', None)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            network = CLASSIFIERS.build(model)
        unfit = load_fitting(network, state.get('state_dict', state))
        missing = [key for key in unfit if key.startswith('backbone.')]
        if missing:
            raise ExtractorError(
                f'{path} does not fit {where}: {len(missing)} weights of the backbone are missing '
                f'or of another shape ({missing[0]}, ...). Give the config it was trained with'
            )
        return network

    def describe(self) -> Dict[str, Any]:
        """See the base."""
        return dict(
            kind='MMPretrain classifier backbone, global average',
            name=self.name,
            weights_sha256=self.sha256,
            model=self.model_text,
            resize=f'{self.input_size} px, bilinear, antialiased' if self.input_size else 'none',
            channel_order=self.channel_order,
            mean=self.mean.flatten().tolist(),
            std=self.std.flatten().tolist(),
            dtype='float32',
        )

    def features(self, images: Tensor) -> Tensor:
        """See the base."""
        images = resized(images, self.input_size)
        if self.channel_order == 'BGR':
            images = images.flip(1)
        return pooled(self.network.backbone((images - self.mean) / self.std))

    @torch.no_grad()
    def class_scores(self, features: Tensor) -> Optional[Tensor]:
        """Scores (N, number of classes) that the head gives to features (N, feature_dim).

        None where the network has no head, or one that reads more than the averaged features.
        """
        head = self.network.head if self.network.with_head else None
        layer = getattr(head, 'fc', None)
        if not isinstance(layer, nn.Linear) or layer.in_features != self.feature_dim:
            return None
        return layer(features.to(self.device))


def _for_classes(model: Mapping[str, Any], number: int) -> Dict[str, Any]:
    """A classifier's config for so many classes.

    A config that leaves its classes to the data folder does not say how many it was trained on; its
    checkpoint does.
    """
    found = dict(model)
    for key in ('head', 'data_preprocessor'):
        if isinstance(found.get(key), Mapping) and 'num_classes' in found[key]:
            found[key] = dict(found[key], num_classes=number)
    return found


def _validates_on_training(config: Config) -> bool:
    """Whether the validation images of a config are its training images."""
    found = [
        (config.get(f'{part}_dataloader') or {}).get('dataset') or {} for part in ('train', 'val')
    ]
    keys = ('data_root', 'ann_file', 'split', 'data_prefix')
    return len({str([dataset.get(key) or '' for key in keys]) for dataset in found}) == 1


def _validated(state: Dict[str, Any]) -> Optional[float]:
    """The last validation accuracy that a checkpoint of MMEngine carries, 0 to 1."""
    hub = state.get('message_hub')
    scalars = (hub if isinstance(hub, dict) else {}).get('log_scalars') or {}
    for name, curve in scalars.items():
        if name.startswith('val/accuracy') and isinstance(curve, dict):
            history = torch.as_tensor(curve.get('history', []), dtype=torch.float64).flatten()
            if len(history) and 0 <= float(history[-1]) <= 100:
                return float(history[-1]) / 100
    return None


def _pipeline_size(config: Config) -> Optional[Union[int, Sequence[int]]]:
    for loader in ('test_dataloader', 'val_dataloader', 'train_dataloader'):
        dataset = (config.get(loader) or {}).get('dataset', {})
        for transform in dataset.get('pipeline', []):
            if transform.get('type', '').split('.')[-1] == 'FitCellPatch':
                return transform['out_size']
    return None
