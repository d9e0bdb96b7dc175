"""A split that an archive comes with: folders train, val and test on the path of every image."""

import os
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import Dict, NamedTuple, Optional, Sequence

from cellgan_plugin.converters.common import ConverterError, some_of
from cellgan_plugin.datasets.file_names import nfc
from cellgan_plugin.datasets.sources import SPLITS

_SPELLINGS = {
    'train': ('train', 'training', 'trainval', 'trn'),
    'val': ('val', 'valid', 'validation', 'validate', 'dev', 'development', 'eval', 'evaluation'),
    'test': ('test', 'testing', 'tst'),
}
_MEANS = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}
# What such a name may say besides: '1_train', 'trainset', 'test_images', 'testA'.
_BESIDES = (
    'set', 'data', 'dataset', 'subset', 'split', 'part', 'folder', 'images', 'image', 'imgs',
    'patches', 'tiles', 'crops', 'cells', 'samples',
)  # fmt: skip
_LEVELS = (('first', 0), ('last', -1), ('second', 1), ('last but one', -2), ('third', 2))
_WORD = re.compile(r'[A-Z]?[a-z]+|[A-Z]+|[^\W\d_]+')


def split_of_name(name: str) -> Optional[str]:
    """The split that a folder name or a cell of a table means, None where it means none."""
    words = [word.casefold() for word in _WORD.findall(name)]
    words = [word for word in words if len(word) > 1 and word not in _BESIDES]
    if len(words) != 1:
        return None
    stems = (words[0], *map(words[0].removesuffix, _BESIDES))
    return next((_MEANS[stem] for stem in stems if stem in _MEANS), None)


class PublishedSplit(NamedTuple):
    """What the folders say.

    Attributes:
        splits (dict[str, str]): Split by relative path, in composed Unicode.
        level (str): Which folder of a path says it: ``'first'``, ``'last'``, ``'second'``, ...
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
    """The split that the folders of one level name; folders around all images are passed over.

    Args:
        files (Sequence[str]): Relative POSIX paths of images.

    Returns:
        PublishedSplit | None: None where no folder of a level names a split, or all name one and
        the same: then there is nothing that could be mixed.

    Raises:
        ConverterError: When folders of the first or the last level name a split, but not for all
            images.
    """
    folders = [PurePosixPath(file).parts[:-1] for file in files]
    around = len(os.path.commonprefix(folders)) if folders else 0
    folders = [names[around:] for names in folders]
    best: Dict[str, str] = {}
    for level, place in _LEVELS:
        splits = {}
        for file, names in zip(files, folders, strict=True):
            inside = -len(names) <= place < len(names)
            split = split_of_name(names[place]) if inside else None
            if split is not None:
                splits[nfc(file)] = split
        if len(splits) == len(files):
            if len(set(splits.values())) > 1:
                return PublishedSplit(splits, level)
        elif place in (0, -1) and len(splits) > len(best):
            best = splits
    if best:
        lost = [file for file in files if nfc(file) not in best]
        where = sorted({str(PurePosixPath(file).parent) for file in lost})
        raise ConverterError(
            f'folders name the splits {", ".join(sorted(set(best.values())))} for {len(best)} '
            f'images, and no split for {len(lost)} in {some_of(where, 3)}: leave those out with '
            '--include, move them, or draw a new split of all with --resplit'
        )
    return None
