"""What a folder was made from, and who may continue it: one record, one rule for every output.

An output that can be continued says in one JSON file what it was made from: settings, weights, and
its inputs by their content (names, sizes and times of files say nothing). The rule:

- made from the same: it is continued;
- made from something else: it is refused, with what differs and the ways out;
- no record, and other files: it is refused, it is somebody else's;
- ``overwrite``: what was made from something else is deleted and made anew, never somebody else's.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Collection, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from mmengine.config import Config, ConfigDict

from cellgan_plugin.errors import OutputError, explained_output_errors
from cellgan_plugin.files import file_sha256, is_hidden, write_json
from cellgan_plugin.locks import LOCK_NAME
from cellgan_plugin.machine import usable_cores

PathLike = Union[str, Path]
_THREADS = 8
_SHOWN = 12  # differences
_DIGEST = re.compile('[0-9a-f]{32}|[0-9a-f]{64}')


class RecordError(ValueError):
    """A folder that was made from something else, or is somebody else's; says what to do."""


# Values and contents ------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Configs and tuples as dicts and lists; other objects as their text."""
    if isinstance(value, (Config, ConfigDict)):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def digest_of(value: Any) -> str:
    """32 hexadecimal digits, equal for equal plain values whatever the order of their keys."""
    text = json.dumps(plain(value), sort_keys=True, separators=(',', ':'))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def file_digests(paths: Iterable[PathLike]) -> List[str]:
    """SHA-256 of the bytes of every file, in order, on several threads.

    About 0.1 ms of one core per 100 kB, a twentieth of decoding them as PNG or JPEG.
    """
    with ThreadPoolExecutor(min(_THREADS, usable_cores())) as pool:
        return list(pool.map(file_sha256, paths))


def contents_of(files: Mapping[Any, PathLike]) -> Dict[Any, str]:
    """Name -> digest of its file, see :func:`file_digests`."""
    return dict(zip(files, file_digests(files.values()), strict=True))


def differences(there: Any, now: Any, grows: Collection[str] = (), where: str = '') -> List[str]:
    """Where two plain values differ, one line each: ``epochs: 30 there, 10 now``.

    Args:
        there (Any): The former value.
        now (Any): The new one.
        grows (Collection[str]): Dotted names of mappings of which either may have entries that the
            other lacks.
        where (str): Name of the values. Defaults to ''.
    """
    if isinstance(there, Mapping) and isinstance(now, Mapping):
        lines = []
        for key in dict.fromkeys([*there, *now]):
            name = f'{where}.{key}' if where else str(key)
            if key in there and key in now:
                lines += differences(there[key], now[key], grows, name)
            elif where not in grows:
                lines.append(f'{name}: {"only now" if key in now else "only there"}')
        return lines
    if there == now:
        return []
    if all(isinstance(value, str) and _DIGEST.fullmatch(value) for value in (there, now)):
        return [f'{where}: other content ({there[:8]}... there, {now[:8]}... now)']
    return [f'{where}: {_short(there)} there, {_short(now)} now']


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + '...'


def read_json(path: PathLike) -> Optional[Dict[str, Any]]:
    """A JSON object; None where there is none or it is damaged."""
    try:
        value = json.loads(Path(path).read_text(encoding='utf-8'))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


# Folders ------------------------------------------------------------------------------------------


class FolderRecord:
    """The record of one output.

    Args:
        root (str | Path): The folder; need not exist.
        name (str): File of the record in it, e.g. ``'segmentation.json'``.
        shared (bool): The folder may hold other things. Defaults to False.
        keep (Sequence[str]): Entries of the folder that are known by their content (caches): they
            may be there before the record, and ``overwrite`` leaves them.
        can_overwrite (bool): Whether the messages name ``--overwrite``. Defaults to True.
    """

    def __init__(
        self,
        root: PathLike,
        name: str,
        shared: bool = False,
        keep: Sequence[str] = (),
        can_overwrite: bool = True,
    ):
        self.root = Path(root).expanduser()
        self.name, self.shared, self.keep = name, shared, tuple(keep)
        self.path = self.root / name
        self._ways = 'Give the former settings and inputs to continue it, another folder, or ' + (
            '--overwrite to make it anew' if can_overwrite else 'delete it'
        )
        self._discard = False

    def read(self) -> Optional[Dict[str, Any]]:
        """The record, or None for a folder that is new or still empty.

        Raises:
            RecordError: The folder holds other files, or its record is damaged.
            OutputError: It cannot be written.
        """
        place = self.root
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            raise RecordError(f'{self.root}: {place} is a file; choose another output folder')
        if not os.access(place, os.W_OK | os.X_OK):
            raise OutputError(
                errno.EACCES, f'{place} cannot be written: choose another output folder'
            )
        if self.path.is_file():
            record = read_json(self.path)
            if record is None:
                raise RecordError(f'{self.path} is damaged, so nobody knows what the folder was '
                                  f'made from. {self._ways}')  # fmt: skip
            return record
        stranger = None if self.shared else _first_file(self.root, self.keep)
        if stranger is not None:
            raise RecordError(
                f'{self.root} holds other files ({stranger}, ...) and no {self.name}: choose an '
                'empty or new output folder'
            )
        return None

    def check(
        self,
        made_from: Mapping[str, Any],
        grows: Collection[str] = (),
        overwrite: bool = False,
    ) -> Optional[Dict[str, Any]]:
        """Compare the folder with what is asked for, before any work.

        Args:
            made_from (Mapping): What decides the content. Other keys of the record are ignored.
            grows (Collection[str]): See :func:`differences`.
            overwrite (bool): Start anew where it was made from something else; the former content
                is deleted when the new record is written. Defaults to False.

        Returns:
            dict | None: The record of a folder to continue; None for one that starts.

        Raises:
            RecordError: It was made from something else, or see :meth:`read`.
        """
        self._discard = False
        try:
            record = self.read()
            if record is None:
                return None
            there = {key: record[key] for key in made_from if key in record}
            self.refuse(differences(there, plain(made_from), grows))
        except RecordError:
            if not (overwrite and self.path.is_file()):
                raise
            self._discard = True
            return None
        return record

    def refuse(self, lines: Sequence[str]) -> None:
        """RecordError when there is a line that says what differs."""
        if not lines:
            return
        shown = [*lines[:_SHOWN], *(['...'] if len(lines) > _SHOWN else [])]
        raise RecordError(
            f'{self.root} was made from something else (its {self.name}):\n'
            + '\n'.join(f'  - {line}' for line in shown)
            + f'\n{self._ways}'
        )

    def write(self, record: Mapping[str, Any], default: Any = None) -> Path:
        """Write the record; the folder is ours from here on.

        Raises:
            OutputError: No room or no permission.
        """
        with explained_output_errors(self.root):
            if self._discard:
                self._clear()
                self._discard = False
            return write_json(self.path, record, default)

    def _clear(self) -> None:
        """Delete what the folder holds, the record last: until then the folder is ours."""
        if not self.shared:
            last = Path(self.name).parts[0]
            for item in sorted(self.root.iterdir(), key=lambda item: item.name == last):
                if item.name in (*self.keep, LOCK_NAME):  # the lock is held meanwhile
                    continue
                if item.is_dir() and not item.is_symlink():
                    shutil.rmtree(item)
                else:
                    item.unlink()
        self.path.unlink(missing_ok=True)


def _first_file(root: Path, passed_over: Collection[str]) -> Optional[str]:
    """A file in a folder; hidden ones are what an interrupted write leaves behind."""
    for folder, folders, files in os.walk(root):
        skip = passed_over if folder == str(root) else ()
        folders[:] = sorted(name for name in folders if not is_hidden(name) and name not in skip)
        shown = sorted(name for name in files if not is_hidden(name) and name not in skip)
        if shown:
            return os.path.relpath(os.path.join(folder, shown[0]), root)
    return None


def merged(there: Any, now: Any) -> Any:
    """Two mappings as one, entries of both kept; elsewhere what is now."""
    if isinstance(there, Mapping) and isinstance(now, Mapping):
        return {**there, **{key: merged(there.get(key), value) for key, value in now.items()}}
    return now
