"""Time how many phantoms are made per second, class by class.

Times their making with all its truth, without PNG encoding and disk. There is no reference; CPU
seconds hardly depend on other work on the machine::

    python tools/benchmarks/phantom.py --threads 1 --sizes 64 128 256
    python tools/benchmarks/phantom.py --threads 1 --kind tissue --sizes 64x32 256x128
    python tools/benchmarks/phantom.py --threads 1 --kind glands --sizes 64 256 512
"""

import argparse

from timing import (
    TimingReport,
    check_timing_arguments,
    describe_machine,
    publish,
    race,
    timing_parser,
)

from cellgan_plugin.phantom import PHANTOM_KINDS
from cellgan_plugin.phantom.glands import GLAND_CATEGORIES, generate_gland_phantom

_SIZES = {
    'cytology': ('64', '128', '256'),
    'tissue': ('64x32', '256x128'),
    'glands': ('64', '256', '512'),
}


def run(args: argparse.Namespace) -> TimingReport:
    """One race per size, the classes being the contestants."""
    if args.kind == 'glands':
        classes, generate = GLAND_CATEGORIES, generate_gland_phantom
    else:
        kind = PHANTOM_KINDS[args.kind]
        classes, generate = kind.classes, kind.generate

    def make(label: str, size) -> None:
        for index in range(args.per_class):
            generate(label, size, 0, 'train', index)

    report = TimingReport('phantoms', machine=describe_machine('cpu', args.threads))
    for text in args.sizes or _SIZES[args.kind]:
        size = tuple(map(int, text.split('x'))) if 'x' in text else int(text)
        makers = {label: lambda x=label, s=size: make(x, s) for label in classes}
        # The first call makes the textures of this size, once.
        found = race(makers, args.turns, None, f'{text} px', args.per_class, 'images')
        spent = sum(found.cpu(label).median for label in makers)
        rate = args.per_class * len(makers) / spent
        report.races.append(found)
        report.notes.append(f'{text} px: {rate:.1f} images per CPU second, mean over classes')
    return report


def main() -> None:
    """Parse arguments, time, publish what was found."""
    parser = timing_parser(__doc__, turns=3, races=False)
    parser.add_argument('--kind', choices=tuple(_SIZES), default='cytology')
    parser.add_argument(
        '--sizes',
        nargs='+',
        metavar='PX|HxW',
        help='default: 64 128 256; tissue 64x32 256x128; glands 64 256 512',
    )
    parser.add_argument('--per-class', type=int, default=24, help='images per class and size')
    args = parser.parse_args()
    check_timing_arguments(parser, args)
    publish(run(args), args)


if __name__ == '__main__':
    main()
