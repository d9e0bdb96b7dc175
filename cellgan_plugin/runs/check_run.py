"""Would a run start? Its model, its training set and its metrics are built and compared."""

from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, MODELS, TRANSFORMS, DefaultScope

from cellgan_plugin.compat import quiet_upstream
from cellgan_plugin.errors import ConfigError
from cellgan_plugin.models.model_checks import check_model_and_data
from cellgan_plugin.runs.config_fit import unwrapped
from cellgan_plugin.runs.provenance import config_metrics

# What constructors raise for arguments that they cannot use.
_BUILDING = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError,
             ValueError)  # fmt: skip


def check_run(config: Config) -> None:
    """Build what a training builds before its first step, on the CPU, and compare the parts.

    Args:
        config (Config): As :func:`~cellgan_plugin.runs.train.load_config` reads it.

    Raises:
        FileNotFoundError: Weights that a metric or the model starts from are missing.
        ConfigError: A part cannot be built; the message has its key.
        ValueError: Model and images do not fit.
    """
    with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmagic'):
        if config.get('model') is None:
            return
        with quiet_upstream():
            model = _built('model', MODELS, config.model)
        options = config.train_dataloader.dataset.to_dict()
        unwrapped(options).pop('cache', None)
        check_model_and_data(model, _built('train_dataloader.dataset', DATASETS, options))
        for index, metric in enumerate(filter(None, config_metrics(config, 'val_evaluator'))):
            _built(f'val_evaluator.metrics.{index}', METRICS, metric)


def check_model_and_pipelines(config: Config) -> None:
    """Build the model and every transform of a run whose images are not listed yet.

    Args:
        config (Config): The run.

    Raises:
        FileNotFoundError: Weights that the model starts from are missing.
        ConfigError: A part cannot be built; the message has its key.
    """
    with (
        DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmagic'),
        quiet_upstream(),
    ):
        _built('model', MODELS, config.model)
        for key in (key for key in config if key.endswith('_dataloader')):
            dataset = config[key].dataset
            # A data set builds its transforms in its own scope.
            scope = dataset.get('type', '').rpartition('.')[0] or None
            with TRANSFORMS.switch_scope_and_registry(scope) as transforms:
                for index, transform in enumerate(dataset.get('pipeline') or []):
                    _built(f'{key}.dataset.pipeline.{index}', transforms, transform)


def _built(key: str, registry, config):
    try:
        return registry.build(config)
    except _BUILDING as error:
        raise ConfigError(f'{key} ({config["type"]}) cannot be built: {error}') from error
