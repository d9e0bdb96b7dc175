"""Write weights to publish a model: only the averaged weights, in half precision.

python tools/model_converters/export_weights.py work_dirs/run/iter_20000.pth run.safetensors

Tools that sample or evaluate a model accept the result in place of a checkpoint. Training cannot
continue from it, because it has no discriminator and no optimizer.
"""

from pathlib import Path

from cellgan_plugin.compat import load_tensors, save_safetensors
from cellgan_plugin.runs.command_line import ToolParser, add_trust, user_errors
from cellgan_plugin.runs.train import set_trust
from cellgan_plugin.runs.trained_model import find_checkpoint


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument('checkpoint', help='checkpoint or work directory')
    parser.add_argument('out', type=Path, help='file to write, *.safetensors')
    add_trust(parser)
    return parser


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    if args.out.suffix != '.safetensors':
        parser.error(f'{args.out}: the name must end in .safetensors')
    set_trust(args.trust_checkpoint)
    with user_errors():
        checkpoint = find_checkpoint(args.checkpoint)
        count = save_safetensors(args.out, load_tensors(checkpoint, 'cpu'))
        size = args.out.stat().st_size / 1e6
        print(f'{args.out}: {count} tensors of {checkpoint}, {size:.2f} MB')


if __name__ == '__main__':
    main()
