"""The manifest that travels with every folder of images: one CSV row per image.

Columns ``file`` (POSIX path relative to the manifest's folder) and ``label`` are required;
``split`` (``train``, ``val``, ``test``) and ``group`` (slide, field or patient: never on both
sides of a split) are understood; any further column is kept as it is.
"""

import csv
from pathlib import Path, PurePosixPath
from typing import Dict, Iterable, List, Sequence, Union

from cellgan_plugin.files import atomic_write

MANIFEST_NAME = 'manifest.csv'
REQUIRED_COLUMNS = ('file', 'label')


class ManifestError(ValueError):
    """A manifest that cannot be used. The message names file, row, problem and next step."""


def write_manifest(
    path: Union[str, Path], rows: Sequence[Dict[str, object]], columns: Iterable[str]
) -> Path:
    """Write a manifest, whole or not at all.

    Args:
        path (str | Path): The CSV file to write.
        rows (Sequence[dict]): One mapping per image; keys outside ``columns`` are refused.
        columns (Iterable[str]): Column order; must start with ``file, label``.

    Returns:
        Path: ``path``.
    """
    columns = list(columns)
    if tuple(columns[:2]) != REQUIRED_COLUMNS:
        raise ValueError(f'the first columns of a manifest are file, label; got {columns}')
    with atomic_write(path, 'w', encoding='utf-8', newline='') as file:
        writer = csv.DictWriter(file, columns, lineterminator='\n', extrasaction='raise')
        writer.writeheader()
        writer.writerows(rows)
    return Path(path)


def read_manifest(path: Union[str, Path]) -> List[Dict[str, str]]:
    """Read a manifest and check its form (not whether the images exist).

    Args:
        path (str | Path): The CSV file, UTF-8 with or without a byte-order mark.

    Returns:
        list[dict[str, str]]: One mapping per row, in file order.

    Raises:
        ManifestError: On a missing file, a missing column, a ragged row, an empty ``file`` or
            ``label``, a path that is absolute or leaves the folder, or a file named twice.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(f'{path}: no such manifest')
    rows: List[Dict[str, str]] = []
    first_row: Dict[str, int] = {}
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            reader = csv.DictReader(file)
            missing = [name for name in REQUIRED_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise ManifestError(
                    f'{path}: column {", ".join(missing)} is missing; the header is '
                    f'{reader.fieldnames}. A manifest starts with "file,label".'
                )
            for row in reader:
                where = f'{path}, row {reader.line_num}'
                if None in row or None in row.values():
                    raise ManifestError(f"{where}: the number of fields differs from the header's")
                for name in REQUIRED_COLUMNS:
                    if not row[name].strip():
                        raise ManifestError(f'{where}: {name} is empty')
                name = PurePosixPath(row['file'].replace('\\', '/'))
                if name.is_absolute() or '..' in name.parts or ':' in name.parts[0]:
                    raise ManifestError(
                        f'{where}: {row["file"]!r} leaves the folder of the manifest; paths are '
                        'relative to it and have no ".."'
                    )
                key = str(name)
                if key in first_row:
                    raise ManifestError(f'{where}: {key} was already named in row {first_row[key]}')
                first_row[key] = reader.line_num
                rows.append({**row, 'file': key})
    except UnicodeDecodeError as error:
        raise ManifestError(f'{path}: not UTF-8 text ({error}); save it as UTF-8') from error
    except csv.Error as error:
        raise ManifestError(f'{path}: not readable as CSV ({error})') from error
    if not rows:
        raise ManifestError(f'{path}: no row below the header')
    return rows
