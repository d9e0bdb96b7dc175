"""Segment whole images of any size with a trained model, and score the masks.

python tools/segment.py CONFIG work_dirs/RUN IMAGES --out OUT
python tools/segment.py CONFIG CKPT data/glas/manifest.csv --split testA testB \
    --parts A=testA_ B=testB_ --out OUT
python tools/segment.py CONFIG CKPT IMAGES --masks MASKS --instances binary --out OUT

OUT contains classes/ and instances/ (PNG masks), overlays/ and a sheet masks.png. If true masks are
known, it has metrics.csv (per image) and table.md: object F1, Dice and Hausdorff distance as in the
GlaS challenge, mIoU, pixel accuracies. The same command continues after an interruption.
"""

from cellgan_plugin.runs.command_line import (
    ToolParser,
    add_config_arguments,
    add_key_values,
    add_mask_arguments,
    add_overwrite,
    mask_rule,
    user_errors,
)
from cellgan_plugin.runs.train import set_trust
from cellgan_plugin.segmentation.segment import segment


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    add_config_arguments(parser, work_dir=False, launcher=False)
    parser.add_argument('checkpoint', help='checkpoint file or work directory')
    parser.add_argument('images', help='folder of images, or CSV manifest')
    parser.add_argument('--out', required=True, help='folder of the results')
    parser.add_argument('--split', nargs='+', help='splits of the manifest to use')
    parser.add_argument('--masks', help="folder of true masks (default: the manifest's)")
    parser.add_argument('--mask-suffix', default='', help="suffix of mask names, e.g. '_anno'")
    parser.add_argument(
        '--instances', choices=['binary', 'label'],
        help='true masks hold object ids; their class is 1, or comes from the manifest',
    )  # fmt: skip
    add_key_values(
        parser, '--mask-map', 'class id of each value in a true mask, e.g. 0=0 255=1', 'VALUE=CLASS'
    )
    parser.add_argument('--no-overlays', action='store_true')
    parser.add_argument(
        '--pairs', type=int, default=0, metavar='N',
        help='draw pairs.png: N images, masks, and images generated from the true masks (Fig. 5)',
    )  # fmt: skip
    add_overwrite(parser)
    parser.add_argument('--device', help='device (default: a GPU if there is one)')
    add_mask_arguments(parser)
    return parser


def main() -> None:
    args = make_parser().parse_args()
    set_trust(args.trust_checkpoint)
    with user_errors(continues=True):
        found = segment(
            args.config,
            args.checkpoint,
            args.images,
            args.out,
            split=args.split,
            masks=args.masks,
            mask_suffix=args.mask_suffix,
            instances=args.instances,
            mask_map=args.mask_map,
            parts=args.parts,
            rule=mask_rule(args),
            overlays=not args.no_overlays,
            device=args.device,
            options=args.cfg_options,
            overwrite=args.overwrite,
            pairs=args.pairs,
        )
    for path in found.files:
        if path.name == 'table.md':
            print('\n' + path.read_text(encoding='utf-8'))
    print(
        f'{len(found.images)} images in {found.out}, {found.made} of them segmented now; look at '
        f'{found.files[0]}'
    )


if __name__ == '__main__':
    main()
