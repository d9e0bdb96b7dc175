"""What a benchmark is: read from a config, checked, and compared with what a folder holds."""

import json
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mmengine.config import Config

from cellgan_plugin.datasets.classes import BETHESDA_CLASSES, check_class_names
from cellgan_plugin.downstream.classifier_run import SELECT, plain
from cellgan_plugin.files import atomic_write

RECORD_NAME = 'benchmark.json'
REAL = 'real only'
LEAK_RULES = ('refuse', 'allow', 'paper')


class ProtocolError(ValueError):
    """A benchmark that cannot be run as described; the message says what to change."""


def slug(name: str) -> str:
    """A name as a folder's: letters, digits, ``.``, ``_``, ``-`` and ``+``."""
    return re.sub(r'[^A-Za-z0-9._+-]+', '_', name).strip('._') or '_'


@dataclass(frozen=True)
class Generator:
    """Where the synthetic images of a setting come from.

    Attributes:
        name (str): Of the setting, shown in the tables as ``+ name``.
        config (str | None): Config of the generator's run.
        checkpoint (str | None): Its weights, or the work directory that has them. With ``config``
            and without this the generator is trained by the benchmark.
        folder (str | None): Class folders or a manifest (``.csv``) of images that are there
            already, in place of the two above.
        split (str | None): Rows of the folder's manifest. Defaults to None: all.
        trained_on (str | None): Of a folder: what its generator was trained on, where the folder
            does not say so: a data folder, ``training_images.txt`` or the folder that holds it.
            ``'itself'`` when the images are real ones.
        follow_links (bool): Whether links may lead out of the folder. Defaults to False.
    """

    name: str
    config: Optional[str] = None
    checkpoint: Optional[str] = None
    folder: Optional[str] = None
    split: Optional[str] = None
    trained_on: Optional[str] = None
    follow_links: bool = False

    def __post_init__(self):
        where = f'generator {self.name!r}'
        if slug(self.name) in ('real', '_'):
            raise ProtocolError(f'{where}: choose another name')
        if (self.folder is None) == (self.config is None):
            raise ProtocolError(f'{where}: give either a folder of images or a config')
        if self.folder is None and self.split is not None:
            raise ProtocolError(f'{where}: split is of a folder with a manifest')
        if self.folder is not None and self.checkpoint is not None:
            raise ProtocolError(f'{where}: a folder has no checkpoint')

    @property
    def trained_here(self) -> bool:
        """Whether the benchmark has to train it."""
        return self.config is not None and self.checkpoint is None

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
class Protocol:
    """A benchmark.

    Attributes:
        data (Mapping): ``data_root``, ``ann_file``, ``split``, ``extra_classes``,
            ``follow_links`` of the real images, as of
            :class:`~cellgan_plugin.datasets.CellPatchDataset`.
        classifiers (Mapping[str, str]): Name -> MMPretrain config.
        generators (tuple[Generator]): One setting each, beside the real images alone.
        classes (tuple[str]): In the order of the labels.
        title (str): Of the table.
        num_folds (int): Stratified folds; groups are not divided. Defaults to 5 (Sec. 3.3).
        ratios (tuple | None): Training, validation and test part, in place of folds;
            ``num_folds`` is then the number of repeats. Defaults to None.
        per_class (int | None): Real images of every class. Defaults to 400 (Sec. 3.3).
        fold_seed (int): Draws images and folds. Defaults to 0.
        synthetic_per_class (int): Images that every generator adds to each class of the training
            images. Defaults to 2000 (Sec. 3.3).
        epochs (int): Passes over the training images. Defaults to 30 (Sec. 3.3).
        equal_steps (bool): Every setting trains for as many optimizer steps as the one with the
            most images does in ``epochs``. Defaults to False, as in the paper.
        seeds (tuple[int]): One training each per fold. Defaults to (0,).
        select (str): ``'last'`` predicts with the final weights, ``'best'`` with those of the
            highest validation accuracy (needs ``ratios`` with a validation part).
        leak (str): ``'refuse'`` generators that were trained on test images or on unknown ones,
            ``'allow'`` and say so in every table, ``'paper'``: the same, labelled as the paper's
            protocol of one generator for all folds. Defaults to 'refuse'.
        train_generators (bool): Train generators that have no checkpoint once per fold, on the
            fold's training images. Defaults to False.
        keep_weights (bool): Keep the classifiers' checkpoints. Defaults to False.
    """

    data: Mapping[str, Any]
    classifiers: Mapping[str, str]
    generators: Tuple[Generator, ...] = ()
    classes: Tuple[str, ...] = BETHESDA_CLASSES
    title: str = 'Data augmentation'
    num_folds: int = 5
    ratios: Optional[Tuple[float, float, float]] = None
    per_class: Optional[int] = 400
    fold_seed: int = 0
    synthetic_per_class: int = 2000
    epochs: int = 30
    equal_steps: bool = False
    seeds: Tuple[int, ...] = (0,)
    select: str = 'last'
    leak: str = 'refuse'
    train_generators: bool = False
    keep_weights: bool = False

    def __post_init__(self):
        check_class_names(self.classes)
        if not self.data.get('data_root'):
            raise ProtocolError('data=dict(data_root=...) is missing: where the real images are')
        if not self.classifiers:
            raise ProtocolError('name at least one classifier: classifiers=dict(NAME=CONFIG)')
        for key in ('num_folds', 'synthetic_per_class', 'epochs'):
            if not isinstance(getattr(self, key), int) or getattr(self, key) < 1:
                raise ProtocolError(f'{key} must be 1 or more, got {getattr(self, key)!r}')
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ProtocolError(f'seeds must be different numbers, got {list(self.seeds)}')
        if self.select not in SELECT:
            raise ProtocolError(f'select must be one of {list(SELECT)}, got {self.select!r}')
        if self.select == 'best' and not (self.ratios and self.ratios[1]):
            raise ProtocolError(
                "select='best' needs validation images: ratios=(7, 1, 2) in place of folds"
            )
        if self.leak not in LEAK_RULES:
            raise ProtocolError(f'leak must be one of {list(LEAK_RULES)}, got {self.leak!r}')
        if self.train_generators and self.leak == 'paper':
            raise ProtocolError(
                "--train-generators trains one generator per fold, the paper's protocol has one "
                'for all folds: choose one of them'
            )
        for what, names in (
            ('classifiers', list(self.classifiers)),
            ('generators', [generator.name for generator in self.generators]),
        ):
            folders: Dict[str, str] = {}
            for name in names:
                if folders.setdefault(slug(name), name) != name or names.count(name) > 1:
                    raise ProtocolError(
                        f'{what} {folders[slug(name)]!r} and {name!r} would use the same folder; '
                        'rename one'
                    )
        for generator in self.generators:
            if generator.trained_here and not self.train_generators and self.leak != 'paper':
                raise ProtocolError(
                    f'generator {generator.name!r} has a config and no checkpoint: give one '
                    f'({generator.name}={generator.config}:CHECKPOINT), or say --train-generators '
                    '(one per fold, on its training images alone) or --paper-protocol (one for '
                    "all folds, on the config's own images)"
                )


_DATA_KEYS = ('data_root', 'ann_file', 'split', 'extra_classes', 'follow_links')
_TUPLES = ('classes', 'seeds', 'ratios')


def _find(path: str, config: Config) -> str:
    """A path in a config is relative to the config where it exists there, else to here."""
    beside = Path(config.filename).parent / path if config.filename else Path(path)
    return str(beside.resolve()) if beside.exists() else str(Path(path).expanduser())


def read_protocol(
    config: Union[str, Path, Config],
    generators: Optional[Sequence[Union[str, Generator]]] = None,
    classifiers: Optional[Mapping[str, str]] = None,
    options: Optional[dict] = None,
    **overrides,
) -> Protocol:
    """Read a benchmark from a config (``configs/benchmarks/``).

    Args:
        config (str | Path | Config): Its keys are the attributes of :class:`Protocol`;
            ``generators`` is a dict name -> ``dict(config=..., checkpoint=...)`` or
            ``dict(folder=...)``.
        generators (Sequence[str | Generator], optional): In place of the config's.
        classifiers (Mapping[str, str], optional): In place of the config's.
        options (dict, optional): Overrides of the config, as of ``--cfg-options``.
        **overrides: Attributes of :class:`Protocol`; None leaves the config's.

    Returns:
        Protocol: Checked as far as it can be without looking at images.

    Raises:
        FileNotFoundError: No such config.
        ProtocolError: A key that does not exist, or see :class:`Protocol`.
    """
    if not isinstance(config, Config):
        if not Path(config).is_file():
            raise FileNotFoundError(f'benchmark config {config} does not exist')
        config = Config.fromfile(config)
    if options:
        config.merge_from_dict(options)
    known = {f.name for f in fields(Protocol)}
    values = plain(config)
    # Helpers of a config file are not settings; a misspelt setting must not pass as one.
    unknown = sorted(k for k in values if k not in known and not k.startswith('_'))
    if unknown:
        raise ProtocolError(
            f'{config.filename}: {", ".join(unknown)} is no setting of a benchmark; there are '
            f'{", ".join(sorted(known))} (names that start with _ are free)'
        )
    values = {key: value for key, value in values.items() if key in known}
    values.update({key: value for key, value in overrides.items() if value is not None})
    for key in _TUPLES:
        if values.get(key) is not None:
            values[key] = tuple(values[key])
    data = values.get('data') or {}
    wrong = sorted(set(data) - set(_DATA_KEYS))
    if wrong:
        raise ProtocolError(f'data: {", ".join(wrong)} is not known; there are {_DATA_KEYS}')
    if classifiers is not None:
        values['classifiers'] = dict(classifiers)
    else:
        named = values.get('classifiers') or {}
        values['classifiers'] = {name: _find(path, config) for name, path in named.items()}
    if generators is not None:
        made = [Generator.from_text(g) if isinstance(g, str) else g for g in generators]
    else:
        made = [_generator(n, g, config) for n, g in (values.get('generators') or {}).items()]
    values['generators'] = tuple(made)
    return Protocol(**{**values, 'data': data})


def _generator(name: str, given: Mapping[str, Any], config: Config) -> Generator:
    keys = [f.name for f in fields(Generator) if f.name != 'name']
    wrong = sorted(set(given) - set(keys))
    if wrong:
        raise ProtocolError(f'generator {name!r}: {", ".join(wrong)} is not one of {keys}')
    given = {key: value for key, value in given.items() if value not in (None, '')}
    if 'config' in given:
        given['config'] = _find(given['config'], config)
    return Generator(name, **given)


# What is on record -----------------------------------------------------------------------------


@dataclass
class Record:
    """What decides the results of a folder, written to ``benchmark.json`` before the first job.

    Attributes:
        common (dict): What every job depends on.
        classifiers (dict): Name -> identity.
        settings (dict): Name -> identity.
        said (dict): What a reader wants to know beside: the protocol, the counts, the versions.
    """

    common: Dict[str, Any]
    classifiers: Dict[str, Any]
    settings: Dict[str, Any]
    said: Dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Union[str, Path]) -> Path:
        """Write ``benchmark.json``; classifiers and settings of earlier calls stay on record."""
        path = Path(folder) / RECORD_NAME
        if path.is_file():
            before = Record.read(folder)
            self = replace(
                self,
                classifiers={**before.classifiers, **self.classifiers},
                settings={**before.settings, **self.settings},
            )
        with atomic_write(path, 'w', encoding='utf-8') as file:
            identity = dict(
                common=self.common, classifiers=self.classifiers, settings=self.settings
            )
            value = dict(self.said, identity=identity)
            json.dump(plain(value), file, indent=1, ensure_ascii=False)
        return path

    @classmethod
    def read(cls, folder: Union[str, Path]) -> 'Record':
        """Read ``benchmark.json``; ProtocolError when it is something else."""
        path = Path(folder) / RECORD_NAME
        try:
            value = json.loads(path.read_text(encoding='utf-8'))
            identity = value.pop('identity')
            return cls(said=value, **identity)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProtocolError(
                f'{path} is not the record of a benchmark ({error}); use another work directory'
            ) from None

    def check_same(self, folder: Union[str, Path]) -> None:
        """Raise ProtocolError when a folder holds results of another protocol, saying what differs.

        Further classifiers and settings are welcome.
        """
        if not (Path(folder) / RECORD_NAME).is_file():
            return
        before = Record.read(folder)
        found = differences(before.common, plain(self.common))
        for what in ('classifiers', 'settings'):
            old, new = getattr(before, what), plain(getattr(self, what))
            for name in old.keys() & new.keys():
                found += [f'{name}: {text}' for text in differences(old[name], new[name])]
        if found:
            raise ProtocolError(
                f'{folder} holds the results of another protocol:\n'
                + '\n'.join(f'  - {text}' for text in found[:12])
                + ('\n  - ...' if len(found) > 12 else '')
                + '\nUse another --work-dir, or delete this one.'
            )


def differences(old: Any, new: Any, where: str = '') -> List[str]:
    """Where two plain values differ, one line each: ``epochs: 30 there, 10 now``."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in [*old, *(key for key in new if key not in old)]:
            name = f'{where}.{key}' if where else str(key)
            if key not in old or key not in new:
                found.append(f'{name}: {"only now" if key in new else "only there"}')
            else:
                found += differences(old[key], new[key], name)
        return found
    if old == new:
        return []
    return [f'{where}: {_short(old)} there, {_short(new)} now']


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + '...'
