r"""Convert any folder tree of labelled images to class folders with a manifest.

    python tools/dataset_converters/folders.py scans --out data/mine \
        --group-regex '(?P<group>slide\d+)'
    python tools/dataset_converters/folders.py herlev --out data/herlev --include '*[0-9].BMP' \
        --map 'NILM=normal_superficiel,normal_intermediate' --map 'LSIL=light_dysplastic' \
        --map 'HSIL=severe_dysplastic,carcinoma_in_situ' --skip-unmatched
    python tools/dataset_converters/folders.py patches --out data/patches --policy keep \
        --group-csv slides.csv
    python tools/dataset_converters/folders.py epithelium --out data/cervical --size 256x128 \
        --table patches.csv --split 0.7 0.1 0.2
    python tools/dataset_converters/folders.py crops --out data/crops --mpp-in 0.25 --mpp-out 0.5 \
        --size 64

The class of an image is the deepest folder on its path that names a class, or comes from a table
with the columns file, label and patient (or group, or slide). A group (slide, field, patient) is
never on two sides of the split. Folders train, val and test, first or last on every path, are kept
as a published split. For crops of all sizes, --policy pad keeps the scale. Duplicates are kept once
within a class and refused across classes. The same command continues an interrupted run.
"""

import argparse
import sys
from typing import Optional, Sequence

from cellgan_plugin.converters import convert_folders, parse_class_map
from cellgan_plugin.converters.command_line import (
    add_split_arguments,
    converter_parser,
    report_conversion,
)
from cellgan_plugin.converters.fitting import FILLS, POLICIES
from cellgan_plugin.runs.command_line import image_size


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = converter_parser(__doc__)
    add = parser.add_argument
    add('source', help='the folder tree; it is only read')
    add(
        '--map',
        action='append',
        default=[],
        metavar='CLASS=FOLDER[,FOLDER]',
        dest='class_map',
        help='folders of a class; may be repeated (default: Bethesda names)',
    )
    add(
        '--classes',
        nargs='+',
        metavar='CLASS',
        help='classes to keep, in order (default: those of --map, else the five of Bethesda)',
    )
    add(
        '--policy',
        choices=POLICIES,
        help='resize: scale the shorter side to size, then crop the centre (changes the scale '
        'of each image); crop: crop the centre; pad: crop the centre, pad smaller images; '
        'keep: unchanged, JPEG byte for byte (default: resize; pad with --mpp-in)',
    )
    add(
        '--size',
        type=image_size,
        metavar='SIDE|HxW',
        help='size in px, height x width; not for keep (default: 256)',
    )
    add(
        '--mpp-in',
        type=float,
        metavar='UM',
        help='microns per pixel of the images; with --mpp-out, all are scaled by the same '
        'factor (crop, pad)',
    )
    add('--mpp-out', type=float, metavar='UM', help='microns per pixel of the result')
    add(
        '--fill',
        choices=FILLS,
        default='border',
        help="colour for pad: the median of the image's border, or of the brightest tenth of "
        'its group (default: border)',
    )
    add(
        '--include',
        default='*',
        metavar='PATTERN',
        help="only relative paths that match, e.g. '*/CROPPED/*.bmp' (default: all)",
    )
    add(
        '--table',
        metavar='CSV',
        help='CSV with columns file (relative path), label, patient (or group, or slide); a '
        'column split (train, val, test) is kept',
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        '--group-regex',
        metavar='REGEX',
        help='regular expression for the relative path; the group is its part named "group", '
        'else the first ()',
    )
    group.add_argument(
        '--group-csv', metavar='CSV', help='CSV with columns file (relative path) and group'
    )
    add_split_arguments(parser)
    add(
        '--skip-unmatched',
        action='store_true',
        help='leave out images outside the folders of classes',
    )
    add(
        '--resplit',
        action='store_true',
        help='draw a new split even if folders train, val, test or the table give one',
    )
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run; 0 when done, 2 on a mistake in the inputs or a full disk, 130 when interrupted."""
    options = vars(parse_args(argv))
    fractions, entries = options.pop('split'), options.pop('class_map')
    return report_conversion(
        'folders.py',
        lambda: convert_folders(
            class_map=parse_class_map(entries) or None, fractions=fractions, **options
        ),
    )


if __name__ == '__main__':
    sys.exit(main())
