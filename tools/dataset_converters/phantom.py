r"""Write a phantom data set with its truth: cells of the Bethesda classes, or graded epithelium.

Examples::

    python tools/dataset_converters/phantom.py --out data/phantom --size 64 --per-class 200
    python tools/dataset_converters/phantom.py --out data/phantom --classes NILM=100,HSIL=50
    python tools/dataset_converters/phantom.py --out data/phantom --splits train=160,val=40
    python tools/dataset_converters/phantom.py --out data/phantom --per-class 5 --sheet phantom.jpg
    python tools/dataset_converters/phantom.py --kind tissue --out data/tissue_phantom \
        --splits train=350,val=50,test=100 --size 64x32
    python tools/dataset_converters/phantom.py --kind slide --out data/phantom_slides --slides 6
"""

import argparse
import sys
from pathlib import Path

import cv2

from cellgan_plugin.datasets.image_encoding import check_format
from cellgan_plugin.errors import output_error
from cellgan_plugin.phantom import (
    PHANTOM_KINDS,
    draw_phantom_sheet,
    write_phantom_dataset,
    write_phantom_slides,
)
from cellgan_plugin.phantom.slide_writer import DEFAULT_SIDE
from cellgan_plugin.runs.command_line import image_size, name_numbers


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', required=True, help='output folder: new or unfinished')
    parser.add_argument(
        '--kind',
        choices=(*PHANTOM_KINDS, 'slide'),
        default='cytology',
        help='cytology: cells of NILM, ASC-US, LSIL, ASC-H, HSIL; tissue: squamous epithelium '
        'of Normal, CIN1, CIN2, CIN3; slide: whole cytology slides with annotations '
        '(default: cytology)',
    )
    parser.add_argument(
        '--size',
        type=image_size,
        metavar='SIDE|HxW',
        help='image size in px, height x width (default: 256; tissue: 256x128; slides: 3072)',
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument('--per-class', type=int, metavar='N', help='patches per class and split')
    amount.add_argument(
        '--classes',
        type=name_numbers,
        metavar='CLASS=N,...',
        help='patches by class, in every split',
    )
    parser.add_argument(
        '--splits',
        type=name_numbers,
        metavar='SPLIT=N,...',
        help='patches per class for each split, e.g. train=160,val=40, in place of --per-class '
        'and --classes (default: one split, train)',
    )
    parser.add_argument(
        '--slides', type=int, metavar='N', help='number of slides, for --kind slide'
    )
    parser.add_argument('--seed', type=int, default=0, help='base seed (default: 0)')
    parser.add_argument('--workers', type=int, default=1, help='processes (default: 1)')
    parser.add_argument(
        '--sheet', metavar='FILE', help='also draw the first patches of every class, .jpg or .png'
    )
    parser.add_argument('--quiet', action='store_true', help='no progress bar')
    args = parser.parse_args()
    if args.kind == 'slide':
        _check_slides(parser, args)
        return args
    if args.slides is not None:
        parser.error('--slides is for --kind slide')
    amounts = args.classes if args.classes is not None else args.per_class
    if args.splits is not None and amounts is not None:
        parser.error('--splits already says how many patches: leave --per-class and --classes out')
    if args.splits is None and amounts is None:
        parser.error('say how many patches: --per-class N, --classes CLASS=N or --splits SPLIT=N')
    if args.sheet is not None:
        try:
            check_format(Path(args.sheet).suffix)
        except ValueError as error:
            parser.error(f'--sheet {args.sheet}: {error}')
    args.counts = amounts
    return args


def _check_slides(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what says nothing of slides."""
    if args.slides is None:
        parser.error('say how many slides: --slides N')
    for name in ('per_class', 'classes', 'splits', 'sheet'):
        if getattr(args, name) is not None:
            parser.error(f'--{name.replace("_", "-")} is not for --kind slide')
    if args.size is not None and not isinstance(args.size, int):
        parser.error('--size of a slide is one side')


def main() -> int:
    """Write the data set; 2 on a user's mistake."""
    args = parse_args()
    cv2.setNumThreads(1)
    try:
        if args.kind == 'slide':
            table = write_phantom_slides(
                args.out,
                args.slides,
                args.size or DEFAULT_SIDE,
                seed=args.seed,
                workers=args.workers,
                progress=not args.quiet,
            )
            print(f'Wrote {table}')
            return 0
        manifest = write_phantom_dataset(
            args.out,
            args.size,
            args.counts,
            seed=args.seed,
            splits=args.splits if args.splits is not None else ('train',),
            workers=args.workers,
            progress=not args.quiet,
            kind=args.kind,
        )
    except (ValueError, OSError) as error:
        error = (output_error(error, args.out) or error) if isinstance(error, OSError) else error
        print(f'phantom.py: {error}', file=sys.stderr)
        return 2
    print(f'Wrote {manifest}')
    if args.sheet is not None:
        columns, side = PHANTOM_KINDS[args.kind].sheet
        print(f'Wrote {draw_phantom_sheet(args.out, args.sheet, columns, side)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
