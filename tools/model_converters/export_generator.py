"""Write a trained generator as a folder that loads with one call; upload it with --push.

python tools/model_converters/export_generator.py configs/cellgan_tct.py work_dirs/cellgan_tct cellgan_tct
python tools/model_converters/export_generator.py cellgan_phantom OUT
python tools/model_converters/export_generator.py CONFIG CHECKPOINT OUT --push OWNER/NAME

The folder has model.safetensors, config.json and README.md (the model card, where you add data,
numbers and licence). In Python: cellgan_plugin.apis.load_generator('OUT').
"""  # noqa: E501

from pathlib import Path

from cellgan_plugin.runs.command_line import ToolParser, add_key_values, add_trust, user_errors
from cellgan_plugin.runs.generator_export import export_generator, push_generator
from cellgan_plugin.runs.train import set_trust


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument('config', help='config of the run, or name of a shipped model')
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint or work directory; none for a shipped model'
    )
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument('--title', default='', help='title of the model card')
    parser.add_argument('--half', action='store_true', help='round weights to float16')
    parser.add_argument(
        '--push',
        metavar='OWNER/NAME',
        help='upload the folder to the Hugging Face Hub (needs huggingface_hub)',
    )
    parser.add_argument('--public', action='store_true', help='with --push: make it public')
    add_key_values(parser, '--cfg-options')
    add_trust(parser)
    return parser


def main() -> None:
    args = make_parser().parse_args()
    set_trust(args.trust_checkpoint)
    with user_errors():
        out = export_generator(
            args.config, args.checkpoint, args.out, args.title, args.half, args.cfg_options
        )
        size = sum(path.stat().st_size for path in out.iterdir() if path.is_file()) / 1e6
        print(f'{out}: {size:.2f} MB; load_generator({str(out)!r})')
        if args.push:
            print(f'Uploaded: {push_generator(out, args.push, private=not args.public)}')


if __name__ == '__main__':
    main()
