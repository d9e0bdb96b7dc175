"""The data folder of a run: classes, their number, list, splits and image size, said once.

Whatever a config leaves open is set by its data: ``metainfo=dict(classes=None)`` and
``out_size='auto'``. Everything is written into the config, so that the copy in the work directory
says it as any other value.
"""

import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from mmengine.config import Config
from mmengine.logging import print_log

from cellgan_plugin.datasets import BETHESDA_CLASSES
from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.datasets.data_folder import DataFolder, read_data_folder
from cellgan_plugin.errors import ConfigError
from cellgan_plugin.runs.config_file import mappings_in

DATA_VARIABLE = 'CELLGAN_DATA_ROOT'
AUTO = 'auto'
_LOADERS = dict(train_dataloader='train', val_dataloader='val', test_dataloader='test')
_EVALUATORS = ('val_evaluator', 'test_evaluator')
_SIZES = ('out_size', 'in_size', 'output_scale', 'input_scale')
# Parts of a model that say a number of classes themselves; elsewhere only the former number is
# replaced, e.g. not that of a backbone without a head.
_COUNTED = ('', 'head', 'generator', 'discriminator', 'data_preprocessor')

Data = Union[str, Path, DataFolder]
_read: Dict[Tuple, DataFolder] = {}


class _Set(NamedTuple):
    """A CellPatchDataset inside of a config: its full key, its config, and what it is for."""

    key: str
    dataset: Any
    part: str


def kind_of(part: Any) -> str:
    """Name of the class that a part of a config is built from, without scope; '' where it has none.

    >>> kind_of(dict(type='mmagic.CellPatchDataset'))
    'CellPatchDataset'
    """
    name = part.get('type', '') if isinstance(part, Mapping) else ''
    return str(getattr(name, '__name__', name)).rpartition('.')[2]


def patch_sets(config: Config) -> List[_Set]:
    """Every CellPatchDataset of a config, also inside of wrappers and metrics."""
    # Those of evaluators are of the memorisation score.
    parts = {**_LOADERS, **dict.fromkeys(_EVALUATORS, 'train')}
    return [
        _Set(key, entry, part)
        for name, part in parts.items()
        for key, entry in mappings_in(config.get(name), name)
        if kind_of(entry) == 'CellPatchDataset'
    ]


def named_classes(dataset: Mapping) -> Optional[List[str]]:
    """Class names that the config of a CellPatchDataset gives; None where it leaves them open.

    One that skips the images of other classes means the five Bethesda classes where it names none.
    """
    names = (dataset.get('metainfo') or {}).get('classes')
    if names and not isinstance(names, str):
        return list(names)
    return list(BETHESDA_CLASSES) if dataset.get('extra_classes') == 'skip' else None


def are_open(config: Config) -> bool:
    """Whether a data set of a config leaves its classes open."""
    return any(named_classes(s.dataset) is None for s in patch_sets(config))


def set_classes(config: Config, classes: Sequence[str]) -> None:
    """Give data sets that leave their classes open these, and the model their number.

    Args:
        config (Config): Changed in place.
        classes (Sequence[str]): Class names.
    """
    sets = patch_sets(config)
    former = {len(named_classes(s.dataset) or BETHESDA_CLASSES) for s in sets}
    for _, dataset, _ in sets:
        if named_classes(dataset) is None:
            dataset['metainfo'] = dict(dataset.get('metainfo') or {}, classes=list(classes))
    model = config.get('model') or {}
    former.add(model.get('num_classes'))
    for name in ('data_preprocessor', *_EVALUATORS):
        _set_numbers(config.get(name), len(classes), former)
    _set_numbers(model, len(classes), former)
    for key in _COUNTED:
        part = model.get(key) if key else model
        if isinstance(part, Mapping) and isinstance(part.get('num_classes'), int):
            part['num_classes'] = len(classes)


def _set_numbers(value: Any, number: int, former: set) -> None:
    for _, entry in mappings_in(value):
        if entry.get('num_classes') in former - {None}:
            entry['num_classes'] = number


def open_sizes(config: Config) -> Iterator[Tuple[str, Any, str]]:
    """Where a config says ``'auto'`` for an image size: full key, the mapping, its key."""
    for name in ('model', *_LOADERS, *_EVALUATORS, 'prediction_dataloader'):
        for path, part in mappings_in(config.get(name), name):
            for key in _SIZES:
                if isinstance(part.get(key), str) and part[key] == AUTO:
                    yield f'{path}.{key}', part, key


def settle_size(config: Config, size: int) -> Optional[str]:
    """Put a size where a config says ``'auto'``.

    A size that its generator, or else its training pipeline says comes first.

    Args:
        config (Config): Changed in place.
        size (int): Side in pixels.

    Returns:
        str | None: What was set, in words; None where nothing is open.
    """
    places = list(open_sizes(config))
    if not places:
        return None
    said = _said_size(config)
    chosen = size if said is None else said
    for _, part, key in places:
        part[key] = chosen
    keys = [key for key, _, _ in places]
    source = 'from the images' if said is None else 'as the rest of the config says'
    return f'{", ".join(keys[:2])}{", ..." if len(keys) > 2 else ""}: {chosen} px, {source}'


def _said_size(config: Config) -> Any:
    """The image size that a config does say: of its generator, else of its training pipeline."""
    model = config.get('model') or {}
    train = [s.dataset for s in patch_sets(config) if s.part == 'train']
    parts = [model.get('generator'), *(train[0].get('pipeline') or [] if train else [])]
    for part in parts:
        for key in _SIZES if isinstance(part, Mapping) else ():
            if part.get(key) not in (None, AUTO):
                return part[key]
    return None


def data_folder(data: Data) -> DataFolder:
    """Read a data folder, once as long as nothing changes at its top.

    Raises:
        DatasetError: See :func:`~cellgan_plugin.datasets.data_folder.read_data_folder`.
    """
    if isinstance(data, DataFolder):
        return data
    root = os.path.abspath(os.path.expanduser(data))
    if not os.path.isdir(root):
        return read_data_folder(data)
    with os.scandir(root) as entries:
        times = sorted((entry.name, entry.stat().st_mtime_ns) for entry in entries
                       if os.path.exists(entry.path))  # fmt: skip
    key = root, tuple(times)
    if key not in _read:
        _read.clear()
        _read[key] = read_data_folder(root)
    return _read[key]


def apply_data(config: Config, data: Optional[Data] = None, say: bool = True) -> Config:
    """Set what a run reads from its data folder, and say it.

    - every ``CellPatchDataset``: ``data_root``, ``ann_file``, ``split`` (that of the config where
      the manifest has it, else the one for its part of the run), and the class names where the
      config leaves them open;
    - ``num_classes`` of the generator, the discriminator, the head and the data preprocessor;
    - ``'auto'`` in the place of an image size.

    Args:
        config (Config): Of a generator or a classifier, or an evaluation; changed in place.
        data (str | Path | DataFolder, optional): The folder. Defaults to None: that of the
            environment variable ``CELLGAN_DATA_ROOT``, for the data sets that lie there; without
            it, image sizes that are open are those of the config's own images.
        say (bool): Whether to log what is set. Defaults to True.

    Returns:
        Config: ``config``.

    Raises:
        DatasetError: The folder cannot be used.
        ConfigError: The config names other classes than the folder has, or reads data of another
            kind.
    """
    sets = patch_sets(config)
    if data is None:
        root = os.environ.get(DATA_VARIABLE)
        sets = [s for s in sets if root and s.dataset.get('data_root') == root]
        if not sets or not os.path.isdir(os.path.expanduser(root)):
            return _own_size(config, say)  # a folder that is missing is named by the data set
        data = root
    folder = data_folder(data)
    if not sets:
        return _other_kind(config, folder)
    _check_classes(config, sets, folder)
    lines = [folder.describe(), *folder.notes]
    for key, dataset, part in sets:
        lines += _point_at(key, dataset, part, folder)
    if any(named_classes(s.dataset) is None for s in sets):
        set_classes(config, folder.classes)
    if any(True for _ in open_sizes(config)):
        lines.append(settle_size(config, folder.image_size))
    for line in filter(None, dict.fromkeys(lines) if say else ()):
        print_log(f'Data: {line}', 'current')
    return config


def _own_size(config: Config, say: bool) -> Config:
    """Settle open image sizes by the images that a config itself names."""
    if not any(True for _ in open_sizes(config)):
        return config
    train = next((s.dataset for s in patch_sets(config) if s.part == 'train'), None)
    said = _said_size(config)
    if train is None and said is None:
        key = next(open_sizes(config))[0]
        raise ConfigError(f"{key}='auto' is the size of the images: say which, --data DIR")
    size = said if said is not None else data_folder(train.get('data_root', '')).image_size
    line = settle_size(config, size)
    if say:
        print_log(f'Data: {line}', 'current')
    return config


def _check_classes(config: Config, sets: Sequence[_Set], folder: DataFolder) -> None:
    for key, dataset, _ in sets:
        names = named_classes(dataset)
        if names is None:
            continue
        there = {resolve_class(name, names) for name in folder.classes}
        missing = set(names) - there
        if missing or (None in there and dataset.get('extra_classes') != 'skip'):
            raise ConfigError(
                f'{config.filename or "the config"} names the classes {names} ({key}.metainfo'
                f'.classes), but {folder.root} has {list(folder.classes)}. Give a config that '
                'leaves them open (metainfo=dict(classes=None), as configs/cellgan_tct.py), or the '
                'folder of these classes'
            )


def _point_at(key: str, dataset: Any, part: str, folder: DataFolder) -> List[str]:
    """Let a data set read the folder; what has to be said of it."""
    before = dataset.get('split')
    split = before if before in folder.splits else folder.split_for(part)
    dataset.update(
        data_root=folder.root, ann_file=folder.ann_file, split=split, data_prefix=dict(img_path='')
    )
    if folder.ann_file and split is None and any(folder.splits):
        return [f'{key} reads all splits: none of {sorted(folder.splits)} is for {part}']
    if split != part and part != 'train':
        what = f'split {split!r}' if split else 'all images, as training does'
        return [f'{key} reads {what}: no split {part!r} is there']
    return []


def _other_kind(config: Config, folder: DataFolder) -> Config:
    name = next((name for name in _LOADERS if config.get(name)), None)
    kind = kind_of((config.get(name) or {}).get('dataset')) if name else 'nothing'
    raise ConfigError(
        f'--data {folder.root}: {config.filename or "the config"} reads a {kind or "nothing"}; a '
        'data folder of labelled images is for configs that read a CellPatchDataset. Say '
        'train_dataloader.dataset.data_root=DIR by --cfg-options'
    )
