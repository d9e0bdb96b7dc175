"""Do synthetic images help a classifier? Trains it without them, with all, or with selected ones.

python tools/benchmark.py configs/benchmarks/cellgan_table3_phantom.py --jobs 2
python tools/benchmark.py configs/benchmarks/histogan_table1_cervical.py
python tools/benchmark.py CONFIG --generator CellGAN=CONFIG.py:CHECKPOINT
python tools/benchmark.py CONFIG --generator CellGAN=CONFIG.py --train-generators
python tools/benchmark.py CONFIG --launcher slurm --slurm-options slurm_partition=gpu

The same command continues an interrupted benchmark and repeats failed jobs.
"""

import argparse
import sys
from pathlib import Path

from cellgan_plugin.benchmark.protocol import read_protocol
from cellgan_plugin.benchmark.run import open_benchmark
from cellgan_plugin.runs.command_line import (
    ToolParser,
    add_data_argument,
    add_job_arguments,
    add_key_values,
    add_trust,
    run_experiment,
    user_errors,
)
from cellgan_plugin.runs.train import set_trust


def _named(text: str) -> tuple:
    name, equals, value = text.partition('=')
    if not equals or not name or not value:
        raise argparse.ArgumentTypeError(f'{text!r}: write NAME=CONFIG')
    return name, value


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument('config', help='benchmark config, e.g. of configs/benchmarks/')
    parser.add_argument('--work-dir', help='work directory (default: work_dirs/<config name>)')
    add_data_argument(parser, '--data-root')
    parser.add_argument(
        '--generator',
        action='append',
        metavar='NAME=SOURCE',
        help='CONFIG.py:CHECKPOINT, CONFIG.py (to be trained), or a folder or manifest of '
        'images; replaces those of the config; may be repeated',
    )
    parser.add_argument(
        '--classifier', action='append', type=_named, metavar='NAME=CONFIG',
        help='an MMPretrain config; replaces those of the config; may be repeated',
    )  # fmt: skip
    parser.add_argument('--folds', type=int, dest='num_folds')
    parser.add_argument('--per-class', type=int, help='real images of each class')
    parser.add_argument('--synthetic-per-class', type=int)
    parser.add_argument('--epochs', type=int)
    parser.add_argument('--steps', type=int, help='optimizer steps of every arm')
    parser.add_argument(
        '--equal-steps', action=argparse.BooleanOptionalAction, default=None,
        help='train every arm for the same number of optimizer steps (default: yes, except with'
        ' --paper-protocol)',
    )  # fmt: skip
    parser.add_argument('--seeds', type=int, nargs='+', help='trainings per fold, one per seed')
    leak = parser.add_mutually_exclusive_group()
    leak.add_argument(
        '--allow-leak', action='store_const', const='allow', dest='leak',
        help='use generators that were trained on test images, or on unknown ones; every table '
        'says so',
    )  # fmt: skip
    leak.add_argument(
        '--paper-protocol', action='store_const', const='paper', dest='leak',
        help='use one generator for all folds, as the paper does, whatever it was trained on; '
        'every table says so',
    )  # fmt: skip
    parser.add_argument(
        '--train-generators', action='store_true', default=None,
        help='train generators without a checkpoint once per fold, without its test images',
    )  # fmt: skip
    parser.add_argument(
        '--generator-images', choices=['all', 'drawn'],
        help='training images of these generators: all except the test part and its groups '
        '(default), or those that the classifiers of the fold train on',
    )  # fmt: skip
    parser.add_argument('--keep-weights', action='store_true', default=None)
    add_job_arguments(parser)
    add_key_values(parser, '--cfg-options')
    add_trust(parser)
    return parser


def main() -> int:
    args = make_parser().parse_args()
    set_trust(args.trust_checkpoint)
    with user_errors(continues=True):
        names = (
            'num_folds', 'per_class', 'synthetic_per_class', 'epochs', 'steps', 'equal_steps',
            'seeds', 'leak', 'train_generators', 'generator_images', 'keep_weights',
        )  # fmt: skip
        protocol = read_protocol(
            args.config,
            args.generator,
            dict(args.classifier) if args.classifier else None,
            args.cfg_options,
            data=args.data,
            **{name: getattr(args, name) for name in names},
        )
        out_dir = Path(args.work_dir or Path('work_dirs') / Path(args.config).stem)
        return run_experiment(open_benchmark(protocol, out_dir), args)


if __name__ == '__main__':
    sys.exit(main())
