"""Which class and which group the path of an image tells."""

import re
from pathlib import PurePosixPath
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from cellgan_plugin.datasets.classes import BETHESDA_CLASSES, resolve_class
from cellgan_plugin.datasets.converters.common import (
    ConverterError,
    PathLike,
    check_classes,
    read_table,
)


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


def class_finder(
    class_map: Optional[Mapping[str, Sequence[str]]], classes: Optional[Sequence[str]]
) -> Tuple[Tuple[str, ...], Callable[[str], Optional[str]]]:
    """How paths tell classes.

    Args:
        class_map (Mapping[str, Sequence[str]], optional): Folder names per class; None for the
            names that :func:`resolve_class` knows.
        classes (Sequence[str], optional): See :func:`convert_folders`.

    Returns:
        tuple: The classes, and a function from a relative path to a class name or None.
    """
    if classes is None:
        classes = tuple(class_map) if class_map else BETHESDA_CLASSES
    classes = check_classes(classes)
    meanings: Dict[str, str] = {}
    for name, folders in (class_map or {}).items():
        label = resolve_class(name, classes)
        if label is None:
            raise ConverterError(
                f'the map names class {name!r}, which is not among {", ".join(classes)}; add it '
                'to --classes or correct it'
            )
        for folder in folders:
            twin = resolve_class(folder, tuple(meanings))
            if twin is not None and meanings[twin] != label:
                raise ConverterError(
                    f'the map gives folder {folder!r} to {meanings[twin]} and to {label}; one '
                    'folder name can mean one class'
                )
            if twin is None:
                meanings[folder] = label
    spellings = tuple(meanings)
    known: Dict[str, Optional[str]] = {}

    def of_folder(folder: str) -> Optional[str]:
        if folder not in known:
            if class_map:
                spelling = resolve_class(folder, spellings)
                known[folder] = None if spelling is None else meanings[spelling]
            else:
                known[folder] = resolve_class(folder, classes)
        return known[folder]

    def find(file: str) -> Optional[str]:
        for folder in reversed(PurePosixPath(file).parts[:-1]):
            label = of_folder(folder)
            if label is not None:
                return label
        return None

    return classes, find


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
            name, group = str(PurePosixPath(row['file'].replace('\\', '/'))), row['group'].strip()
            if table.setdefault(name, group) != group:
                raise ConverterError(
                    f'{group_csv}, {where}: {name} is in group {group!r} and in {table[name]!r}; '
                    'keep one'
                )
        return lambda file: table.get(file) or None
    return lambda file: file
