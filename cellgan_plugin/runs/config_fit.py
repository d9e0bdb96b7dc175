"""Do the model and the data of a config fit each other? Asked of the config alone."""

from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config

from cellgan_plugin.datasets import BETHESDA_CLASSES
from cellgan_plugin.errors import ConfigError
from cellgan_plugin.models.layers import height_and_width
from cellgan_plugin.models.model_checks import check_model_config

_SIZES = ('out_size', 'output_scale')


def check_fit(config: Config) -> None:
    """Compare numbers of classes, class names and image sizes of a config's parts.

    Args:
        config (Config): Of a generator, a segmenter or a classifier. What it does not say passes,
            e.g. the classes of a data set that reads them from its files.

    Raises:
        ConfigError: Two parts differ; the message has both keys.
        ValueError: The networks of a GAN do not fit each other.
    """
    model = config.get('model') or {}
    check_model_config(model)
    where = 'train_dataloader.dataset'
    dataset = unwrapped((config.get('train_dataloader') or {}).get('dataset'))
    classes = _classes(dataset)
    if classes is not None:
        for key, number in _numbers_of_classes(model):
            if number != len(classes):
                raise ConfigError(
                    f'{key}={number} but the training set has {len(classes)} classes '
                    f'({", ".join(classes)}): set {key}, or {where}.metainfo.classes'
                )
        for name in ('val_dataloader', 'test_dataloader'):
            for other in _datasets_of(config.get(name)):
                others = _classes(other)
                if others is not None and others != classes:
                    raise ConfigError(
                        f'{name}.dataset.metainfo.classes are {others}, {where}.metainfo.classes '
                        f'are {classes}: give both the same classes in the same order'
                    )
    _check_size(model, dataset)


def _check_size(model: Mapping, dataset: Mapping) -> None:
    generator = model.get('generator')
    if not isinstance(generator, Mapping):
        return
    key = next((name for name in _SIZES if generator.get(name) is not None), None)
    steps = [s for s in dataset.get('pipeline') or [] if isinstance(s, Mapping) and 'out_size' in s]
    if key is None or not steps or 'auto' in (generator[key], steps[-1]['out_size']):
        return
    made = height_and_width(f'model.generator.{key}', generator[key])
    given = height_and_width('out_size', steps[-1]['out_size'])
    if made != given:
        raise ConfigError(
            f'model.generator.{key}={generator[key]} but {steps[-1].get("type")} of the training '
            f'set makes out_size={steps[-1]["out_size"]} (pixels, or height and width): they must '
            'be equal'
        )


def unwrapped(dataset: Any) -> Mapping:
    """The config of the data set inside of a RepeatDataset and the like."""
    while isinstance(dataset, Mapping) and isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    return dataset if isinstance(dataset, Mapping) else {}


def _datasets_of(loaders: Any) -> Iterator[Mapping]:
    for loader in loaders if isinstance(loaders, (list, tuple)) else [loaders or {}]:
        yield unwrapped(loader.get('dataset'))


def _classes(dataset: Mapping) -> Optional[List[str]]:
    """Class names that a config gives one of this plugin's data sets; None where it gives none."""
    kind = str(dataset.get('type')).rpartition('.')[2]
    if kind not in ('CellPatchDataset', 'TissueMaskDataset'):
        return None
    default: Sequence[str] = BETHESDA_CLASSES if kind == 'CellPatchDataset' else ()
    classes = (dataset.get('metainfo') or {}).get('classes') or default
    return list(classes) if classes and not isinstance(classes, str) else None


def _numbers_of_classes(model: Mapping) -> Iterator[Tuple[str, int]]:
    """Every number of classes that a model's config says, with its key."""
    for key in ('', 'head', 'generator', 'discriminator', 'segmenter'):
        part = model.get(key) if key else model
        number = part.get('num_classes') if isinstance(part, Mapping) else None
        if isinstance(number, int):
            yield '.'.join(filter(None, ['model', key, 'num_classes'])), number
