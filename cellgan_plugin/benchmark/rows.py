"""What the rows of a benchmark's table are made of: generators, augmentations, sweeps of them."""

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.runs.config_values import FOLD

USES = ('added', 'alone', 'first')  # of synthetic images: see Augmentation


def slug(name: str) -> str:
    """A name as a folder's: letters, digits, ``.``, ``_``, ``-`` and ``+``."""
    return re.sub(r'[^A-Za-z0-9._+-]+', '_', name).strip('._') or '_'


def check_folders(what: str, names: Sequence[str]) -> None:
    """ProtocolError when two names would be one folder; ``what`` they are of, for the message."""
    folders: Dict[str, str] = {}
    for name in names:
        before = folders.setdefault(slug(name), name)
        if before != name or names.count(name) > 1:
            raise ProtocolError(
                f'{what} {before!r} and {name!r} would use the same folder; rename one'
            )


@dataclass(frozen=True)
class GeneratorStage:
    """A run that a generator stands on.

    Attributes:
        config (str): The run.
        options (Mapping): Overrides of it; ``{stage0}`` as of :class:`Generator`.
    """

    config: str
    options: Mapping[str, Any] = field(default_factory=dict)


def with_checkpoints(options: Mapping[str, Any], checkpoints: Sequence[Path]) -> Dict[str, Any]:
    """Overrides with the checkpoints of earlier stages in place of ``{stage0}``, ..."""
    found = {}
    for key, value in options.items():
        if isinstance(value, str):
            for number, path in enumerate(checkpoints):
                value = value.replace(f'{{stage{number}}}', str(path))
        found[key] = value
    return found


@dataclass(frozen=True)
class Generator:
    """Where the synthetic images of an arm come from.

    Attributes:
        name (str): Of the arm, shown in the tables as ``+ name``.
        config (str | None): Config of the generator's run.
        checkpoint (str | None): Its weights, or the work directory that has them. With ``config``
            and without this the generator is trained by the benchmark.
        folder (str | None): Class folders or a manifest (``.csv``) of images that are there
            already, in place of the two above. With ``{fold}`` in it one for every fold, made by a
            generator of its own.
        split (str | None): Rows of the folder's manifest. Defaults to None: all.
        trained_on (str | None): Of a folder: what its generator was trained on, where the folder
            does not say so: a data folder, ``training_images.txt`` or the folder that holds it,
            for every fold where it has ``{fold}``. ``'itself'`` when the images are real ones.
        follow_links (bool): Whether links may lead out of the folder. Defaults to False.
        iterations (int | None): How long the benchmark trains it. Defaults to None: as the config
            says (``train_cfg.max_iters``).
        best_by_fd (bool): Whether, of a generator that is trained once per fold, the weights at the
            minimum of its smoothed FD are taken, with features of the fold's baseline classifier
            (HistoGAN, Sec. 3.1.2); else the last. Defaults to False.
        options (Mapping): Overrides of ``config``; ``{stage0}`` in a text is the checkpoint of the
            first of ``stages``. Defaults to none.
        stages (tuple[GeneratorStage]): What is trained before it on the same images, in this order:
            the autoencoder of a latent diffusion model. Defaults to none.
    """

    name: str
    config: Optional[str] = None
    checkpoint: Optional[str] = None
    folder: Optional[str] = None
    split: Optional[str] = None
    trained_on: Optional[str] = None
    follow_links: bool = False
    iterations: Optional[int] = None
    best_by_fd: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    stages: Tuple[GeneratorStage, ...] = ()

    def __post_init__(self):
        where = f'generator {self.name!r}'
        if (self.stages or self.options) and not self.trained_here:
            raise ProtocolError(f'{where}: stages and options are of a generator trained here')
        if slug(self.name) in ('real', '_'):
            raise ProtocolError(f'{where}: choose another name')
        if (self.folder is None) == (self.config is None):
            raise ProtocolError(f'{where}: give either a folder of images or a config')
        if self.folder is None and self.split is not None:
            raise ProtocolError(f'{where}: split is of a folder with a manifest')
        if self.folder is not None and self.checkpoint is not None:
            raise ProtocolError(f'{where}: a folder has no checkpoint')
        if FOLD in (self.trained_on or '') and not self.per_fold:
            raise ProtocolError(f'{where}: trained_on has {FOLD}, and the folder has not')
        if self.iterations is not None and not (self.trained_here and self.iterations > 0):
            raise ProtocolError(
                f'{where}: iterations={self.iterations!r} is how long the benchmark trains it: 1 '
                'or more, of a generator with a config and no checkpoint'
            )

    @property
    def trained_here(self) -> bool:
        """Whether the benchmark has to train it."""
        return self.config is not None and self.checkpoint is None

    @property
    def per_fold(self) -> bool:
        """Whether every fold has a folder of its own."""
        return FOLD in (self.folder or '')

    def of_fold(self, fold: int) -> 'Generator':
        """The folder of a fold, counted from 0; itself where all folds share one."""
        if not self.per_fold:
            return self
        number = str(fold + 1)
        trained_on = self.trained_on and self.trained_on.replace(FOLD, number)
        return replace(self, folder=self.folder.replace(FOLD, number), trained_on=trained_on)

    @classmethod
    def from_text(cls, text: str) -> 'Generator':
        """``NAME=CONFIG:CKPT``, ``NAME=CONFIG`` or ``NAME=FOLDER``, as on the command line."""
        name, equals, value = text.partition('=')
        if not equals or not name.strip() or not value.strip():
            raise ProtocolError(
                f'{text!r}: a generator is NAME=CONFIG.py:CHECKPOINT, NAME=CONFIG.py (trained by '
                'the benchmark) or NAME=FOLDER'
            )
        name, value = name.strip(), value.strip()
        config, colon, checkpoint = value.partition('.py:')
        if colon:
            return cls(name, config=config + '.py', checkpoint=checkpoint)
        if value.endswith('.py'):
            return cls(name, config=value)
        return cls(name, folder=value)


@dataclass(frozen=True)
class Augmentation:
    """A row of the table beside the real images alone (HistoGAN, Table 1).

    Attributes:
        name (str): Shown as ``+ name``.
        transforms (tuple[Mapping]): Put into the classifier's training pipeline, before it packs:
            traditional augmentation. Defaults to none.
        generator (str | None): Whose images are added. Defaults to None: no images.
        rule (str | Mapping): Which of them, see :mod:`cellgan_plugin.selection.rules`. Defaults to
            'none': the first ones.
        ratio (float): r: images added over real training images, per class. Defaults to 0.5 (best
            in Sec. 4.3).
        pool (float | None): Candidates over real training images, per class. Defaults to None: 4 r
            (Algorithm 1).
        use (str): What the images are for: 'added' to the real training images; 'alone', in their
            place; 'first', for the first half of the steps, the real ones alone for the second.
            Defaults to 'added'.
        shares (tuple[float] | None): For which shares of the training images there is this row.
            Defaults to None: all.
    """

    name: str
    transforms: Tuple[Mapping[str, Any], ...] = ()
    generator: Optional[str] = None
    rule: Union[str, Mapping[str, Any]] = 'none'
    ratio: float = 0.5
    pool: Optional[float] = None
    use: str = 'added'
    shares: Optional[Tuple[float, ...]] = None

    def __post_init__(self):
        where = f'row {self.name!r}'
        if slug(self.name) in ('real', '_'):
            raise ProtocolError(f'{where}: choose another name')
        if not self.transforms and self.generator is None:
            raise ProtocolError(f'{where}: give transforms, or a generator whose images are added')
        if self.use not in USES:
            raise ProtocolError(f'{where}: use must be one of {list(USES)}, got {self.use!r}')
        if self.use != 'added' and self.generator is None:
            raise ProtocolError(f'{where}: use={self.use!r} is of a row with a generator')
        for transform in self.transforms:
            if not isinstance(transform, Mapping) or 'type' not in transform:
                raise ProtocolError(f'{where}: {transform!r} is no transform: dict(type=..., ...)')
        for key in ('ratio', 'pool'):
            value = getattr(self, key)
            if value is not None and not 0 < value < float('inf'):
                raise ProtocolError(f'{where}: {key} must be above 0, got {value!r}')

    def candidates(self, real: int) -> int:
        """Size of the pool of a class with so many real training images."""
        factor = 4 * self.ratio if self.pool is None else self.pool
        return math.ceil(round(factor * real, 6))


@dataclass(frozen=True)
class Sweep:
    """Rows for every pool size and ratio (HistoGAN, Fig. 12).

    Pools are the first candidates of one another, and all are scored once.

    Attributes:
        generator (str): Whose images.
        pools (tuple[float]): Candidates over real training images. Defaults to (2, 4, 6, 8).
        ratios (tuple[float]): r. Defaults to 0.4 to 1.0.
        rule (str | Mapping): Defaults to 'selective'.
    """

    generator: str
    pools: Tuple[float, ...] = (2, 4, 6, 8)
    ratios: Tuple[float, ...] = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    rule: Union[str, Mapping[str, Any]] = 'selective'

    def __post_init__(self):
        for key in ('pools', 'ratios'):
            values = getattr(self, key)
            if not values or len(set(values)) != len(values):
                raise ProtocolError(f'sweep: {key} must be different numbers, got {list(values)}')

    def row(self, pool: float, ratio: float) -> Augmentation:
        """One point of the figure."""
        rule = self.rule if isinstance(self.rule, str) else self.rule.get('type')
        name = f'{rule} of {pool:g}N, r = {ratio:g}'
        return Augmentation(name, (), self.generator, self.rule, ratio, pool)

    def rows(self) -> List[Augmentation]:
        """All points, by pool."""
        return [self.row(pool, ratio) for pool in self.pools for ratio in self.ratios]


def check_rows(rows: Sequence[Augmentation], generators: Sequence[Generator]) -> None:
    """ProtocolError when two rows share a folder, or a generator is not there or in no row."""
    check_folders('rows', [row.name for row in rows])
    there = {generator.name for generator in generators}
    used = {row.generator for row in rows} - {None}
    if used - there:
        raise ProtocolError(
            f'generator {sorted(used - there)[0]!r} of a row is not defined; there are '
            f'{sorted(there)}'
        )
    if there - used:
        raise ProtocolError(
            f'generator {sorted(there - used)[0]!r} is in no row: add one, or leave it out'
        )
