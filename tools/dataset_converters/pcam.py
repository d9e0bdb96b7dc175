"""Convert the published PatchCamelyon (HDF5) to class folders with a manifest.

The folder holds camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5, unpacked, and the tables
camelyonpatch_level_2_split_{train,valid,test}_meta.csv with the slide of every patch::

    python tools/dataset_converters/pcam.py pcam --out data/pcam --fraction 0.1
    python tools/dataset_converters/pcam.py pcam --out data/pcam_slides --fraction 0.1 --by groups

Kaggle's edition without duplicates (train_labels.csv and train/*.tif) has no splits and no slides,
so the patches of each class are split at random::

    python tools/dataset_converters/pcam.py kaggle --out data/pcam --split 0.8 0.1 0.1

The published splits are kept. --fraction draws only from the training set, --held-out-fraction from
validation and test set. With one seed, a smaller fraction is part of every larger one. The same
command continues an interrupted run.
"""

import argparse
import sys
from typing import Optional, Sequence

from cellgan_plugin.converters import convert_pcam
from cellgan_plugin.converters.command_line import converter_parser, report_conversion


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = converter_parser(__doc__)
    add = parser.add_argument
    add('source', help='the folder with the published files; it is only read')
    add(
        '--fraction',
        type=float,
        default=1.0,
        help='share of the training set, e.g. 0.1 (default: 1)',
    )
    add(
        '--by',
        dest='unit',
        choices=('patches', 'groups'),
        default='patches',
        help='draw patches per class, or whole patients or slides (default: patches)',
    )
    add(
        '--held-out-fraction',
        type=float,
        default=1.0,
        help='share of validation and test patches (default: 1)',
    )
    add(
        '--splits',
        nargs='+',
        choices=('train', 'val', 'test'),
        default=('train', 'val', 'test'),
        help='published splits to convert (default: all three)',
    )
    add(
        '--split',
        dest='fractions',
        nargs=3,
        type=float,
        metavar=('TRAIN', 'VAL', 'TEST'),
        help="fractions for Kaggle's edition (default: 0.8 0.1 0.1)",
    )
    add('--seed', type=int, default=0, help='seed of the random choice (default: 0)')
    add(
        '--without-meta',
        dest='with_meta',
        action='store_false',
        help='ignore the tables: every patch is then its own group',
    )
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run; 0 when done, 2 on a mistake in the inputs or a full disk, 130 when interrupted."""
    args = parse_args(argv)
    return report_conversion('pcam.py', lambda: convert_pcam(**vars(args)))


if __name__ == '__main__':
    sys.exit(main())
