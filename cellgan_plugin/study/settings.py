"""What a study is asked to do."""

from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mmengine.config import Config

from cellgan_plugin.errors import ProtocolError, check_known
from cellgan_plugin.runs.config_values import FOLD, find_beside, read_settings
from cellgan_plugin.runs.model_zoo import PACKAGE, shipped_models

# By the name on the command line: how tables call it, and its config below configs/study.
GENERATORS = {
    'cellgan': ('CellGAN', 'cellgan.py'),
    'biggan': ('BigGAN', 'biggan.py'),
    'sngan_proj': ('SNGAN-projection', 'sngan_proj.py'),
}
_STAGES = ('ldm', 'latent_diffusion')
LEAST_HOURS = 0.05
# Rows of a generator in the benchmark: its images added to the real ones, those among them that are
# selected, in their place, and before them.
ROWS = ('added', 'selected', 'alone', 'first')


def study_configs() -> Path:
    """The folder ``configs/study`` of this checkout, or of what was installed with the package."""
    places = [PACKAGE.parent / 'configs' / 'study', PACKAGE / '.mim' / 'configs' / 'study']
    return next((place for place in places if place.is_dir()), places[0])


@dataclass(frozen=True)
class StudySettings:
    """A study. Every value has a default, so that no config is needed.

    Attributes:
        title (str): Of tables and report. Defaults to '': the name of the data folder.
        generators (Mapping[str, str | Mapping]): Name in the tables -> config, or
            ``dict(folder=DIR, trained_on=...)`` of images that are there already (class folders or
            a manifest; ``trained_on`` as of
            :class:`~cellgan_plugin.benchmark.rows.Generator`, where the folder does not say it;
            ``{fold}`` in both: images for every fold, of a generator of its own).
            Defaults to CellGAN-plus, ``configs/study/cellgan.py``.
        classifier (str): Config of the classifier that evaluates, selects and is benchmarked.
            Defaults to ``configs/study/classifier.py``.
        beside (tuple[str]): Shipped models that are evaluated and drawn beside, as they are; they
            must make the classes of the data. Defaults to none.
        hours (float): Wall-clock time of everything together. Defaults to 4.
        size (int | None): Side of the images in pixels. Defaults to None: that of a generator whose
            config says it, else that of the images, up to 64 on a CPU.
        folds (int | None): Of the benchmark, each with a generator of its own; 1: the split of the
            manifest, or one that is made. Defaults to None: as many as there are folders of images
            by fold; else 5 where groups and time allow, else 3, else 1.
        seeds (tuple[int]): Trainings of a classifier per fold. Defaults to (0,).
        ratio (float): Synthetic images over real training images, per class. Defaults to 1.
        steps (int | None): Optimizer steps of every classifier of the benchmark. Defaults to None:
            by the number of images and the time.
        iterations (int | None): Of every generator, in place of what the time allows. Defaults to
            None.
        rows (tuple[str] | None): Which rows of every generator the benchmark has, of :data:`ROWS`.
            Defaults to None: all that there is time for.
        jobs (int | None): Jobs at a time. Defaults to None: one per GPU, or per core up to 4.
        amp (bool): Whether generators train in mixed precision; on a CPU that is faster only where
            it computes in bfloat16. Defaults to False.
    """

    title: str = ''
    generators: Mapping[str, Union[str, Mapping[str, str]]] = field(default_factory=dict)
    classifier: str = ''
    beside: Tuple[str, ...] = ()
    hours: float = 4.0
    size: Optional[int] = None
    folds: Optional[int] = None
    seeds: Tuple[int, ...] = (0,)
    ratio: float = 1.0
    steps: Optional[int] = None
    iterations: Optional[int] = None
    rows: Optional[Tuple[str, ...]] = None
    jobs: Optional[int] = None
    amp: bool = False

    def __post_init__(self):
        configs = study_configs()
        if not self.generators:
            name, config = GENERATORS['cellgan']
            object.__setattr__(self, 'generators', {name: str(configs / config)})
        if not self.classifier:
            object.__setattr__(self, 'classifier', str(configs / 'classifier.py'))
        if not LEAST_HOURS <= self.hours < float('inf'):
            raise ProtocolError(f'hours must be {LEAST_HOURS} or more, got {self.hours}')
        for key in ('folds', 'steps', 'iterations', 'jobs', 'size'):
            value = getattr(self, key)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ProtocolError(f'{key} must be a whole number of 1 or more, got {value!r}')
        if self.rows is not None:
            check_known('rows', self.rows, ROWS)
            if not self.rows:
                raise ProtocolError(f'rows is empty; there are {list(ROWS)}')
            object.__setattr__(self, 'rows', tuple(row for row in ROWS if row in self.rows))
        if not 0 < self.ratio < float('inf'):
            raise ProtocolError(f'ratio must be above 0, got {self.ratio}')
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ProtocolError(f'seeds must be different numbers, got {list(self.seeds)}')
        if self.beside:
            check_known('beside', self.beside, list(shipped_models()))
        for name, given in self.given.items():
            check_known(f'generators.{name}', given, ('folder', 'trained_on'))
        numbers = {name: len(folders_of(given)) for name, given in self.given.items()
                   if FOLD in given.get('folder', '')}  # fmt: skip
        wanted = {**({'folds': self.folds} if self.folds else {}), **numbers}
        if len(set(wanted.values())) > 1:
            said = ', '.join(f'{name} {number}' for name, number in wanted.items())
            raise ProtocolError(f'images for every fold, of one number of folds: {said}')
        if numbers and all(numbers.values()):
            object.__setattr__(self, 'folds', max(numbers.values()))

    @property
    def trained(self) -> Dict[str, str]:
        """Generators that the study trains: name -> config."""
        return {n: value for n, value in self.generators.items() if isinstance(value, str)}

    @property
    def given(self) -> Dict[str, Mapping[str, str]]:
        """Generators whose images are there: name -> folder, and what is known of it."""
        return {n: value for n, value in self.generators.items() if not isinstance(value, str)}


def read_study(
    config: Union[str, Path, Config, None] = None,
    generators: Optional[Sequence[str]] = None,
    **overrides: Any,
) -> StudySettings:
    """Read the settings of a study.

    Args:
        config (str | Path | Config, optional): Its keys are the attributes of
            :class:`StudySettings`. Defaults to None: the defaults.
        generators (Sequence[str], optional): Names of :data:`GENERATORS`, ``NAME=CONFIG.py`` or
            ``NAME=FOLDER`` (``{fold}`` in it: a folder for every fold), in place of the config's.
        **overrides: Attributes in place of the config's; None leaves them.

    Raises:
        FileNotFoundError: A config does not exist.
        ProtocolError: A key that does not exist, or a value out of range.
    """
    values: Dict[str, Any] = {}
    if config is not None:
        read, values = read_settings(StudySettings, config, None, {}, 'study')
        named = values.get('generators') or {}
        named = [named] if isinstance(named, str) else named
        values['generators'] = _beside(named, read) if isinstance(named, Mapping) else _named(named)
        if values.get('classifier'):
            values['classifier'] = find_beside(values['classifier'], read)
        for key in ('beside', 'seeds', 'rows'):
            if values.get(key) is not None:
                values[key] = tuple(values[key])
    if generators:
        values['generators'] = _named(generators)
    values.update({key: value for key, value in overrides.items() if value is not None})
    settings = StudySettings(**values)
    for path in (*settings.trained.values(), settings.classifier):
        if not Path(path).is_file():
            raise FileNotFoundError(f'config {path} does not exist')
    for name, given in settings.given.items():
        if not folders_of(given):
            there = given.get('folder', '').replace(FOLD, '1')
            raise FileNotFoundError(f'generator {name!r}: there is no folder {there}')
    return settings


def folders_of(given: Mapping[str, str]) -> List[Path]:
    """Folders of a generator whose images are there: one, or one for every fold."""
    folder = given.get('folder', '')
    if FOLD not in folder:
        return [Path(folder)] if folder and Path(folder).is_dir() else []
    numbered = (Path(folder.replace(FOLD, str(number))) for number in count(1))
    return list(takewhile(Path.is_dir, numbered))


def _beside(value: Any, config: Config) -> Any:
    """Paths in nested dicts as :func:`find_beside` finds them."""
    if isinstance(value, Mapping):
        return {key: _beside(entry, config) for key, entry in value.items()}
    return find_beside(value, config) if isinstance(value, str) else value


def _named(words: Sequence[str]) -> Dict[str, Any]:
    found = {}
    for word in words:
        name, equals, path = word.partition('=')
        if equals:
            path = Path(path).expanduser()
            is_folder = path.is_dir() or FOLD in str(path)
            found[name.strip()] = dict(folder=str(path.absolute())) if is_folder else str(path)
            continue
        if word in _STAGES:
            raise ProtocolError(
                f'{word} is trained in two stages, and a study trains one: tools/compare.py and '
                'tools/benchmark.py --train-generators train both, and a study takes the images '
                "(--generators 'NAME=DIR/fold{fold}', docs/study.md)"
            )
        if word not in GENERATORS:
            check_known('generators', [word], list(GENERATORS))
        shown, config = GENERATORS[word]
        found[shown] = str(study_configs() / config)
    return found
