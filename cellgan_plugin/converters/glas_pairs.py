"""GlaS -> image + mask pairs with a manifest.

::

    out/
      conversion.json     the converter, its parameters and a digest of its inputs
      manifest.csv        file, label (grade), mask, split, group (patient), category, subset, ...
      images/*.png        8-bit RGB, as published
      masks/*.png         8-bit instance ids, 0 = background
"""

from collections import Counter
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from cellgan_plugin.converters.common import (
    ConversionResult,
    ConverterError,
    PathLike,
    begin_output,
    check_output,
    make_record,
    some_of,
    split_table,
)
from cellgan_plugin.converters.glas import (
    GLAS_CATEGORIES,
    GLAS_GRADES,
    GLAS_SUBSETS,
    GlasImage,
    count_patients,
    read_glas,
)
from cellgan_plugin.converters.splits import check_fractions, split_by_group
from cellgan_plugin.datasets.content_hash import content_hash
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import ImageFileError, load_image, read_header
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.datasets.mask_io import load_mask, orientation_differs, read_mask_header
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.records import digest_of

SPLIT_RULES = ('published', 'patient')
COLUMNS = (
    'file', 'label', 'mask', 'split', 'group', 'category', 'subset', 'glands', 'width', 'height',
)  # fmt: skip


@writes_folder('out_dir', deep=True)
def convert_glas(
    root: PathLike,
    out_dir: PathLike,
    *,
    split_by: str = 'published',
    fractions: Sequence[float] = (0.6, 0.0, 0.4),
    seed: int = 0,
    subsets: Sequence[str] = GLAS_SUBSETS,
    progress: bool = True,
) -> ConversionResult:
    """Convert GlaS to pairs that :class:`~cellgan_plugin.datasets.TissueMaskDataset` reads.

    Args:
        root (str | Path): See :func:`read_glas`; it is only read.
        out_dir (str | Path): Output folder: new, empty, or of the same conversion.
        split_by (str): ``'published'``: the splits are ``train``, ``testA`` and ``testB`` of the
            challenge, which share patients. ``'patient'``: ``train``, ``val`` and ``test`` with
            every patient on one side; the published subset stays in the column ``subset``.
            Defaults to 'published'.
        fractions (Sequence[float]): Of train, val and test, with ``split_by='patient'``. Defaults
            to 0.6, 0, 0.4: as the challenge has them.
        seed (int): Of the split by patient. Defaults to 0.
        subsets (Sequence[str]): What to take of ``'train'``, ``'testA'``, ``'testB'``.
        progress (bool): Show progress bars on a terminal. Defaults to True.

    Returns:
        ConversionResult: Manifest, rows, summary.

    Raises:
        ConverterError: On anything in the inputs or arguments that cannot be used.
    """
    if split_by not in SPLIT_RULES:
        raise ConverterError(f'split_by is {split_by!r}; expected one of {", ".join(SPLIT_RULES)}')
    fractions = check_fractions(fractions)
    root, out_dir = Path(root), Path(out_dir)
    items = read_glas(root, subsets)
    inner, outer = items[0].image.parent.resolve(), out_dir.resolve()
    if inner == outer or outer in inner.parents:
        raise ConverterError(f'output {out_dir} holds the source {root}; put them side by side')
    found = _look_at(items, progress)
    by_patient = split_by == 'patient'
    record = make_record(
        'glas',
        {'split_by': split_by, **({'fractions': fractions, 'seed': seed} if by_patient else {})},
        {'pairs': digest_of([[i.name, i.patient, i.grade, i.category, found[i.name][0]]
                             for i in items])},
    )  # fmt: skip
    check_output(out_dir, record)
    sides = {item.name: item.split for item in items}
    if by_patient:
        of_patient = split_by_group(
            [item.grade for item in items], [item.patient for item in items], fractions, seed
        )
        sides = {item.name: of_patient[item.patient] for item in items}
    rows = [
        {
            'file': f'images/{item.name}.png',
            'label': item.grade,
            'mask': f'masks/{item.name}.png',
            'split': sides[item.name],
            'group': f'patient{int(item.patient):02d}',
            'category': item.category,
            'subset': item.split,
            'glands': found[item.name][1],
            'width': found[item.name][2][1],
            'height': found[item.name][2][0],
        }
        for item in items
    ]
    files = [row[key] for row in rows for key in ('file', 'mask')]
    waiting = set(begin_output(out_dir, record, files))
    for item, row in zip(
        tqdm(items, 'convert', unit='image', disable=None if progress else True), rows, strict=True
    ):
        # The mask first: an image on disk then has its mask.
        if row['mask'] in waiting or row['file'] in waiting:
            write_png(out_dir / row['mask'], load_mask(str(item.mask)))
            write_png(out_dir / row['file'], load_image(str(item.image)))
    manifest = write_manifest(out_dir / MANIFEST_NAME, rows, COLUMNS)
    counts = {'pairs': len(rows), 'glands': sum(row['glands'] for row in rows)}
    lines = _summary(items, rows, by_patient, fractions)
    lines.append(f'{counts["pairs"]} pairs, {counts["glands"]} glands')
    return ConversionResult(manifest, rows, counts, lines)


def _look_at(
    items: Sequence[GlasImage], progress: bool
) -> Dict[str, Tuple[str, int, Tuple[int, int]]]:
    """Decode every pair, before anything is written: digest, number of glands, size."""
    found, broken = {}, []
    for item in tqdm(items, 'check', unit='image', disable=None if progress else True):
        try:
            image, mask = load_image(str(item.image)), load_mask(str(item.mask))
            turned = orientation_differs(
                read_header(str(item.image)), read_mask_header(str(item.mask))
            )
        except ImageFileError as error:
            broken.append(str(error))
            continue
        if mask.shape != image.shape[:2]:
            broken.append(
                f'{item.mask}: is {mask.shape[1]}x{mask.shape[0]}, its image '
                f'{image.shape[1]}x{image.shape[0]}'
            )
            continue
        if turned:
            broken.append(f'{item.image}: {turned}')
            continue
        digest = digest_of([content_hash(image).hex(), mask.tobytes().hex()])
        found[item.name] = (digest, len(np.unique(mask[mask > 0])), mask.shape)
    if broken:
        raise ConverterError(f'{len(broken)} pair(s) cannot be used: {some_of(broken, 3)}')
    return found


def _summary(
    items: Sequence[GlasImage],
    rows: Sequence[Dict[str, object]],
    by_patient: bool,
    fractions: Sequence[float],
) -> List[str]:
    patients, shared = count_patients(items)
    lines = []
    if by_patient:
        lines += split_table(rows, GLAS_GRADES, fractions)
        lines.append(f'{patients} patients, none on two sides')
    else:
        counts = Counter((item.split, item.category) for item in items)
        lines += [
            f'{split}: {sum(item.split == split for item in items)} images, '
            + ', '.join(f'{counts[split, name]} {name}' for name in GLAS_CATEGORIES)
            for split in GLAS_SUBSETS
            if any(item.split == split for item in items)
        ]
        if shared:
            lines.append(
                f'WARNING: {shared} of the {patients} patients are in the training set AND in a '
                'test set of the published split: scores on testA and testB are of patients that '
                'were trained on. Use it to compare with published numbers, and --split-by patient '
                'for what a new patient would see'
            )
    return lines
