r"""Cut patches of one scale from whole-slide images, with or without annotations.

    python tools/dataset_converters/slides.py slides --annotations geojson --out data/cells \
        --mpp 0.5 --size 64 --slides slides.csv
    python tools/dataset_converters/slides.py slides --annotations regions --out data/tumour \
        --mpp 1 --size 256 --stride 128 --coverage 0.8 --map tumour=Tumor --map stroma=Stroma
    python tools/dataset_converters/slides.py slides --annotations cells.csv --unit um \
        --out data/cells --mpp 0.25
    python tools/dataset_converters/slides.py slides --out data/tiles --mpp 0.5 \
        --slide-labels labels.csv
    python tools/dataset_converters/slides.py slides --annotations glands --out data/pairs \
        --mpp 1 --size 256 --masks
    python tools/dataset_converters/slides.py slides --annotations epithelium --out data/cervical \
        --mpp 1 --size 256x128 --oriented

SLIDES is a folder (SVS, NDPI, MRXS, SCN, BIF, DICOM, tiled TIFF). Annotations are QuPath's GeoJSON,
ASAP's XML (one file per slide, with its name) or a CSV with slide,x,y[,width,height],label. Points
and shapes that fit into a patch are cells: a patch is centred on each. Larger polygons are tiled.
Without annotations, tissue is found and tiled. The group is the patient in the table of --slides,
else the slide; a group is never on two sides of the split. The same command continues an
interrupted run. A slide that cannot be read is named and skipped; the exit status is then 1.
"""

import argparse
import sys
from typing import Optional, Sequence

from cellgan_plugin.converters import parse_class_map
from cellgan_plugin.converters.command_line import (
    add_split_arguments,
    converter_parser,
    report_conversion,
)
from cellgan_plugin.converters.slides import convert_slides, make_settings
from cellgan_plugin.converters.slides.cell_table import UNITS
from cellgan_plugin.machine import usable_cores
from cellgan_plugin.runs.command_line import image_size


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = converter_parser(__doc__)
    add = parser.add_argument
    add('source', metavar='SLIDES', help='folder of slides, or one slide; it is only read')
    add('--mpp', type=float, required=True, metavar='UM', help='microns per pixel of the patches')
    add(
        '--size',
        type=image_size,
        default=256,
        metavar='SIDE|HxW',
        help='size of the patches in px, height x width (default: 256)',
    )
    add(
        '--annotations',
        metavar='PATH',
        help='folder with SLIDE.geojson, .json, .xml or .csv, or one such file (default: find '
        'tissue)',
    )
    add(
        '--unit',
        choices=UNITS,
        default='px',
        help='unit of coordinates in CSV files: px of level 0, or um (default: px)',
    )
    add(
        '--stride',
        type=image_size,
        metavar='SIDE|HxW',
        help='step of the tile grid in px of the patches (default: the size)',
    )
    add(
        '--coverage',
        type=float,
        metavar='SHARE',
        help='minimum share of a tile inside the polygon, or on tissue (default: 0.8; tissue: 0.3)',
    )
    add(
        '--focus',
        type=float,
        default=0.5,
        metavar='RATIO',
        help='minimum sharpness of tissue tiles; 0 keeps all (default: 0.5)',
    )
    add(
        '--assume-mpp',
        type=float,
        metavar='UM',
        help='microns per pixel of slides that do not state them',
    )
    add(
        '--map',
        action='append',
        default=[],
        metavar='CLASS=NAME[,NAME]',
        dest='class_map',
        help='annotation names of a class; may be repeated',
    )
    add('--classes', nargs='+', metavar='CLASS', help='classes to keep, in order (default: all)')
    add(
        '--slides',
        metavar='CSV',
        dest='slide_table',
        help='CSV with the column slide and any of patient, split, mpp, label',
    )
    add(
        '--slide-labels',
        metavar='CSV',
        help='CSV with columns slide and label: the class of tissue tiles',
    )
    add(
        '--masks',
        action='store_true',
        help='treat polygons as objects: write tiles with instance masks, for TissueMaskDataset',
    )
    add(
        '--region',
        default='',
        metavar='NAME',
        help='with --masks: class of the polygons that mark fully annotated areas (default: '
        'tiles with enough objects)',
    )
    add(
        '--oriented',
        action='store_true',
        help='treat polygons as epithelium: write patches along their medial axis, rotated so '
        'that the basal layer is below',
    )
    add(
        '--format',
        choices=('png', 'jpg'),
        default='png',
        help='file format of the patches (default: png)',
    )
    add_split_arguments(parser, of=' of patients or slides')
    add('--skip-unmatched', action='store_true', help='leave out annotations without a class')
    add(
        '--skip-faults',
        action='store_true',
        help='leave out annotations that are outside the slide, cross themselves, or have two '
        'classes',
    )
    add('--workers', type=int, help='processes (default: one per core)')
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run; 0 done, 1 slides passed over, 2 a mistake in the inputs, 130 interrupted."""
    args = parse_args(argv)
    return report_conversion(
        'slides.py',
        lambda: convert_slides(
            args.source,
            args.out_dir,
            make_settings(
                args.mpp,
                args.size,
                args.stride,
                args.coverage,
                args.focus,
                args.assume_mpp,
                args.format,
                args.masks,
                args.region,
                args.oriented,
            ),
            annotations=args.annotations,
            unit=args.unit,
            class_map=parse_class_map(args.class_map) or None,
            classes=args.classes,
            slide_table=args.slide_table,
            slide_labels=args.slide_labels,
            fractions=args.split,
            seed=args.seed,
            skip_unmatched=args.skip_unmatched,
            skip_faults=args.skip_faults,
            workers=args.workers if args.workers is not None else usable_cores(),
        ),
    )


if __name__ == '__main__':
    sys.exit(main())
