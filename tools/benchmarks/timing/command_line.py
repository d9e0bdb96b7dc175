"""The common options of ``tools/benchmarks``, and how they print and write a report."""

import argparse
from typing import Optional

import torch

from cellgan_plugin.machine import usable_cores
from timing.machine import limit_threads
from timing.report import TimingReport


def timing_parser(description: Optional[str], turns: int = 5) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have.

    Args:
        description (str): Of the tool, its docstring.
        turns (int): Default of ``--turns``. Defaults to 5.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = parser.add_argument_group('timing')
    group.add_argument(
        '--reference',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='also time the plain method, and report the ratio to it',
    )
    group.add_argument(
        '--clock',
        choices=['wall', 'cpu'],
        help='clock for bars and --target: cpu is more reliable on a busy machine',
    )
    group.add_argument('--target', type=float, help='fail (status 1) below this ratio')
    group.add_argument(
        '--turns', type=int, default=turns, help='turns of each method (default: %(default)s)'
    )
    group.add_argument(
        '--threads',
        type=int,
        default=usable_cores(),
        help='CPU threads of every library (default: the usable cores, %(default)s)',
    )
    group.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='device (default: %(default)s)',
    )
    group.add_argument('--json', metavar='FILE', help='also write all numbers')
    group.add_argument('--plot', metavar='FILE', help='also draw a chart (PNG)')
    return parser


def check_timing_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what cannot be measured, and limit the threads; call it before any work."""
    if min(args.turns, args.threads) < 1:
        parser.error('--turns and --threads must be positive')
    if args.target is not None and not args.reference:
        parser.error('--target is a ratio to the reference: leave --no-reference out')
    limit_threads(args.threads)


def publish(report: TimingReport, args: argparse.Namespace) -> None:
    """Print a report, write what ``--json`` and ``--plot`` ask for, and evaluate ``--target``.

    Args:
        report (TimingReport): What was found.
        args (argparse.Namespace): With the options of :func:`timing_parser`.

    Raises:
        SystemExit: The lowest ratio is below ``--target``.
    """
    report.clock = args.clock or report.clock
    print(report.to_text())
    if args.json:
        report.write_json(args.json)
    if args.plot:
        report.draw(args.plot)
    lowest = report.lowest_ratio()
    if args.target is not None and lowest is not None and lowest < args.target:
        raise SystemExit(f'{lowest:.2f} times the reference, below the target of {args.target}')
