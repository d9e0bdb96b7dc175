"""Runs of generators that a benchmark trains: on which images, how long, and who selects."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set

from mmengine.config import Config

from cellgan_plugin.benchmark.classifier_run import file_digest, starting_weights
from cellgan_plugin.benchmark.rows import Generator, with_checkpoints
from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.records import plain
from cellgan_plugin.runs.data_settings import (
    are_open,
    data_folder,
    open_sizes,
    set_classes,
    settle_size,
)
from cellgan_plugin.runs.job_program import CONFIG_NAME
from cellgan_plugin.runs.provenance import config_metrics, training_groups_of, training_images_of
from cellgan_plugin.runs.train import load_config

# What of a generator's config decides its weights, beside its images.
_TRAINING_KEYS = ('model', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'randomness')
_CHOOSING_HOOK = 'ModelSelectionHook'


def read_generator(
    generator: Generator,
    classes: Sequence[str],
    data: Mapping[str, Any],
    checkpoints: Sequence[Path] = (),
) -> Config:
    """The config of a generator that the benchmark trains.

    Args:
        generator (Generator): With a config and without a checkpoint.
        classes (Sequence[str]): Of the benchmark, for a config that leaves them open.
        data (Mapping): Of the protocol, whose images say sizes that are ``'auto'``.
        checkpoints (Sequence[Path]): Of its earlier stages, in place of ``{stage0}``, ...

    Raises:
        ProtocolError: Its images are not those of a CellPatchDataset, or ``best_by_fd`` is asked
            of a config that is not evaluated by a classifier while it trains.
    """
    options = with_checkpoints(generator.options, checkpoints)
    if generator.iterations is not None:
        options['train_cfg.max_iters'] = generator.iterations
    config = _read_trainable(generator.name, generator.config, options, classes, data)
    if generator.best_by_fd and not (_extractors(config) and _is_chosen(config)):
        raise ProtocolError(
            f'generator {generator.name!r}: best_by_fd needs a config that is evaluated while it '
            f'trains by the features of a classifier, and a {_CHOOSING_HOOK}, such as '
            f'configs/histogan/histogan_cervical_fd.py; {generator.config} is not'
        )
    begin, end = (config.get('train_cfg') or {}).get('val_begin', 1), config.train_cfg.max_iters
    if generator.best_by_fd and begin > end:
        raise ProtocolError(
            f'generator {generator.name!r}: best_by_fd, but its first validation is at iteration '
            f'{begin} (train_cfg.val_begin) and it trains for {end}: no weights would be chosen'
        )
    return config


def fit_size(config: Config, data: Mapping[str, Any]) -> None:
    """Settle image sizes that a config leaves open by the images of the benchmark.

    Args:
        config (Config): Of a generator or a classifier; changed in place.
        data (Mapping): Of the protocol.
    """
    if any(True for _ in open_sizes(config)):
        settle_size(config, data_folder(data['data_root']).image_size)


def read_stages(
    generator: Generator,
    classes: Sequence[str],
    data: Mapping[str, Any],
    checkpoints: Sequence[Path] = (),
) -> List[Config]:
    """The configs of what is trained before a generator; arguments of :func:`read_generator`."""
    found = []
    for stage in generator.stages:
        options = with_checkpoints(stage.options, checkpoints)
        found.append(_read_trainable(generator.name, stage.config, options, classes, data))
    return found


def _read_trainable(
    name: str, path: str, options: Mapping[str, Any], classes: Sequence[str], data: Mapping
) -> Config:
    config = load_config(path, options=options)
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    if dataset.get('type', '').split('.')[-1] != 'CellPatchDataset':
        raise ProtocolError(
            f'generator {name!r}: {path} trains on {dataset.get("type")!r}; the benchmark can '
            'hand its images to a CellPatchDataset'
        )
    if are_open(config):
        set_classes(config, classes)
    fit_size(config, data)
    return config


def _hook_name(hook: Mapping[str, Any]) -> str:
    return hook['type'].split('.')[-1]


def _is_chosen(config: Config) -> bool:
    return any(_hook_name(hook) == _CHOOSING_HOOK for hook in config.get('custom_hooks') or [])


def _extractors(config: Config) -> List[dict]:
    """The feature extractors of the validation that are classifiers."""
    found = [metric.get('extractor') or {} for metric in config_metrics(config, 'val_evaluator')]
    return [one for one in found if one.get('type', '').split('.')[-1] == 'ClassifierFeatures']


def on_images(run: Config, images: Mapping[str, Any]) -> None:
    """Let a run train on the images of a list, whatever its config says.

    Args:
        run (Config): Changed in place.
        images (Mapping): ``data_root``, ``ann_file``, ``follow_links``.
    """
    run.train_dataloader.dataset.update(images, split=None, data_prefix=dict(img_path=''))


def unjudged(run: Config) -> None:
    """Take validation out of a run: its last weights are used, and no other image is looked at."""
    for key in list(run.keys()):
        if key.startswith(('val_', 'test_')):
            run.pop(key)
    run.custom_hooks = [
        hook for hook in run.get('custom_hooks') or [] if _hook_name(hook) != _CHOOSING_HOOK
    ]


def evaluated_by(run: Config, images: Mapping[str, Any], classifier: Path) -> None:
    """Let a run be evaluated by the features of a classifier, against the images it trains on.

    HistoGAN, Sec. 3.1.2: smoothed FD with the ResNet-34 of the task. Neither the classifier nor the
    real images are others than the fold's training images, so nothing of the test passes into the
    choice.

    Args:
        run (Config): Changed in place.
        images (Mapping): The fold's training images.
        classifier (Path): Work directory of the baseline.
    """
    run.val_dataloader.dataset.update(images, split=None, data_prefix=dict(img_path=''))
    for extractor in _extractors(run):
        # A ModelSelectionHook may say which value it looks at, by this name.
        if extractor.get('config'):
            extractor.setdefault('name', Path(extractor['config']).stem)
        extractor.update(
            config=str((classifier / CONFIG_NAME).absolute()),
            checkpoint=str(classifier.absolute()),
        )
    for key in [key for key in run.keys() if key.startswith('test_')]:
        run.pop(key)


def inherited_images(config: Config, made_here: Sequence[Path] = ()) -> Optional[Set[str]]:
    """What the weights that a run starts from were trained on; None: unknown.

    Args:
        config (Config): The run.
        made_here (Sequence[Path]): Weights of earlier stages, which train on the run's own images.
    """
    found: Set[str] = set()
    for path in starting_weights(config):
        if Path(path) in made_here:
            continue
        known = training_images_of(path) if Path(path).exists() else None
        if known is None:
            return None
        found |= known
    return found


def inherited_groups(config: Config) -> Set[str]:
    """Of which slides or patients those images are, as far as the weights say it."""
    paths = [path for path in starting_weights(config) if Path(path).exists()]
    return set().union(*map(training_groups_of, paths))


def training_identity(
    config: Config, generator: Generator, stages: Sequence[Config] = ()
) -> Dict[str, Any]:
    """What decides the weights of a generator, beside its images; ``stages``: trained before it."""
    own = {key: plain(config.get(key)) for key in _TRAINING_KEYS}
    loader = config.train_dataloader
    own['batch_size'] = loader.get('batch_size')
    own['pipeline'] = plain(loader.dataset.get('pipeline'))
    given = [path for path in starting_weights(config) if not (stages and '{stage' in path)]
    own['weights'] = {path: file_digest(path) for path in given}
    if stages:
        own['stages'] = [training_identity(stage, replace(generator, best_by_fd=False, stages=()))
                         for stage in stages]  # fmt: skip
    if generator.best_by_fd:
        hooks = [h for h in config.custom_hooks if _hook_name(h) == _CHOOSING_HOOK]
        own['best_by_fd'] = plain(hooks)
    return own


def check_generator_classes(
    generator: Generator, names: Optional[Sequence[str]], classes: Sequence[str]
) -> None:
    """ProtocolError unless a generator of the classes ``names`` knows those of the benchmark."""
    if not names:
        raise ProtocolError(
            f'generator {generator.name!r}: {generator.config} does not name its classes '
            '(train_dataloader.dataset.metainfo.classes)'
        )
    means = {name: resolve_class(name, names) for name in classes}
    missing = [name for name, known in means.items() if known is None]
    if missing:
        raise ProtocolError(
            f'generator {generator.name!r} makes the classes {list(names)}; the benchmark also '
            f'has {missing}. Train a generator on these too, or take them out of the benchmark'
        )
    if len(set(means.values())) < len(means):
        raise ProtocolError(
            f'generator {generator.name!r}: two classes of the benchmark are one class of the '
            f'generator ({means}); name them as the generator does'
        )
