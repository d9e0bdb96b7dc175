"""Which class, group and split the path of an image or a table tells."""

import re
from pathlib import PurePosixPath
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from cellgan_plugin.converters.common import (
    ConverterError,
    PathLike,
    check_classes,
    read_table,
    some_of,
)
from cellgan_plugin.converters.published_split import split_of_name
from cellgan_plugin.datasets.classes import BETHESDA_CLASSES, Spellings, clean_name, resolve_class
from cellgan_plugin.datasets.file_names import nfc
from cellgan_plugin.datasets.manifest import clean_relative_path
from cellgan_plugin.datasets.problems import printable
from cellgan_plugin.datasets.sources import SPLITS

# Columns of a table that tell the group; the first that is there.
GROUP_COLUMNS = ('patient', 'group', 'slide')


def parse_class_map(entries: Sequence[str]) -> Dict[str, List[str]]:
    """Read ``['HSIL=hsil,carcinoma_in_situ', ...]``; raises :class:`ConverterError` on others."""
    class_map: Dict[str, List[str]] = {}
    for entry in entries:
        name, equals, folders = entry.partition('=')
        names = [folder.strip() for folder in folders.split(',') if folder.strip()]
        if not equals or not name.strip() or not names:
            raise ConverterError(f'map {entry!r}; expected CLASS=folder or CLASS=folder,folder')
        class_map.setdefault(name.strip(), []).extend(names)
    return class_map


class ClassFinder:
    """How paths tell classes: the deepest folder that means one decides.

    Args:
        classes (Sequence[str]): The classes.
        meanings (Mapping[str, str], optional): Class by folder name; None: class names and what
            :func:`resolve_class` knows.
    """

    def __init__(self, classes: Sequence[str], meanings: Optional[Mapping[str, str]] = None):
        self.classes = tuple(classes)
        self.meanings = meanings
        self._names = self.classes if meanings is None else tuple(meanings)
        self._spellings = Spellings(self._names)
        self._means: Dict[str, bool] = {}

    def __call__(self, file: str) -> Optional[str]:
        """The class of a relative path, None where no folder tells one."""
        for folder in reversed(PurePosixPath(file).parts[:-1]):
            label = self.of_name(folder)
            if label is not None:
                return label
        return None

    def of_name(self, folder: str) -> Optional[str]:
        """The class that one folder name or label tells."""
        if folder not in self._means:
            self._means[folder] = resolve_class(folder, self._names) is not None
        if not self._means[folder]:
            return None
        name = self._spellings.find(folder)
        return name if self.meanings is None else self.meanings[name]

    def check(self) -> List[str]:
        """What was forgiven, in lines for the summary.

        Raises:
            ConverterError: Two spellings would fall into one class without having been told to.
        """
        clashes = [message for _, message in self._spellings.clashes()]
        if clashes:
            raise ConverterError(
                f'{"; ".join(clashes)}. Two names are two classes: if they are one, say so with '
                '--map CLASS=name,name'
            )
        return [
            f'{printable(spelling)} is read as {name}'
            for spelling, name in self._spellings.forgiven()
        ]


def class_finder(
    class_map: Optional[Mapping[str, Sequence[str]]], classes: Optional[Sequence[str]]
) -> ClassFinder:
    """How paths tell classes: by names of folders, by default those of :func:`resolve_class`."""
    if classes is None:
        classes = tuple(class_map) if class_map else BETHESDA_CLASSES
    classes = check_classes(classes)
    if not class_map:
        return ClassFinder(classes)
    meanings: Dict[str, str] = {}
    for name, folders in class_map.items():
        label = resolve_class(name, classes)
        if label is None:
            raise ConverterError(
                f'the map names class {name!r}, which is not among {", ".join(classes)}; add it '
                'to --classes or correct it'
            )
        for folder in map(clean_name, folders):
            if meanings.setdefault(folder, label) != label:
                raise ConverterError(
                    f'the map gives folder {folder!r} to {meanings[folder]} and to {label}; one '
                    'folder name can mean one class'
                )
    return ClassFinder(classes, meanings)


def group_finder(
    group_regex: Optional[str], group_csv: Optional[PathLike]
) -> Callable[[str], Optional[str]]:
    """How paths tell groups: by a regular expression, by a CSV, or each image is its own.

    Returns:
        Callable: From a relative path to its group, None where none is told.
    """
    if group_regex is not None and group_csv is not None:
        raise ConverterError('both a group regex and a group CSV are given; give one')
    if group_regex is not None:
        try:
            pattern = re.compile(group_regex)
        except re.error as error:
            raise ConverterError(f'group regex {group_regex!r} is not valid: {error}') from error
        if not pattern.groups:
            raise ConverterError(
                f'group regex {group_regex!r} has no part in parentheses; mark the group, e.g. '
                r'"(?P<group>slide\d+)"'
            )
        part = 'group' if 'group' in pattern.groupindex else 1

        def by_regex(file: str) -> Optional[str]:
            match = pattern.search(file)
            return (match.group(part) or None) if match else None

        return by_regex
    if group_csv is not None:
        table: Dict[str, str] = {}
        for where, row in read_table(group_csv, ('file', 'group')):
            name = nfc(str(PurePosixPath(row['file'].replace('\\', '/'))))
            group = row['group'].strip()
            if table.setdefault(name, group) != group:
                raise ConverterError(
                    f'{group_csv}, {where}: {name} is in group {group!r} and in {table[name]!r}; '
                    'keep one'
                )
        return lambda file: table.get(nfc(file)) or None
    return lambda file: file


class ImageTable(NamedTuple):
    """What a table says of every image, by relative POSIX path in composed Unicode.

    Attributes:
        labels (dict[str, str]): Class as the table spells it.
        groups (dict[str, str] | None): None when the table has none of the columns.
        splits (dict[str, str] | None): ``'train'``, ``'val'`` or ``'test'``; None without the
            column.
    """

    labels: Dict[str, str]
    groups: Optional[Dict[str, str]]
    splits: Optional[Dict[str, str]]

    def group_of(self, file: str) -> Optional[str]:
        """The group of a file, however its name is composed."""
        return self.groups.get(nfc(file))


def read_image_table(path: PathLike) -> ImageTable:
    """Read a CSV with the columns ``file`` and ``label`` and, if known, a group and a split.

    Args:
        path (str | Path): The CSV. ``file`` is relative to the source folder; the group is the
            column ``patient``, ``group`` or ``slide``; ``split`` holds train, val or test.

    Returns:
        ImageTable: Its content.

    Raises:
        ConverterError: On an empty cell, a file named twice or outside the source folder, an
            unknown split, a group in two splits.
    """
    labels: Dict[str, str] = {}
    groups: Dict[str, str] = {}
    splits: Dict[str, str] = {}
    group_column, with_split = '', False
    for where, row in read_table(path, ('file', 'label')):
        if not labels:
            group_column = next((name for name in GROUP_COLUMNS if name in row), '')
            with_split = 'split' in row
        name = clean_relative_path(row['file'])
        if name is None:
            raise ConverterError(
                f'{path}, {where}: file {row["file"]!r}; expected a path below the source folder'
            )
        if name in labels:
            raise ConverterError(f'{path}, {where}: {name} was named before; keep one row of it')
        for column in ('label', group_column, 'split' if with_split else ''):
            if column and not row[column].strip():
                raise ConverterError(f'{path}, {where}: {column} is empty')
        labels[name] = clean_name(row['label'])
        if group_column:
            groups[name] = row[group_column].strip()
        if with_split:
            split = split_of_name(row['split'])
            if split is None:
                raise ConverterError(
                    f'{path}, {where}: split {row["split"]!r}; expected one of {", ".join(SPLITS)}'
                )
            splits[name] = split
    if not labels:
        raise ConverterError(f'{path}: no row below the header')
    table = ImageTable(labels, groups if group_column else None, splits if with_split else None)
    if table.groups is not None and table.splits is not None:
        check_groups_apart(table.groups, table.splits, f'{path}: {group_column}')
    return table


def check_groups_apart(
    groups: Mapping[str, str],
    splits: Mapping[str, str],
    what: str,
    way_out: str = 'leave the column split out',
) -> None:
    """Refuse a group whose images are in two splits.

    Args:
        groups (Mapping[str, str]): Group by image.
        splits (Mapping[str, str]): Split by image.
        what (str): What a group is called, for the message.
        way_out (str): How to have a new split. Defaults to that of a table.
    """
    home: Dict[str, str] = {}
    both: Dict[str, str] = {}
    for name, group in groups.items():
        other = home.setdefault(group, splits[name])
        if other != splits[name]:
            both.setdefault(group, f'{group} ({other} and {splits[name]}: {name})')
    if both:
        raise ConverterError(
            f'{what} in two splits: {some_of(list(both.values()), 3)}. Results on such a split '
            f'flatter; move the images to one side, or {way_out} and let the converter draw it'
        )


def table_classes(
    table: ImageTable,
    class_map: Optional[Mapping[str, Sequence[str]]],
    classes: Optional[Sequence[str]],
) -> Tuple[ClassFinder, Callable[[str], Optional[str]]]:
    """As :func:`class_finder`, but a table tells the classes: all of them unless some are named.

    Returns:
        tuple: The rules for labels, and a function from a relative path to a class name or None.
    """
    if classes is None and not class_map:
        classes = sorted(set(table.labels.values()))
    of_label = class_finder(class_map, classes)

    def find(file: str) -> Optional[str]:
        label = table.labels.get(nfc(file))
        return None if label is None else of_label.of_name(label)

    return of_label, find
