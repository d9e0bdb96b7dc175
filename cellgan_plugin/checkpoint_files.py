"""Which checkpoint of a work directory is the newest whole one, or the chosen one."""

import re
from pathlib import Path
from typing import List, Optional, Union

from mmengine.logging import print_log

from cellgan_plugin.checkpoint_reading import is_whole

LAST_CHECKPOINT = 'last_checkpoint'
FINAL_CHECKPOINT = 'final.pth'
_NUMBERED = re.compile(r'(?:iter|epoch)_(\d+)\.pth')
_BEST = re.compile(r'best_(?:.*_)?(?:iter|epoch)_(\d+)\.pth', re.DOTALL)


def numbered_checkpoints(folder: Union[str, Path]) -> List[Path]:
    """``iter_*.pth`` and ``epoch_*.pth`` in a folder, the newest first.

    Newest is the one that ``last_checkpoint`` names, by its name: a copy of a work directory has
    its own. The others follow by their numbers. Times are not asked: copying changes them.
    """
    folder = Path(folder)
    numbers = {
        path: int(match[1])
        for path in folder.glob('*.pth')
        if (match := _NUMBERED.fullmatch(path.name)) and path.is_file()
    }
    last = _named_last(folder)
    return sorted(numbers, key=lambda path: (path != last, -numbers[path], path.name))


def _named_last(folder: Path) -> Optional[Path]:
    try:
        text = (folder / LAST_CHECKPOINT).read_text(encoding='utf-8').strip()
    except (OSError, ValueError):
        return None
    return folder / re.split(r'[/\\]', text)[-1]


def best_checkpoints(folder: Union[str, Path]) -> List[Path]:
    """``best_*.pth`` in a folder, the latest iteration first."""
    numbers = {
        path: int(match[1])
        for path in Path(folder).glob('best_*.pth')
        if (match := _BEST.fullmatch(path.name)) and path.is_file()
    }
    return sorted(numbers, key=lambda path: (-numbers[path], path.name))


def own_file(folder: Union[str, Path], stored: object) -> Optional[Path]:
    """The best checkpoint of a folder that a checkpoint names, wherever it lay when it was saved.

    ``stored`` is what the checkpoint says: a path, of this folder or of the one that it was copied
    from; anything may stand there. None where the folder has no such ``best_*.pth``.
    """
    if not isinstance(stored, str):
        return None
    name = re.split(r'[/\\]', stored)[-1]
    path = Path(folder) / name
    return path if _BEST.fullmatch(name) and path.is_file() else None


def _first_whole(paths: List[Path]) -> Optional[Path]:
    for path in paths:
        if is_whole(path):
            return path
        print_log(
            f'{path} is damaged or only half written; passed over, looking for another one',
            logger='current',
            level=30,
        )
    return None


def find_resumable(folder: Union[str, Path]) -> Optional[Path]:
    """The newest whole checkpoint of a work directory, None where there is none.

    Damaged ones are passed over, and said.
    """
    paths = numbered_checkpoints(folder)
    newest = _first_whole(paths)
    if newest is not None:
        _say_later_ones(newest, paths[paths.index(newest) + 1 :])
    return newest


def _say_later_ones(newest: Path, others: List[Path]) -> None:
    """Say of higher iterations than the one that is taken why they are not."""
    number = int(_NUMBERED.fullmatch(newest.name)[1])
    for path in others:
        if int(_NUMBERED.fullmatch(path.name)[1]) <= number:
            continue
        why = (
            f'is of a higher iteration than {newest.name}, which {LAST_CHECKPOINT} names; left'
            if is_whole(path)
            else 'is damaged or only half written; passed over'
        )
        print_log(f'{path} {why}', logger='current', level=30)


def find_chosen(folder: Union[str, Path]) -> Optional[Path]:
    """The checkpoint of a work directory to use: the best where one was chosen, else the newest.

    Which one it is, is said.

    Args:
        folder (str | Path): Work directory of a run.

    Returns:
        Path | None: The latest whole ``best_*.pth``, else as :func:`find_resumable`.
    """
    chosen = _first_whole(best_checkpoints(folder)) or find_resumable(folder)
    if chosen is not None:
        print_log(f'{folder}: its checkpoint {chosen.name} is taken', logger='current')
    return chosen


def find_checkpoint(path: Union[str, Path]) -> Path:
    """A checkpoint by its own path or by the work directory that holds it.

    In a work directory: the best one by its distance (``best_*.pth``) where there is one, else the
    newest whole one; which one is said.

    Raises:
        FileNotFoundError: There is none; the message names the command that makes one.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        found = find_chosen(path)
        if found is not None:
            return found
        raise FileNotFoundError(
            f'{path} has no checkpoint: train first, python tools/train.py CONFIG --work-dir {path}'
        )
    raise FileNotFoundError(f'checkpoint {path} does not exist')


def files_of_a_run(folder: Union[str, Path]) -> List[Path]:
    """Checkpoints of a work directory, and what says which of them counts."""
    folder = Path(folder)
    beside = (FINAL_CHECKPOINT, LAST_CHECKPOINT, 'model_selection.json')
    return [
        *numbered_checkpoints(folder),
        *best_checkpoints(folder),
        *(folder / name for name in beside if (folder / name).is_file()),
    ]
