"""Files that are written whole or not at all."""

import contextlib
import csv
import hashlib
import json
import os
import re
import uuid
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Union

import numpy as np
from mmengine.logging import print_log

# What atomic_write leaves behind when its process is killed.
_TEMPORARY = re.compile(r'\..*\.[0-9a-f]{12}\.tmp', re.DOTALL)
# Folders that this project's tools keep beside class folders.
TRUTH_FOLDER, SCORES_FOLDER, OVERVIEW_FOLDER = '_truth', '_scores', '_overview'
# What says something about the images and is none: Hugging Face datasets passes over such a name.
ABOUT_FOLDER = '__about__'
OWN_FOLDERS = (TRUTH_FOLDER, SCORES_FOLDER, OVERVIEW_FOLDER, ABOUT_FOLDER)
# What systems and archives leave in folders; a name with a dot in front is hidden anyway.
_LEFT_BY_SYSTEMS = {
    '__macosx', 'thumbs.db', 'ehthumbs.db', 'desktop.ini', '@eadir', '$recycle.bin',
    'system volume information', 'lost+found',
}  # fmt: skip
# File systems take names of 255 bytes; some, over encrypted disks, 143. A shorter name has room
# for what a temporary one adds.
_ROOMY = 120


def _temporary_name(name: str) -> str:
    """A hidden name for the file while it is written; no longer than a name near the limit."""
    token = uuid.uuid4().hex[:12]
    if len(os.fsencode(name)) > _ROOMY:
        name = os.fsencode(name)[:_ROOMY].decode('utf-8', 'ignore')
    return f'.{name}.{token}.tmp'


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over for its name alone.

    Names with a dot in front, what systems leave (``__MACOSX``, ``Thumbs.db``), and this project's
    own folders. An underscore in front hides nothing: cameras write ``_DSC0001.JPG``.
    """
    return name.startswith('.') or name in OWN_FOLDERS or name.casefold() in _LEFT_BY_SYSTEMS


@contextlib.contextmanager
def atomic_write(path: Union[str, Path], mode: str = 'wb', **open_kwargs) -> Iterator[IO]:
    """Open a temporary file that replaces ``path`` when the block ends without an error.

    The file is flushed to the disk (fsync) before the rename, so after a crash ``path`` holds
    either its former content or all of the new one. On an error the temporary file is removed and
    ``path`` is left as it was.

    Args:
        path (str | Path): Where the file goes. Missing parent folders are made.
        mode (str): ``'wb'`` or ``'w'``. Defaults to ``'wb'``.
        **open_kwargs: Passed to :func:`open` (``encoding``, ``newline``).

    Yields:
        IO: The open temporary file.
    """
    if mode not in ('w', 'wb'):
        raise ValueError(f"atomic_write: mode must be 'w' or 'wb', got {mode!r}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_temporary_name(path.name))
    try:
        # An ordinary open(), for the permissions that it gives: tempfile makes private files, and
        # the umask cannot be asked for without setting it, which other threads would see.
        with open(temporary, mode.replace('w', 'x'), **open_kwargs) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def write_json(
    path: Union[str, Path], value: Any, default: Optional[Callable[[Any], Any]] = None
) -> Path:
    """Write plain values (``default`` as of :func:`json.dump`) as JSON, whole or not at all."""
    with atomic_write(path, 'w', encoding='utf-8') as file:
        json.dump(value, file, indent=1, ensure_ascii=False, default=default)
        file.write('\n')
    return Path(path)


def write_rows(
    path: Union[str, Path], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> Path:
    """Write mappings as a CSV table, whole or not at all; a missing column is left empty.

    Raises:
        ValueError: A row has a key that is no column.
    """
    with atomic_write(path, 'w', encoding='utf-8', newline='') as file:
        writer = csv.DictWriter(file, columns, lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
    return Path(path)


def is_temporary(path: Union[str, Path]) -> bool:
    """Whether a file is what :func:`atomic_write` leaves behind when its process is killed."""
    return _TEMPORARY.fullmatch(Path(path).name) is not None


def remove_temporary(
    folder: Union[str, Path], deep: bool = False, prefixes: Sequence[str] = ('',)
) -> int:
    """Remove what killed writers left behind; for who alone writes these files.

    Args:
        folder (str | Path): A folder of this program's own output; it may be missing.
        deep (bool): Its folders as well. Defaults to False.
        prefixes (Sequence[str]): How the names begin of the files that were to be written.
            Defaults to all.

    Returns:
        int: Number of files removed.
    """
    removed, wanted = 0, tuple(f'.{prefix}' for prefix in prefixes)
    for place, folders, names in os.walk(folder):
        for name in names:
            if is_temporary(name) and name.startswith(wanted):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(place, name))
                    removed += 1
        if not deep:
            folders.clear()
    return removed


def file_sha256(path: Union[str, Path]) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_arrays(path: Union[str, Path]) -> Optional[Dict[str, np.ndarray]]:
    """Arrays of an NPZ file that can be computed again.

    Returns:
        dict | None: None when there is no file, or when it is damaged, which is said.
    """
    path = Path(path)
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if str(arrays.pop('seal', None)) != _seal(arrays):
            raise ValueError('its content was changed, or is of another version')
        return arrays
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile,
            zlib.error) as error:  # fmt: skip
        say_damaged(path, (str(error).splitlines() or [type(error).__name__])[0])
        return None


def say_damaged(path: Union[str, Path], reason: str) -> None:
    """Say that a file that keeps results cannot be used."""
    print_log(f'{path} is damaged ({reason}); what it kept is computed again', 'current', 30)


def write_arrays(path: Union[str, Path], **arrays: np.ndarray) -> None:
    """Write an NPZ file for :func:`read_arrays`, whole or not at all."""
    with atomic_write(path) as file:
        np.savez(file, seal=np.array(_seal(arrays)), **arrays)


def _seal(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f'{name} {array.dtype.str} {array.shape} '.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
