"""Find everything that is wrong with a config's data set before training does.

Prints one table of problems, the class balance and the image sizes; ``--out`` also writes them,
with a contact sheet per class. Exit code 0: ready for training. 1: training would be harmed.
2: the config or the command line cannot be used.
"""

import sys

from mmengine.config import DictAction

from cellgan_plugin.datasets.checks import check_dataset, datasets_of_config
from cellgan_plugin.runs.command_line import ToolParser
from cellgan_plugin.user_modules import read_config


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument('config', help='config file with a train_dataloader')
    parser.add_argument(
        '--out', metavar='DIR', help='folder for report.txt, problems.csv and the contact sheets'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change config entries, e.g. train_dataloader.dataset.data_root=data/mine',
    )
    return parser


def main() -> int:
    """Check and print; the exit code."""
    args = make_parser().parse_args()
    try:
        config = read_config(args.config)
        if args.cfg_options:
            config.merge_from_dict(args.cfg_options)
        report = check_dataset(*datasets_of_config(config))
    except (OSError, KeyError, TypeError, ValueError, SyntaxError) as error:
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f'{args.config}: {reason}', file=sys.stderr)
        return 2
    print(report.to_text())
    if args.out:
        print('Written:', *report.save(args.out), sep='\n  ')
    return 1 if report.harmful else 0


if __name__ == '__main__':
    sys.exit(main())
