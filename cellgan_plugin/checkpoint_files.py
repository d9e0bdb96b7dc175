"""Which checkpoint of a work directory is the newest whole one, or the chosen one."""

import re
import zipfile
from pathlib import Path
from typing import List, Optional, Union

from mmengine.logging import print_log


def is_whole(path: Union[str, Path]) -> bool:
    """Whether a checkpoint file is complete: a readable zip whose checksums all agree."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, RuntimeError, EOFError, ValueError):
        return False


def numbered_checkpoints(folder: Union[str, Path]) -> List[Path]:
    """``iter_*.pth`` and ``epoch_*.pth`` in a folder, the one written last first.

    By time, not by number: a folder may hold the end of an older, longer run.
    """
    found = []
    for path in Path(folder).glob('*.pth'):
        match = re.fullmatch(r'(?:iter|epoch)_(\d+)\.pth', path.name)
        if match and path.is_file():
            found.append((path.stat().st_mtime_ns, int(match[1]), path))
    return [path for *_, path in sorted(found, reverse=True)]


def find_resumable(folder: Union[str, Path]) -> Optional[Path]:
    """The newest whole checkpoint of a work directory; damaged ones are passed over, and said.

    Args:
        folder (str | Path): Work directory of a run.

    Returns:
        Path | None: None when there is no whole checkpoint.
    """
    for path in numbered_checkpoints(folder):
        if is_whole(path):
            return path
        print_log(
            f'{path} is damaged or only half written; passed over, looking for an older one',
            logger='current',
            level=30,
        )
    return None


def find_chosen(folder: Union[str, Path]) -> Optional[Path]:
    """The checkpoint of a work directory to use: the best where one was chosen, else the newest.

    Args:
        folder (str | Path): Work directory of a run.

    Returns:
        Path | None: ``best_*.pth``, else as :func:`find_resumable`.
    """
    best = sorted(Path(folder).glob('best_*.pth'), key=lambda path: path.stat().st_mtime_ns)
    return best[-1] if best else find_resumable(folder)
