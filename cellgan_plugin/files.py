"""Files that are written whole or not at all."""

import contextlib
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import IO, Any, Callable, Iterator, Optional, Union

# File systems take names of 255 bytes; some, over encrypted disks, 143. A shorter name has room
# for what a temporary one adds.
_ROOMY = 120


def _temporary_name(name: str) -> str:
    """A hidden name for the file while it is written; no longer than a name near the limit."""
    token = uuid.uuid4().hex[:12]
    if len(os.fsencode(name)) > _ROOMY:
        name = os.fsencode(name)[:_ROOMY].decode('utf-8', 'ignore')
    return f'.{name}.{token}.tmp'


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
    """Write a value as JSON, whole or not at all.

    Args:
        path (str | Path): Where the file goes.
        value (Any): Plain values.
        default (Callable, optional): See :func:`json.dump`. Defaults to None.

    Returns:
        Path: ``path``.
    """
    with atomic_write(path, 'w', encoding='utf-8') as file:
        json.dump(value, file, indent=1, ensure_ascii=False, default=default)
        file.write('\n')
    return Path(path)


def file_sha256(path: Union[str, Path]) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
