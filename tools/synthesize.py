r"""Write synthetic images into class folders with a manifest.

python tools/synthesize.py CONFIG CKPT --per-class 2000 --out synthetic
python tools/synthesize.py CONFIG CKPT --per-class 2000 --classes HSIL=5000,NILM=0 --out synthetic
python tools/synthesize.py CONFIG CKPT --seeds 17 --classes HSIL --out one      # that one again
torchrun --nproc_per_node=4 tools/synthesize.py CONFIG CKPT ... --launcher pytorch

Models that make tissue from masks write image + mask pairs with a manifest:

python tools/synthesize.py CONFIG CKPT --masks data/masks --per-mask 3 --out synthetic
python tools/synthesize.py CONFIG CKPT --masks data/glas/manifest.csv --split train \
    --relabel "healthy=poorly differentiated" --out changed

CKPT is a checkpoint or a work directory (its best, else its newest checkpoint). For a model that is
part of the repository (weights/), give its name in place of both:

python tools/synthesize.py cellgan_phantom --per-class 8 --out synthetic

The same command continues after an interruption.
"""

import argparse

from cellgan_plugin.datasets.image_encoding import FORMATS
from cellgan_plugin.errors import SynthesisError
from cellgan_plugin.runs.command_line import (
    ToolParser,
    add_config_arguments,
    add_key_values,
    add_overwrite,
    user_errors,
)
from cellgan_plugin.runs.image_sampler import GPU_BATCH_SIZE, PRECISIONS
from cellgan_plugin.runs.train import set_trust
from cellgan_plugin.synthesis.request import parse_classes, parse_seeds
from cellgan_plugin.synthesis.synthesize import synthesize
from cellgan_plugin.synthesis.tissue import synthesize_tissue


def _from_masks(args: argparse.Namespace) -> None:
    if args.like is not None:
        raise SynthesisError('--like is for images by class; tissue from masks is written as PNG')
    relabel = dict(entry.split('=', 1) for entry in args.relabel if '=' in entry)
    if len(relabel) != len(args.relabel):
        raise SynthesisError(f'--relabel {args.relabel}: say CLASS=OTHER, each class once')
    synthesize_tissue(
        args.config,
        args.checkpoint,
        args.masks,
        args.out,
        per_mask=args.per_mask,
        seed=args.seed,
        relabel=relabel,
        mask_class=args.mask_class,
        split=args.split,
        batch_size=args.batch_size or 4,
        device=args.device,
        sheet=args.sheet > 0,
        options=args.cfg_options,
        overwrite=args.overwrite,
    )


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    add_config_arguments(parser, work_dir=False)
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint file or work directory; none for a shipped model'
    )
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='output folder: new, or one to continue'
    )
    parser.add_argument('--per-class', type=int, metavar='N', help='images of each class')
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME=N',
        help='other numbers of images for single classes; 0: none',
    )
    parser.add_argument('--seeds', metavar='A-B', help='e.g. 0-1999, 17 or 3,5,10-19; 0 or greater')
    parser.add_argument('--truncation', type=float, metavar='T', help='truncation of z, e.g. 0.8')
    parser.add_argument(
        '--format',
        metavar='{' + ','.join(FORMATS) + '}',
        help='file format (default: png, or that of --like)',
    )
    parser.add_argument(
        '--like',
        metavar='DIR|CSV',
        help='real images whose file format to copy, for JPEG also quality and colour sampling',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        help=f'images per batch (default: {GPU_BATCH_SIZE} on a GPU; with --masks 4)',
    )
    parser.add_argument('--precision', default='auto', choices=['auto', *PRECISIONS])
    parser.add_argument('--sample-model', choices=['ema', 'orig'])
    add_key_values(parser, '--sample-kwargs')
    add_overwrite(parser)
    parser.add_argument('--device', help='device (default: a GPU if there is one)')
    parser.add_argument(
        '--workers', type=int, help='threads that compute images (default: all cores)'
    )
    parser.add_argument(
        '--sheet', type=int, default=8, metavar='N', help='number of columns of sheet.png'
    )
    masks = parser.add_argument_group('tissue from masks')
    masks.add_argument('--masks', metavar='DIR|CSV', help='folder of masks, or a manifest')
    masks.add_argument('--split', nargs='+', help='splits of the manifest of masks')
    masks.add_argument('--per-mask', type=int, default=1, metavar='N', help='images of each mask')
    masks.add_argument(
        '--seed', type=int, default=0, help='seed of the noise with --masks (default: 0)'
    )
    masks.add_argument(
        '--relabel',
        nargs='+',
        default=[],
        metavar='CLASS=OTHER',
        help='change classes of the masks first',
    )
    masks.add_argument(
        '--mask-class', metavar='CLASS', help='class of the objects in instance masks'
    )
    return parser


def main() -> None:
    args = make_parser().parse_args()
    set_trust(args.trust_checkpoint)
    with user_errors(continues=True):
        if args.masks is not None:
            _from_masks(args)
            return
        synthesize(
            args.config,
            args.checkpoint,
            args.out,
            per_class=args.per_class,
            classes=parse_classes(args.classes or []),
            seeds=None if args.seeds is None else parse_seeds(args.seeds),
            truncation=args.truncation,
            fmt=args.format,
            like=args.like,
            batch_size=args.batch_size or GPU_BATCH_SIZE,
            sample_model=args.sample_model,
            sample_kwargs=args.sample_kwargs,
            device=args.device,
            precision=args.precision,
            workers=args.workers,
            sheet=args.sheet,
            options=args.cfg_options,
            overwrite=args.overwrite,
            launcher=args.launcher,
        )


if __name__ == '__main__':
    main()
