"""Tables of a report: Markdown, LaTeX, CSV and JSON from the same rows."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any, List, Union

from cellgan_plugin.files import atomic_write
from cellgan_plugin.visualization.table_cells import Column, ReportTable, checked_rows
from cellgan_plugin.visualization.table_markup import latex_table, markdown_table, shown_table
from cellgan_plugin.visualization.tables import as_cell

__all__ = [
    'Column', 'ReportTable', 'csv_table', 'json_table', 'latex_table', 'markdown_table',
    'read_report_table', 'shown_table', 'write_report_table',
]  # fmt: skip


def read_report_table(path: Union[str, Path]) -> ReportTable:
    """Read ``<stem>.json`` of :func:`write_report_table`.

    Raises:
        ValueError: It is damaged, or another program's.
    """
    try:
        found = json.loads(Path(path).read_text(encoding='utf-8'))
        rows = [
            {k: (v['mean'], v['std']) if isinstance(v, dict) else v for k, v in row.items()}
            for row in found['rows']
        ]
        columns = [Column(**column) for column in found['columns']]
        return ReportTable(found['title'], columns, rows, found['notes'])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} is damaged, or no table of a report ({error}): run its tool again, which '
            'writes it anew'
        ) from None


def _csv_cell(cell: Any) -> Any:
    if cell is None:
        return ''
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, str):
        return as_cell(cell)
    return cell  # the csv module writes repr(float): all digits


def csv_table(table: ReportTable) -> str:
    """The table as CSV: all digits, ``<key>_mean`` and ``<key>_std`` where there are pairs.

    A text that a spreadsheet would run as a formula gets a ``'`` in front.
    """
    rows = checked_rows(table)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    pairs = {c.key for c in table.columns if any(isinstance(r[c.key], tuple) for r in rows)}
    whys = [f'{c.key}_why' for c in table.columns if any(r.get(f'{c.key}_why') for r in table.rows)]
    extra = [*(['group'] if any('group' in row for row in table.rows) else []), *whys]
    head: List[str] = []
    for column in table.columns:
        paired = column.key in pairs
        head += [f'{column.key}_mean', f'{column.key}_std'] if paired else [column.key]
    writer.writerow([*head, *extra])
    for row, given in zip(rows, table.rows, strict=True):
        line: List[Any] = []
        for column in table.columns:
            cell = row[column.key]
            if column.key in pairs:
                line += cell if isinstance(cell, tuple) else (cell, None)
            else:
                line.append(cell)
        line += [None if given.get(key) is None else str(given[key]) for key in extra]
        writer.writerow([_csv_cell(cell) for cell in line])
    return file.getvalue()


def _json_cell(cell: Any) -> Any:
    if isinstance(cell, tuple):
        return dict(mean=_json_cell(cell[0]), std=_json_cell(cell[1]))
    if isinstance(cell, float) and not math.isfinite(cell):
        return str(cell)  # JSON has no such numbers
    return cell


def json_table(table: ReportTable) -> str:
    """The table as JSON: ``title``, ``columns``, ``rows``, ``notes``; a pair as mean and std."""
    rows = []
    for row, given in zip(checked_rows(table), table.rows, strict=True):
        line = {key: _json_cell(cell) for key, cell in row.items()}
        whys = [f'{column.key}_why' for column in table.columns]
        line.update({k: str(given[k]) for k in ('group', *whys) if given.get(k) is not None})
        if given.get('not_best'):
            line['not_best'] = list(given['not_best'])
        rows.append(line)
    content = dict(
        title=table.title,
        columns=[vars(column) for column in table.columns],
        rows=rows,
        notes=list(table.notes),
    )
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + '\n'


def write_report_table(folder: Union[str, Path], stem: str, table: ReportTable) -> List[Path]:
    """Write ``<stem>.md``, ``<stem>.tex``, ``<stem>.csv`` and ``<stem>.json``.

    Args:
        folder (str | Path): Where to; made where it is missing.
        stem (str): Name of the files, and label of the LaTeX table.
        table (ReportTable): The table.

    Returns:
        list[Path]: The four files.

    Raises:
        TypeError: A cell is none of the kinds that a table can show.
        ValueError: Two columns have the same key.
    """
    texts = {
        '.md': markdown_table(table),
        '.tex': latex_table(table, stem),
        '.csv': csv_table(table),
        '.json': json_table(table),
    }
    paths = []
    for suffix, text in texts.items():
        paths.append(Path(folder) / f'{stem}{suffix}')
        with atomic_write(paths[-1], 'w', encoding='utf-8', newline='') as file:
            file.write(text)
    return paths
