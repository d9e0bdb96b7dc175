r"""Draw images of several class-folder trees on one sheet, a row for each.

python tools/image_sheet.py real=data/phantom:train synthetic=SYNTHETIC --out sheet.png

HistoGAN's Fig. 8 shows real images and those of generators trained on shares of the data:

python tools/image_sheet.py real=data/pcam:train "3 %=OUT/3_percent/KEPT" "5 %=OUT/5_percent/KEPT"

A row is NAME=DIR (its manifest, or class folders), NAME=DIR:SPLIT (a split of the manifest), or
NAME=DIR:LIST.csv (a list of files in DIR, for example from a selection).
"""

from cellgan_plugin.runs.command_line import ToolParser, user_errors
from cellgan_plugin.runs.folder_sheet import folder_sheet


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument('rows', nargs='+', metavar='NAME=DIR')
    parser.add_argument(
        '--classes', nargs='+', help='classes to show (default: those of the first row)'
    )
    parser.add_argument('--per-class', type=int, default=4, help='images of each class')
    parser.add_argument('--size', type=int, help='crop and resize images to this side, px')
    parser.add_argument('--out', default='sheet.png', help='picture to write (default: sheet.png)')
    return parser


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    rows = dict(row.partition('=')[::2] for row in args.rows)
    if len(rows) < len(args.rows) or not all(rows.values()):
        parser.error('every row is NAME=DIR, and no two have the same name')
    with user_errors():
        print(folder_sheet(rows, args.out, args.classes, args.per_class, args.size))


if __name__ == '__main__':
    main()
