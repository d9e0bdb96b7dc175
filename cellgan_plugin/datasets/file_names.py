"""Which files of a folder are images, which are passed over, and how names are compared.

One rule for all that read or write folders of images: what a converter writes, every reader reads.
"""

import hashlib
import os
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Iterator, List, Union

from cellgan_plugin.files import OWN_FOLDERS, is_hidden

PathLike = Union[str, 'os.PathLike[str]']

EXTENSIONS = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.tif', '.tiff', '.webp',
)  # fmt: skip
MAX_NAME_BYTES = 255


def is_image_name(name: str) -> bool:
    """Whether a file of this name is read as an image."""
    return name.lower().endswith(EXTENSIONS)


def nfc(text: str) -> str:
    """``text`` in Unicode's composed form: macOS writes names in the decomposed one."""
    return text if text.isascii() else unicodedata.normalize('NFC', text)


def on_disk(root: PathLike, file: str) -> str:
    """The spelling under which a listed file lies below ``root``; as listed where there is none.

    A list may compose letters that the disk has decomposed, or the other way round.
    """
    if file.isascii() or os.path.lexists(os.path.join(root, file)):
        return file
    path, parts = '', []
    for part in file.split('/'):
        place = os.path.join(root, path)
        if not os.path.lexists(os.path.join(place, part)):
            names = os.listdir(place) if os.path.isdir(place) else ()
            part = next((name for name in names if nfc(name) == nfc(part)), None)
            if part is None:
                return file
        parts.append(part)
        path = '/'.join(parts)
    return path


def fit_name(stem: str, suffix: str, key: str = '') -> str:
    """A file name that fits the file system: a long stem is cut and told apart by a digest.

    The digest is of ``key``, and of the stem where that is empty.
    """
    if len(os.fsencode(stem + suffix)) <= MAX_NAME_BYTES:
        return stem + suffix
    digest = hashlib.sha256(os.fsencode(key or stem)).hexdigest()[:12]
    room = MAX_NAME_BYTES - len(os.fsencode(suffix)) - len(digest) - 1
    return f'{os.fsencode(stem)[:room].decode("utf-8", "ignore")}-{digest}{suffix}'


@dataclass
class PassedOver:
    """What a walk did not read.

    Attributes:
        hidden (int): Hidden files and folders, this project's own aside.
        others (Counter): Files that are no images, by extension ('' for none).
        links (list[str]): Linked folders that were not followed.
        loops (list[str]): Links to a folder above.
    """

    hidden: int = 0
    others: Counter = field(default_factory=Counter)
    links: List[str] = field(default_factory=list)
    loops: List[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """One line per kind, for summaries; links and loops aside."""
        if self.hidden:
            yield f'{self.hidden} hidden files or folders (.*, __MACOSX, Thumbs.db, ...) not read'
        for extension, count in sorted(self.others.items()):
            yield f'{count} files {extension or "without extension"} are not images and not read'


def list_folder(folder: PathLike, passed: PassedOver) -> List[os.DirEntry]:
    """Entries of a folder that are not hidden, sorted by name; the others are counted."""
    with os.scandir(folder) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    seen = [entry for entry in entries if not is_hidden(entry.name)]
    passed.hidden += sum(is_hidden(e.name) and e.name not in OWN_FOLDERS for e in entries)
    return seen


def walk_images(top: PathLike, passed: PassedOver, follow_links: bool = False) -> Iterator[str]:
    """Images of a folder and its subfolders: POSIX paths relative to it, sorted within each folder.

    ``passed`` gets what is not read; linked folders are entered with ``follow_links``.
    """
    top = os.fspath(top)
    yield from _walk(top, '', passed, follow_links, frozenset({os.path.realpath(top)}))


def _walk(
    folder: str, relative: str, passed: PassedOver, follow_links: bool, above: frozenset
) -> Iterator[str]:
    for entry in list_folder(folder, passed):
        path = f'{relative}{entry.name}'
        if not entry.is_dir():
            if is_image_name(entry.name):
                yield path
            else:
                passed.others[os.path.splitext(entry.name)[1].lower()] += 1
            continue
        real = os.path.realpath(entry.path) if follow_links else entry.path
        if entry.is_symlink() and not follow_links:
            passed.links.append(entry.path)
        elif real in above:
            passed.loops.append(entry.path)
        else:
            yield from _walk(entry.path, f'{path}/', passed, follow_links, above | {real})
