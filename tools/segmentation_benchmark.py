"""Segmentation with few labels: methods x label ratios x seeds (Tables 2 to 8, Fig. 6 and 7).

python tools/segmentation_benchmark.py configs/benchmarks/segmentation_gland_phantom.py --jobs 2
python tools/segmentation_benchmark.py configs/benchmarks/segmentation_glas.py --seeds 0 1 2
python tools/segmentation_benchmark.py CONFIG --ratios 0.2 1 --only m-FCDenseNet
python tools/segmentation_benchmark.py CONFIG --launcher slurm --slurm-options slurm_partition=gpu

The same command continues an interrupted benchmark and repeats failed jobs.
"""

import sys
from pathlib import Path

from cellgan_plugin.runs.command_line import (
    ToolParser,
    add_job_arguments,
    add_key_values,
    run_experiment,
    user_errors,
)
from cellgan_plugin.segmentation.benchmark import SegmentationBenchmark
from cellgan_plugin.segmentation.protocol import read_segmentation_protocol


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument('config', help='e.g. configs/benchmarks/segmentation_*.py')
    parser.add_argument('--work-dir', help='work directory (default: work_dirs/<config name>)')
    parser.add_argument('--data-root', help="folder of the images, in place of the config's")
    parser.add_argument('--ratios', type=float, nargs='+', help='shares of labelled images')
    parser.add_argument('--seeds', type=int, nargs='+')
    parser.add_argument('--only', nargs='+', metavar='METHOD', help='run only these methods')
    parser.add_argument(
        '--run-folds', type=int, nargs='+', metavar='N', help='run only these folds; the first is 0'
    )
    parser.add_argument('--keep-weights', action='store_true', default=None)
    add_job_arguments(parser)
    meaning = 'override the benchmark, e.g. options.train_dataloader.num_workers=8'
    add_key_values(parser, '--cfg-options', meaning)
    return parser


def main() -> int:
    args = make_parser().parse_args()
    with user_errors(continues=True):
        options = dict(args.cfg_options or {})
        if args.data_root:
            options['data.data_root'] = args.data_root
        protocol = read_segmentation_protocol(
            args.config,
            options,
            args.only,
            ratios=args.ratios and tuple(args.ratios),
            seeds=args.seeds and tuple(args.seeds),
            run_folds=args.run_folds and tuple(args.run_folds),
            keep_weights=args.keep_weights,
        )
        out_dir = Path(args.work_dir or Path('work_dirs') / Path(args.config).stem)
        return run_experiment(SegmentationBenchmark(protocol, out_dir), args)


if __name__ == '__main__':
    sys.exit(main())
