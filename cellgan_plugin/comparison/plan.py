"""What is to be compared: models, their trainings, how they are evaluated."""

import re
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

from mmengine.config import Config

from cellgan_plugin.compat import quiet_upstream
from cellgan_plugin.datasets import BETHESDA_CLASSES
from cellgan_plugin.runs.config_check import check_config
from cellgan_plugin.runs.config_file import merge_options, open_config
from cellgan_plugin.runs.data_settings import (
    apply_data,
    are_open,
    named_classes,
    patch_sets,
    set_classes,
)
from cellgan_plugin.runs.train import load_config

# Of an evaluation: what is read.
_EVALUATION_PARTS = ('val_cfg', 'val_dataloader', 'val_evaluator')


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
        cpu_minutes (float | None): The same, in processor time.
        iterations (int | None): Training iterations per model. With none of the three, what each
            config says.
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
    cpu_minutes: Optional[float] = None
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
            if self.time_budget is not None:
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

    @property
    def time_budget(self) -> Optional[Tuple[str, float]]:
        """``('minutes' | 'cpu_minutes', how many)`` per model; None where time is no limit."""
        for key in ('minutes', 'cpu_minutes'):
            if getattr(self, key) is not None:
                return key, getattr(self, key)
        return None

    def time_of(self, stage: Stage) -> Optional[Tuple[str, float]]:
        """:attr:`time_budget` of a stage."""
        if self.time_budget is None:
            return None
        key, minutes = self.time_budget
        return key, minutes * stage.share

    def budget_text(self) -> str:
        """The budget in words."""
        if self.minutes is not None:
            return f'{self.minutes:g} min of training per model'
        if self.cpu_minutes is not None:
            return f'{self.cpu_minutes:g} processor minutes of training per model'
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
