"""From a folder of images to an answer: do synthetic images help, and which generator is best?

python tools/study.py DATA --out study
python tools/study.py DATA --out study --hours 12 --generators cellgan biggan
python tools/study.py DATA --out study --dry-run

DATA: <folder>/<class>/<image>, or a folder with manifest.csv (file, label, and if known split and
group). The same command continues an interrupted study.
"""

import sys

from cellgan_plugin.apis import study
from cellgan_plugin.runs.command_line import ToolParser, user_errors
from cellgan_plugin.study.settings import GENERATORS, ROWS, read_study


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument('data', help='folder of labelled images')
    parser.add_argument('--out', default='study', help='folder of the study (default: study)')
    parser.add_argument(
        '--generators', nargs='+', metavar='NAME',
        help=f'{", ".join(GENERATORS)}, NAME=CONFIG.py, or NAME=FOLDER of existing images (with '
        '{fold} in its path: a folder for every fold) (default: cellgan)',
    )  # fmt: skip
    parser.add_argument('--title', help='title of tables and report (default: name of the folder)')
    parser.add_argument('--hours', type=float, help='time of the whole study in hours (default: 4)')
    parser.add_argument('--config', help='a study config (docs/study.md), for other settings')
    parser.add_argument(
        '--ratio', type=float, help='synthetic images per real training image (default: 1)'
    )
    parser.add_argument(
        '--rows', nargs='+', choices=ROWS,
        help='rows of every generator in the benchmark (default: as many as the time allows)',
    )  # fmt: skip
    parser.add_argument('--size', type=int, help='side of the images in pixels')
    parser.add_argument('--folds', type=int, help='folds of the benchmark; 1: one split')
    parser.add_argument('--seeds', type=int, nargs='+', help='trainings of a classifier per fold')
    parser.add_argument(
        '--steps', type=int, help='training steps of every classifier of the benchmark'
    )
    parser.add_argument(
        '--amp', action='store_true', default=None, help='train generators in mixed precision'
    )
    parser.add_argument('--jobs', type=int, help='jobs that run at the same time')
    parser.add_argument(
        '--beside', nargs='+', metavar='MODEL', help='shipped models to evaluate and show too'
    )
    parser.add_argument(
        '--dry-run', action='store_true',
        help='check, time a few steps, and show plan, jobs and hours; train nothing',
    )  # fmt: skip
    return parser


def main() -> int:
    args = make_parser().parse_args()
    with user_errors(continues=True):
        settings = read_study(
            args.config,
            args.generators,
            title=args.title,
            hours=args.hours,
            ratio=args.ratio,
            rows=tuple(args.rows) if args.rows else None,
            size=args.size,
            folds=args.folds,
            seeds=tuple(args.seeds) if args.seeds else None,
            steps=args.steps,
            amp=args.amp,
            jobs=args.jobs,
            beside=tuple(args.beside) if args.beside else None,
        )
        result = study(args.data, args.out, settings, args.dry_run)
    for name, text in result['failures'].items():
        print(f'failed: {name}: {text}', file=sys.stderr)
    return 1 if result['failures'] else 0


if __name__ == '__main__':
    sys.exit(main())
