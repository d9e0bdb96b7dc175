"""Tables of classes x metrics: text, JSON lines, CSV and a picture."""

import csv
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Union

from cellgan_plugin.files import atomic_write
from cellgan_plugin.text import in_columns
from cellgan_plugin.visualization.figures import (
    new_figure,
    save_figure,
    set_title,
    text_width,
    wrapped,
)

# A spreadsheet takes a cell that starts with one of these for a formula and runs it.
_FORMULA = ('=', '+', '-', '@', '\t', '\r')


def as_cell(value: Any) -> Any:
    """A cell of a CSV that people open: a text that would run as a formula gets a ``'`` in front.

    Manifests and predictions are read by programs, to which a name is the whole name: they hold
    texts as they are.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _plain(rows: Sequence[Any]) -> List[Dict[str, Any]]:
    return [row if isinstance(row, dict) else row.as_dict() for row in rows]


def _columns(rows: Sequence[Dict[str, Any]]) -> List[str]:
    return list(dict.fromkeys(name for row in rows for name in row['values']))


def number(value: float) -> str:
    """A number as a table shows it: four significant digits."""
    return f'{value:.4g}' if abs(value) < 1000 else f'{value:.0f}'


def _cell(row: Dict[str, Any], column: str) -> str:
    if column not in row['values']:
        return '-'
    text = number(row['values'][column])
    if column in row['intervals']:
        low, high = row['intervals'][column]
        text += f' [{number(low)}, {number(high)}]'
    return text


def aligned(rows: Sequence[Sequence[str]]) -> List[str]:
    """Lines of a table with a rule below its head: the first column to the left, others right."""
    lines = in_columns(rows)
    return [lines[0], '-' * max(map(len, lines)), *lines[1:]]


def text_table(rows: Sequence[Any]) -> str:
    """Rows (:class:`~cellgan_plugin.evaluation.Row` or their dicts) as text, notes below."""
    rows = _plain(rows)
    columns = _columns(rows)
    table = [['class', 'real', 'generated', *columns]]
    for row in rows:
        cells = [_cell(row, column) for column in columns]
        table.append([row['row'], str(row['real']), str(row['fake']), *cells])
    lines = aligned(table)
    same: Dict[str, List[str]] = {}
    for row in rows:
        for note in row['notes']:
            same.setdefault(note, []).append(row['row'])
    lines += [f'  {", ".join(names)}: {note}' for note, names in same.items()]
    return '\n'.join(lines)


def append_json_lines(path: Union[str, Path], report: Dict[str, Any], head: Dict[str, Any]) -> Path:
    """Append one line per row of a report, each with the protocol and ``head``.

    Lines of earlier evaluations are kept, so a file is the history of a work directory.

    Args:
        path (str | Path): The file.
        report (dict): ``protocol``, ``rows``, ``seconds``.
        head (dict): What is put in front of every row (checkpoint, git, config hash).

    Returns:
        Path: ``path``.
    """
    path = Path(path)
    before = path.read_text(encoding='utf-8') if path.is_file() else ''
    with atomic_write(path, 'w', encoding='utf-8') as file:
        file.write(before)
        for row in report['rows']:
            line = {**head, **row, 'seconds': report['seconds'], 'protocol': report['protocol']}
            file.write(json.dumps(line, ensure_ascii=False) + '\n')
    return path


def write_csv(path: Union[str, Path], rows: Sequence[Any]) -> Path:
    """Write rows as CSV: class, counts, one column per metric and interval end, notes."""
    rows = _plain(rows)
    columns = _columns(rows)
    with_interval = {name for row in rows for name in row['intervals']}
    with atomic_write(path, 'w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        head = ['class', 'real', 'generated']
        for name in columns:
            head += [name, f'{name} low', f'{name} high'] if name in with_interval else [name]
        writer.writerow([*head, 'notes'])
        for row in rows:
            cells: List[Any] = [as_cell(row['row']), row['real'], row['fake']]
            for name in columns:
                cells.append(row['values'].get(name, ''))
                if name in with_interval:
                    cells += row['intervals'].get(name, ('', ''))
            writer.writerow([*cells, as_cell('; '.join(row['notes']))])
    return Path(path)


def draw_table(path: Union[str, Path], rows: Sequence[Any], title: str) -> Path:
    """Bars per class, one panel per metric, with intervals where there are any.

    Args:
        path (str | Path): PNG to write.
        rows (Sequence): Rows of the table.
        title (str): Above the picture.

    Returns:
        Path: ``path``.
    """
    rows = _plain(rows)
    columns = _columns(rows)
    names = [f'{row["row"]}\n{row["real"]} / {row["fake"]}' for row in rows]
    # Names that do not fit side by side stand upright, below the last panel alone.
    longest = max((text_width(line, 8) for name in names for line in name.split('\n')), default=0)
    upright = longest > 0.9
    below = longest if upright else 0.3
    figure = new_figure(max(4.0, 1.6 + 0.95 * len(rows)), 1.2 + 2.0 * max(1, len(columns)) + below)
    set_title(figure, title)
    if not columns:
        figure.text(0.5, 0.5, 'nothing could be computed', ha='center')
    for index, column in enumerate(columns):
        axes = figure.add_subplot(len(columns), 1, index + 1)
        values = [row['values'].get(column, 0.0) for row in rows]
        colours = ['0.45' if row['row'] in ('mean', 'pooled') else 'tab:blue' for row in rows]
        axes.bar(range(len(rows)), values, color=colours, width=0.65)
        for x, row in enumerate(rows):
            if column not in row['values']:
                axes.text(x, 0, 'n/a', ha='center', va='bottom', fontsize=8)
                continue
            value = row['values'][column]
            low, high = row['intervals'].get(column, (value, value))
            if high > low:
                axes.vlines(x, low, high, color='black', lw=1)
            axes.text(x, max(high, value), number(value), ha='center', va='bottom', fontsize=8)
            if column in row.get('floor', {}):
                floor = row['floor'][column]
                axes.hlines(floor, x - 0.42, x + 0.42, color='tab:red', lw=1.4, ls='--')
        axes.margins(y=0.18)
        axes.set_ylabel(wrapped(column, 1.8, 8), fontsize=8)
        last = index == len(columns) - 1
        axes.set_xticks(range(len(rows)), names if last else [''] * len(rows), fontsize=8,
                        rotation=90 if upright else 0)  # fmt: skip
        axes.spines[['top', 'right']].set_visible(False)
    if columns:
        dashed = any(row.get('floor') for row in rows)
        said = '; dashed: real against real' if dashed else ''
        axes.set_xlabel(f'class, real / generated images{said}', fontsize=8)
    return save_figure(figure, path)
