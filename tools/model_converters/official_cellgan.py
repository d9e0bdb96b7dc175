"""Convert a checkpoint of the authors' CellGAN program to ours, or back.

python tools/model_converters/official_cellgan.py their_generator.pth generator.pth
python tools/model_converters/official_cellgan.py work_dirs/run/iter_100000.pth theirs.pth \
    --part generator --reverse
"""

from cellgan_plugin.models.cellgan.official_checkpoint import PARTS, convert_checkpoint
from cellgan_plugin.runs.command_line import ToolParser, add_trust, user_errors
from cellgan_plugin.runs.train import set_trust


def main() -> None:
    parser = ToolParser(__doc__)
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('out', help='checkpoint to write')
    parser.add_argument(
        '--part', choices=PARTS, help='part of the model (default: from the names of the weights)'
    )
    parser.add_argument(
        '--reverse', action='store_true', help="convert from ours to the authors' format"
    )
    parser.add_argument(
        '--weights',
        choices=('ema', 'orig'),
        default='ema',
        help='with --reverse: the averaged generator if there is one, or the plain one '
        '(default: ema)',
    )
    add_trust(parser)
    args = parser.parse_args()
    set_trust(args.trust_checkpoint)
    with user_errors():
        done = convert_checkpoint(args.src, args.out, args.part, args.reverse, args.weights)
        arguments = ', '.join(f'{key}={value!r}' for key, value in done['model'].items())
        print(f'{args.out}: {done["part"]} from {done["source"]} of {args.src}')
        print(f'model: {done["part"]}=dict({arguments})')


if __name__ == '__main__':
    main()
