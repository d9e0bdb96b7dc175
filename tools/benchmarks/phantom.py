"""Time how many phantom patches are made per second, class by class.

Times :func:`generate_phantom` with all its truth, without PNG encoding and disk. There is no
reference; CPU seconds hardly depend on other work on the machine::

    python tools/benchmarks/phantom.py --threads 1 --sizes 64 128 256
"""

import argparse

from cellgan_plugin.datasets.classes import BETHESDA_CLASSES
from cellgan_plugin.datasets.phantom import generate_phantom
from cellgan_plugin.timing import (
    TimingReport,
    check_timing_arguments,
    describe_machine,
    publish,
    race,
    timing_parser,
)


def run(args: argparse.Namespace) -> TimingReport:
    """One race per size, the classes being the contestants."""

    def make(label: str, size: int) -> None:
        for index in range(args.per_class):
            generate_phantom(label, size, index=index)

    report = TimingReport('phantoms', machine=describe_machine('cpu', args.threads))
    for size in args.sizes:
        makers = {label: lambda x=label, s=size: make(x, s) for label in BETHESDA_CLASSES}
        # The first call makes the textures of this size, once.
        found = race(makers, args.turns, None, f'{size} px', args.per_class, 'images')
        spent = sum(found.cpu(label).median for label in makers)
        rate = args.per_class * len(makers) / spent
        report.races.append(found)
        report.notes.append(f'{size} px: {rate:.1f} images per CPU second, mean over classes')
    return report


def main() -> None:
    """Parse arguments, time, publish what was found."""
    parser = timing_parser(__doc__, turns=3)
    parser.add_argument('--sizes', type=int, nargs='+', default=[64, 128, 256], metavar='PX')
    parser.add_argument('--per-class', type=int, default=24, help='patches per class and size')
    args = parser.parse_args()
    check_timing_arguments(parser, args)
    publish(run(args), args)


if __name__ == '__main__':
    main()
