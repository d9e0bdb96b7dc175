"""The manifest that travels with every folder of images: one CSV row per image.

Columns ``file`` (POSIX path relative to the manifest's folder) and ``label`` are required;
``split`` (``train``, ``val``, ``test``) and ``group`` (slide, field or patient: never on both
sides of a split) are understood; any further column is kept as it is. Lines before the header that
start with ``#`` are comments; ``# classes: NAME, NAME`` gives the order of the classes.
"""

import csv
from array import array
from pathlib import Path, PurePosixPath
from typing import IO, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.datasets.file_names import nfc
from cellgan_plugin.files import write_rows

MANIFEST_NAME = 'manifest.csv'
REQUIRED_COLUMNS = ('file', 'label')
_CLASSES = 'classes:'
_LONGEST_LINE = 1 << 16


class ManifestError(ValueError):
    """A manifest that cannot be used. The message names file, row, problem and next step."""


def write_manifest(
    path: Union[str, Path], rows: Sequence[Dict[str, object]], columns: Iterable[str]
) -> Path:
    """Write one row per image, whole or not at all; ``columns`` begin with ``file, label``.

    Keys outside ``columns`` are refused (ValueError).
    """
    columns = list(columns)
    if tuple(columns[:2]) != REQUIRED_COLUMNS:
        raise ValueError(f'the first columns of a manifest are file, label; got {columns}')
    return write_rows(path, columns, rows)


def clean_relative_path(name: str) -> Optional[str]:
    """Normalise a path found in a list or manifest.

    Args:
        name (str): The path as written; backslashes are read as slashes.

    Returns:
        str | None: The POSIX path relative to the data folder, in composed Unicode (see
        :func:`~cellgan_plugin.datasets.file_names.on_disk`), or None when it is absolute, has a
        drive or ``..``, or is empty: it would leave the folder.
    """
    name = nfc(name.strip().replace('\\', '/'))
    if '\0' in name or ':' in name.partition('/')[0]:
        return None
    # Few names need the slow way, and lists have up to a million rows.
    if (
        '..' not in name
        and './' not in name
        and '//' not in name
        and name[:1] not in ('/', '', '.')
    ):
        return name.rstrip('/')
    path = PurePosixPath(name)
    if path.is_absolute() or '..' in path.parts or not path.parts:
        return None
    return str(path)


def skip_comments(file: IO[str]) -> List[str]:
    """Read the comments before the header; the file then stands at the header.

    Args:
        file (IO[str]): A manifest at its begin, seekable.

    Returns:
        list[str]: The lines, without ``#``.
    """
    lines = []
    while True:
        here = file.tell()
        line = file.readline(_LONGEST_LINE)
        if not line.startswith('#'):
            file.seek(here)
            return lines
        lines.append(line[1:].strip())


def manifest_classes(path: Union[str, Path]) -> Optional[List[str]]:
    """Class names in the order of the manifest's comment ``# classes: NAME, NAME``.

    Returns:
        list[str] | None: None where no comment names them.

    Raises:
        ManifestError: The manifest is no text.
    """
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            comments = skip_comments(file)
    except UnicodeDecodeError as error:
        raise ManifestError(f'{path}: not UTF-8 text ({error}); save it as UTF-8') from error
    for comment in comments:
        if comment.lower().startswith(_CLASSES):
            # A spreadsheet that saved the file pads every line with commas.
            names = next(csv.reader([comment[len(_CLASSES) :]], skipinitialspace=True), [])
            return [name.strip() for name in names if name.strip()]
    return None


def manifest_header(path: Union[str, Path]) -> Optional[List[str]]:
    """Columns of a CSV file; None where there is no such file.

    A file that is no text, or empty, has none: who reads it says what is wrong.
    """
    if not Path(path).is_file():
        return None
    with open(path, encoding='utf-8-sig', errors='replace', newline='') as file:
        skip_comments(file)
        # R and pandas may quote every field.
        return next(csv.reader([file.readline(_LONGEST_LINE)]), [])


def iter_manifest(
    path: Union[str, Path], required: Sequence[str] = REQUIRED_COLUMNS
) -> Iterator[Tuple[int, Dict[str, str]]]:
    """Read a manifest row by row; see :func:`read_manifest` for what is checked.

    Args:
        path (str | Path): The CSV file.
        required (Sequence[str]): Columns that must be there and filled in every row; ``file``
            always is. Defaults to ``file, label``.

    Yields:
        tuple[int, dict[str, str]]: Line number and row. A file that is named twice is found after
        the last one.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(f'{path}: no such manifest')
    # A number per row, not a dictionary of names: a million rows would take 120 MB of it.
    seen = array('q')
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            comments = len(skip_comments(file))
            reader = csv.reader(file)
            header = next(reader, [])
            required = ('file', *(name for name in required if name != 'file'))
            missing = [name for name in required if name not in header]
            if missing:
                raise ManifestError(
                    f'{path}: column {", ".join(missing)} is missing; the header is '
                    f'{header}. A manifest starts with "{",".join(required)}".'
                )
            if len(set(header)) != len(header):
                raise ManifestError(f'{path}: a column is named twice in the header {header}')
            for fields in reader:
                if not fields:  # a blank line, as DictReader skips it
                    continue
                line = comments + reader.line_num
                where = f'{path}, row {line}'
                if len(fields) != len(header):
                    raise ManifestError(f"{where}: the number of fields differs from the header's")
                row = dict(zip(header, fields, strict=True))
                for name in required:
                    if not row[name].strip():
                        raise ManifestError(f'{where}: {name} is empty')
                key = clean_relative_path(row['file'])
                if key is None:
                    raise ManifestError(
                        f'{where}: {row["file"]!r} leaves the folder of the manifest; paths are '
                        'relative to it and have no ".."'
                    )
                seen.append(hash(key))
                row['file'] = key
                yield line, row
    except UnicodeDecodeError as error:
        raise ManifestError(f'{path}: not UTF-8 text ({error}); save it as UTF-8') from error
    except csv.Error as error:
        raise ManifestError(f'{path}: not readable as CSV ({error})') from error
    if not seen:
        raise ManifestError(f'{path}: no row below the header')
    _refuse_repeated(path, seen)


def _refuse_repeated(path: Path, seen: array) -> None:
    """Raise for the first file that is named twice; the file is read again only if one may be.

    Args:
        path (Path): A manifest that has been read to its end.
        seen (array): Hashes of its cleaned file names, in order.
    """
    hashes = np.sort(np.frombuffer(seen, dtype=np.int64))
    repeated = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    if not repeated:
        return
    first_row: Dict[str, int] = {}
    with open(path, encoding='utf-8-sig', newline='') as file:
        comments = len(skip_comments(file))
        reader = csv.reader(file)
        column = next(reader).index('file')
        for fields in filter(None, reader):
            key = clean_relative_path(fields[column])
            line = comments + reader.line_num
            if hash(key) in repeated and first_row.setdefault(key, line) != line:
                raise ManifestError(
                    f'{path}, row {line}: {key} was already named in row {first_row[key]}'
                )


def read_manifest(path: Union[str, Path]) -> List[Dict[str, str]]:
    """Rows of a manifest in file order, checked in form (not whether the images exist).

    Raises:
        ManifestError: On a missing file, a missing column, a ragged row, an empty ``file`` or
            ``label``, a path that is absolute or leaves the folder, or a file named twice.
    """
    return [row for _, row in iter_manifest(path)]
