"""Write phantom glands: synthetic H&E images of colon glands in five grades, with exact masks.

Examples::

    python tools/dataset_converters/gland_phantom.py --out data/gland_phantom
    python tools/dataset_converters/gland_phantom.py --out data/glands_512 --size 512 \
        --splits train=20,val=4,test=8 --sheet glands.jpg
    python tools/dataset_converters/gland_phantom.py --out data/gland_masks --masks-only \
        --splits new=40 --seed 7
"""

import argparse
import sys
from pathlib import Path

import cv2

from cellgan_plugin.datasets.image_encoding import check_format
from cellgan_plugin.errors import output_error
from cellgan_plugin.phantom.glands import GLAND_CATEGORIES, draw_gland_sheet, write_gland_phantom
from cellgan_plugin.runs.command_line import name_numbers


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--out', required=True, help='folder: new, empty or of the same command')
    add(
        '--size',
        type=int,
        nargs='+',
        default=[256],
        metavar='PX',
        help='image size: side, or height and width (default: 256); the shorter side always '
        'shows 320 um',
    )
    add(
        '--splits',
        type=name_numbers,
        default=dict(train=40, val=4, test=16),
        metavar='SPLIT=N,...',
        help='images per category by split (default: train=40,val=4,test=16)',
    )
    add(
        '--categories',
        nargs='+',
        default=list(GLAND_CATEGORIES),
        metavar='NAME',
        help='categories, e.g. healthy "poorly differentiated" (default: all five)',
    )
    add('--seed', type=int, default=0, help='base seed (default: 0)')
    add('--masks-only', action='store_true', help='write only masks, to generate images from')
    add('--workers', type=int, default=1, help='processes (default: 1)')
    add('--sheet', metavar='FILE', help='also draw the first images of every category')
    add('--quiet', action='store_true', help='no progress bar')
    args = parser.parse_args()
    if len(args.size) > 2:
        parser.error('--size takes one number, or height and width')
    if args.sheet is not None:
        try:
            check_format(Path(args.sheet).suffix)
        except ValueError as error:
            parser.error(f'--sheet {args.sheet}: {error}')
    return args


def main() -> int:
    """Write the data set; 2 on a user's mistake."""
    args = parse_args()
    cv2.setNumThreads(1)
    try:
        manifest = write_gland_phantom(
            args.out,
            args.splits,
            args.size[0] if len(args.size) == 1 else args.size,
            args.categories,
            seed=args.seed,
            masks_only=args.masks_only,
            workers=args.workers,
            progress=not args.quiet,
        )
    except (ValueError, OSError) as error:
        error = (output_error(error, args.out) or error) if isinstance(error, OSError) else error
        print(f'gland_phantom.py: {error}', file=sys.stderr)
        return 2
    print(f'Wrote {manifest}')
    if args.sheet is not None:
        print(f'Wrote {draw_gland_sheet(args.out, args.sheet)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
