"""What is to be compared, read from a config or from the command line."""

import re
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mmengine.config import Config

from cellgan_plugin.compat import quiet_upstream
from cellgan_plugin.datasets import BETHESDA_CLASSES
from cellgan_plugin.errors import did_you_mean
from cellgan_plugin.runs.config_check import check_config
from cellgan_plugin.runs.config_file import folders_of, merge_options, open_config
from cellgan_plugin.runs.data_settings import (
    apply_data,
    are_open,
    named_classes,
    patch_sets,
    set_classes,
)
from cellgan_plugin.runs.train import load_config
from cellgan_plugin.user_modules import import_of_config

_PLAN_KEYS = (
    'name', 'title', 'models', 'evaluation', 'evaluation_options', 'options', 'budget',
    'samples_per_class', 'seeds', 'figure', 'amp', 'data',
)  # fmt: skip
_MODEL_KEYS = ('name', 'config', 'options', 'checkpoint', 'stages', 'settings', 'sample_kwargs')
_STAGE_KEYS = ('name', 'config', 'options', 'checkpoint', 'share')
# Of an evaluation: what is read.
_EVALUATION_PARTS = ('val_cfg', 'val_dataloader', 'val_evaluator')
_FIGURE_KEYS = ('samples_per_class', 'seed', 'real', 'scale', 'columns')


@dataclass(frozen=True)
class Stage:
    """One training of a model.

    Attributes:
        name (str): Of its folder.
        config (Path): Config file.
        options (dict): Overrides; ``{stage0}`` in a text is the checkpoint of the first stage.
        checkpoint (Path | None): Weights that are there already; nothing is trained then.
        share (float): Of the model's budget, in (0, 1].
    """

    name: str
    config: Path
    options: Dict[str, Any] = field(default_factory=dict)
    checkpoint: Optional[Path] = None
    share: float = 1.0


@dataclass(frozen=True)
class ComparedModel:
    """One row of the table.

    Attributes:
        name (str): Shown.
        stages (tuple[Stage]): In the order of training; the last one generates.
        settings (dict): Column title to whether the model has it (Table 2).
        sample_kwargs (dict): For sampling this model, e.g. its guidance.
    """

    name: str
    stages: Tuple[Stage, ...]
    settings: Dict[str, bool] = field(default_factory=dict)
    sample_kwargs: Dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Its folder in the output."""
        return re.sub(r'[^\w.-]+', '_', self.name).strip('.') or 'model'

    @property
    def trained(self) -> bool:
        """Whether its weights are made here."""
        return self.stages[-1].checkpoint is None


@dataclass(frozen=True)
class FigureOptions:
    """The picture: rows models, columns classes.

    Attributes:
        samples_per_class (int): Images in a cell.
        seed (int): Of their noise, the same for every model.
        real (bool): A row of real images on top.
        scale (float | None): Enlarge or shrink every image.
        columns (int | None): Images side by side in a cell; None: a square.
    """

    samples_per_class: int = 4
    seed: int = 0
    real: bool = True
    scale: Optional[float] = None
    columns: Optional[int] = None

    def __post_init__(self):
        if self.samples_per_class < 1:
            raise ValueError(
                f'figure.samples_per_class must be 1 or more, got {self.samples_per_class}'
            )


@dataclass(frozen=True)
class ComparisonPlan:
    """Everything that the numbers depend on.

    Attributes:
        name (str): Of the comparison; an output folder belongs to one.
        title (str): Of the table.
        models (tuple[ComparedModel]): Rows.
        evaluation (Path): Config with ``val_cfg``, ``val_dataloader``, ``val_evaluator``, applied
            to every model.
        evaluation_options (dict): Overrides of it.
        options (dict): Overrides of every training config.
        minutes (float | None): Training time per model (``TimeBudgetHook``).
        iterations (int | None): Training iterations per model. With neither, what each config says.
        samples_per_class (int | str | None): Images generated per class for the evaluation; None:
            what ``evaluation`` says.
        seeds (tuple[int]): Of the trainings, one after another.
        figure (FigureOptions): The picture.
        amp (bool): Train in mixed precision.
        data (str | None): Data folder of all models and of the evaluation, see
            :func:`~cellgan_plugin.runs.data_settings.apply_data`.
    """

    name: str
    title: str
    models: Tuple[ComparedModel, ...]
    evaluation: Path
    evaluation_options: Dict[str, Any] = field(default_factory=dict)
    options: Dict[str, Any] = field(default_factory=dict)
    minutes: Optional[float] = None
    iterations: Optional[int] = None
    samples_per_class: Union[int, str, None] = None
    seeds: Tuple[int, ...] = (0,)
    figure: FigureOptions = FigureOptions()
    amp: bool = False
    data: Optional[str] = None
    _configs: Dict[Path, Config] = field(default_factory=dict, repr=False, compare=False)

    def seeds_of(self, model: ComparedModel) -> Tuple[int, ...]:
        """Training seeds of a model; weights that are given count once."""
        return self.seeds if model.trained else self.seeds[:1]

    def stage_config(
        self, model: ComparedModel, index: int, seed: int, checkpoints: Sequence[str] = ()
    ) -> Config:
        """The config of one training.

        Args:
            model (ComparedModel): The model.
            index (int): Of the stage.
            seed (int): Of the training.
            checkpoints (Sequence[str]): Of the stages before, in place of ``{stage0}``, ...
                Defaults to (): these stay as they are.
        """
        stage = model.stages[index]
        places = {f'{{stage{i}}}': str(path) for i, path in enumerate(checkpoints)}
        options = _replaced({**self.options, **stage.options}, places)
        config = load_config(self._read(stage.config), options=options)
        self._apply_data(config)
        if are_open(config):
            set_classes(config, self.classes)
        config.work_dir = None
        config.resume = False
        config.randomness = {**(config.get('randomness') or {}), 'seed': seed}
        if config.get('train_cfg') is not None:
            if self.minutes is not None:
                config.train_cfg.max_iters = 10_000_000  # the time budget ends the run
            elif self.iterations is not None:
                config.train_cfg.max_iters = max(1, round(self.iterations * stage.share))
        return config

    def _read(self, path: Path) -> Config:
        """A config file; each is read once."""
        if path not in self._configs:
            with quiet_upstream():  # it says for every environment variable that it was used
                self._configs[path] = open_config(path)
        return deepcopy(self._configs[path])

    def evaluation_config(self) -> Config:
        """The config of the evaluation."""
        config = self._read(self.evaluation)
        merge_options(config, self.evaluation_options)
        check_config(config, self.evaluation_options, _EVALUATION_PARTS)
        self._apply_data(config)
        return config

    @property
    def classes(self) -> Tuple[str, ...]:
        """Class names of the evaluation, which all models make."""
        sets = patch_sets(self.evaluation_config())
        named = [named_classes(s.dataset) for s in sets if s.part == 'val']
        return tuple(named[0] if named and named[0] else BETHESDA_CLASSES)

    def _apply_data(self, config: Config) -> None:
        if patch_sets(config) or self.data is None:
            apply_data(config, self.data, say=False)

    def minutes_of(self, stage: Stage) -> Optional[float]:
        """Time budget of a stage."""
        return None if self.minutes is None else self.minutes * stage.share

    def budget_text(self) -> str:
        """The budget in words."""
        if self.minutes is not None:
            return f'{self.minutes:g} min of training per model'
        if self.iterations is not None:
            return f'{self.iterations} iterations per model'
        return 'as many iterations as the config of each model says'


def _replaced(value: Any, places: Mapping[str, str]) -> Any:
    """A copy of nested dicts and lists with texts put in place of others."""
    if isinstance(value, Mapping):
        return {key: _replaced(item, places) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(item, places) for item in value]
    if isinstance(value, str):
        for old, new in places.items():
            value = value.replace(old, new)
    return value


def _known(found: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    unknown = sorted(set(found) - set(known))
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise ValueError(f'{where} has {unknown}, which is none of {list(known)}{hint}')


def find_file(path: Union[str, Path], source: Optional[Path], what: str) -> Path:
    """A file by its path from the config that says it, else from here.

    Raises:
        FileNotFoundError: It is in neither place; the message names both.
    """
    path = Path(path).expanduser()
    folders = [] if source is None or path.is_absolute() else folders_of(str(path), source)
    tried = [*(folder / path for folder in folders), path]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f'{what} {" or ".join(map(str, tried))} does not exist')


def _checkpoint(path: Any, what: str) -> Optional[Path]:
    if not path:
        return None
    from cellgan_plugin.runs.trained_model import find_checkpoint

    try:
        return find_checkpoint(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{what}: {error}') from None


def _read_stages(found: Mapping[str, Any], source: Optional[Path], where: str) -> Tuple[Stage, ...]:
    if ('config' in found) == ('stages' in found):
        raise ValueError(f'{where} needs either config=... or stages=[dict(config=...), ...]')
    if 'config' in found:
        entries = [{k: found[k] for k in ('config', 'options', 'checkpoint') if k in found}]
        entries[0]['name'] = 'training'
    else:
        entries = [dict(entry) for entry in found['stages']]
        if 'options' in found or 'checkpoint' in found:
            raise ValueError(f'{where} has stages: say options and checkpoint of each stage there')
        if not entries:
            raise ValueError(f'{where} has no stage')
    stages = []
    for number, entry in enumerate(entries):
        here = where if len(entries) == 1 else f'{where}, stage {number}'
        _known(entry, _STAGE_KEYS, here)
        if 'config' not in entry:
            raise ValueError(f'{here} has no config')
        config = find_file(entry['config'], source, f'{here}: config')
        stages.append(
            Stage(
                name=re.sub(r'[^\w.-]+', '_', entry.get('name') or config.stem),
                config=config,
                options=dict(entry.get('options') or {}),
                checkpoint=_checkpoint(entry.get('checkpoint'), here),
                share=float(entry.get('share', 1 / len(entries))),
            )
        )
    trained = [stage for stage in stages if stage.checkpoint is None]
    if len({stage.name for stage in stages}) < len(stages):
        raise ValueError(f'{where}: two stages are named {stages[0].name!r}; give each a name')
    if any(not 0 < stage.share <= 1 for stage in trained):
        raise ValueError(f'{where}: the share of a stage must be in (0, 1]')
    given = any('share' in entry for entry in entries)
    if given and trained and abs(sum(stage.share for stage in trained) - 1) > 1e-6:
        raise ValueError(
            f'{where}: the shares of the stages that are trained add up to '
            f'{sum(stage.share for stage in trained):g}, expected 1'
        )
    return tuple(stages)


def _read_model(found: Any, source: Optional[Path]) -> ComparedModel:
    if not isinstance(found, Mapping) or not found.get('name'):
        raise ValueError(f'models: each is a dict with a name, got {found!r}')
    where = f'model {found["name"]!r}'
    _known(found, _MODEL_KEYS, where)
    settings = dict(found.get('settings') or {})
    if any(not isinstance(value, bool) for value in settings.values()):
        raise ValueError(f'{where}: settings are True or False, got {settings}')
    return ComparedModel(
        name=str(found['name']),
        stages=_read_stages(found, source, where),
        settings=settings,
        sample_kwargs=dict(found.get('sample_kwargs') or {}),
    )


def make_comparison(found: Mapping[str, Any], name: str, source: Optional[Path]) -> ComparisonPlan:
    """Check the values of a comparison and put them in order.

    Args:
        found (Mapping): As of a comparison's config, see docs/comparison.md.
        name (str): Where the config says none.
        source (Path | None): The config file, for relative paths.

    Raises:
        FileNotFoundError: A config or a checkpoint does not exist.
        ValueError: Something is missing, unknown, or out of range.
    """
    found = {key: value for key, value in found.items() if not key.startswith('_')}
    _known(found, _PLAN_KEYS, f'comparison {name}')
    for key in ('models', 'evaluation'):
        if not found.get(key):
            raise ValueError(f'comparison {name} has no {key}')
    models = tuple(_read_model(model, source) for model in found['models'])
    folders = [model.folder.lower() for model in models]
    twice = next((m.name for m in models if folders.count(m.folder.lower()) > 1), None)
    if twice is not None:
        raise ValueError(f'two models would have the folder of {twice!r}: give them other names')
    budget = dict(found.get('budget') or {})
    _known(budget, ('minutes', 'iterations'), 'budget')
    if len(budget) > 1:
        raise ValueError('budget: minutes or iterations, not both')
    if any(not value > 0 for value in budget.values()):
        raise ValueError(f'budget must be positive, got {budget}')
    seeds = tuple(found.get('seeds', (0,)))
    if not seeds or len(set(seeds)) < len(seeds) or any(not isinstance(s, int) for s in seeds):
        raise ValueError(f'seeds: different whole numbers, got {list(seeds)}')
    samples = found.get('samples_per_class')
    if samples is not None and samples != 'match' and not (isinstance(samples, int) and samples):
        raise ValueError(f"samples_per_class: a positive number, 'match' or None, got {samples!r}")
    figure = dict(found.get('figure') or {})
    _known(figure, _FIGURE_KEYS, 'figure')
    evaluation = find_file(found['evaluation'], source, 'evaluation')
    name = found.get('name') or name
    return ComparisonPlan(
        name=name,
        title=found.get('title') or name,
        models=models,
        evaluation=evaluation,
        evaluation_options=dict(found.get('evaluation_options') or {}),
        options=dict(found.get('options') or {}),
        minutes=budget.get('minutes'),
        iterations=budget.get('iterations'),
        samples_per_class=samples,
        seeds=seeds,
        figure=FigureOptions(**figure),
        amp=bool(found.get('amp', False)),
        data=found.get('data'),
    )


def read_comparison(
    config: Union[str, Path, None] = None, overrides: Optional[Mapping[str, Any]] = None
) -> ComparisonPlan:
    """Read a comparison.

    Args:
        config (str | Path, optional): Config file, e.g.
            ``configs/comparisons/cellgan_table1_phantom.py``. Defaults to None: everything is in
            ``overrides``.
        overrides (Mapping, optional): Values in place of those of the config; dicts are merged.

    Raises:
        FileNotFoundError: See :func:`make_comparison`.
        ValueError: See :func:`make_comparison`.
    """
    values: Dict[str, Any] = {}
    name, source = 'comparison', None
    if config is not None:
        with quiet_upstream():
            read = open_config(config, 'comparison')
        import_of_config(read, for_jobs=True)
        values = read.to_dict()
        values.pop('custom_imports', None)
        name, source = Path(config).stem, Path(config).resolve()
    for key, value in (overrides or {}).items():
        merge = isinstance(value, Mapping) and isinstance(values.get(key), Mapping)
        # A budget has one entry: another one takes its place.
        values[key] = {**values[key], **value} if merge and key != 'budget' else value
    return make_comparison(values, name, source)


def parse_models(words: Sequence[str]) -> List[Dict[str, Any]]:
    """``NAME=CONFIG.py`` or ``NAME=CONFIG.py:CHECKPOINT`` as entries of ``models``.

    Raises:
        ValueError: A word is neither.
    """
    models = []
    for word in words:
        match = re.fullmatch(r'([^=]+)=(.+?\.py)(?::(.+))?', word)
        if match is None:
            raise ValueError(f'--models {word}: expected NAME=CONFIG.py or NAME=CONFIG.py:CKPT')
        model = dict(name=match[1], config=match[2])
        models.append({**model, 'checkpoint': match[3]} if match[3] else model)
    return models
