"""Train a model of a config.

python tools/train.py configs/cellgan_tct.py --amp
python tools/train.py configs/cellgan_tct.py --resume
CELLGAN_DATA_ROOT=/data/tct python tools/train.py configs/cellgan_tct.py
"""

import argparse

from cellgan_plugin.apis.command_line import add_config_arguments, user_errors
from cellgan_plugin.apis.train import set_trust, train


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from the newest whole checkpoint of the work directory, or from a given one',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision: bfloat16, or float16 with scaling'
    )
    args = parser.parse_args()
    set_trust(args.trust_checkpoint)
    with user_errors():
        train(
            args.config,
            work_dir=args.work_dir,
            resume=args.resume or False,
            amp=args.amp,
            options=args.cfg_options,
            launcher=args.launcher,
        )


if __name__ == '__main__':
    main()
