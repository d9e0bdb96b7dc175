"""Make the run of a benchmark job out of any MMPretrain config.

A config says what the classifier is and how it learns; the benchmark says on which images, for how
long and from which seed. Everything else of the run is the same for all jobs.
"""

import copy
import itertools
import math
import pprint
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from mmengine.config import Config

from cellgan_plugin.benchmark.schedule import stretched_schedule
from cellgan_plugin.datasets import transforms
from cellgan_plugin.errors import ConfigError
from cellgan_plugin.files import atomic_write, file_sha256
from cellgan_plugin.records import plain
from cellgan_plugin.runs.check_run import check_model_and_pipelines
from cellgan_plugin.runs.config_check import check_config
from cellgan_plugin.runs.config_file import mappings_in, open_config

SELECT = ('last', 'best')
_VALIDATIONS = 20  # evenly spaced over a run that has validation images
_CHECKPOINTS = 5
_MIN_INTERVAL = 250  # steps between checkpoints; SIGTERM saves at any step
_LOG_LINES = 20
_SEEDED = ('RandomCellFlip', 'RandomStain', 'RandomTissueColor')  # draw from (seed, position)
# What of a config's own data set is kept; where the images are is the benchmark's.
_KEPT = ('channels', 'cache', 'check', 'max_pixels')


def number_of_iterations(epochs: int, images: int, batch_size: int) -> int:
    """Optimizer steps of ``epochs`` passes; the last batch of a pass may be filled by the next."""
    return epochs * math.ceil(images / batch_size)


def read_classifier(config: Union[str, Path, Config]) -> Config:
    """Read a classifier's config and see that the benchmark can use it.

    Raises:
        FileNotFoundError: No such file.
        ConfigError: It says what nothing reads.
        ValueError: It is no classifier, or has no training pipeline or optimizer.
    """
    config = open_config(config, 'classifier config')
    check_config(config)
    name = config.filename or 'the classifier config'
    model = config.get('model') or {}
    if 'head' not in model or 'num_classes' not in (model['head'] or {}):
        raise ValueError(
            f'{name}: model.head.num_classes is missing; a classifier is an MMPretrain config, '
            'e.g. configs/classifiers/benchmark_resnet34.py'
        )
    for key in ('train_dataloader', 'optim_wrapper'):
        if not config.get(key):
            raise ValueError(f'{name}: has no {key}')
    _pipeline(config, 'train_dataloader')
    _test_loader(config)
    if not isinstance(config.train_dataloader.get('batch_size'), int):
        raise ValueError(f'{name}: train_dataloader.batch_size is missing')
    return config


def check_classifier(
    config: Config, classes: Sequence[str], arm_transforms: Sequence[Sequence[Mapping]]
) -> None:
    """Build a classifier and its transforms once, so that a mistake is named before any job runs.

    Args:
        config (Config): Of :func:`read_classifier`.
        classes (Sequence[str]): Class names.
        arm_transforms (Sequence[Sequence[Mapping]]): What each arm puts into the training
            pipeline.

    Raises:
        ConfigError: The model or a transform cannot be built.
        ValueError: See :func:`classifier_run`.
    """
    extra: List[Mapping] = []
    for transform in itertools.chain(*arm_transforms):
        if transform not in extra:
            extra.append(transform)
    run = classifier_run(config, classes, [{}], None, {}, 1, 0, extra_transforms=extra)
    try:
        check_model_and_pipelines(run)
    except ConfigError as error:
        raise ConfigError(f'{config.filename or "the classifier config"}: {error}') from error


def _pipeline(config: Config, loader: str) -> List[dict]:
    dataset = (config.get(loader) or {}).get('dataset') or {}
    if 'pipeline' not in dataset:
        raise ValueError(
            f'{config.filename or "the classifier config"}: {loader}.dataset has no pipeline '
            '(a data set inside a wrapper is not looked for)'
        )
    return dataset['pipeline']


def _test_loader(config: Config) -> str:
    """Name of the loader that says how images are prepared for testing."""
    for name in ('test_dataloader', 'val_dataloader'):
        if config.get(name):
            _pipeline(config, name)
            return name
    raise ValueError(
        f'{config.filename or "the classifier config"}: has neither test_dataloader nor '
        'val_dataloader, whose pipeline prepares the test images'
    )


def starting_weights(config: Config) -> List[str]:
    """Checkpoints that a run starts from; empty when it starts from random numbers."""
    found = [config.load_from] if config.get('load_from') else []
    for _, part in mappings_in(config.get('model')):
        if part.get('type') == 'Pretrained' and part.get('checkpoint'):
            found.append(str(part['checkpoint']))
        # Of a latent diffusion model.
        found += [str(v) for k, v in part.items() if str(k).endswith('_checkpoint') and v]
    return list(dict.fromkeys(found))


def _with_transforms(pipeline: Sequence[dict], extra: Sequence[Mapping]) -> List[dict]:
    """A pipeline with further transforms before the one that packs."""
    packs = [i for i, step in enumerate(pipeline) if step['type'].split('.')[-1].startswith('Pack')]
    if extra and not packs:
        raise ValueError(
            'the training pipeline of the classifier has no transform that packs (PackInputs), '
            'before which further transforms could be put'
        )
    at = packs[-1] if packs else len(pipeline)
    return [*pipeline[:at], *map(dict, extra), *pipeline[at:]]


def _of_cell_patches(pipeline: Sequence[dict], seed: int) -> List[dict]:
    """A pipeline for images that CellPatchDataset has read, its names found in any scope."""
    result = []
    for transform in pipeline:
        transform = copy.deepcopy(dict(transform))
        kind = transform['type'].split('.')[-1]
        if kind == 'LoadImageFromFile':  # the data set has loaded it, as RGB
            continue
        if '.' not in transform['type'] and kind not in transforms.__all__:
            # In force for transforms inside this one, too.
            transform.setdefault('_scope_', 'mmpretrain')
        if kind in _SEEDED:
            transform['seed'] = seed
        result.append(transform)
    return result


def classifier_run(
    config: Config,
    classes: Sequence[str],
    train: Sequence[Mapping[str, str]],
    val: Optional[Mapping[str, str]],
    test: Mapping[str, str],
    iterations: int,
    seed: int,
    select: str = 'last',
    extra_transforms: Sequence[Mapping] = (),
    say_images: bool = False,
    synthetic_first: bool = False,
) -> Config:
    """The complete run of one job.

    The model learns from ``train`` alone. Without ``val`` nothing is validated; with it accuracy is
    measured 20 times, and ``select='best'`` keeps the checkpoint with the highest one.

    Args:
        config (Config): Of :func:`read_classifier`; not changed.
        classes (Sequence[str]): Class names.
        train (Sequence[Mapping]): ``data_root``, ``ann_file`` (and further arguments) of each
            :class:`~cellgan_plugin.datasets.CellPatchDataset` that trains: the real images, the
            synthetic ones.
        val (Mapping, optional): The same of the validation images.
        test (Mapping): The same of the test images; only ``prediction_dataloader`` has them.
        iterations (int): Optimizer steps.
        seed (int): Of initial weights, order and flips.
        select (str): ``'last'`` or ``'best'``. Defaults to 'last'.
        extra_transforms (Sequence[Mapping]): Put into the training pipeline before it packs.
            Defaults to none.
        say_images (bool): Whether checkpoints say which images they were trained on. Defaults to
            False.
        synthetic_first (bool): Whether the second of two data sets alone trains for the first half
            of the steps, and the first alone for the rest. Defaults to False.

    Returns:
        Config: For :func:`cellgan_plugin.runs.train.train`.

    Raises:
        ValueError: ``select='best'`` without validation images, or see
            :func:`~cellgan_plugin.benchmark.schedule.stretched_schedule`.
    """
    if select not in SELECT:
        raise ValueError(f'select must be one of {list(SELECT)}, got {select!r}')
    if select == 'best' and val is None:
        raise ValueError("select='best' needs validation images, which the folds do not have")
    if not train:
        raise ValueError('no training images')
    test_name = _test_loader(config)
    pipelines = dict(
        train=_of_cell_patches(
            _with_transforms(_pipeline(config, 'train_dataloader'), extra_transforms), seed
        ),
        test=_of_cell_patches(_pipeline(config, test_name), seed),
    )

    def dataset(part: Mapping[str, str], how: str) -> dict:
        own = config['train_dataloader' if how == 'train' else test_name]['dataset']
        own = own if own['type'].split('.')[-1] == 'CellPatchDataset' else {}
        return dict(
            {key: own[key] for key in _KEPT if key in own},
            type='mmagic.CellPatchDataset',
            metainfo=dict(classes=list(classes)),
            pipeline=pipelines[how],
            **part,
        )

    def loader(name: str, sampler: dict, data: dict) -> dict:
        kept = copy.deepcopy(dict(config[name]))
        for key in ('sampler', 'batch_sampler', 'dataset', 'drop_last'):
            kept.pop(key, None)
        return dict(kept, sampler=sampler, dataset=data)

    parts = [dataset(part, 'train') for part in train]
    # Of a synthetic part any class may be missing; that the folds have all of them is known.
    for part in parts[1:]:
        part['test_mode'] = True
    sampler = dict(type='mmagic.ResumableInfiniteSampler', shuffle=True)
    if synthetic_first:
        samples = iterations // 2 * config.train_dataloader['batch_size']
        sampler = dict(type='mmagic.PretrainingSampler', pretraining_samples=samples)
    in_order = dict(type='DefaultSampler', shuffle=False)
    run = dict(
        default_scope='mmpretrain',
        custom_imports=_imports(config),
        model=_model(config, len(classes)),
        train_dataloader=loader(
            'train_dataloader',
            sampler,
            parts[0] if len(parts) == 1 else dict(type='ConcatDataset', datasets=parts),
        ),
        train_cfg=dict(
            type='mmagic.ResumableTrainLoop',
            max_iters=iterations,
            val_interval=max(1, iterations // _VALIDATIONS),
        ),
        optim_wrapper=config.optim_wrapper,
        param_scheduler=stretched_schedule(
            config.get('param_scheduler'), config.get('train_cfg'), iterations
        ),
        # No loader of the Runner's: nothing in training can see the test images.
        prediction_dataloader=loader(
            test_name, in_order, dict(dataset(test, 'test'), test_mode=True)
        ),
        randomness=dict(seed=seed),
        load_from=config.get('load_from'),
        **_runtime(config, iterations, select, say_images),
    )
    if val is not None:
        run.update(
            val_dataloader=loader(test_name, in_order, dict(dataset(val, 'test'), test_mode=True)),
            val_cfg=dict(),
            val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1,)),
        )
    return Config(run)


def _imports(config: Config) -> dict:
    """The config's own modules, and this package."""
    own = (config.get('custom_imports') or {}).get('imports') or []
    own = [own] if isinstance(own, str) else list(own)
    names = list(dict.fromkeys(['cellgan_plugin', *own]))
    return dict(imports=names, allow_failed_imports=False)


def _model(config: Config, num_classes: int) -> dict:
    """The model with the benchmark's number of classes, taking RGB images."""
    model = copy.deepcopy(config.model)
    if 'data_preprocessor' not in model and config.get('data_preprocessor'):
        model['data_preprocessor'] = copy.deepcopy(config.data_preprocessor)
    if model.get('data_preprocessor'):
        model['data_preprocessor'].update(to_rgb=False, num_classes=num_classes)
    model['head']['num_classes'] = num_classes
    model['head']['topk'] = (1,)
    return model


def _runtime(config: Config, iterations: int, select: str, say_images: bool) -> Dict[str, Any]:
    """Hooks and logs: the config's own custom hooks, and what every job has."""
    checkpoint: Dict[str, Any] = dict(
        type='mmagic.SafeCheckpointHook',
        interval=max(_MIN_INTERVAL, math.ceil(iterations / _CHECKPOINTS)),
        by_epoch=False,
        max_keep_ckpts=1,
    )
    own_checkpoint = (config.get('default_hooks') or {}).get('checkpoint') or {}
    if own_checkpoint.get('partial_load_from'):  # weights of other classes than the benchmark's
        checkpoint.update(partial_load_from=True)
    if select == 'best':
        checkpoint.update(save_best='accuracy/top1', rule='greater')
    hooks = [dict(hook) for hook in config.get('custom_hooks') or []]
    present = {hook['type'].split('.')[-1] for hook in hooks}
    wanted = ['NonFiniteLossHook', 'PreemptionHook', *['TrainingImagesHook'] * say_images]
    for name in wanted:
        if name not in present:
            hooks.append(dict(type=f'mmagic.{name}'))
    own_env = config.get('env_cfg')
    return dict(
        default_hooks=dict(
            runtime_info=dict(type='RuntimeInfoHook'),
            timer=dict(type='mmengine.IterTimerHook'),
            logger=dict(
                type='LoggerHook',
                interval=math.ceil(iterations / _LOG_LINES),
                log_metric_by_epoch=False,
            ),
            param_scheduler=dict(type='ParamSchedulerHook'),
            sampler_seed=None,
            checkpoint=checkpoint,
        ),
        custom_hooks=hooks,
        log_processor=dict(
            type='mmengine.LogProcessor',
            by_epoch=False,
            window_size=math.ceil(iterations / _LOG_LINES),
        ),
        # Scalars are in the log and in curves.json; a backend formats the config at every start.
        visualizer=dict(type='mmengine.Visualizer'),
        log_level='INFO',
        env_cfg=copy.deepcopy(own_env) if own_env else dict(cudnn_benchmark=True),
    )


def write_run(config: Config, path: Union[str, Path]) -> Path:
    """Write a config as Python, whole or not at all; ``Config.dump`` formats for seconds."""
    lines = [
        f'{key} = {pprint.pformat(value, width=100, sort_dicts=False)}\n'
        for key, value in config.to_dict().items()
    ]
    with atomic_write(path, 'w', encoding='utf-8') as file:
        file.writelines(lines)
    return Path(path)


def classifier_identity(config: Config) -> Dict[str, Any]:
    """Everything in a classifier's config that changes its training, as plain values."""
    keys = ('model', 'data_preprocessor', 'optim_wrapper', 'param_scheduler', 'train_cfg')
    own = {key: plain(config.get(key)) for key in keys}
    own['train_pipeline'] = plain(_pipeline(config, 'train_dataloader'))
    own['test_pipeline'] = plain(_pipeline(config, _test_loader(config)))
    own['batch_size'] = config.train_dataloader.batch_size
    own['custom_hooks'] = plain(config.get('custom_hooks') or [])
    own['weights'] = {path: file_digest(path) for path in starting_weights(config)}
    return own


def file_digest(path: Union[str, Path]) -> str:
    """SHA-256 of a local file; an address stands for itself."""
    return file_sha256(path) if Path(path).is_file() else str(path)
