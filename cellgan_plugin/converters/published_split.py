"""A split that an archive comes with: folders train, val and test on the path of every image."""

from collections import Counter
from pathlib import PurePosixPath
from typing import Dict, NamedTuple, Optional, Sequence

from cellgan_plugin.converters.common import ConverterError, some_of
from cellgan_plugin.datasets.file_names import nfc
from cellgan_plugin.datasets.sources import SPLITS

_SPELLINGS = {
    'train': ('train', 'training', 'trainset', 'trainingset', 'traindata', 'trainingdata'),
    'val': ('val', 'valid', 'validation', 'valset', 'validationset', 'dev', 'validationdata'),
    'test': ('test', 'testing', 'testset', 'testingset', 'testdata'),
}
_MEANS = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}


def split_of_name(name: str) -> Optional[str]:
    """The split that a folder name or a cell of a table means, None where it means none."""
    return _MEANS.get(''.join(c for c in name.strip().casefold() if c not in ' _-'))


class PublishedSplit(NamedTuple):
    """What the folders say.

    Attributes:
        splits (dict[str, str]): Split by relative path, in composed Unicode.
        level (str): ``'first'`` or ``'last'``: which folder of a path says it.
    """

    splits: Dict[str, str]
    level: str

    def line(self) -> str:
        """For the summary."""
        counts = Counter(self.splits.values())
        numbers = ', '.join(f'{name} {counts[name]}' for name in SPLITS if counts[name])
        return (
            f'the {self.level} folder of every path names a split ({numbers} images): that split '
            'is kept; --resplit draws another'
        )


def find_published_split(files: Sequence[str]) -> Optional[PublishedSplit]:
    """The split that the first or the last folder of every path names.

    Args:
        files (Sequence[str]): Relative POSIX paths of images.

    Returns:
        PublishedSplit | None: None where no folder of that place names a split, or all name one
        and the same: then there is nothing that could be mixed.

    Raises:
        ConverterError: When folders of that place name two splits or more, but not for all images.
    """
    best: Dict[str, str] = {}
    for level, place in (('first', 0), ('last', -1)):
        splits = {}
        for file in files:
            folders = PurePosixPath(file).parts[:-1]
            split = split_of_name(folders[place]) if folders else None
            if split is not None:
                splits[nfc(file)] = split
        if len(set(splits.values())) < 2:
            continue
        if len(splits) == len(files):
            return PublishedSplit(splits, level)
        if len(splits) > len(best):
            best = splits
    if best:
        lost = [file for file in files if nfc(file) not in best]
        folders = sorted({str(PurePosixPath(file).parent) for file in lost})
        raise ConverterError(
            f'folders name the splits {", ".join(sorted(set(best.values())))} for {len(best)} '
            f'images, and no split for {len(lost)} in {some_of(folders, 3)}: leave those out with '
            '--include, move them, or draw a new split of all with --resplit'
        )
    return None
