"""Interpolate between synthetic images: a strip (PNG), a GIF and a film (MP4).

Within a class, between classes, and with only the class changing::

    python tools/interpolate.py CONFIG CKPT --classes HSIL --seeds 3 7 --out between
    python tools/interpolate.py CONFIG CKPT --classes NILM LSIL HSIL --seeds 3 --out between
    python tools/interpolate.py CONFIG CKPT --classes NILM HSIL --seeds 3 --keep-noise --out between

CKPT is a checkpoint or a work directory (its best, else its newest checkpoint).
"""

from cellgan_plugin.runs.command_line import (
    ToolParser,
    add_config_arguments,
    add_key_values,
    add_overwrite,
    user_errors,
)
from cellgan_plugin.runs.image_sampler import GPU_BATCH_SIZE, PRECISIONS
from cellgan_plugin.runs.train import set_trust
from cellgan_plugin.synthesis.interpolate import FORMATS, interpolate


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    add_config_arguments(parser, work_dir=False, launcher=False)
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint file or work directory; none for a shipped model'
    )
    parser.add_argument('--out', required=True, metavar='DIR')
    parser.add_argument('--classes', nargs='+', required=True, metavar='NAME')
    parser.add_argument('--seeds', nargs='+', type=int, required=True, metavar='SEED')
    parser.add_argument('--steps', type=int, default=24, help='frames between two images')
    parser.add_argument(
        '--strip-steps', type=int, default=4, help='images between two ends on the strip'
    )
    parser.add_argument(
        '--rows', type=int, default=1, help='number of paths; row i adds i to the seeds'
    )
    parser.add_argument(
        '--keep-noise', action='store_true', help='keep z, so that only the class changes'
    )
    parser.add_argument('--fps', type=float, default=12)
    parser.add_argument('--formats', nargs='+', default=list(FORMATS), choices=FORMATS)
    parser.add_argument('--truncation', type=float, metavar='T', help='truncation of z, e.g. 0.8')
    parser.add_argument(
        '--batch-size', type=int, default=GPU_BATCH_SIZE, help='batch size on a GPU'
    )
    parser.add_argument('--precision', default='auto', choices=['auto', *PRECISIONS])
    parser.add_argument('--sample-model', choices=['ema', 'orig'])
    add_key_values(parser, '--sample-kwargs')
    add_overwrite(parser)
    parser.add_argument('--device', help='device (default: a GPU if there is one)')
    return parser


def main() -> None:
    args = make_parser().parse_args()
    set_trust(args.trust_checkpoint)
    with user_errors():
        interpolate(
            args.config,
            args.checkpoint,
            args.out,
            args.classes,
            args.seeds,
            steps=args.steps,
            strip_steps=args.strip_steps,
            rows=args.rows,
            keep_noise=args.keep_noise,
            fps=args.fps,
            formats=args.formats,
            truncation=args.truncation,
            sample_model=args.sample_model,
            sample_kwargs=args.sample_kwargs,
            device=args.device,
            precision=args.precision,
            batch_size=args.batch_size,
            options=args.cfg_options,
            overwrite=args.overwrite,
        )


if __name__ == '__main__':
    main()
