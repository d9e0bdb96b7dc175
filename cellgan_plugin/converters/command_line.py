"""Arguments and final messages that the converters' tools share."""

import argparse
import sys
from typing import Callable, Tuple

from cellgan_plugin.converters import ConversionResult, ConverterError
from cellgan_plugin.errors import output_may_close


def converter_parser(description: str) -> argparse.ArgumentParser:
    """A parser with ``--out``, the ``out_dir`` of a converter."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--out',
        dest='out_dir',
        required=True,
        metavar='DIR',
        help='output folder: new, empty, or of the same command',
    )
    return parser


def add_split_arguments(
    parser: argparse.ArgumentParser,
    fractions: Tuple[float, float, float] = (0.7, 0.15, 0.15),
    of: str = '',
) -> None:
    """Add ``--split`` and ``--seed`` of a data set converter.

    Args:
        parser (ArgumentParser): Of a tool.
        fractions (tuple[float, float, float]): Default shares of train, val and test. Defaults to
            (0.7, 0.15, 0.15).
        of (str): What is split, or when, for the help, e.g. ', by patient'. Defaults to ''.
    """
    default = ' '.join(f'{fraction:g}' for fraction in fractions)
    parser.add_argument(
        '--split',
        type=float,
        nargs=3,
        default=fractions,
        metavar=('TRAIN', 'VAL', 'TEST'),
        help=f'fractions{of} (default: {default})',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the split (default: 0)')


def report_conversion(tool: str, convert: Callable[[], ConversionResult]) -> int:
    """Run a data set converter and say how it ended.

    Args:
        tool (str): Name of the tool, for its messages.
        convert (Callable): Does the work.

    Returns:
        int: Exit status: 0 when done, 1 when inputs were passed over, 2 on a mistake in the inputs
        or a full disk, 130 when interrupted.
    """
    try:
        result = convert()
    except ConverterError as error:
        print(f'{tool}: error: {error}', file=sys.stderr)
        return 2
    except OSError as error:
        print(f'{tool}: error: {error}; mend it, the same command continues', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f'{tool}: interrupted; the same command continues', file=sys.stderr)
        return 130
    with output_may_close():
        print('\n'.join([*result.lines, f'manifest: {result.manifest}']))
    for line in result.passed_over:
        print(f'{tool}: passed over: {line}', file=sys.stderr)
    return 1 if result.passed_over else 0
