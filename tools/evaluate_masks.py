"""Score predicted masks of any program against true ones.

python tools/evaluate_masks.py PREDICTED TRUE --classes stroma gland --out OUT
python tools/evaluate_masks.py PREDICTED TRUE --true-instances binary --pred-instances
python tools/evaluate_masks.py PREDICTED data/glas/manifest.csv --split testA testB \
    --true-instances binary --parts A=testA_ B=testB_

PREDICTED and TRUE are folders of masks with the same names (TRUE may be a manifest with a mask
column). Prints object F1, Dice and Hausdorff distance as in the GlaS challenge, mIoU and pixel
accuracies. --out also writes them: metrics.csv per image, table.md for each part and for all.
"""

import sys

from cellgan_plugin.runs.command_line import (
    ToolParser,
    add_key_values,
    add_mask_arguments,
    add_overwrite,
    mask_rule,
    user_errors,
)
from cellgan_plugin.segmentation.evaluate_masks import evaluate_masks
from cellgan_plugin.visualization.report_tables import markdown_table


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument('pred', help='folder of predicted masks')
    parser.add_argument('true', help='folder of true masks, or CSV manifest')
    parser.add_argument('--classes', nargs='+', default=['background', 'object'])
    parser.add_argument('--out', help='folder for the tables')
    parser.add_argument('--split', nargs='+', help='splits of the manifest to use')
    parser.add_argument(
        '--label-column', default='label',
        help='manifest column with the class of the objects, for --true-instances label '
        '(default: label)',
    )  # fmt: skip
    parser.add_argument(
        '--true-instances', choices=['binary', 'label'], help='true masks hold object ids'
    )
    parser.add_argument(
        '--pred-instances', action='store_true', help='predicted masks hold object ids'
    )
    for which in ('true', 'pred'):
        add_key_values(
            parser,
            f'--{which}-map',
            f'class id of each value in a {which} mask, e.g. 0=0 255=1',
            'VALUE=CLASS',
        )
        parser.add_argument(f'--{which}-suffix', default='', help=f'suffix of {which} mask names')
    add_mask_arguments(parser)
    add_overwrite(parser)
    return parser


def main() -> int:
    args = make_parser().parse_args()
    with user_errors():
        _, table = evaluate_masks(
            args.pred,
            args.true,
            args.classes,
            args.out,
            split=args.split,
            true_instances=args.true_instances,
            pred_instances=args.pred_instances,
            true_map=args.true_map,
            pred_map=args.pred_map,
            true_suffix=args.true_suffix,
            pred_suffix=args.pred_suffix,
            rule=mask_rule(args),
            parts=args.parts,
            label_column=args.label_column,
            overwrite=args.overwrite,
        )
    print('\n' + markdown_table(table))
    return 0


if __name__ == '__main__':
    sys.exit(main())
