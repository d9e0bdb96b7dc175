"""Evaluate a checkpoint: a table of metrics per class as text, JSON lines, CSV and a picture.

python tools/test.py configs/cellgan_phantom.py work_dirs/cellgan_phantom/best_iter_2000.pth
python tools/test.py CONFIG work_dirs/cellgan_phantom
python tools/test.py CONFIG --checkpoint CKPT --cfg-options val_evaluator.metrics.0.fake_nums=1000
tools/dist_test.sh CONFIG CKPT 4
"""

from cellgan_plugin.runs.command_line import (
    ToolParser,
    add_config_arguments,
    add_data_argument,
    add_overwrite,
    user_errors,
)
from cellgan_plugin.runs.test import test
from cellgan_plugin.runs.train import set_trust


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    add_config_arguments(parser)
    add_data_argument(parser)
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file or work directory')
    parser.add_argument('--checkpoint', dest='named_checkpoint', help='the same as an option')
    add_overwrite(parser, 'replace tables of another evaluation')
    return parser


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    checkpoint = args.named_checkpoint or args.checkpoint
    if checkpoint is None:
        parser.error('which checkpoint? tools/test.py CONFIG CHECKPOINT')
    set_trust(args.trust_checkpoint)
    with user_errors():
        test(
            args.config,
            checkpoint,
            work_dir=args.work_dir,
            options=args.cfg_options,
            launcher=args.launcher,
            overwrite=args.overwrite,
            data=args.data,
        )


if __name__ == '__main__':
    main()
