r"""Write GlaS, the gland segmentation challenge, as image + mask pairs with a manifest.

Get the archive "Warwick QU Dataset (Released 2016_07_08)" of the challenge (Sirinukunwattana et al.
2017, Med. Image Anal. 35:489; for research). Then:

    python tools/dataset_converters/glas.py "Warwick QU Dataset (Released 2016_07_08)" \
        --out data/glas
    python tools/dataset_converters/glas.py data/warwick_qu --out data/glas_by_patient \
        --split-by patient

The published train and test sets share patients, so scores are too high; the tool prints how many
patients. With --split-by patient no patient is on two sides. The same command continues an
interrupted run.
"""

import argparse
import sys
from typing import Optional, Sequence

from cellgan_plugin.converters import convert_glas
from cellgan_plugin.converters.command_line import (
    add_split_arguments,
    converter_parser,
    report_conversion,
)
from cellgan_plugin.converters.glas import GLAS_SUBSETS
from cellgan_plugin.converters.glas_pairs import SPLIT_RULES


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = converter_parser(__doc__)
    add = parser.add_argument
    add('root', help='folder with Grade.csv: as published, or with images/ and masks/ beside it')
    add(
        '--split-by',
        choices=SPLIT_RULES,
        default='published',
        help='split: train, testA, testB as published, or train, val, test by patient (default:'
        ' published)',
    )
    add_split_arguments(parser, (0.6, 0.0, 0.4), ' for --split-by patient')
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
    return report_conversion('glas.py', lambda: convert_glas(fractions=fractions, **options))


if __name__ == '__main__':
    sys.exit(main())
