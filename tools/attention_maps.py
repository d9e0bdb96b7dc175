"""Draw the self-attention of a HistoGAN (Fig. 9): per class a row of images and one of overlays.

python tools/attention_maps.py configs/histogan/histogan_cervical.py work_dirs/histogan_cervical \
    --out attention.png
python tools/attention_maps.py CONFIG CKPT --classes CIN1 CIN3 --seeds 0 1 2 --npz attention.npz
"""

from cellgan_plugin.runs.command_line import ToolParser, add_config_arguments, user_errors
from cellgan_plugin.runs.train import set_trust
from cellgan_plugin.synthesis.attention import write_attention_maps


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    add_config_arguments(parser, work_dir=False, launcher=False)
    parser.add_argument('checkpoint', help='checkpoint file or work directory')
    parser.add_argument(
        '--out', default='attention.png', help='picture to write (default: attention.png)'
    )
    parser.add_argument('--classes', nargs='+', help='classes to show (default: all)')
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=list(range(8)), help='seeds of z (default: 0-7)'
    )
    parser.add_argument('--npz', help='also write images, maps, labels and seeds as arrays')
    parser.add_argument(
        '--sample-model',
        choices=['ema', 'orig'],
        help='generator to use (default: ema, if there is one)',
    )
    parser.add_argument('--device', help='device (default: a GPU if there is one)')
    return parser


def main() -> None:
    args = make_parser().parse_args()
    set_trust(args.trust_checkpoint)
    with user_errors():
        maps = write_attention_maps(
            args.config,
            args.checkpoint,
            args.out,
            classes=args.classes,
            seeds=args.seeds,
            arrays=args.npz,
            sample_model=args.sample_model,
            device=args.device,
            options=args.cfg_options,
        )
        print(
            f'{args.out}: {len(maps.images)} images; the most attended position gets '
            f'{maps.attention.max():.2f} times an equal share; weight of the attention layer '
            f'(gamma) {maps.gamma:.3g}'
        )


if __name__ == '__main__':
    main()
