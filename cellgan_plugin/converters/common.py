"""What every converter needs: one error, one record of the parameters, one output folder.

A converter turns somebody's archive into class folders with a manifest::

    out/
      conversion.json          the converter, its parameters and a digest of its inputs
      manifest.csv             file,label,split,group,... ; written last: there means finished
      HSIL/ LSIL/ ...          8-bit RGB images

The same command run again on the same inputs continues where it was interrupted and writes no
image twice. Other parameters, or other inputs, are refused: two conversions never mix in a folder.
"""

import contextlib
import csv
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from cellgan_plugin.datasets.classes import check_class_names
from cellgan_plugin.datasets.manifest import MANIFEST_NAME
from cellgan_plugin.datasets.problems import printable
from cellgan_plugin.datasets.sources import SPLITS
from cellgan_plugin.errors import OutputError
from cellgan_plugin.records import FolderRecord, RecordError
from cellgan_plugin.text import in_columns

RECORD_NAME = 'conversion.json'
_LONGEST_HEADER = 1 << 16  # characters
# Raised when an output of the same parameters would change; a finished folder then is not mixed.
FORMAT_VERSION = 1
DEFAULT_MAX_PIXELS = 64_000_000  # 8000 x 8000: above any field, below a bomb
PathLike = Union[str, Path]


@dataclass
class ConversionResult:
    """What a conversion made.

    Attributes:
        manifest (Path): The manifest written.
        rows (list[dict]): Its rows.
        counts (dict[str, int]): What became of every file.
        lines (list[str]): The summary to print.
        passed_over (list[str]): Inputs that could not be read while the others were converted.
    """

    manifest: Path
    rows: List[Dict[str, object]]
    counts: Dict[str, int]
    lines: List[str] = field(default_factory=list)
    passed_over: List[str] = field(default_factory=list)


class ConverterError(ValueError):
    """A mistake the user can mend: one line with what, where, what was expected, what next."""


def some_of(items: Sequence[object], shown: int = 5) -> str:
    """The first ``shown`` items in words, and how many more there are."""
    text = ', '.join(printable(item) for item in items[:shown])
    return text if len(items) <= shown else f'{text}, ... ({len(items) - shown} more)'


def check_classes(classes: Iterable[str]) -> Tuple[str, ...]:
    """Class names that can be used as folder names.

    Raises:
        ConverterError: When a name is empty, met twice or cannot be a folder name.
    """
    try:
        return check_class_names(classes)
    except ValueError as error:
        raise ConverterError(f'{error}; give class names as in "NILM HSIL"') from error


def check_size(size: int, name: str = 'size') -> int:
    """An image side in px, as int; raises :class:`ConverterError` outside 8..4096."""
    if isinstance(size, bool) or int(size) != size or not 8 <= size <= 4096:
        raise ConverterError(f'{name} is {size!r}; expected a whole number of px from 8 to 4096')
    return int(size)


def check_area(size: Union[int, Sequence[int]]) -> Union[int, Tuple[int, int]]:
    """A side of a square, or (height, width), in px; see :func:`check_size`."""
    if not isinstance(size, (tuple, list)):
        return check_size(size)
    if len(size) != 2:
        raise ConverterError(f'size is {size!r}; expected a side, or height and width')
    return check_size(size[0], 'height'), check_size(size[1], 'width')


def make_record(
    converter: str, parameters: Mapping[str, object], inputs: Mapping[str, object]
) -> Dict[str, object]:
    """The content of ``conversion.json``; it holds no path, so a moved archive still matches."""
    return {
        'converter': converter,
        'format': FORMAT_VERSION,
        'parameters': json.loads(json.dumps(parameters)),
        'inputs': json.loads(json.dumps(inputs)),
    }


def check_output(out_dir: PathLike, record: Mapping[str, object]) -> bool:
    """Whether ``out_dir`` holds an earlier run of this very conversion, which then goes on.

    False when it is missing or empty; ConverterError when it holds anything else.
    """
    try:
        return _record_of(out_dir).check(record) is not None
    except (RecordError, OutputError) as error:
        raise ConverterError(str(error)) from error


def _record_of(out_dir: PathLike) -> FolderRecord:
    return FolderRecord(out_dir, RECORD_NAME, can_overwrite=False)


def begin_output(
    out_dir: PathLike, record: Mapping[str, object], files: Iterable[str]
) -> List[str]:
    """Make the folder and its record; call it when every input has been checked.

    ``files`` are all images of the finished folder, relative to it. Returned are those that are not
    there yet.
    """
    out_dir = Path(out_dir)
    if not (out_dir / RECORD_NAME).exists():
        _record_of(out_dir).write(record)
    waiting = [file for file in files if not (out_dir / file).exists()]
    if waiting:
        # A manifest says "finished", and this run is not.
        with contextlib.suppress(FileNotFoundError):
            (out_dir / MANIFEST_NAME).unlink()
    return waiting


def read_table(path: PathLike, columns: Sequence[str]) -> Iterator[Tuple[str, Dict[str, str]]]:
    """Rows of a CSV in UTF-8 with at least ``columns``, each with where it stands ('row 7').

    Fields are parted by what the header has most of: commas, semicolons (a spreadsheet in most of
    Europe) or tabs.

    Raises:
        ConverterError: On a file that is missing or unreadable, a missing column, a ragged row.
    """
    path = Path(path)
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            header = file.readline(_LONGEST_HEADER)
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(',;\t', key=header.count))
            names = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            twice = sorted(
                name for name, count in Counter(filter(None, names)).items() if count > 1
            )
            if twice:
                raise ConverterError(f'{path}: column {", ".join(twice)} is there twice')
            missing = [name for name in columns if name not in names]
            if missing:
                raise ConverterError(
                    f'{path}: column {", ".join(missing)} is missing; the header is '
                    f'{some_of(names or ["(empty)"], 8)}'
                )
            for row in reader:
                if None in row or None in row.values():
                    raise ConverterError(
                        f'{path}, row {reader.line_num}: the number of fields differs from the '
                        'header; the file may be cut short'
                    )
                yield f'row {reader.line_num}', row
    except OSError as error:
        raise ConverterError(f'{path}: cannot be read ({error.strerror})') from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConverterError(f'{path}: not readable as CSV in UTF-8 ({error})') from error


def finite_number(text: object, name: str) -> float:
    """The number in a cell of a table; ConverterError that says its ``name`` where it is none."""
    try:
        value = float(str(text).strip())
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConverterError(f'{name} is {text!r}; expected a number with a decimal point')
    return value


def split_table(
    rows: Sequence[Mapping[str, object]], classes: Sequence[str], fractions: Sequence[float]
) -> List[str]:
    """Lines of a table: images (and groups) per class and split.

    Args:
        rows (Sequence[dict]): Manifest rows with ``label``, ``split`` and ``group``.
        classes (Sequence[str]): Row order.
        fractions (Sequence[float]): Of train, val and test; a split of 0 gets no column.

    Returns:
        list[str]: The lines; classes that miss a used split are named below the table.
    """
    splits = [name for name, part in zip(SPLITS, fractions, strict=True) if part > 0]
    images = Counter((row['label'], row['split']) for row in rows)
    groups: Dict[Tuple[Optional[str], str], set] = {}
    for row in rows:
        for label in (row['label'], None):
            groups.setdefault((label, row['split']), set()).add(row['group'])

    def cells(name: str, label: Optional[str]) -> List[str]:
        line, total, total_groups = [name], 0, 0
        for split in splits:
            count = (
                sum(images[c, split] for c in classes) if label is None else images[label, split]
            )
            seen = len(groups.get((label, split), ()))
            total, total_groups = total + count, total_groups + seen
            line.append(f'{count} ({seen})')
        return [*line, f'{total} ({total_groups})']

    table = [['images (groups)', *splits, 'all'], *(cells(name, name) for name in classes)]
    table.append(cells('all', None))
    lines = in_columns(table)
    for name in classes:
        missing = [split for split in splits if not images[name, split]]
        if len(missing) == len(splits):
            lines.append(f'note: {name} has no image')
        elif missing:
            lines.append(
                f'note: {name} has no image in {" and ".join(missing)}: too few groups to be in '
                'every split; say so where a number of it is shown'
            )
    return lines
