"""What a benchmark is: read from a config and checked."""

import os
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

from mmengine.config import Config

from cellgan_plugin.benchmark.classifier_run import SELECT
from cellgan_plugin.benchmark.rows import (
    Augmentation,
    Generator,
    GeneratorStage,
    Sweep,
    check_folders,
    check_rows,
)
from cellgan_plugin.benchmark.score_registry import SCORES, try_score
from cellgan_plugin.datasets.classes import BETHESDA_CLASSES, check_class_names, resolve_class
from cellgan_plugin.datasets.data_folder import DataFolder
from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.runs.config_values import find_beside, read_settings
from cellgan_plugin.runs.data_settings import DATA_VARIABLE, Data, data_folder

REAL = 'real only'
_CHOICES = dict(
    select=SELECT,
    leak=('refuse', 'allow', 'paper'),
    share_of=('train', 'all'),
    generator_images=('all', 'drawn'),
)
# Of the tables: CellGAN's Table 3, and the area under the ROC curve.
TABLE_3 = ('accuracy', 'precision', 'recall', 'f1', 'auc')
_SELECTION_KEYS = ('passes', 'dropout', 'layers', 'seed', 'drop_memorised')


@dataclass(frozen=True)
class Protocol:
    """A benchmark.

    Attributes:
        data (Mapping): ``data_root``, ``ann_file``, ``split``, ``extra_classes``,
            ``follow_links`` of the real images, as of
            :class:`~cellgan_plugin.datasets.CellPatchDataset`.
        classifiers (Mapping[str, str]): Name -> MMPretrain config.
        generators (tuple[Generator]): Without ``rows`` and ``sweep`` one arm each, beside the
            real images alone.
        rows (tuple[Augmentation]): Arms beside the real images alone. Defaults to none.
        sweep (Sweep | None): Further rows, and their figure. Defaults to None.
        selection (Mapping): ``passes``, ``dropout``, ``layers``, ``seed``, ``drop_memorised`` of
            :func:`cellgan_plugin.selection.select.select`. Defaults to its defaults.
        selector (str | None): The classifier that selects, trained on a fold's real images with
            the first seed: the baseline itself. Defaults to None: the first.
        classes (tuple[str]): In the order of the labels.
        title (str): Of the table.
        num_folds (int): Stratified folds; groups are not divided. Defaults to 5 (Sec. 3.3).
        ratios (tuple | None): Training, validation and test part, in place of folds;
            ``num_folds`` is then the number of repeats. Defaults to None.
        fixed_splits (bool): The manifest's own ``train``, ``val`` and ``test``, in place of folds;
            ``num_folds`` is then how often training images are drawn. Defaults to False.
        shares (tuple[float]): Shares of the training images that are used, a table each (HistoGAN,
            Table 2). A smaller share is part of a larger one. Defaults to none: all images.
        share_of (str): What shares are of: ``'train'``, the training images, or ``'all'`` images
            of the data set. Defaults to 'train'.
        per_class (int | None): Real images of every class. Defaults to 400 (Sec. 3.3).
        fold_seed (int): Draws images and folds. Defaults to 0.
        synthetic_per_class (int): Images that every generator adds to each class of the training
            images. Defaults to 2000 (Sec. 3.3).
        epochs (int): Passes over the training images. Defaults to 30 (Sec. 3.3).
        equal_steps (bool | None): Every arm trains for as many optimizer steps as the one with the
            most images does in ``epochs``: else the arms with synthetic images train longer, and
            longer training alone may raise a score. Defaults to None: True, but for
            ``leak='paper'``, where every arm has the paper's epochs.
        steps (int | None): Optimizer steps of every arm, in place of ``epochs``. Defaults to
            None.
        seeds (tuple[int]): One training each per fold. Defaults to (0,).
        select (str): ``'last'`` predicts with the final weights, ``'best'`` with those of the
            highest validation accuracy (needs ``ratios`` with a validation part).
        leak (str): ``'refuse'`` generators that were trained on test images or on unknown ones,
            ``'allow'`` and say so in every table, ``'paper'``: the same, labelled as the paper's
            protocol of one generator for all folds. Defaults to 'refuse'.
        train_generators (bool): Train generators that have no checkpoint once per fold. Defaults
            to False.
        generator_images (str | None): What these train on: ``'all'`` images that are in no test or
            validation part and of no slide or patient there, or the ``'drawn'`` ones that the
            fold's classifiers train on. Defaults to None: all, but drawn where ``shares`` say how
            many images there are.
        keep_weights (bool): Keep the classifiers' checkpoints. Defaults to False.
        metrics (tuple[str]): Of the tables, some of :data:`~cellgan_plugin.benchmark
            .score_registry.SCORES`. Defaults to those of CellGAN's Table 3, and AUC.
        baseline (str): What the real images alone are called in the tables. Defaults to 'real
            only'.
    """

    data: Mapping[str, Any]
    classifiers: Mapping[str, str]
    generators: Tuple[Generator, ...] = ()
    rows: Tuple[Augmentation, ...] = ()
    sweep: Optional[Sweep] = None
    selection: Mapping[str, Any] = field(default_factory=dict)
    selector: Optional[str] = None
    classes: Tuple[str, ...] = BETHESDA_CLASSES
    title: str = 'Data augmentation'
    num_folds: int = 5
    ratios: Optional[Tuple[float, float, float]] = None
    fixed_splits: bool = False
    shares: Tuple[float, ...] = ()
    share_of: str = 'train'
    per_class: Optional[int] = 400
    fold_seed: int = 0
    synthetic_per_class: int = 2000
    epochs: int = 30
    equal_steps: Optional[bool] = None
    steps: Optional[int] = None
    seeds: Tuple[int, ...] = (0,)
    select: str = 'last'
    leak: str = 'refuse'
    train_generators: bool = False
    generator_images: Optional[str] = None
    keep_weights: bool = False
    metrics: Tuple[str, ...] = TABLE_3
    baseline: str = REAL

    def __post_init__(self):
        object.__setattr__(self, 'classes', check_class_names(self.classes))
        if not self.data.get('data_root'):
            raise ProtocolError('data=dict(data_root=...) is missing: where the real images are')
        if not self.classifiers:
            raise ProtocolError('name at least one classifier: classifiers=dict(NAME=CONFIG)')
        for key in ('num_folds', 'synthetic_per_class', 'epochs'):
            if not isinstance(getattr(self, key), int) or getattr(self, key) < 1:
                raise ProtocolError(f'{key} must be 1 or more, got {getattr(self, key)!r}')
        if self.equal_steps is None:
            object.__setattr__(self, 'equal_steps', self.leak != 'paper')
        if self.generator_images is None:
            object.__setattr__(self, 'generator_images', 'drawn' if self.shares else 'all')
        for key, known in _CHOICES.items():
            if getattr(self, key) not in known:
                raise ProtocolError(
                    f'{key} must be one of {list(known)}, got {getattr(self, key)!r}'
                )
        if self.shares and self.generator_images == 'all':
            raise ProtocolError(
                "generator_images='all' would train generators on more images than the share of "
                "a row: leave it out, or say 'drawn'"
            )
        if self.steps is not None and (not isinstance(self.steps, int) or self.steps < 1):
            raise ProtocolError(f'steps must be 1 or more, got {self.steps!r}')
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ProtocolError(f'seeds must be different numbers, got {list(self.seeds)}')
        if self.select == 'best' and not (self.fixed_splits or (self.ratios and self.ratios[1])):
            raise ProtocolError(
                "select='best' needs validation images: ratios=(7, 1, 2) in place of folds"
            )
        self._check_images()
        self._check_rows()
        if self.train_generators and self.leak == 'paper':
            raise ProtocolError(
                "--train-generators trains one generator per fold, the paper's protocol has one "
                'for all folds: choose one of them'
            )
        check_folders('classifiers', list(self.classifiers))
        check_folders('generators', [generator.name for generator in self.generators])
        for generator in self.generators:
            if generator.trained_here and not self.train_generators and self.leak != 'paper':
                raise ProtocolError(
                    f'generator {generator.name!r} has a config and no checkpoint: give one '
                    f'({generator.name}={generator.config}:CHECKPOINT), or say --train-generators '
                    '(one per fold, on its training images alone) or --paper-protocol (one for '
                    "all folds, on the config's own images)"
                )
            if generator.best_by_fd and not (generator.trained_here and self.train_generators):
                raise ProtocolError(
                    f'generator {generator.name!r}: best_by_fd is of generators that are trained '
                    'once per fold (--train-generators), from a config without checkpoint'
                )

    def _check_images(self) -> None:
        if self.fixed_splits:
            if self.ratios or self.data.get('split') or not self.data.get('ann_file'):
                raise ProtocolError(
                    'fixed_splits=True takes train, val and test from the manifest: say which by '
                    'data.ann_file, and neither ratios nor data.split'
                )
            if self.num_folds > 1 and not self.shares:
                raise ProtocolError(
                    f'num_folds={self.num_folds} of fixed splits would all be the same; say '
                    'num_folds=1, and several seeds for several runs'
                )
        if len(set(self.shares)) != len(self.shares) or not all(0 < s <= 1 for s in self.shares):
            raise ProtocolError(
                f'shares must be different numbers above 0 and up to 1, got {list(self.shares)}'
            )
        wrong = [name for name in self.metrics if name not in SCORES]
        if wrong or not self.metrics:
            raise ProtocolError(f'metrics must be some of {list(SCORES)}, got {list(self.metrics)}')
        for name in SCORES:  # results.json has all that are registered
            try_score(name)

    def _check_rows(self) -> None:
        wrong = sorted(set(self.selection) - set(_SELECTION_KEYS))
        if wrong:
            raise ProtocolError(
                f'selection: {", ".join(wrong)} is not known; there are {list(_SELECTION_KEYS)}'
            )
        if self.selector is not None and self.selector not in self.classifiers:
            raise ProtocolError(
                f'selector {self.selector!r} is none of the classifiers {list(self.classifiers)}'
            )
        for row in self.rows:
            unknown = sorted(set(row.shares or ()) - set(self.shares))
            if unknown:
                raise ProtocolError(
                    f'row {row.name!r}: share {unknown[0]:g} is none of {list(self.shares)}'
                )
        if self.all_rows:
            check_rows(self.all_rows, self.generators)

    @property
    def all_rows(self) -> Tuple[Augmentation, ...]:
        """Rows of the table and points of the sweep."""
        return (*self.rows, *(self.sweep.rows() if self.sweep else ()))

    @property
    def selects(self) -> bool:
        """Whether images are added by rows, chosen from pools."""
        return any(row.generator for row in self.all_rows)

    @property
    def needs_baseline(self) -> bool:
        """Whether the weights of the selecting classifier are needed by other jobs."""
        return self.selects or any(generator.best_by_fd for generator in self.generators)

    @property
    def selecting(self) -> str:
        """Name of the classifier that selects."""
        return self.selector or next(iter(self.classifiers))


_DATA_KEYS = ('data_root', 'ann_file', 'split', 'extra_classes', 'follow_links')
_TUPLES = ('classes', 'seeds', 'ratios', 'shares', 'metrics')


def read_protocol(
    config: Union[str, Path, Config],
    generators: Optional[Sequence[Union[str, Generator]]] = None,
    classifiers: Optional[Mapping[str, str]] = None,
    options: Optional[dict] = None,
    data: Optional[Data] = None,
    **overrides,
) -> Protocol:
    """Read a benchmark from a config (``configs/benchmarks/``).

    Args:
        config (str | Path | Config): Its keys are the attributes of :class:`Protocol`;
            ``generators`` is a dict name -> ``dict(config=..., checkpoint=...)`` or
            ``dict(folder=...)``; ``rows`` is a dict name -> attributes of :class:`Augmentation`
            (None takes a row of a base config away), ``sweep`` a dict of those of :class:`Sweep`.
        generators (Sequence[str | Generator], optional): In place of the config's. A single one
            also takes the place of the one that the config's rows name.
        classifiers (Mapping[str, str], optional): In place of the config's.
        options (dict, optional): Overrides of the config, as of ``--cfg-options``.
        data (str | Path | DataFolder, optional): Folder of the real images, which says the
            manifest and the classes as well, see :func:`of_folder`. Defaults to None: as the config
            says; where that is the folder of ``CELLGAN_DATA_ROOT``, it is asked for the same.
        **overrides: Attributes of :class:`Protocol`; None leaves the config's.

    Returns:
        Protocol: Checked as far as it can be without looking at images.

    Raises:
        FileNotFoundError: No such config.
        ProtocolError: A key that does not exist, or see :class:`Protocol`.
        DatasetError: The data folder cannot be used.
    """
    config, values = read_settings(Protocol, config, options, overrides, 'benchmark')
    for key in _TUPLES:
        if values.get(key) is not None:
            values[key] = tuple(values[key])
    images = values.get('data') or {}
    wrong = sorted(set(images) - set(_DATA_KEYS))
    if wrong:
        raise ProtocolError(f'data: {", ".join(wrong)} is not known; there are {_DATA_KEYS}')
    root = os.environ.get(DATA_VARIABLE)
    if data is None and root and images.get('data_root') == root and os.path.isdir(root):
        data = root
    if data is not None:
        values.update(of_folder(data_folder(data), images, values.get('classes')))
    if classifiers is not None:
        values['classifiers'] = dict(classifiers)
    else:
        named = values.get('classifiers') or {}
        values['classifiers'] = {name: find_beside(path, config) for name, path in named.items()}
    if generators is not None:
        made = [Generator.from_text(g) if isinstance(g, str) else g for g in generators]
    else:
        made = [_generator(n, g, config) for n, g in (values.get('generators') or {}).items()]
    values['generators'] = tuple(made)
    values['rows'] = tuple(
        spec_of(Augmentation, f'row {name!r}', given, name=name)
        for name, given in (values.get('rows') or {}).items()
        if given is not None
    )
    if values.get('sweep') is not None:
        values['sweep'] = spec_of(Sweep, 'sweep', values['sweep'])
    if generators is not None and len(made) == 1:  # the config's rows with the given one
        name = made[0].name
        values['rows'] = tuple(
            replace(row, generator=name) if row.generator else row for row in values['rows']
        )
        if values.get('sweep') is not None:
            values['sweep'] = replace(values['sweep'], generator=name)
    return Protocol(**{**values, 'data': values.get('data') or {}})


def of_folder(
    folder: DataFolder, images: Mapping[str, Any], classes: Optional[Sequence[str]]
) -> Dict[str, Any]:
    """What a data folder says of a benchmark.

    Args:
        folder (DataFolder): The real images.
        images (Mapping): ``data`` of the config.
        classes (Sequence[str], optional): As the config names them; None: the folder's.

    Returns:
        dict: ``data`` and ``classes`` of a :class:`Protocol`. A split that the config names is kept
        where the manifest has it; else all images are divided into folds.

    Raises:
        ProtocolError: The config names other classes.
    """
    split = images.get('split') if images.get('split') in folder.splits else None
    found = dict(images, data_root=folder.root, ann_file=folder.ann_file, split=split)
    skips = images.get('extra_classes') == 'skip'
    if classes is None and not skips:
        return dict(data=found, classes=folder.classes)
    classes = classes or BETHESDA_CLASSES
    there = {resolve_class(name, classes) for name in folder.classes}
    if set(classes) - there or (None in there and not skips):
        raise ProtocolError(
            f'the benchmark names the classes {list(classes)}, but {folder.root} has '
            f'{list(folder.classes)}: leave classes out of the config, or give the folder of these'
        )
    return dict(data=found, classes=tuple(classes))


def spec_of(kind: type, where: str, given: Mapping[str, Any], **more):
    """A dataclass from a config's dict and ``more`` fields; lists become tuples.

    Raises:
        ProtocolError: A field that does not exist, or one that is missing.
    """
    keys = [f.name for f in fields(kind) if f.name not in more]
    wrong = sorted(set(given) - set(keys))
    if wrong:
        raise ProtocolError(f'{where}: {", ".join(wrong)} is not one of {keys}')
    missing = [
        f.name for f in fields(kind)
        if f.default is MISSING and f.default_factory is MISSING and f.name not in {**more, **given}
    ]  # fmt: skip
    if missing:
        raise ProtocolError(f'{where}: {", ".join(missing)} is missing')
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    return kind(**more, **given)


def _generator(name: str, given: Mapping[str, Any], config: Config) -> Generator:
    given = {key: value for key, value in given.items() if value not in (None, '')}
    where = f'generator {name!r}'
    stages = [dict(stage) for stage in given.pop('stages', None) or ()]
    if stages:
        if 'config' in given or 'checkpoint' in given:
            raise ProtocolError(f'{where} has stages: say config and options of each stage there')
        missing = [number for number, stage in enumerate(stages) if not stage.get('config')]
        if missing or 'checkpoint' in {key for stage in stages for key in stage}:
            raise ProtocolError(
                f'{where}: a stage is dict(config=..., options=...), trained by the benchmark'
            )
        given.update(config=stages[-1].pop('config'), **stages.pop())
        for stage in stages:
            stage['config'] = find_beside(stage['config'], config)
        given['stages'] = tuple(spec_of(GeneratorStage, f'{where}, a stage', s) for s in stages)
    for key in {'config', 'checkpoint', 'folder', 'trained_on'} & set(given):
        given[key] = find_beside(given[key], config)
    return spec_of(Generator, where, given, name=name)
