r"""Select the synthetic images worth training on (HistoGAN, Algorithm 1), from any generator.

python tools/select_images.py CANDIDATES --real data/phantom:train \
    --classifier configs/classifiers/resnet18_phantom.py work_dirs/resnet18_phantom --out selected
python tools/select_images.py CANDIDATES ... --rule random --out random --cache-dir selected/_scores

CANDIDATES, REAL: <folder>/<class>/<image> or a folder with manifest.csv; DIR:SPLIT for one split.
The same command continues an interrupted selection.
"""

from cellgan_plugin.runs.command_line import (
    ToolParser,
    add_key_values,
    add_overwrite,
    add_trust,
    user_errors,
)
from cellgan_plugin.runs.train import set_trust
from cellgan_plugin.selection import SELECTION_RULES
from cellgan_plugin.selection.folder import LINKS
from cellgan_plugin.selection.rules import ENTROPIES
from cellgan_plugin.selection.select import select


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument(
        'candidates', help='folder of synthetic images; the paper makes 4 r N per class'
    )
    parser.add_argument('--real', required=True, help='real training images, DIR or DIR:SPLIT')
    parser.add_argument(
        '--classifier',
        required=True,
        nargs=2,
        metavar=('CONFIG', 'CKPT'),
        help='MMPretrain config and checkpoint',
    )
    parser.add_argument('--out', required=True, metavar='DIR')
    parser.add_argument('--rule', default='selective', choices=SELECTION_RULES.module_dict)
    parser.add_argument(
        '--ratio', type=float, default=0.5, help='r, kept per real image (default: 0.5)'
    )
    parser.add_argument('--passes', type=int, default=5, help='passes with dropout, K (default: 5)')
    parser.add_argument(
        '--dropout', type=float, help='dropout rate (default: that of training, else 0.5)'
    )
    parser.add_argument(
        '--entropy',
        choices=list(ENTROPIES),
        help='for --rule selective: mean entropy of the K predictions (default), or entropy of '
        'their mean',
    )
    parser.add_argument(
        '--layers', nargs='+', metavar='LAYER',
        help='layers of the distance: stages (3), residual blocks (3.2), or "blocks" for all '
        'blocks (default: all stages)',
    )  # fmt: skip
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--link', choices=LINKS, help='write links instead of copies')
    parser.add_argument(
        '--drop-memorised', action='store_true', help='first drop copies of real images'
    )
    parser.add_argument(
        '--input-size',
        nargs='+',
        type=int,
        help='input size of the classifier: side, or height and width',
    )
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument(
        '--cache-dir', help='folder of scores, to share between rules (default: OUT/_scores)'
    )
    parser.add_argument(
        '--tsne',
        type=int,
        default=100,
        metavar='N',
        help='images per class in the t-SNE; 0: no t-SNE',
    )
    add_overwrite(parser)
    parser.add_argument('--device', help='device (default: a GPU if there is one)')
    add_key_values(parser, '--cfg-options')
    add_trust(parser)
    return parser


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    if args.entropy and args.rule != 'selective':
        parser.error('--entropy is an option of --rule selective')
    if args.input_size and len(args.input_size) > 2:
        parser.error('--input-size takes a side, or height and width')
    set_trust(args.trust_checkpoint)
    rule = dict(type=args.rule, entropy=args.entropy) if args.entropy else args.rule
    size = args.input_size
    with user_errors(continues=True):
        select(
            args.candidates,
            args.real,
            *args.classifier,
            args.out,
            rule=rule,
            ratio=args.ratio,
            passes=args.passes,
            dropout=args.dropout,
            layers=args.layers,
            seed=args.seed,
            link=args.link,
            drop_memorised=args.drop_memorised,
            input_size=size[0] if size and len(size) == 1 else size,
            batch_size=args.batch_size,
            device=args.device,
            cache_dir=args.cache_dir,
            tsne_images=args.tsne,
            options=args.cfg_options,
            overwrite=args.overwrite,
        )


if __name__ == '__main__':
    main()
