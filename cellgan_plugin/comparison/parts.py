"""The parts of a comparison on disk: what each was made of, and whether that still holds.

::

    OUT/<model>/seed_<n>/<stage>.py    config of a training
    OUT/<model>/seed_<n>/<stage>/      its work directory; job.log, training.json when complete
    OUT/<model>/seed_<n>/evaluated/       evaluation and samples; evaluated.json when complete
    OUT/<model>/former/                parts made with settings that no longer hold
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config

from cellgan_plugin.comparison.plan import ComparedModel, ComparisonPlan
from cellgan_plugin.files import file_sha256, write_json
from cellgan_plugin.jobs.job import Job, module_command
from cellgan_plugin.records import differences, digest_of, read_json
from cellgan_plugin.runs.provenance import config_metrics
from cellgan_plugin.runs.training_report import training_command

TRAINED, EVALUATED, REQUEST, SETTINGS = (
    'training.json',
    'evaluated.json',
    'request.json',
    'part.json',
)
# Where a run is written, what it says on the way, and how it is validated changes nothing about the
# weights; nor do the defaults of sampling.
_NOT_SETTINGS = (
    'work_dir', 'resume', 'launcher', 'log_level', 'experiment_name', 'visualizer', 'log_processor',
    'default_hooks.logger', 'default_hooks.checkpoint', 'model.sampling',
    'val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator',
)  # fmt: skip


def flat(value: Any, prefix: str = '') -> Dict[str, Any]:
    """Nested dicts and lists as one dict of dotted keys and plain values.

    >>> flat(dict(a=dict(b=[1, 2.0]), c=None))
    {'a.b.0': 1, 'a.b.1': 2.0, 'c': None}
    """
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        plain = value is None or isinstance(value, (bool, int, float, str))
        return {prefix: value if plain else repr(value)}
    entries: Dict[str, Any] = {}
    for key, item in items:
        entries.update(flat(item, f'{prefix}.{key}' if prefix else str(key)))
    return entries or {prefix: '{}' if isinstance(value, Mapping) else '[]'}


def config_settings(config: Config) -> Dict[str, Any]:
    """What of a training config changes the weights."""
    values = flat(config.to_dict())
    left_out = tuple(f'{name}.' for name in _NOT_SETTINGS)
    return {key: value for key, value in values.items() if not f'{key}.'.startswith(left_out)}


def said_briefly(lines: Sequence[str], most: int = 3) -> str:
    """The first differences of settings in one line; '' when there are none."""
    more = f' and {len(lines) - most} more' if len(lines) > most else ''
    return '; '.join(lines[:most]) + more


@dataclass(frozen=True)
class Training:
    """One training of one model with one seed.

    Attributes:
        model (str): Name of the model.
        job (str): Name of the job.
        config (Config): What is run; checkpoints of earlier stages filled in.
        folder (Path): Work directory.
        settings (dict): What the weights depend on.
        time_budget (tuple[str, float] | None): ``('minutes' | 'cpu_minutes', how many)``.
        amp (bool): Mixed precision.
        needs (tuple[str]): Job of the stage before.
    """

    model: str
    job: str
    config: Config
    folder: Path
    settings: Dict[str, Any]
    time_budget: Optional[Tuple[str, float]]
    amp: bool
    needs: Tuple[str, ...] = ()

    @property
    def checkpoint(self) -> Path:
        """The end of the run, once it is complete."""
        return self.folder / 'final.pth'

    @property
    def report(self) -> Optional[Dict[str, Any]]:
        """What the run said when it was complete, else None."""
        return read_json(self.folder / TRAINED) if self.checkpoint.is_file() else None

    def differs(self) -> List[str]:
        """In what the run that is there differs from the one that is asked for."""
        before = read_json(self.folder / SETTINGS)
        return [] if before is None else differences(before, self.settings)

    def prepare(self) -> str:
        """Make the folder ready for the job; a run of other settings is moved aside.

        Returns:
            str: What was done, for the user; '' when nothing was to be said.
        """
        said = ''
        if differing := self.differs():
            why = said_briefly(differing)
            said = f'{self.job}: trained again, {why}; {move_aside(self.folder)}'
        elif (self.folder / TRAINED).is_file() and not self.checkpoint.is_file():
            said = f'{self.job}: trained on, {self.checkpoint} is gone'
            (self.folder / TRAINED).unlink()
        if not (self.folder / TRAINED).is_file():
            write_json(self.folder / SETTINGS, self.settings)
            self.config.dump(str(self.config_file))
        return said

    @property
    def config_file(self) -> Path:
        """The config that the job reads."""
        return self.folder.with_name(f'{self.folder.name}.py')

    def as_job(self) -> Job:
        """The command; see :func:`~cellgan_plugin.runs.train.main`."""
        options = ['--resume']
        if self.time_budget is not None:
            key, minutes = self.time_budget
            options += [f'--{key.replace("_", "-")}', repr(minutes)]
        options += ['--amp'] if self.amp else []
        report = self.folder / TRAINED
        return Job(
            name=self.job,
            command=training_command(self.config_file, self.folder, report, *options),
            work_dir=self.folder,
            done_file=report,
            environment=dict(PYTHONUNBUFFERED='1'),
            needs=self.needs,
        )


def move_aside(folder: Path) -> str:
    """Rename a part to ``<model>/former/<time>_<seed>_<part>``; what to tell the user."""
    former = folder.parent.parent / 'former'
    former.mkdir(parents=True, exist_ok=True)
    stem = f'{time.strftime("%Y%m%d_%H%M%S")}_{folder.parent.name}_{folder.name}'
    target, number = former / stem, 1
    while target.exists():
        target, number = former / f'{stem}_{number}', number + 1
    folder.rename(target)
    return f'the former one is kept in {target}'


@dataclass(frozen=True)
class Evaluation:
    """Samples and evaluation of one model with one seed.

    Attributes:
        model (str): Name of the model.
        seed (int): Of the training.
        job (str): Name of the job.
        config (Config): The generating model with the evaluation of the comparison.
        folder (Path): Where to.
        trainings (tuple[Training]): That come before; empty for given weights.
        stage_configs (tuple[Config]): Of all stages, for their parameters.
        checkpoint (Path): Weights.
        evaluation (dict): What the numbers depend on.
        samples (dict): What the picture and the speed depend on.
        sampling (dict): ``samples_per_class``, ``seed`` and ``sample_kwargs`` of the picture.
    """

    model: str
    seed: int
    job: str
    config: Config
    folder: Path
    trainings: Tuple[Training, ...]
    stage_configs: Tuple[Config, ...]
    checkpoint: Path
    evaluation: Dict[str, Any]
    samples: Dict[str, Any]
    sampling: Dict[str, Any]

    @property
    def result(self) -> Optional[Dict[str, Any]]:
        """What was found, if it is of these settings and these weights; else None."""
        return None if self.stale() is not None else read_json(self.folder / EVALUATED)

    def stale(self) -> Optional[str]:
        """Why the parts have to be made (again); None when they hold."""
        found = read_json(self.folder / EVALUATED)
        if found is None:
            return 'not done yet'
        if differing := self._settings_differ(found):
            weights = [line for line in differing if '.weights: ' in line]
            return 'the weights are others' if weights else said_briefly(differing)
        if not self.checkpoint.is_file():
            return f'{self.checkpoint} is gone'
        if file_sha256(self.checkpoint) != found['checkpoint']['sha256']:
            return f'{self.checkpoint} is another file'
        return None

    def _settings_differ(self, found: Mapping[str, Any]) -> List[str]:
        return differences(
            found['settings'], dict(evaluation=self.evaluation, samples=self.samples)
        )

    def differs(self) -> List[str]:
        """In what the parts that are there differ from those that are asked for.

        Of an evaluation whose training differs, nothing more is said.
        """
        lines = [f'{t.job}, {line}' for t in self.trainings for line in t.differs()]
        found = read_json(self.folder / EVALUATED)
        if not lines and found is not None:
            lines = [f'{self.job}, {line}' for line in self._settings_differ(found)]
        return lines

    def prepare(self) -> str:
        """Make the folder ready for the job; what to tell the user, or ''."""
        why = self.stale()
        done = self.folder / EVALUATED
        said = f'{self.job}: again, {why}' if why is not None and done.is_file() else ''
        if why is None:
            return ''
        done.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, config in enumerate(self.stage_configs):
            config.dump(str(self.folder / f'stage_{number}.py'))
        self.config.dump(str(self.folder / 'config.py'))
        write_json(
            self.folder / REQUEST,
            dict(
                checkpoint=str(self.checkpoint),
                stages=len(self.stage_configs),
                sampling=self.sampling,
                evaluation=self.evaluation,
                samples=self.samples,
            ),
        )
        return said

    def as_job(self) -> Job:
        """The command; see :mod:`cellgan_plugin.comparison.evaluate`."""
        return Job(
            name=self.job,
            command=module_command('cellgan_plugin.comparison.evaluate', self.folder),
            work_dir=self.folder,
            done_file=self.folder / EVALUATED,
            environment=dict(PYTHONUNBUFFERED='1'),
            needs=tuple(training.job for training in self.trainings),
        )


def evaluated(
    config: Config, evaluation: Config, plan: ComparisonPlan, model: ComparedModel
) -> Config:
    """Put the evaluation of the comparison in place of a config's own, in place."""
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator'):
        config[key] = evaluation[key]
    for key in ('test_cfg', 'test_dataloader', 'test_evaluator'):
        config[key] = None
    for metric in class_distances(config):
        if plan.samples_per_class is not None:
            metric['fake_nums'] = plan.samples_per_class
        if model.sample_kwargs:
            metric['sample_kwargs'] = {**metric.get('sample_kwargs', {}), **model.sample_kwargs}
    return config


def class_distances(config: Config) -> List[dict]:
    """The configs of the metrics ``ClassDistances`` in an evaluation."""
    metrics = config_metrics(config, 'val_evaluator')
    return [m for m in metrics if str(m.get('type')).rpartition('.')[2] == 'ClassDistances']


def lay_out(
    plan: ComparisonPlan,
    out: Path,
    evaluation: Config,
    facts: Mapping[str, Any],
    images_of: Callable[[Config], Optional[str]] = lambda config: None,
) -> List[Evaluation]:
    """The parts of a comparison.

    Args:
        plan (ComparisonPlan): What is compared.
        out (Path): Output folder.
        evaluation (Config): As :attr:`ComparisonPlan.evaluation` reads.
        facts (Mapping): What the evaluation depends on beside its config: the extractors'
            fingerprints, and the real images.
        images_of (Callable): From the config of a training to the digest of its images and labels.
            Defaults to one that does not say it.

    Returns:
        list[Evaluation]: One per model and seed; the trainings are in each.
    """
    return [
        _lay_out_model(plan, out, evaluation, facts, model, seed, images_of)
        for model in plan.models
        for seed in plan.seeds_of(model)
    ]


def _lay_out_model(
    plan, out, evaluation, facts, model: ComparedModel, seed: int, images_of
) -> Evaluation:
    folder = out / model.folder / (f'seed_{seed}' if model.trained else 'given')
    title = f'{model.name}, seed {seed}' if model.trained else model.name
    trainings: List[Training] = []
    checkpoints: List[str] = []
    configs: List[Config] = []
    origins: Dict[str, str] = {}
    for index, stage in enumerate(model.stages):
        config = plan.stage_config(model, index, seed, checkpoints)
        configs.append(config)
        if stage.checkpoint is not None:
            checkpoints.append(str(stage.checkpoint))
            origins[f'stage{index}'] = file_sha256(stage.checkpoint)
            continue
        # The place of an earlier stage's weights does not matter, what they were made of does.
        settings = config_settings(plan.stage_config(model, index, seed))
        settings.update(origins)
        time_budget = plan.time_of(stage)
        settings.update({'budget.minutes': None, 'amp': plan.amp, 'images': images_of(config)})
        if time_budget is not None:
            key, minutes = time_budget
            settings[f'budget.{key}'] = minutes
        name = title if len(model.stages) == 1 else f'{title}, {stage.name}'
        training = Training(
            model=model.name,
            job=f'train {name}',
            config=config,
            folder=folder / stage.name,
            settings=settings,
            time_budget=time_budget,
            amp=plan.amp,
            needs=tuple(t.job for t in trainings),
        )
        trainings.append(training)
        checkpoints.append(str(training.checkpoint))
        origins[f'stage{index}'] = digest_of(settings)
    own = evaluated(plan.stage_config(model, -1, seed, checkpoints[:-1]), evaluation, plan, model)
    weights = {'weights': origins[f'stage{len(model.stages) - 1}']}
    generator = flat(dict(model=plan.stage_config(model, -1, seed).model.to_dict()))
    asked = {k: own[k] for k in ('val_cfg', 'val_dataloader', 'val_evaluator')}
    sampling = dict(
        samples_per_class=plan.figure.samples_per_class,
        seed=plan.figure.seed,
        sample_kwargs=model.sample_kwargs,
    )
    return Evaluation(
        model=model.name,
        seed=seed,
        job=f'evaluate {title}',
        config=own,
        folder=folder / 'evaluated',
        trainings=tuple(trainings),
        stage_configs=tuple(configs),
        checkpoint=Path(checkpoints[-1]),
        evaluation={**flat(asked), **flat(facts), **generator, **weights},
        samples={**flat(sampling), **generator, **weights},
        sampling=sampling,
    )
