"""CRIC Cervix collection (fields with annotated nuclei) -> class folders of patches.

Rezende et al. 2021, Sci Data 8:151: conventional Pap smears, 400 fields, each nucleus annotated
with a Bethesda class and a position. By which rules a patch is cut and gets its class stands in
:mod:`cellgan_plugin.converters.cric_patches`.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from cellgan_plugin.converters.common import (
    DEFAULT_MAX_PIXELS,
    ConversionResult,
    ConverterError,
    PathLike,
    begin_output,
    check_classes,
    check_output,
    check_size,
    make_record,
    some_of,
    split_table,
)
from cellgan_plugin.converters.cric_annotations import (
    SEVERITY,
    Nucleus,
    read_annotations,
)
from cellgan_plugin.converters.cric_patches import plan_field
from cellgan_plugin.converters.cric_scale import (
    check_evidence,
    darkness_map,
    describe_mismatch,
    evidence_json,
    find_scale,
)
from cellgan_plugin.converters.splits import check_fractions, split_by_group
from cellgan_plugin.datasets.classes import BETHESDA_CLASSES, resolve_class
from cellgan_plugin.datasets.file_names import nfc, on_disk
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import ImageFileError, load_image
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.files import write_json
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.records import contents_of, digest_of

SCALE_NAME = 'scale_check.json'
COLUMNS = (
    'file', 'label', 'split', 'group', 'source_image', 'centre_cell_id', 'centre_class',
    'x0', 'y0', 'nuclei_inside',
)  # fmt: skip
# Decoded fields kept between the check and the cutting; beyond it a field is decoded again.
_CACHE_BYTES = 1 << 30
_BORDER_FRACTION = 16


@dataclass
class CricResult(ConversionResult):
    """What a conversion of CRIC made: a :class:`ConversionResult`, and the scale of its images.

    Attributes:
        scale (float): Image px per annotation px.
    """

    scale: float = field(kw_only=True)


@writes_folder('out_dir', deep=True)
def convert_cric(
    annotations: PathLike,
    image_dir: PathLike,
    out_dir: PathLike,
    *,
    size: int = 256,
    classes: Sequence[str] = BETHESDA_CLASSES,
    min_distance: Optional[float] = None,
    border: Optional[int] = None,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    scale: Optional[float] = None,
    skip_missing: bool = False,
    skip_mismatched: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: bool = True,
) -> CricResult:
    """Cut the collection into labelled patches, split by field.

    Args:
        annotations (str | Path): ``classifications.csv`` or the archive's JSON.
        image_dir (str | Path): Folder of the field images.
        out_dir (str | Path): Output folder: new, empty, or of the same conversion.
        size (int): Side of a patch in image px. Defaults to 256.
        classes (Sequence[str]): Classes to keep. Defaults to the five of the paper, without SCC.
        min_distance (float, optional): Least distance of two patch centres of one class in a
            field, in image px. Defaults to ``size / 2``.
        border (int, optional): Width in image px of the band at the patch edge in which a nucleus
            counts as cut. Defaults to ``size / 16``, about the radius of a nucleus at size 256.
        fractions (Sequence[float]): Of train, val and test. Defaults to 0.7, 0.15, 0.15.
        seed (int): Seed of the split. Defaults to 0.
        scale (float, optional): Image px per annotation px. Defaults to None: found on the images.
            A given scale is evaluated too, but a mismatch is only reported.
        skip_missing (bool): Leave out fields without an image file. Defaults to False: refuse.
        skip_mismatched (bool): Leave out fields whose annotated spots are not dark. Defaults to
            False: refuse.
        max_pixels (int): Largest field in px, width x height. Defaults to 64 million.
        progress (bool): Show progress bars on a terminal. Defaults to True.

    Returns:
        CricResult: Manifest, counts and summary.

    Raises:
        ConverterError: On anything in the inputs or arguments that cannot be used.
    """
    size = check_size(size)
    border = size // _BORDER_FRACTION if border is None else border
    min_distance = size / 2 if min_distance is None else float(min_distance)
    if not 0 <= border < size / 2:
        raise ConverterError(f'border is {border} px; expected 0 to less than half of size {size}')
    if not np.isfinite(min_distance) or min_distance < 0:
        raise ConverterError(f'min distance is {min_distance}; expected a number of px >= 0')
    if scale is not None and not (np.isfinite(scale) and 0.01 <= scale <= 100):
        raise ConverterError(f'scale is {scale}; expected image px per annotation px, e.g. 0.925')
    fractions = check_fractions(fractions)
    classes = _resolve_classes(classes)
    nuclei = read_annotations(annotations)
    images, missing = _find_images(Path(image_dir), nuclei, skip_missing)

    record = make_record(
        'cric',
        {
            'size': size, 'classes': classes, 'min_distance': min_distance, 'border': border,
            'fractions': fractions, 'seed': seed, 'scale': scale, 'skip_missing': skip_missing,
            'skip_mismatched': skip_mismatched,
        },
        {
            'annotations': digest_of(nuclei),
            'images': digest_of(contents_of(images)),
        },
    )  # fmt: skip
    out_dir = Path(out_dir)
    resumed = check_output(out_dir, record)

    by_field: Dict[str, List[Nucleus]] = {name: [] for name in images}
    for nucleus in nuclei:
        if nucleus.field in by_field:
            by_field[nucleus.field].append(nucleus)
    loader = _Loader(images, max_pixels)
    check = _former_check(out_dir) if resumed else None
    if check is None:
        check = _check_scale(by_field, loader, scale, skip_mismatched, progress)
    for name in check['left_out']:
        del by_field[name]

    counts = Counter({'nuclei annotated': len(nuclei)})
    counts['in a field without image'] = sum(n.field in set(missing) for n in nuclei)
    counts['in a field that does not match'] = sum(
        n.field in set(check['left_out']) for n in nuclei
    )
    rows: List[Dict[str, object]] = []
    for name, members in by_field.items():
        width, height = check['sizes'][name]
        rows += plan_field(
            members, check['scale'], (width, height), size, border, min_distance, classes, counts
        )
    counts['patches'] = len(rows)
    if not rows:
        raise ConverterError(
            f'no patch is left of {len(nuclei)} nuclei ({_counts_text(counts)}); widen --classes '
            'or lower --size, --border or --min-distance'
        )
    sides = split_by_group([r['label'] for r in rows], [r['group'] for r in rows], fractions, seed)
    rows = [{**row, 'split': sides[row['group']]} for row in rows]
    rows.sort(key=lambda row: (classes.index(row['label']), row['file']))

    waiting = set(begin_output(out_dir, record, [row['file'] for row in rows]))
    write_json(out_dir / SCALE_NAME, check)
    _cut([row for row in rows if row['file'] in waiting], loader, out_dir, size, progress)
    manifest = write_manifest(out_dir / MANIFEST_NAME, rows, COLUMNS)
    result = CricResult(manifest, rows, dict(counts), scale=check['scale'])
    result.lines = _summary(result, check, classes, fractions, missing, len(waiting))
    return result


def _resolve_classes(classes: Sequence[str]) -> Tuple[str, ...]:
    names = []
    for name in classes:
        known = resolve_class(name, SEVERITY)
        if known is None:
            raise ConverterError(
                f'class {name!r} is not in the collection; choose from {", ".join(SEVERITY)}'
            )
        names.append(known)
    return check_classes(names)


def _find_images(
    image_dir: Path, nuclei: Sequence[Nucleus], skip_missing: bool
) -> Tuple[Dict[str, Path], List[str]]:
    if not image_dir.is_dir():
        raise ConverterError(f'{image_dir}: no such image folder')
    names = sorted({nucleus.field for nucleus in nuclei})
    folded: Dict[str, str] = {}
    for name in names:
        other = folded.setdefault(nfc(Path(name).stem).casefold(), name)
        if other != name:
            raise ConverterError(
                f'the annotations name {other!r} and {name!r}, which would give patches of one '
                'name; rename one of them'
            )
    paths = {name: image_dir / on_disk(image_dir, name) for name in names}
    images = {name: path for name, path in paths.items() if path.is_file()}
    missing = [name for name in names if name not in images]
    if missing and not (skip_missing and images):
        raise ConverterError(
            f'{image_dir}: {len(missing)} of {len(names)} annotated fields have no image file: '
            f'{some_of(missing)}; complete the folder, or leave them out with --skip-missing'
        )
    return images, missing


class _Loader:
    """Decodes fields, and keeps as many as fit into the cache."""

    def __init__(self, images: Dict[str, Path], max_pixels: int):
        self.images, self.max_pixels = images, max_pixels
        self.cache: Dict[str, np.ndarray] = {}
        self.free = _CACHE_BYTES

    def load(self, name: str) -> np.ndarray:
        if name in self.cache:
            return self.cache[name]
        try:
            image = load_image(str(self.images[name]), max_pixels=self.max_pixels)
        except ImageFileError as error:
            raise ConverterError(str(error)) from error
        if image.nbytes <= self.free:
            self.cache[name] = image
            self.free -= image.nbytes
        return image


def _check_scale(
    by_field: Dict[str, List[Nucleus]],
    loader: _Loader,
    scale: Optional[float],
    skip_mismatched: bool,
    progress: bool,
) -> Dict[str, object]:
    """Decode every field, find or check the scale, and refuse what does not match."""
    maps, sizes, broken = {}, {}, []
    seen: Dict[str, str] = {}
    for name in tqdm(by_field, 'check', unit='field', disable=None if progress else True):
        try:
            image = loader.load(name)
        except ConverterError as error:
            broken.append(str(error))
            continue
        twin = seen.setdefault(hashlib.sha256(image).hexdigest(), name)
        if twin != name:
            # Two groups for one image could lie on two sides of the split.
            broken.append(f'{name} is the same image as {twin}')
        sizes[name] = [image.shape[1], image.shape[0]]
        maps[name] = darkness_map(image)
    if broken:
        raise ConverterError(f'{len(broken)} image(s) cannot be used: {some_of(broken, 3)}')
    positions = {
        name: np.array([(n.x, n.y) for n in members]) for name, members in by_field.items()
    }
    evidence = find_scale(maps, positions, scale)
    left_out: List[str] = []
    warning = ''
    if scale is None:
        left_out = check_evidence(evidence)
        if left_out and not skip_mismatched:
            raise ConverterError(
                f'{len(left_out)} of {len(by_field)} fields do not match their annotations at '
                f'scale {evidence.scale:.4f}, at which the others do: '
                f'{describe_mismatch(evidence, left_out)}. Are these images swapped, turned or of '
                'another size? Mend them, or leave them out with --skip-mismatched'
            )
    else:
        try:
            odd = check_evidence(evidence)
        except ConverterError:
            odd = sorted(evidence.fields)
        if odd:
            warning = (
                f'at the given scale {scale} the annotated spots of {len(odd)} fields are not '
                f'dark: {describe_mismatch(evidence, odd)}'
            )
    kept = {name: members for name, members in by_field.items() if name not in left_out}
    _check_inside(kept, sizes, evidence.scale)
    return {
        **evidence_json(evidence),
        'given': scale is not None,
        'warning': warning,
        'left_out': left_out,
        'sizes': sizes,
    }


def _check_inside(
    by_field: Dict[str, List[Nucleus]], sizes: Dict[str, List[int]], scale: float
) -> None:
    outside = [
        f'cell {n.cell_id} at ({n.x:g}, {n.y:g}) in {name} ({sizes[name][0]}x{sizes[name][1]} px)'
        for name, members in by_field.items()
        for n in members
        # A found scale is good to some tenths of a percent.
        if n.x * scale > sizes[name][0] * 1.005 or n.y * scale > sizes[name][1] * 1.005
    ]
    if outside:
        raise ConverterError(
            f'{len(outside)} annotated nuclei lie outside their image at scale {scale:.4f}: '
            f'{some_of(outside, 3)}; mend or remove these rows'
        )


def _former_check(out_dir: Path) -> Optional[Dict[str, object]]:
    """The evidence of the interrupted run, if it got so far (the record proves equal inputs)."""
    try:
        check = json.loads((out_dir / SCALE_NAME).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    needed = ('scale', 'sizes', 'left_out', 'given', 'warning', 'z', 'darkness_at_nuclei')
    return check if isinstance(check, dict) and all(key in check for key in needed) else None


def _cut(
    rows: Iterable[Dict[str, object]], loader: _Loader, out_dir: Path, size: int, progress: bool
) -> None:
    """Write patches, field by field."""
    by_field: Dict[str, List[Dict[str, object]]] = {}
    for row in rows:
        by_field.setdefault(row['source_image'], []).append(row)
    for name in tqdm(by_field, 'cut', unit='field', disable=None if progress else True):
        image = loader.load(name)
        for row in by_field[name]:
            window = image[row['y0'] : row['y0'] + size, row['x0'] : row['x0'] + size]
            write_png(out_dir / row['file'], np.ascontiguousarray(window))
        loader.cache.pop(name, None)


def _counts_text(counts: Counter) -> str:
    return ', '.join(f'{name}: {number}' for name, number in counts.items() if number)


def _summary(
    result: CricResult,
    check: Dict[str, object],
    classes: Sequence[str],
    fractions: Sequence[float],
    missing: Sequence[str],
    written: int,
) -> List[str]:
    lines = split_table(result.rows, classes, fractions)
    how = 'given' if check['given'] else 'found on the images'
    lines += [
        '',
        f'scale {check["scale"]:.4f} image px per annotation px ({how}): annotated spots are '
        f'darker than {check["darkness_at_nuclei"]:.0%} of their field, shifted ones than '
        f'{check["darkness_at_shifted_positions"]:.0%} (z = {check["z"]:.1f})',
    ]
    if check['warning']:
        lines.append(f'WARNING: {check["warning"]}')
    lines.append('')
    lines += [f'{number:6d}  {name}' for name, number in result.counts.items() if number]
    left_out = [name for name in SEVERITY if name not in classes]
    if left_out:
        lines.append(f'left out unless asked with --classes: {", ".join(left_out)}')
    if missing:
        lines.append(f'fields without image, left out: {some_of(missing)}')
    if check['left_out']:
        lines.append(f'fields that do not match, left out: {some_of(check["left_out"])}')
    lines.append(f'{written} patches written, {len(result.rows) - written} were there already')
    return lines
