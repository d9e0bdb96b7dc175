"""Cut GlaS (Warwick-QU) into tiles by grade: class folders with a manifest, split by patient.

    python tools/dataset_converters/glas_tiles.py glas --out data/glas_tiles
    python tools/dataset_converters/glas_tiles.py glas --out data/glas_types --label category

For pairs of image and mask see glas.py. The same command continues an interrupted run.
"""

import argparse
import sys
from typing import Optional, Sequence

from cellgan_plugin.converters import convert_glas_tiles
from cellgan_plugin.converters.command_line import (
    add_split_arguments,
    converter_parser,
    report_conversion,
)
from cellgan_plugin.converters.glas import GLAS_SUBSETS
from cellgan_plugin.converters.glas_tiles import LABELS


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = converter_parser(__doc__)
    add = parser.add_argument
    add('root', help='folder with Grade.csv: as published, or with images/ and masks/ beside it')
    add('--tile', type=int, default=256, metavar='PX', help='side of a tile (default: 256)')
    add(
        '--min-overlap',
        type=int,
        default=0,
        metavar='PX',
        help='minimum overlap of neighbouring tiles, px (default: 0)',
    )
    add(
        '--min-gland',
        type=float,
        default=0.2,
        metavar='SHARE',
        help='minimum share of gland in a tile (default: 0.2)',
    )
    add(
        '--label',
        choices=tuple(LABELS),
        default='grade',
        help='label: grade (benign, malignant) or category (the five gland types) (default: grade)',
    )
    add_split_arguments(parser, of=', by patient')
    add(
        '--subsets',
        nargs='+',
        choices=GLAS_SUBSETS,
        default=list(GLAS_SUBSETS),
        help='published sets to convert (default: those found)',
    )
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run; 0 when done, 2 on a mistake in the inputs or a full disk, 130 when interrupted."""
    options = vars(parse_args(argv))
    fractions = options.pop('split')
    return report_conversion(
        'glas_tiles.py', lambda: convert_glas_tiles(fractions=fractions, **options)
    )


if __name__ == '__main__':
    sys.exit(main())
