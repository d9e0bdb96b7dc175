"""What can be wrong with a comparison, asked before anything is trained."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from mmagic.registry import DATASETS, METRICS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from cellgan_plugin.comparison.parts import Evaluation, class_distances
from cellgan_plugin.comparison.plan import ComparedModel, ComparisonPlan
from cellgan_plugin.compat import load_tensors, quiet_upstream
from cellgan_plugin.datasets import BETHESDA_CLASSES
from cellgan_plugin.evaluation.statistics_cache import describe_dataset
from cellgan_plugin.models.model_checks import check_model_and_data, check_model_config
from cellgan_plugin.records import FolderRecord, digest_of
from cellgan_plugin.runs.config_check import check_config
from cellgan_plugin.runs.config_fit import check_fit
from cellgan_plugin.runs.data_settings import kind_of
from cellgan_plugin.runs.provenance import classes_in_checkpoint
from cellgan_plugin.runs.test import load_weights
from cellgan_plugin.runs.trained_model import config_classes

COMPARISON = 'comparison.json'


def folder_record(out: Path) -> FolderRecord:
    """What an output folder says of the comparison that it belongs to."""
    return FolderRecord(out, COMPARISON)


class TrainingSets:
    """The training sets of a comparison, each read once."""

    def __init__(self):
        self._read: Dict[str, Tuple[Any, Optional[str]]] = {}

    def dataset(self, config: Config) -> Any:
        """The data set that a config trains on, nothing of it in memory."""
        return self._of(config)[0]

    def images(self, config: Config) -> Optional[str]:
        """Digest of its images and labels by content; None where it does not tell."""
        return None if config.get('train_dataloader') is None else self._of(config)[1]

    def _of(self, config: Config) -> Tuple[Any, Optional[str]]:
        init_default_scope('mmagic')
        options = config.train_dataloader.dataset.to_dict()
        options.pop('cache', None)
        key = digest_of(options)
        if key not in self._read:
            dataset = DATASETS.build(options)
            described = describe_dataset(dataset)
            self._read[key] = dataset, None if described is None else described['files']
        return self._read[key]


def read_evaluation(plan: ComparisonPlan) -> Config:
    """The evaluation of a comparison.

    Raises:
        ValueError: It lacks a part, or has no ``ClassDistances``.
    """
    config = plan.evaluation_config()
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator'):
        if config.get(key) is None:
            raise ValueError(
                f'evaluation {plan.evaluation} has no {key}: give a config such as '
                'configs/_base_/evaluation/tct_fid.py'
            )
    if not class_distances(config):
        raise ValueError(f'evaluation {plan.evaluation}: val_evaluator has no ClassDistances')
    return config


def evaluation_classes(evaluation: Config) -> Tuple[str, ...]:
    """Class names of the real images."""
    dataset = evaluation.val_dataloader.dataset
    named = (dataset.get('metainfo') or {}).get('classes')
    default = BETHESDA_CLASSES if kind_of(dataset) == 'CellPatchDataset' else ()
    return tuple(named or default)


def check_classes(plan: ComparisonPlan, classes: Sequence[str]) -> None:
    """Compare the class names of all configs and given checkpoints with the evaluation's.

    Raises:
        ValueError: They differ, in name or order; the message has both lists.
    """
    classes = list(classes)
    if not classes:
        raise ValueError(
            f'evaluation {plan.evaluation} names no classes: set '
            'val_dataloader.dataset.metainfo.classes'
        )
    for model in plan.models:
        for index, stage in enumerate(model.stages):
            config = plan.stage_config(model, index, plan.seeds[0])
            named = {f'{stage.config} has': config_classes(config)}
            if stage.checkpoint is not None:
                state = load_tensors(stage.checkpoint, 'cpu')
                named[f'{stage.checkpoint} was trained with'] = classes_in_checkpoint(state)
            for who, found in named.items():
                if found and list(found) != classes:
                    raise ValueError(
                        f'model {model.name!r}: {who} the classes {list(found)}, the evaluation '
                        f'{plan.evaluation} has {classes}. Give both the same classes in the same '
                        'order'
                    )


def evaluation_facts(plan: ComparisonPlan, evaluation: Config) -> Tuple[Dict[str, Any], Any]:
    """What the numbers depend on beside the evaluation's config, and the real images.

    Building the metrics also finds missing weights of an extractor, and options that do not fit.

    Returns:
        tuple[dict, BaseDataset]: Plain values, and the data set of the real images.

    Raises:
        DatasetError: The real images cannot be read.
        FileNotFoundError: Weights of an extractor are missing.
        ValueError: Options that do not fit.
    """
    init_default_scope('mmagic')
    config = evaluation.val_dataloader.dataset.to_dict()
    dataset = DATASETS.build(config)
    if not len(dataset):
        raise ValueError(f'evaluation {plan.evaluation}: there are no real images')
    metrics = [METRICS.build(dict(metric)) for metric in class_distances(evaluation)]
    facts = dict(
        real=describe_dataset(dataset) or config,
        extractors=[metric.extractor.fingerprint for metric in metrics],
    )
    return facts, dataset


def _image_shape(dataset) -> Tuple[int, ...]:
    inputs = dataset[0]['inputs']
    return tuple((inputs['img'] if isinstance(inputs, dict) else inputs).shape)


def _check_model(config: Config, dataset, checkpoint: Optional[Path] = None) -> None:
    """Build a model and compare it with weights and images, as is done before the first step."""
    if checkpoint is None:
        check_config(config)
        check_fit(config)
    check_model_config(config.model)
    with quiet_upstream():  # the job's log has what a model says when it is built
        model = MODELS.build(config.model)
    if checkpoint is not None:
        load_weights(model, checkpoint)
    check_model_and_data(model, dataset)


def check_parts(
    plan: ComparisonPlan,
    parts: Sequence[Evaluation],
    real: Any,
    training_sets: Optional[TrainingSets] = None,
) -> List[str]:
    """Build what is still to be trained or sampled, and compare it with the images.

    Args:
        plan (ComparisonPlan): The comparison.
        parts (Sequence[Evaluation]): The parts of the models that will be run; those that
            are complete are passed over.
        real (BaseDataset): The real images of the evaluation.
        training_sets (TrainingSets, optional): Defaults to None: they are read.

    Returns:
        list[str]: What is no mistake but should be known.

    Raises:
        ValueError: A model does not fit its training images or those of the evaluation. The message
            names the model.
    """
    init_default_scope('mmagic')
    real_shape = _image_shape(real)
    training_sets = training_sets or TrainingSets()
    asked = {part.model for part in parts if part.result is None}
    for model in plan.models:
        if model.name not in asked:
            continue
        for index, stage in enumerate(model.stages):
            config = plan.stage_config(model, index, plan.seeds[0])
            where = f'model {model.name!r}, {stage.config}'
            last = index == len(model.stages) - 1
            if stage.checkpoint is not None:
                if last:
                    _named(where, _check_model, config, real, stage.checkpoint)
                continue
            if config.get('train_dataloader') is None:
                raise ValueError(f'{where} has no train_dataloader: it cannot be trained')
            dataset = _named(where, training_sets.dataset, config)
            shape = _image_shape(dataset)
            if shape != real_shape:
                raise ValueError(
                    f'{where}: trains on images of shape {shape} (channels, height, width), the '
                    f'evaluation {plan.evaluation} reads {real_shape}: set out_size of '
                    'FitCellPatch in one of them'
                )
            _named(where, _check_model, config, dataset)
    return _remarks(plan)


def _named(where: str, function, *args):
    """Call; put the model's name before what a user has done wrong."""
    try:
        return function(*args)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f'{where}: {error}') from error


def training_data(plan: ComparisonPlan, model: ComparedModel) -> Optional[Mapping[str, Any]]:
    """Which images a model is trained on, where that is done here."""
    if not model.trained:
        return None
    config = plan.stage_config(model, -1, plan.seeds[0])
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    return {key: dataset.get(key) for key in ('data_root', 'ann_file', 'split')}


def _remarks(plan: ComparisonPlan) -> List[str]:
    found = {m.name: training_data(plan, m) for m in plan.models if m.trained}
    if len({digest_of(data) for data in found.values()}) > 1:
        what = '; '.join(f'{name}: {dict(data)}' for name, data in found.items())
        return [f'The models are not trained on the same images: {what}']
    return []
