"""GlaS -> tiles by grade in class folders, for generators and classifiers, split by patient.

A tile bears the grade of its image. One without gland shows nothing of that grade, so tiles must
hold a share of gland. Train and test set of the challenge share patients; here all images are split
anew, by patient.
"""

from collections import Counter
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np
from tqdm import tqdm

from cellgan_plugin.converters.common import (
    DEFAULT_MAX_PIXELS,
    ConversionResult,
    ConverterError,
    PathLike,
    begin_output,
    check_output,
    check_size,
    make_record,
    split_table,
)
from cellgan_plugin.converters.glas import (
    GLAS_CATEGORIES,
    GLAS_GRADES,
    GLAS_SUBSETS,
    GlasImage,
    read_glas,
)
from cellgan_plugin.converters.splits import check_fractions, split_by_group
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import ImageFileError, load_image, read_header
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.datasets.mask_io import load_mask, orientation_differs, read_mask_header
from cellgan_plugin.datasets.tiling import tile_grid
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.records import digest_of, file_digests

COLUMNS = ('file', 'label', 'split', 'group', 'source', 'x', 'y', 'gland', 'width', 'height')
LABELS = {'grade': GLAS_GRADES, 'category': GLAS_CATEGORIES}


@writes_folder('out_dir', deep=True)
def convert_glas_tiles(
    root: PathLike,
    out_dir: PathLike,
    *,
    tile: int = 256,
    min_overlap: int = 0,
    min_gland: float = 0.2,
    label: str = 'grade',
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    subsets: Sequence[str] = GLAS_SUBSETS,
    progress: bool = True,
) -> ConversionResult:
    """Cut GlaS into labelled tiles, split by patient.

    Args:
        root (str | Path): The archive, see :func:`read_glas`; it is only read.
        out_dir (str | Path): Output folder: new, empty, or of the same conversion.
        tile (int): Side in px of the image, 0.62 um each. Defaults to 256.
        min_overlap (int): What neighbouring tiles share at least, px. Defaults to 0.
        min_gland (float): Least share of gland in a tile, 0 to 1. Defaults to 0.2.
        label (str): ``'grade'`` (benign, malignant) or ``'category'`` (the five gland types).
            Defaults to 'grade'.
        fractions (Sequence[float]): Of train, val and test. Defaults to 0.7, 0.15, 0.15.
        seed (int): Seed of the split. Defaults to 0.
        subsets (Sequence[str]): Which of the published sets. Defaults to all that are there.
        progress (bool): Show progress bars on a terminal. Defaults to True.

    Returns:
        ConversionResult: Manifest, rows, counts and summary.

    Raises:
        ConverterError: On anything in the inputs or arguments that cannot be used.
    """
    tile = check_size(tile, 'tile')
    if label not in LABELS:
        raise ConverterError(f'label is {label!r}; expected one of {", ".join(LABELS)}')
    if not 0 <= min_overlap < tile:
        raise ConverterError(f'overlap is {min_overlap} px; expected 0 to less than tile {tile}')
    if not 0 <= min_gland <= 1:
        raise ConverterError(f'least share of gland is {min_gland}; expected 0 to 1')
    fractions = check_fractions(fractions)
    images = read_glas(root, subsets)
    record = make_record(
        'glas tiles',
        {
            'tile': tile, 'min_overlap': min_overlap, 'min_gland': min_gland, 'label': label,
            'fractions': fractions, 'seed': seed,
        },
        {
            'images': digest_of(
                [[i.name, i.patient, i.grade, i.category, *file_digests([i.image, i.mask])]
                 for i in images]
            )
        },
    )  # fmt: skip
    out_dir = Path(out_dir)
    check_output(out_dir, record)
    counts: Counter = Counter({'images': len(images)})
    rows: List[Dict[str, object]] = []
    for item in tqdm(images, 'look', unit='image', disable=None if progress else True):
        rows += _plan(item, tile, min_overlap, min_gland, label, counts)
    if not rows:
        raise ConverterError(
            f'{root}: no tile of {tile} px holds {min_gland:.0%} gland; lower --min-gland or --tile'
        )
    sides = split_by_group([r['label'] for r in rows], [r['group'] for r in rows], fractions, seed)
    order = {name: number for number, name in enumerate(LABELS[label])}
    rows = [{**row, 'split': sides[row['group']]} for row in rows]
    rows.sort(key=lambda row: (order[row['label']], row['file']))
    waiting = set(begin_output(out_dir, record, [row['file'] for row in rows]))
    by_name = {item.name: item for item in images}
    todo: Dict[str, List[Dict[str, object]]] = {}
    for row in rows:
        if row['file'] in waiting:
            todo.setdefault(row['source'], []).append(row)
    for name, of_image in tqdm(todo.items(), 'cut', disable=None if progress else True):
        pixels = _load(load_image, by_name[name].image)
        for row in of_image:
            y, x = row['y'], row['x']
            write_png(
                out_dir / row['file'], np.ascontiguousarray(pixels[y : y + tile, x : x + tile])
            )
    manifest = write_manifest(out_dir / MANIFEST_NAME, rows, COLUMNS)
    counts['tiles in the output'] = len(rows)
    lines = split_table(rows, LABELS[label], fractions)
    lines += ['', *(f'{number:6d}  {name}' for name, number in counts.items() if number)]
    lines.append(f'{len(waiting)} tiles written, {len(rows) - len(waiting)} were there already')
    return ConversionResult(manifest, rows, dict(counts), lines)


def _load(read, path: Path) -> np.ndarray:
    try:
        return read(str(path), max_pixels=DEFAULT_MAX_PIXELS)
    except ImageFileError as error:
        raise ConverterError(str(error)) from error


def _plan(
    item: GlasImage, tile: int, min_overlap: int, min_gland: float, label: str, counts: Counter
) -> List[Dict[str, object]]:
    """Rows of the tiles of one image that hold enough gland, without their split."""
    gland = _load(load_mask, item.mask) > 0
    height, width = gland.shape
    header = _load(read_header, item.image)
    if (header.height, header.width) != gland.shape:
        raise ConverterError(
            f'{item.mask}: is {width}x{height} px, its image {header.width}x{header.height} px; '
            'copy the pair again'
        )
    turned = orientation_differs(header, _load(read_mask_header, item.mask))
    if turned:
        raise ConverterError(f'{item.image}: {turned}')
    if min(height, width) < tile:
        raise ConverterError(
            f'{item.image}: is {width}x{height} px, smaller than a tile of {tile} px; lower --tile'
        )
    name = getattr(item, label)
    rows = []
    for y, x in tile_grid(height, width, tile, min_overlap).tolist():
        share = float(gland[y : y + tile, x : x + tile].mean())
        if share < min_gland:
            counts['tiles with too little gland, left out'] += 1
            continue
        rows.append(
            {
                'file': f'{name}/{item.name}_y{y:04d}_x{x:04d}.png',
                'label': name,
                'group': item.patient,
                'source': item.name,
                'x': x,
                'y': y,
                'gland': f'{share:.3f}',
                'width': tile,
                'height': tile,
            }
        )
    return rows
