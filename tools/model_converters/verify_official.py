"""Compare our CellGAN with numbers from the authors' program; exit status 1 if they differ.

python tools/model_converters/verify_official.py official_cellgan_tiny.pt
"""

from cellgan_plugin.compat import load_tensors
from cellgan_plugin.models.cellgan.official_parity import (
    TOLERANCE,
    compare_with_official,
    format_comparisons,
)
from cellgan_plugin.runs.command_line import ToolParser, user_errors


def main() -> None:
    parser = ToolParser(__doc__)
    parser.add_argument('reference', help='file with weights, inputs and outputs of their program')
    parser.add_argument(
        '--tolerance', type=float, default=TOLERANCE, help='relative tolerance (default: 1e-4)'
    )
    args = parser.parse_args()
    with user_errors():
        rows = compare_with_official(load_tensors(args.reference), args.tolerance)
    print(format_comparisons(rows))
    raise SystemExit(any(row.verdict == 'differs' for row in rows))


if __name__ == '__main__':
    main()
