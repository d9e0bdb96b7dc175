"""What the tools share: arguments, and errors that a user can act on."""

import argparse
import contextlib
import sys
from typing import Iterator

from mmengine.config import DictAction

from cellgan_plugin.compat import UntrustedCheckpointError
from cellgan_plugin.datasets import DatasetError, ImageFileError
from cellgan_plugin.engine.hooks import NonFiniteLossError

# Raised by what the user gave, with a message that says what to do: no traceback is needed.
USER_ERRORS = (
    DatasetError,
    ImageFileError,
    FileNotFoundError,
    MemoryError,
    NonFiniteLossError,
    UntrustedCheckpointError,
    ValueError,
)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``config``, ``--work-dir``, ``--cfg-options``, ``--launcher``, ``--trust-checkpoint``."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='default: work_dirs/<config name>')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override the config, e.g. train_dataloader.dataset.data_root=DIR',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load checkpoints that hold pickled objects; this runs code from the file',
    )


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Print the errors of :data:`USER_ERRORS` as one message and exit with status 2.

    ``CELLGAN_TRACEBACK=1`` in the environment shows the traceback as well.
    """
    import os

    try:
        yield
    except USER_ERRORS as error:
        if os.environ.get('CELLGAN_TRACEBACK') == '1':
            raise
        sys.stdout.flush()
        print(f'\nerror: {error}', file=sys.stderr)
        raise SystemExit(2) from None
