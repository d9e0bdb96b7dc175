"""A table of a report: its columns and rows, and what its cells show in any markup."""

import math
import numbers
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

ARROWS = {'lower': ' ↓', 'higher': ' ↑', None: ''}


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        key (str): Of the cells in the rows, and the column's name in the CSV.
        title (str): Above the column in Markdown and LaTeX.
        digits (int): After the decimal point. Integers are shown without any. Defaults to 2.
        better (str, optional): 'lower' or 'higher': an arrow in the title says so and the best
            value is bold. Defaults to None: neither.
    """

    key: str
    title: str
    digits: int = 2
    better: Optional[str] = None

    def __post_init__(self):
        if self.better not in ARROWS:
            raise ValueError(
                f"column {self.key!r}: better is 'lower', 'higher' or None, got {self.better!r}"
            )


@dataclass
class ReportTable:
    """A table.

    A cell is a number, a text, a bool (a tick, or nothing), a pair (mean, standard deviation), or
    None, which is shown as a dash; ``row['<key>_why']`` becomes its footnote. A (mean, None) pair
    is shown as the mean alone.

    Args:
        title (str): Caption.
        columns (Sequence[Column]): From left to right.
        rows (list[dict]): Cells by the columns' keys. Where ``row['group']`` differs from that of
            the row above, a rule is drawn, and best values are those of the group. With fewer than
            two numbers in a group there is no best one; values that look alike share it. Keys in
            ``row['not_best']`` are of cells that are never best, where a difference is noise.
        notes (Sequence[str]): Below the table.
    """

    title: str
    columns: Sequence[Column]
    rows: List[Dict[str, Any]]
    notes: Sequence[str] = ()


def is_number(value: Any) -> bool:
    """Whether a value is a number, which True and False are not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _as_cell(value: Any, where: str) -> Any:
    """The cell as Python's own types; a pair as a tuple of floats (or None)."""
    if hasattr(value, 'item') and getattr(value, 'ndim', None) == 0:
        value = value.item()  # a number of numpy's or torch's
    if value is None or isinstance(value, (bool, str)) or is_number(value):
        return value
    if isinstance(value, (tuple, list)) and len(value) == 2:
        mean, std = (_as_cell(v, where) for v in value)
        if is_number(mean) and (std is None or is_number(std)):
            return mean, std
    raise TypeError(
        f'{where}: a cell is a number, a text, a bool, a (mean, std) pair or None, got {value!r}'
    )


def checked_rows(table: ReportTable) -> List[Dict[str, Any]]:
    """The rows with cells of Python's own types.

    Raises:
        TypeError: A cell is none of the kinds that a table can show.
        ValueError: Two columns have the same key.
    """
    keys = [column.key for column in table.columns]
    if len(set(keys)) < len(keys):
        raise ValueError(f'table {table.title!r}: two columns have the same key: {keys}')
    return [
        {key: _as_cell(row.get(key), f'table {table.title!r}, row {i}, {key}') for key in keys}
        for i, row in enumerate(table.rows)
    ]


def _mean(cell: Any) -> Optional[float]:
    """The number that a cell is compared by."""
    value = cell[0] if isinstance(cell, tuple) else cell
    return float(value) if is_number(value) and math.isfinite(value) else None


def _text(value: Any, digits: int) -> str:
    """One number."""
    if isinstance(value, numbers.Integral) or not math.isfinite(value):
        return str(value)
    text = f'{value:.{digits}f}'
    return text[1:] if text.startswith('-') and not text.strip('-0.') else text  # -0.00


def shown_cell(cell: Any, digits: int) -> str:
    """A cell as text, without markup."""
    if cell is None:
        return '—'
    if isinstance(cell, bool):
        return '✓' if cell else ''
    if isinstance(cell, str):
        return ' '.join(cell.split())
    if isinstance(cell, tuple) and cell[1] is not None:
        return ' ± '.join(_text(value, digits) for value in cell)
    return _text(cell[0] if isinstance(cell, tuple) else cell, digits)


def row_groups(table: ReportTable) -> List[List[int]]:
    """Indices of rows that follow one another and have the same ``group``."""
    groups: List[List[int]] = []
    for index, row in enumerate(table.rows):
        if groups and row.get('group') == table.rows[index - 1].get('group'):
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def best_cells(table: ReportTable, rows: Sequence[Dict[str, Any]]) -> set:
    """(row, key) of the cells to be set in bold."""
    bold = set()
    for column in table.columns:
        if column.better is None:
            continue
        choose = min if column.better == 'lower' else max
        for group in row_groups(table):
            means = {i: _mean(rows[i][column.key]) for i in group}
            means = {i: mean for i, mean in means.items() if mean is not None}
            if len(means) < 2:
                continue
            best = _text(choose(means.values()), column.digits)
            bold |= {
                (i, column.key)
                for i, mean in means.items()
                if _text(mean, column.digits) == best
                and column.key not in table.rows[i].get('not_best', ())
            }
    return bold


def footnotes(table: ReportTable) -> Tuple[List[str], Dict[Tuple[int, str], int]]:
    """The reasons in the order of the cells, and the number of each cell's reason."""
    reasons: List[str] = []
    marks: Dict[Tuple[int, str], int] = {}
    for index, row in enumerate(table.rows):
        for column in table.columns:
            why = row.get(f'{column.key}_why')
            if why:
                why = ' '.join(str(why).split())
                if why not in reasons:
                    reasons.append(why)
                marks[index, column.key] = reasons.index(why) + 1
    return reasons, marks


def alignments(table: ReportTable, rows: Sequence[Dict[str, Any]]) -> str:
    """One letter per column: numbers right, ticks in the centre, text left."""
    letters = ''
    for column in table.columns:
        cells = [row[column.key] for row in rows]
        if any(is_number(cell) or isinstance(cell, tuple) for cell in cells):
            letters += 'r'
        else:
            letters += 'c' if any(isinstance(cell, bool) for cell in cells) else 'l'
    return letters
