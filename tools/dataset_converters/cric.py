r"""Cut the public CRIC Cervix collection into class folders of patches with a manifest.

Get the archive from https://doi.org/10.6084/m9.figshare.c.4960286 (Rezende et al. 2021, Sci Data
8:151): field images and classifications.csv (or .json). Then:

    python tools/dataset_converters/cric.py classifications.csv images --out data/cric
    python tools/dataset_converters/cric.py classifications.json images --out data/cric6 \
        --classes NILM ASC-US LSIL ASC-H HSIL SCC --split 0.8 0 0.2

A patch has the class of its most severe nucleus; a field is never on two sides of the split. The
scale between coordinates and images is derived from the images and written to scale_check.json.
The same command continues an interrupted run.
"""

import argparse
import sys
from typing import Optional, Sequence

from cellgan_plugin.converters import convert_cric
from cellgan_plugin.converters.command_line import (
    add_split_arguments,
    converter_parser,
    report_conversion,
)
from cellgan_plugin.datasets.classes import BETHESDA_CLASSES


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = converter_parser(__doc__)
    add = parser.add_argument
    add('annotations', help='classifications.csv, or the JSON of the archive')
    add('image_dir', metavar='images', help='folder of the field images')
    add('--size', type=int, default=256, help='side of a patch, image px (default: 256)')
    add(
        '--classes',
        nargs='+',
        default=list(BETHESDA_CLASSES),
        metavar='CLASS',
        help='classes to keep; SCC is kept only if named (default: %(default)s)',
    )
    add(
        '--min-distance',
        type=float,
        metavar='PX',
        help='minimum distance between patch centres of one class in a field (default: size / 2)',
    )
    add(
        '--border',
        type=int,
        metavar='PX',
        help='a nucleus this near to the patch edge counts as cut (default: size / 16)',
    )
    add_split_arguments(parser)
    add('--scale', type=float, help='image px per annotation px (default: found on the images)')
    add('--skip-missing', action='store_true', help='leave out fields without an image file')
    add(
        '--skip-mismatched',
        action='store_true',
        help='leave out fields whose annotated places are not dark',
    )
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run; 0 when done, 2 on a mistake in the inputs or a full disk, 130 when interrupted."""
    options = vars(parse_args(argv))
    fractions = options.pop('split')
    return report_conversion('cric.py', lambda: convert_cric(fractions=fractions, **options))


if __name__ == '__main__':
    sys.exit(main())
