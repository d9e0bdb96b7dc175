"""Read the annotations of the CRIC Cervix collection, as CSV or as JSON, and check every row."""

import json
from pathlib import Path, PurePosixPath
from typing import Dict, Iterator, List, Mapping, NamedTuple, Tuple

from cellgan_plugin.converters.common import (
    ConverterError,
    PathLike,
    finite_number,
    read_table,
    some_of,
)
from cellgan_plugin.datasets.classes import resolve_class

# From mild to severe; the rule by which a patch with several nuclei gets its class.
SEVERITY: Tuple[str, ...] = ('NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL', 'SCC')
_COLUMNS = ('image_filename', 'cell_id', 'bethesda_system', 'nucleus_x', 'nucleus_y')
_CELL_KEYS = _COLUMNS[1:]


class Nucleus(NamedTuple):
    """One annotated nucleus; ``x`` and ``y`` in px of the annotation's own frame."""

    field: str
    cell_id: int
    label: str
    x: float
    y: float


def read_annotations(path: PathLike) -> List[Nucleus]:
    """Read ``classifications.csv`` or the archive's JSON.

    Args:
        path (str | Path): A ``.csv`` with the columns ``image_filename, cell_id, bethesda_system,
            nucleus_x, nucleus_y`` (others are ignored), or a ``.json`` that holds a list of
            images, each with ``image_name`` (or ``image_filename``; else ``image_id`` plus
            ``.png``) and ``classifications``, a list of cells with the last four of these keys.

    Returns:
        list[Nucleus]: Sorted by field and cell id: CSV and JSON give the same list.

    Raises:
        ConverterError: On an unreadable file, a missing column or key, a file name with folders in
            it, an unknown class, a coordinate that is no number or is negative, a cell id that is
            no whole number or is met twice, or a file without a cell.
    """
    path = Path(path)
    if not path.is_file():
        raise ConverterError(f'{path}: no such annotation file (expected .csv or .json)')
    entries = _read_json(path) if path.suffix.lower() == '.json' else read_table(path, _COLUMNS)
    nuclei: List[Nucleus] = []
    problems: List[str] = []
    first_seen: Dict[int, str] = {}
    for where, row in entries:
        try:
            nucleus = _parse(row)
        except ValueError as error:
            problems.append(f'{where}: {error}')
            continue
        other = first_seen.setdefault(nucleus.cell_id, where)
        if other is not where:
            problems.append(f'{where}: cell_id {nucleus.cell_id} was already used in {other}')
            continue
        nuclei.append(nucleus)
    if problems:
        raise ConverterError(
            f'{path}: {len(problems)} row(s) cannot be used: {some_of(problems, 3)}. '
            'Mend or remove them'
        )
    if not nuclei:
        raise ConverterError(f'{path}: no annotated cell in it')
    return sorted(nuclei, key=lambda n: (n.field, n.cell_id))


def _parse(row: Mapping[str, object]) -> Nucleus:
    name = str(row['image_filename']).strip()
    if name[:1] in ('', '.') or any(mark in name for mark in '/\\:') or not name.isprintable():
        raise ValueError(f'image file name {name!r} is not a plain name; paths are refused')
    if not PurePosixPath(name).suffix:
        raise ValueError(f'image file name {name!r} has no suffix such as .png')
    try:
        cell_id = int(str(row['cell_id']).strip())
    except ValueError:
        cell_id = -1
    if not 0 <= cell_id < 10**12:
        raise ValueError(f'cell_id {row["cell_id"]!r} is not a whole number from 0 to 10^12')
    label = resolve_class(str(row['bethesda_system']).strip(), SEVERITY)
    if label is None:
        raise ValueError(
            f'bethesda_system {row["bethesda_system"]!r} is unknown; expected one of '
            f'{", ".join(SEVERITY)} or "Negative for intraepithelial lesion"'
        )
    position = []
    for key in ('nucleus_x', 'nucleus_y'):
        value = finite_number(row[key], key)
        if value < 0:
            raise ValueError(f'{key} is {row[key]!r}; expected a number of px >= 0')
        position.append(value)
    return Nucleus(name, cell_id, label, *position)


def _read_json(path: Path) -> Iterator[Tuple[str, Mapping[str, object]]]:
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        raise ConverterError(f'{path}: not readable as JSON ({error})') from error
    if not isinstance(content, list):
        raise ConverterError(f'{path}: expected a list of images, got {type(content).__name__}')
    for number, image in enumerate(content):
        where = f'image {number}'
        if not isinstance(image, dict) or not isinstance(image.get('classifications'), list):
            raise ConverterError(f'{path}, {where}: expected an object with a list classifications')
        name = image.get('image_name') or image.get('image_filename')
        if name is None and image.get('image_id') is not None:
            name = f'{image["image_id"]}.png'
        if name is None:
            raise ConverterError(
                f'{path}, {where}: none of image_name, image_filename, image_id; its keys are '
                f'{some_of(sorted(image), 8)}'
            )
        for index, cell in enumerate(image['classifications']):
            spot = f'{where} ({name}), cell {index}'
            missing = [
                key for key in _CELL_KEYS if not isinstance(cell, dict) or cell.get(key) is None
            ]
            if missing:
                raise ConverterError(f'{path}, {spot}: key {", ".join(missing)} is missing')
            yield spot, {**cell, 'image_filename': name}
