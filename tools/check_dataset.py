"""Find all problems of a config's data set before training.

Prints one table of problems, the class balance and the image sizes; ``--out`` also writes them,
with a contact sheet per class. Builds the model and the metrics of the config and compares them
with the images. Exit status 0: ready for training. 1: the problems would harm training. 2: the
config or the command line is wrong.

python tools/check_dataset.py configs/cellgan_tct.py --data DIR
"""

import sys

from cellgan_plugin.datasets.checks import check_dataset, datasets_of_config
from cellgan_plugin.errors import explained_output_errors, output_may_close
from cellgan_plugin.runs.check_run import check_run
from cellgan_plugin.runs.command_line import ToolParser, add_data_argument, add_key_values
from cellgan_plugin.runs.config_fit import check_fit
from cellgan_plugin.runs.train import load_config


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument('config', help='config file with a train_dataloader')
    add_data_argument(parser)
    parser.add_argument(
        '--out', metavar='DIR', help='folder for report.txt, problems.csv and the contact sheets'
    )
    parser.add_argument(
        '--synthetic',
        metavar='DIR|CSV',
        help='synthetic images: report what in their files separates them from the real ones',
    )
    meaning = 'change config entries, e.g. train_dataloader.dataset.data_root=data/mine'
    add_key_values(parser, '--cfg-options', meaning)
    return parser


def main() -> int:
    """Check and print; the exit code."""
    args = make_parser().parse_args()
    try:
        with output_may_close():
            config = load_config(args.config, options=args.cfg_options, parts=None, data=args.data)
            check_fit(config)
            report = check_dataset(*datasets_of_config(config), synthetic=args.synthetic)
            said = [report.to_text()]
            if args.out:
                with explained_output_errors(args.out):
                    said += ['Written:', *(f'  {path}' for path in report.save(args.out))]
            print('\n'.join(said))
            if not report.harmful:
                check_run(config)
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
        where = '' if args.config in reason else f'{args.config}: '
        print(f'error: {where}{reason}', file=sys.stderr)
        return 2
    return 1 if report.harmful else 0


if __name__ == '__main__':
    sys.exit(main())
