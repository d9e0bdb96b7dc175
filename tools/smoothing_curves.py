"""Draw a run's distance with several smoothing factors, and the checkpoint each chooses (Fig. 4).

python tools/smoothing_curves.py work_dirs/histogan_cervical_fd
python tools/smoothing_curves.py WORK_DIR --alphas 0 0.5 0.9 --out smoothed.png
"""

from pathlib import Path

from cellgan_plugin.runs.command_line import ToolParser, user_errors
from cellgan_plugin.runs.smoothed_distances import ALPHAS, smoothed_distances


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument('work_dir', help='work directory of a run with ModelSelectionHook')
    parser.add_argument(
        '--alphas', type=float, nargs='+', default=list(ALPHAS),
        help='smoothing factors; 0 is the measured distance (default: 0 0.3 0.5 0.7 0.9)',
    )  # fmt: skip
    parser.add_argument(
        '--out', help='picture to write (default: smoothed_distances.png in the work directory)'
    )
    return parser


def main() -> None:
    args = make_parser().parse_args()
    with user_errors():
        out = Path(args.out or Path(args.work_dir) / 'smoothed_distances.png')
        minima = smoothed_distances(args.work_dir, out, args.alphas)
        for alpha, iteration in minima.items():
            print(f'alpha {alpha:g}: minimum at iteration {iteration}')
        print(out)


if __name__ == '__main__':
    main()
