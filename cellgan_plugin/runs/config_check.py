"""Is everything in a config read by something? Asked before anything is built.

MMEngine ignores names that nothing reads, and builds part by part: a misspelt option is a traceback
after the data are read, or at the first checkpoint, or nothing at all. Here the whole config is
compared with the signatures of what it names.
"""

import inspect
from typing import Any, Collection, Iterator, Mapping, NamedTuple, Optional, Set, Tuple

from mmagic.models.base_models import BaseConditionalGAN
from mmengine import registry as registries
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from cellgan_plugin.errors import ConfigError, did_you_mean, nearest_name
from cellgan_plugin.runs.config_file import check_options, check_top_level
from cellgan_plugin.runs.config_problems import (
    NEAR_PART,
    NEAR_TYPE,
    bad_numbers,
    find_type,
    is_of,
    unknown_keys,
    unknown_type,
)
from cellgan_plugin.runs.signatures import arguments_of

# Taken out of the config of a part by whoever builds it, in MMagic and MMPretrain.
_BY_PARENT = frozenset({'pretrained', 'init_cfg'})
_METAINFO = ('classes', 'palette')
_WRAPPER = ('type', 'constructor', 'paramwise_cfg', 'optimizer')
_DEFAULT_HOOKS = tuple('runtime_info timer sampler_seed logger param_scheduler checkpoint'.split())


class _Kind(NamedTuple):
    """What a part of a config is built from.

    Attributes:
        registry (Registry): Where its type is looked up.
        given (tuple[str]): Arguments that whoever builds it gives.
        extra (tuple[str]): Keys that are taken out before it is built.
        default (str | None): Its type where it says none; None: it is passed over then.
    """

    registry: Registry
    given: Tuple[str, ...] = ()
    extra: Tuple[str, ...] = ()
    default: Optional[str] = None


_MODEL = _Kind(registries.MODELS)
_DATASET = _Kind(registries.DATASETS)
_TRANSFORM = _Kind(registries.TRANSFORMS)
_SAMPLER = _Kind(registries.DATA_SAMPLERS, ('dataset', 'batch_size', 'sampler'), ('seed',))
_METRIC = _Kind(registries.METRICS)
_EVALUATOR = _Kind(registries.EVALUATOR, default='Evaluator')
_HOOK = _Kind(registries.HOOKS, extra=('priority',))
_OPTIMIZER = _Kind(registries.OPTIMIZERS, ('params',))
_SCHEDULER = _Kind(registries.PARAM_SCHEDULERS, ('optimizer',), ('convert_to_iter_based',))
_LOOP = _Kind(registries.LOOPS, ('runner', 'dataloader', 'evaluator'), ('by_epoch',))
# By the key under which they stand, inside of any part.
_BY_KEY = {
    'pipeline': _TRANSFORM,
    'transforms': _TRANSFORM,
    'dataset': _DATASET,
    'datasets': _DATASET,
    'training': _DATASET,
    'metrics': _METRIC,
    'vis_backends': _Kind(registries.VISBACKENDS),
    'ema_config': _Kind(registries.MODELS, ('model',), ('start_iter',), 'ExponentialMovingAverage'),
    'data_preprocessor': _MODEL,
}


def check_config(
    config: Config,
    options: Optional[Mapping[str, Any]] = None,
    parts: Optional[Collection[str]] = None,
) -> None:
    """Compare a config with what will read it. Builds nothing.

    Args:
        config (Config): Whole, with the overrides merged.
        options (Mapping, optional): The overrides, as of ``--cfg-options``. Defaults to None.
        parts (Collection[str], optional): Keys at the top of the config that will be read; those
            that are overridden are looked at as well. A part whose classes nobody needs would only
            be imported. Defaults to None: all.

    Raises:
        ConfigError: Names that nothing reads, types that are not registered, numbers that cannot
            be. All of them are said, each with its full key and the nearest name.
    """
    check_options(config, options)
    check_top_level(config)
    if parts is not None:
        read = {*parts, *(str(key).partition('.')[0] for key in options or {}), 'default_scope'}
        config = Config(
            {key: value for key, value in config.items() if key in read}, filename=config.filename
        )
    problems = list(_Walk(config).problems())
    if problems:
        where = config.filename or 'the config'
        lines = problems[0] if len(problems) == 1 else ''.join(f'\n  {p}' for p in problems)
        raise ConfigError(f'{where}: {lines}')


class _Walk:
    """Goes through a config, part by part."""

    def __init__(self, config: Config) -> None:
        self.config = config
        # A piece of a config, to inherit from, does not say whose names it has.
        self.sure = bool(config.get('default_scope'))
        self.scope = config.get('default_scope') or 'mmagic'

    def problems(self) -> Iterator[str]:
        """What is wrong, each with its key."""
        config, scope = self.config, self.scope
        model = config.get('model')
        yield from self.part('model', model, _MODEL, scope)
        yield from self.own_generator(model)
        yield from self.part('data_preprocessor', config.get('data_preprocessor'), _MODEL, scope)
        for name in ('train', 'val', 'test'):
            yield from self.loader(f'{name}_dataloader', config.get(f'{name}_dataloader'))
            yield from self.loop(f'{name}_cfg', config.get(f'{name}_cfg'))
            yield from self.evaluator(f'{name}_evaluator', config.get(f'{name}_evaluator'))
        yield from self.optim_wrapper(config.get('optim_wrapper'))
        yield from self.schedulers('param_scheduler', config.get('param_scheduler'))
        yield from self.hooks()
        kinds = (
            ('visualizer', _Kind(registries.VISUALIZERS, default='Visualizer')),
            ('log_processor', _Kind(registries.LOG_PROCESSORS, default='LogProcessor')),
            ('model_wrapper_cfg', _Kind(registries.MODEL_WRAPPERS, ('module',))),
        )
        for name, kind in kinds:
            yield from self.part(name, config.get(name), kind, scope)
        yield from self.plain_parts()

    def plain_parts(self) -> Iterator[str]:
        """Parts without a class."""
        randomness = self.config.get('randomness')
        known = arguments_of(Runner.set_randomness).names - {'self'}
        yield from unknown_keys('randomness', randomness, known, 'randomness')
        env = self.config.get('env_cfg')
        known = {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'}
        yield from unknown_keys('env_cfg', env, known, 'env_cfg')
        known = {'mp_start_method', 'opencv_num_threads'}
        yield from unknown_keys(
            'env_cfg.mp_cfg', (env or {}).get('mp_cfg'), known, 'multiprocessing'
        )
        known = {'enable', 'base_batch_size'}
        yield from unknown_keys(
            'auto_scale_lr', self.config.get('auto_scale_lr'), known, 'the rule'
        )

    def part(
        self, path: str, value: Any, kind: _Kind, scope: str, others: bool = False
    ) -> Iterator[str]:
        """A part that is built from a registry, or a list of them, with what is inside.

        Args:
            path (str): Its full key.
            value (Any): Anything but dicts and lists passes: it is built already, or a name.
            kind (_Kind): What it should be.
            scope (str): Of the registry.
            others (bool): Whether other arguments than its own may be taken out of it before it
                is built. Defaults to False.
        """
        if isinstance(value, (list, tuple)):
            for index, entry in enumerate(value):
                yield from self.part(f'{path}.{index}', entry, kind, scope, others)
            return
        if not isinstance(value, Mapping):
            return
        scope = value.get('_scope_', scope)
        name = value.get('type', kind.default)
        if name is None:
            yield from self.inside(path, value, kind, scope)
            return
        target = name if callable(name) else find_type(name, kind.registry, scope)
        if target is None:
            if self.sure:
                yield from unknown_type(
                    f'{path}.type', name, kind.registry, scope, NEAR_PART if others else NEAR_TYPE
                )
            return
        own = is_of(target, 'cellgan_plugin')
        if not (self.sure or own or is_of(target, 'mmengine') or is_of(target, 'torch')):
            return
        known = arguments_of(target)
        names = (known.names - set(kind.given)) | set(kind.extra) | {'type'}
        shown = name if isinstance(name, str) else getattr(name, '__name__', str(name))
        if others:
            names |= _BY_PARENT
        yield from unknown_keys(path, value, names, shown, open_=known.open)
        # What is inside of a part of this plugin is looked up among MMagic's.
        yield from self.inside(path, value, kind, 'mmagic' if own else scope)

    def inside(self, path: str, value: Mapping, kind: _Kind, scope: str) -> Iterator[str]:
        """The parts inside of a part."""
        if kind is _DATASET:
            metainfo = value.get('metainfo')
            yield from unknown_keys(f'{path}.metainfo', metainfo, _METAINFO, 'metainfo', open_=True)
        for key, entry in value.items():
            here = f'{path}.{key}'
            first = entry[0] if isinstance(entry, (list, tuple)) and entry else entry
            if not isinstance(first, Mapping):
                continue
            inner = _BY_KEY.get(key)
            if inner is None and kind.registry is not registries.HOOKS:
                inner = None if str(key).endswith('_cfg') else _MODEL
            if inner is None:
                continue
            if 'type' in first or inner.default is not None:
                yield from self.part(here, entry, inner, scope, others=inner is _MODEL)
            elif isinstance(entry, Mapping):
                yield from self.inside(here, entry, inner, scope)

    def loader(self, path: str, value: Any) -> Iterator[str]:
        """A data loader, or several."""
        if isinstance(value, (list, tuple)):
            for index, entry in enumerate(value):
                yield from self.loader(f'{path}.{index}', entry)
        if not isinstance(value, Mapping):
            return
        known = arguments_of(DataLoader).names | {
            'num_batch_per_epoch', 'disable_subprocess_warning', 'type',
        }  # fmt: skip
        yield from unknown_keys(path, value, known, 'a data loader')
        yield from bad_numbers(path, value, 'loader')
        yield from self.part(f'{path}.dataset', value.get('dataset'), _DATASET, self.scope)
        for name in ('sampler', 'batch_sampler'):
            yield from self.part(f'{path}.{name}', value.get(name), _SAMPLER, self.scope)
        for name in ('collate_fn', 'worker_init_fn'):
            # MMEngine's own registry: MMagic has none of functions, which would be warned about.
            kind = _Kind(registries.FUNCTIONS)
            yield from self.part(f'{path}.{name}', value.get(name), kind, 'mmengine')

    def loop(self, path: str, value: Any) -> Iterator[str]:
        """A loop of training, validation or testing."""
        if not isinstance(value, Mapping):
            return
        default = {'val_cfg': 'ValLoop', 'test_cfg': 'TestLoop'}.get(path)
        if default is None:
            by_epoch = value.get('by_epoch', True)
            default = 'EpochBasedTrainLoop' if by_epoch else 'IterBasedTrainLoop'
        yield from self.part(path, value, _LOOP._replace(default=default), self.scope)
        yield from bad_numbers(path, value, 'loop')

    def evaluator(self, path: str, value: Any) -> Iterator[str]:
        """An evaluator, a metric, or several of either."""
        if isinstance(value, (list, tuple)):
            for index, entry in enumerate(value):
                yield from self.evaluator(f'{path}.{index}', entry)
        elif isinstance(value, Mapping):
            name = value.get('type', 'Evaluator')
            whole = find_type(name, registries.EVALUATOR, self.scope) is not None
            yield from self.part(path, value, _EVALUATOR if whole else _METRIC, self.scope)

    def optim_wrapper(self, value: Any) -> Iterator[str]:
        """An optimizer with what wraps it, or one for each of several networks."""
        if not isinstance(value, Mapping):
            return
        several = {k: v for k, v in value.items() if isinstance(v, Mapping) and 'optimizer' in v}
        if not several:
            yield from self.wrapped('optim_wrapper', value)
            return
        yield from self.constructor('optim_wrapper', value)
        networks = self.networks()
        for name, entry in several.items():
            near = None if name in networks else nearest_name(name, networks, NEAR_TYPE)
            if near is not None:
                yield f'optim_wrapper.{name}: the model has no {name!r}; did you mean {near!r}?'
            yield from self.wrapped(f'optim_wrapper.{name}', entry)
        others = {k: v for k, v in value.items() if k not in several}
        known = {'constructor', 'type', 'paramwise_cfg', *several, *networks}
        free = value.get('constructor') is not None
        yield from unknown_keys('optim_wrapper', others, known, 'optimizers by network', open_=free)

    def networks(self) -> Set[str]:
        """Names of the networks of a GAN; empty for models that may name theirs as they like."""
        model = self.config.get('model')
        name = model.get('type') if isinstance(model, Mapping) else None
        kind = find_type(name, registries.MODELS, self.scope) if isinstance(name, str) else name
        if not (inspect.isclass(kind) and issubclass(kind, BaseConditionalGAN)):
            return set()
        return {key for key, value in model.items() if isinstance(value, Mapping)}

    def own_generator(self, model: Any) -> Iterator[str]:
        """A generator of the user's in a GAN, which gives it arguments that no config says."""
        generator = model.get('generator') if isinstance(model, Mapping) else None
        name = generator.get('type') if isinstance(generator, Mapping) else None
        if name is None or 'generator' not in self.networks():
            return
        target = name if callable(name) else find_type(name, registries.MODELS, self.scope)
        if target is None or is_of(target, 'cellgan_plugin') or is_of(target, 'mmagic'):
            return
        known = arguments_of(target)
        for key in ('noise_size', 'num_classes'):
            given = model.get(key) is not None
            if given and key not in known.names and not known.open:
                yield (
                    f'model.generator: {target.__name__} takes no {key!r}, which the model gives '
                    f'to its generator: add {key} to the arguments of {target.__name__}.__init__ '
                    '(docs/extend.md)'
                )

    def wrapped(self, path: str, value: Mapping) -> Iterator[str]:
        """One optimizer with what wraps it."""
        kind = _Kind(registries.OPTIM_WRAPPERS, extra=_WRAPPER, default='OptimWrapper')
        optimizer = value.get('optimizer')
        yield from self.constructor(path, value)
        entry = {k: v for k, v in value.items() if k != 'optimizer'}
        if value.get('constructor') is None:
            yield from self.part(path, entry, kind, self.scope)
        if isinstance(optimizer, Mapping) and 'type' not in optimizer:
            yield f"{path}.optimizer: has no type, e.g. 'Adam'"
        yield from self.part(f'{path}.optimizer', optimizer, _OPTIMIZER, self.scope)
        yield from bad_numbers(f'{path}.optimizer', optimizer, 'optimizer')

    def constructor(self, path: str, value: Mapping) -> Iterator[str]:
        """The type that builds the optimizers."""
        name = value.get('constructor')
        registry = registries.OPTIM_WRAPPER_CONSTRUCTORS
        if isinstance(name, str) and find_type(name, registry, self.scope) is None:
            yield from unknown_type(f'{path}.constructor', name, registry, self.scope)

    def schedulers(self, path: str, value: Any) -> Iterator[str]:
        """Schedules of learning rates, for one optimizer or by network."""
        if isinstance(value, Mapping) and 'type' not in value:
            for name, entry in value.items():
                yield from self.schedulers(f'{path}.{name}', entry)
        else:
            yield from self.part(path, value, _SCHEDULER, self.scope)

    def hooks(self) -> Iterator[str]:
        """Default hooks, by their names, and the others."""
        for name, hook in (self.config.get('default_hooks') or {}).items():
            path = f'default_hooks.{name}'
            if isinstance(hook, Mapping) and 'type' not in hook:
                known = set(_DEFAULT_HOOKS) | set(self.config.default_hooks) - {name}
                yield f'{path}: has no type{did_you_mean(name, known)}'
                continue
            if hook is None and name not in _DEFAULT_HOOKS:
                yield f'{path}: is None, but no default hook{did_you_mean(name, _DEFAULT_HOOKS)}'
            yield from self.hook(path, hook)
        for index, hook in enumerate(self.config.get('custom_hooks') or []):
            path = f'custom_hooks.{index}'
            if isinstance(hook, Mapping) and 'type' not in hook:
                yield f'{path}: has no type'
                continue
            yield from self.hook(path, hook)

    def hook(self, path: str, hook: Any) -> Iterator[str]:
        """One hook."""
        yield from self.part(path, hook, _HOOK, self.scope)
        yield from bad_numbers(path, hook, 'hook')
