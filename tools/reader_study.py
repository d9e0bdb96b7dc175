"""A blinded reader study: can pathologists tell synthetic images from real ones, and their class?

python tools/reader_study.py make data/cells:test synthetic --out reading
python tools/reader_study.py make data/cells:test synthetic --out reading --mode groups
python tools/reader_study.py score reading answers_AB.json answers_CD.json

Send reading/reading.html to the readers (it opens in a browser, needs no network, and downloads
the answers as a file); keep reading/key.json.
"""

import sys
from pathlib import Path

from cellgan_plugin.reader_study.agreement import WEIGHTS
from cellgan_plugin.reader_study.make import MODES, make_reader_study
from cellgan_plugin.reader_study.score import score_reader_study
from cellgan_plugin.runs.command_line import ToolParser, user_errors


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    verbs = parser.add_subparsers(dest='verb', required=True, parser_class=ToolParser)
    make = verbs.add_parser('make', help='write the page and its key')
    make.add_argument('real', help='class folders of real images, or DIR:SPLIT of its manifest')
    make.add_argument('synthetic', help='class folders of synthetic images, or DIR:SPLIT')
    make.add_argument('--out', required=True, type=Path, help='folder to write')
    make.add_argument(
        '--mode', choices=MODES, default='images',
        help='show single images (real or not, class, quality), or pairs of groups (HistoGAN, '
        'Sec. 4.3.1) (default: images)',
    )  # fmt: skip
    make.add_argument(
        '--per-class', type=int, default=10, metavar='N',
        help='for --mode images: N real and N synthetic images of each class (default: 10)',
    )  # fmt: skip
    make.add_argument(
        '--groups', type=int, default=10, help='for --mode groups: number of pairs (default: 10)'
    )
    make.add_argument(
        '--group-size', type=int, default=5, help='for --mode groups: images per group (default: 5)'
    )
    make.add_argument(
        '--classes',
        nargs='+',
        metavar='CLASS',
        help='classes in order of severity, for weighted kappa',
    )
    make.add_argument(
        '--size', type=int, nargs=2, metavar=('W', 'H'),
        help='size of every image as shown (default: that of the smaller ones)',
    )  # fmt: skip
    make.add_argument(
        '--seed', type=int, default=0, help='seed of selection and order (default: 0)'
    )
    make.add_argument('--title', default='Reader study')
    score = verbs.add_parser('score', help='score the answers')
    score.add_argument('folder', type=Path, help='folder that make wrote')
    score.add_argument('answers', nargs='+', help='files that the readers downloaded')
    score.add_argument(
        '--weights',
        choices=WEIGHTS,
        default='linear',
        help='weights of the kappa against the label',
    )
    return parser


def main() -> int:
    args = make_parser().parse_args()
    with user_errors():
        if args.verb == 'make':
            made = make_reader_study(
                args.real, args.synthetic, args.out, args.mode, args.per_class, args.groups,
                args.group_size, args.classes, args.size and tuple(args.size), args.seed,
                args.title,
            )  # fmt: skip
            width, height = made['size']
            print(f'{made["images"]} images of {width} x {height} pixels')
            print(f'For the readers: {made["page"]}\nTo keep: {made["key"]}')
            return 0
        found = score_reader_study(args.folder, args.answers, args.weights)
        print((args.folder / 'readers.md').read_text(encoding='utf-8'))
        print('Written: ' + ', '.join(found['files']))
    return 0


if __name__ == '__main__':
    sys.exit(main())
