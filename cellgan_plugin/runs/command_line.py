"""Shared parts of the tools: arguments, and errors that a user can act on."""

import argparse
import contextlib
import os
import re
import sys
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from mmengine.config import DictAction

from cellgan_plugin.compat import UnavailableError, UntrustedCheckpointError
from cellgan_plugin.datasets import DatasetError, ImageFileError
from cellgan_plugin.engine.hooks import NonFiniteLossError
from cellgan_plugin.errors import LostProcessError, OutputError, output_error, output_may_close
from cellgan_plugin.runs.experiment import Experiment
from cellgan_plugin.user_modules import (
    UserModuleError,
    import_modules_of_environment,
    import_user_modules,
    place_in_user_module,
)

# Raised by what the user gave, with a message that says what to do: no traceback is needed.
USER_ERRORS = (
    DatasetError,
    ImageFileError,
    FileNotFoundError,
    FloatingPointError,
    LostProcessError,
    MemoryError,
    NonFiniteLossError,
    OutputError,
    UnavailableError,
    UntrustedCheckpointError,
    ValueError,
)


class ToolParser(argparse.ArgumentParser):
    """Parser of a tool: the description as it stands, and ``--import MODULE``.

    The modules are imported before anything else is parsed, so that what they register is among
    the choices of other options. Jobs that the tool starts import them too.

    Args:
        description (str, optional): For ``--help``. Defaults to None.
        **kwargs: Of ``argparse.ArgumentParser``.
    """

    def __init__(self, description: Optional[str] = None, **kwargs):
        kwargs.setdefault('formatter_class', argparse.RawDescriptionHelpFormatter)
        super().__init__(description=description, **kwargs)
        self._add_import(self)

    @staticmethod
    def _add_import(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            '--import',
            dest='import_modules',
            action='append',
            default=[],
            metavar='MODULE',
            help='module or .py file that registers your own parts (docs/extend.md); may be '
            'repeated',
        )

    def parse_known_args(
        self, args: Optional[Sequence[str]] = None, namespace: Optional[argparse.Namespace] = None
    ) -> Tuple[argparse.Namespace, List[str]]:
        """See ``argparse``; modules that cannot be imported are errors of the command line."""
        args = sys.argv[1:] if args is None else list(args)
        first = argparse.ArgumentParser(prog=self.prog, add_help=False, allow_abbrev=False)
        self._add_import(first)
        try:
            import_modules_of_environment()
            import_user_modules(first.parse_known_args(args)[0].import_modules)
        except UserModuleError as error:
            if os.environ.get('CELLGAN_TRACEBACK') == '1':
                raise
            self.error(f'--import: {error}')
        return super().parse_known_args(args, namespace)


_DICT = re.compile(r'\bdict\(|\{\s*[\'"]')


def name_numbers(text: str) -> Dict[str, int]:
    """Parse ``NAME=NUMBER,NAME=NUMBER``, as the type of an argument."""
    parsed: Dict[str, int] = {}
    for part in text.split(','):
        name, equals, number = (piece.strip() for piece in part.partition('='))
        if not (name and equals and number.isdecimal()):
            raise argparse.ArgumentTypeError(f'{part!r} is not of the form NAME=NUMBER')
        if name in parsed:
            raise argparse.ArgumentTypeError(f'{name!r} is given twice')
        parsed[name] = int(number)
    return parsed


def image_size(text: str) -> Union[int, Tuple[int, int]]:
    """Parse ``SIDE`` or ``HEIGHTxWIDTH``, pixels; for ``type=`` of an argument."""
    sides = text.lower().split('x')
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f'{text!r} is not of the form SIDE or HEIGHTxWIDTH')
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


class KeyValues(DictAction):
    """``KEY=VALUE ...`` as MMEngine reads them, with a message for what it cannot read."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: Optional[str] = None,
    ) -> None:
        """Add the values of one option; a mistake is one of the command line."""
        for text in values or []:
            key, equals, value = text.partition('=')
            if not (key and equals):
                raise argparse.ArgumentError(self, f'{text!r} is not of the form KEY=VALUE')
            if _DICT.search(value):
                raise argparse.ArgumentError(
                    self,
                    f'{text!r}: a dict cannot be given here. Set its entries one by one, e.g. '
                    f'{key}.NAME=VALUE, or {key}.0.NAME=VALUE where it stands in a list; or write '
                    'a config that inherits',
                )
            try:
                super().__call__(parser, namespace, [text], option_string)
            except (AssertionError, RecursionError):
                raise argparse.ArgumentError(
                    self,
                    f'{text!r}: {value!r} is no value. Lists are written [1,2] or 1,2, tuples '
                    '(1,2), both may stand inside of each other',
                ) from None


def add_key_values(
    parser: argparse.ArgumentParser,
    name: str,
    meaning: Optional[str] = None,
    metavar: str = 'KEY=VALUE',
) -> None:
    """Add an option that :class:`KeyValues` reads."""
    parser.add_argument(name, nargs='+', action=KeyValues, metavar=metavar, help=meaning)


def add_config_arguments(
    parser: argparse.ArgumentParser, work_dir: bool = True, launcher: bool = True
) -> None:
    """Add ``config``, ``--work-dir``, ``--cfg-options``, ``--launcher``, ``--trust-checkpoint``.

    Args:
        parser (ArgumentParser): Of a tool.
        work_dir (bool): False for tools that have no work directory. Defaults to True.
        launcher (bool): False for tools of a single process. Defaults to True.
    """
    parser.add_argument('config', help='config file')
    if work_dir:
        parser.add_argument('--work-dir', help='work directory (default: work_dirs/<config name>)')
    meaning = 'override the config, e.g. train_dataloader.dataset.data_root=DIR'
    add_key_values(parser, '--cfg-options', meaning)
    if launcher:
        choices = ['none', 'pytorch', 'slurm', 'mpi']
        parser.add_argument('--launcher', choices=choices, default='none')
        parser.add_argument(
            '--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS
        )
    add_trust(parser)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``, see :func:`~cellgan_plugin.runs.train.set_trust`."""
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load checkpoints that hold pickled objects; this runs code from the file',
    )


def add_data_argument(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add ``--data``, see :func:`~cellgan_plugin.runs.data_settings.apply_data`.

    Args:
        parser (ArgumentParser): Of a tool.
        *names (str): Further names of the option.
    """
    parser.add_argument(
        '--data',
        *names,
        metavar='DIR',
        help='folder of labelled images (class folders, or a manifest.csv); sets classes, their'
        " number, file list, splits, and image sizes that are 'auto' (default: "
        'CELLGAN_DATA_ROOT)',
    )


def add_job_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and ``--slurm-options`` of jobs, see :mod:`cellgan_plugin.jobs`."""
    parser.add_argument('--launcher', choices=['local', 'slurm'], default='local')
    meaning = "options of submitit's AutoExecutor: slurm_partition, timeout_min, gpus_per_node, ..."
    add_key_values(parser, '--slurm-options', meaning)


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how a benchmark's jobs run, and ``--dry-run`` and ``--tables-only``."""
    parser.add_argument(
        '--jobs', type=int, help='jobs that run at the same time (default: 1; Slurm: all)'
    )
    parser.add_argument('--devices', nargs='*', help='GPUs to use, e.g. 0 1 (default: all)')
    add_job_launcher(parser)
    parser.add_argument('--dry-run', action='store_true', help='check everything, run nothing')
    parser.add_argument(
        '--tables-only', action='store_true', help='only make tables and pictures of finished jobs'
    )


def add_mask_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--parts`` and how predicted masks become objects; see :func:`mask_rule`."""
    meaning = 'parts of the test set by the start of file names, e.g. A=testA_ B=testB_'
    add_key_values(parser, '--parts', meaning, 'PART=START')
    parser.add_argument(
        '--min-area',
        type=int,
        default=0,
        help='remove predicted objects below this area, in pixels',
    )
    parser.add_argument('--fill-holes', action='store_true', help='fill holes of predicted objects')
    parser.add_argument('--connectivity', type=int, choices=[4, 8], default=8)


def mask_rule(args: argparse.Namespace) -> Dict[str, Any]:
    """The arguments of :func:`add_mask_arguments` as those of ``ObjectRule``."""
    return dict(min_area=args.min_area, fill_holes=args.fill_holes, connectivity=args.connectivity)


def add_overwrite(
    parser: argparse.ArgumentParser,
    meaning: str = 'delete the content of the folder if it was made from other inputs',
) -> None:
    """Add ``--overwrite``, the way out that :class:`~cellgan_plugin.records.RecordError` names."""
    parser.add_argument('--overwrite', action='store_true', help=meaning)


def _unregistered(said: str) -> str:
    """MMEngine's answer to a type that is not registered, with the ways to register it here."""
    match = re.match(r'(\S+) is not in the (?:\w+::)?(.+?) registry', said)
    if match is None:
        return said
    name, registry = match.groups()
    return (
        f'{name} is not registered as a {registry}: see to its spelling, and name the module that '
        'registers it by --import MODULE or by custom_imports of the config (docs/extend.md)'
    )


@contextlib.contextmanager
def user_errors(continues: bool = False) -> Iterator[None]:
    """Print the errors of :data:`USER_ERRORS` as one message and exit with status 2.

    A full disk and a missing permission are such errors wherever they come up. A reader of the
    output who leaves (``| head``) ends the tool with status 141.

    ``CELLGAN_TRACEBACK=1`` in the environment shows the traceback as well.

    Args:
        continues (bool): Whether the same command goes on after Ctrl-C, which is said then (exit
            status 130). Defaults to False.
    """
    with output_may_close(continues), _as_one_message(continues):
        yield


@contextlib.contextmanager
def _as_one_message(continues: bool) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if not continues:
            raise
        print('\ninterrupted; the same command continues', file=sys.stderr)
        raise SystemExit(130) from None
    except (*USER_ERRORS, KeyError, OSError) as error:
        # MMEngine's answer to a type that is not registered.
        if isinstance(error, KeyError) and 'registry' not in str(error):
            raise
        if isinstance(error, OSError) and not isinstance(error, USER_ERRORS):
            explained = output_error(error)
            if explained is None:
                raise
            error = explained
        if os.environ.get('CELLGAN_TRACEBACK') == '1':
            raise
        sys.stdout.flush()
        said = _unregistered(error.args[0]) if isinstance(error, KeyError) else error
        place = place_in_user_module(error)  # e.g. a ValueError of NumPy in a rule of the user's
        print(f'\nerror: {said}' + (f' ({place})' if place else ''), file=sys.stderr)
        raise SystemExit(2) from None


def run_experiment(experiment: Experiment, args: argparse.Namespace) -> int:
    """Do what the arguments of :func:`add_job_arguments` say, and how it ended.

    Returns:
        int: Exit status: 0 when all jobs are done, 1 when some are not, 2 without the package that
        a launcher needs.
    """
    if args.dry_run or args.tables_only:
        print(experiment.describe())
        if args.tables_only:
            experiment.write()
            print('\n' + experiment.table())
        return 0
    try:
        results = experiment.conduct(args.jobs, args.devices, args.launcher, args.slurm_options)
    except ImportError as error:  # submitit
        print(f'error: {error}', file=sys.stderr)
        return 2
    failed = [result.name for result in results.values() if not result.ok]
    if failed:
        print(
            f'{len(failed)} of {len(results)} jobs are not done ({failed[0]}, ...); the same '
            'command does them again',
            file=sys.stderr,
        )
    return 1 if failed else 0
