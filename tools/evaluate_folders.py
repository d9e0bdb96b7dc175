r"""Evaluate any generator by its images: class folders of real and of generated images.

python tools/evaluate_folders.py REAL_DIR FAKE_DIR --extractor inception
python tools/evaluate_folders.py REAL_DIR FAKE_DIR --work-dir OUT \
    --extractor configs/classifiers/resnet34_tct.py work_dirs/resnet34_tct
python tools/evaluate_folders.py data/phantom:val FAKE_DIR --training data/phantom:train \
    --extractor dinov2-vitl14 dinov2_vitl14_pretrain.pth

REAL_DIR, FAKE_DIR: <folder>/<class>/<image>, or a folder with a manifest.csv (file, label);
DIR:SPLIT takes one split of it, and DIR:LIST.csv another list of files in DIR.
"""

from cellgan_plugin.datasets.views import ALL_VIEWS
from cellgan_plugin.evaluation.presets import PRESETS
from cellgan_plugin.evaluation.table_distances import DISTANCES
from cellgan_plugin.runs.command_line import ToolParser, add_overwrite, add_trust, user_errors
from cellgan_plugin.runs.evaluate_folders import evaluate_folders
from cellgan_plugin.runs.train import set_trust


def extractor_config(words: list, any_classes: bool = False) -> dict:
    """``inception [FILE]``, ``CONFIG.py CHECKPOINT``, or ``PRESET`` or ``NETWORK`` with a file."""
    kind, *rest = words
    if kind.lower() == 'inception' and len(rest) < 2:
        return dict(type='InceptionFeatures', weights=rest[0] if rest else None)
    if len(rest) != 1:
        raise ValueError(
            f'--extractor {" ".join(words)}: expected "inception [FILE]", "CONFIG.py CHECKPOINT" '
            f'(an MMPretrain classifier), "PRESET WEIGHTS" ({", ".join(PRESETS)}), or '
            '"NETWORK WEIGHTS" (torchvision, or timm:NAME)'
        )
    if kind.endswith('.py'):
        network = dict(type='ClassifierFeatures', config=kind, checkpoint=rest[0])
        return dict(network, any_classes=True) if any_classes else network
    if kind in PRESETS:
        return dict(type='PresetFeatures', preset=kind, weights=rest[0])
    return dict(type='BackboneFeatures', arch=kind, weights=rest[0])


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument('real', help='real images')
    parser.add_argument('fake', help='generated images')
    parser.add_argument('--extractor', nargs='+', default=['inception'], metavar='WORD')
    parser.add_argument(
        '--classes', nargs='+', help='classes to evaluate (default: all classes of both folders)'
    )
    parser.add_argument('--distances', nargs='+', default=['fd', 'kid', 'prdc'], choices=DISTANCES)
    parser.add_argument(
        '--training', help='training images of the generator: adds the memorisation score'
    )
    parser.add_argument(
        '--views', nargs='+', choices=ALL_VIEWS, metavar='VIEW',
        help='views of training images in which to search copies (default: those used in '
        f'training, from synthesis.json in FAKE_DIR, else all): {", ".join(ALL_VIEWS)}',
    )  # fmt: skip
    parser.add_argument(
        '--any-classes', action='store_true', help='allow a classifier of other classes'
    )
    parser.add_argument(
        '--follow-links', action='store_true', help='allow links that lead out of the folders'
    )
    parser.add_argument(
        '--size', type=int, help='first crop and resize all images to this side, px'
    )
    parser.add_argument('--work-dir', default='work_dirs/evaluate_folders')
    parser.add_argument(
        '--cache-dir', help='folder of cached features (default: that of CELLGAN_FEATURE_CACHE)'
    )
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--workers', type=int, default=0)
    add_overwrite(parser, 'replace tables of other images or settings')
    parser.add_argument('--device', help='device (default: a GPU if there is one)')
    add_trust(parser)
    return parser


def main() -> None:
    args = make_parser().parse_args()
    set_trust(args.trust_checkpoint)
    with user_errors():
        evaluate_folders(
            args.real,
            args.fake,
            extractor_config(args.extractor, args.any_classes),
            classes=args.classes,
            distances=args.distances,
            training=args.training,
            size=args.size,
            work_dir=args.work_dir,
            cache_dir=args.cache_dir,
            batch_size=args.batch_size,
            num_workers=args.workers,
            device=args.device,
            overwrite=args.overwrite,
            views=args.views,
            follow_links=args.follow_links,
        )


if __name__ == '__main__':
    main()
