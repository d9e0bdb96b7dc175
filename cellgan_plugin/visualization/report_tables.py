"""Tables of a report: Markdown, LaTeX, CSV and JSON from the same rows."""

import csv
import io
import json
import math
import numbers
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

from cellgan_plugin.files import atomic_write
from cellgan_plugin.visualization.tables import as_cell

_LATEX = {
    '\\': r'\textbackslash{}', '&': r'\&', '%': r'\%', '$': r'\$', '#': r'\#', '_': r'\_',
    '{': r'\{', '}': r'\}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}',
    '<': r'\textless{}', '>': r'\textgreater{}', '|': r'\textbar{}', '—': '---', '±': r'$\pm$',
    '×': r'$\times$', '↓': r'$\downarrow$', '↑': r'$\uparrow$', '✓': r'$\checkmark$',
}  # fmt: skip
_MARKDOWN = {'\\': '\\\\', '|': '\\|', '*': '\\*', '<': '&lt;'}
_ARROWS = {'lower': ' ↓', 'higher': ' ↑', None: ''}


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
        if self.better not in _ARROWS:
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


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _as_cell(value: Any, where: str) -> Any:
    """The cell as Python's own types; a pair as a tuple of floats (or None)."""
    if hasattr(value, 'item') and getattr(value, 'ndim', None) == 0:
        value = value.item()  # a number of numpy's or torch's
    if value is None or isinstance(value, (bool, str)) or _is_number(value):
        return value
    if isinstance(value, (tuple, list)) and len(value) == 2:
        mean, std = (_as_cell(v, where) for v in value)
        if _is_number(mean) and (std is None or _is_number(std)):
            return mean, std
    raise TypeError(
        f'{where}: a cell is a number, a text, a bool, a (mean, std) pair or None, got {value!r}'
    )


def _rows(table: ReportTable) -> List[Dict[str, Any]]:
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
    return float(value) if _is_number(value) and math.isfinite(value) else None


def _text(value: Any, digits: int) -> str:
    """One number."""
    if isinstance(value, numbers.Integral) or not math.isfinite(value):
        return str(value)
    text = f'{value:.{digits}f}'
    return text[1:] if text.startswith('-') and not text.strip('-0.') else text  # -0.00


def _shown(cell: Any, digits: int) -> str:
    if cell is None:
        return '—'
    if isinstance(cell, bool):
        return '✓' if cell else ''
    if isinstance(cell, str):
        return ' '.join(cell.split())
    if isinstance(cell, tuple) and cell[1] is not None:
        return ' ± '.join(_text(value, digits) for value in cell)
    return _text(cell[0] if isinstance(cell, tuple) else cell, digits)


def _groups(table: ReportTable) -> List[List[int]]:
    """Indices of rows that follow one another and have the same ``group``."""
    groups: List[List[int]] = []
    for index, row in enumerate(table.rows):
        if groups and row.get('group') == table.rows[index - 1].get('group'):
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _best(table: ReportTable, rows: Sequence[Dict[str, Any]]) -> set:
    """(row, key) of the cells to be set in bold."""
    bold = set()
    for column in table.columns:
        if column.better is None:
            continue
        choose = min if column.better == 'lower' else max
        for group in _groups(table):
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


def _footnotes(table: ReportTable) -> Tuple[List[str], Dict[Tuple[int, str], int]]:
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


def _alignments(table: ReportTable, rows: Sequence[Dict[str, Any]]) -> str:
    """One letter per column: numbers right, ticks in the centre, text left."""
    letters = ''
    for column in table.columns:
        cells = [row[column.key] for row in rows]
        if any(_is_number(cell) or isinstance(cell, tuple) for cell in cells):
            letters += 'r'
        else:
            letters += 'c' if any(isinstance(cell, bool) for cell in cells) else 'l'
    return letters


def _escape(text: str, table: Dict[str, str]) -> str:
    return ''.join(table.get(letter, letter) for letter in ' '.join(str(text).split()))


def _cells(
    table: ReportTable,
    escapes: Dict[str, str],
    bold: Callable[[str], str],
    mark: Callable[[int], str],
) -> List[List[str]]:
    """The body as text in one of the two markups."""
    rows = _rows(table)
    best, (_, marks) = _best(table, rows), _footnotes(table)
    body = []
    for index, row in enumerate(rows):
        line = []
        for column in table.columns:
            cell = row[column.key]
            text = _escape(_shown(cell, column.digits), escapes)
            if escapes is _LATEX and not isinstance(cell, str):
                text = re.sub(r'(?<![-\w])-(?=[\d.i])', '$-$', text)  # a minus, not a hyphen
            if (index, column.key) in best:
                text = bold(text)
            if (index, column.key) in marks:
                text += mark(marks[index, column.key])
            line.append(text)
        body.append(line)
    return body


def _header(table: ReportTable, escapes: Dict[str, str]) -> List[str]:
    return [_escape(c.title + _ARROWS[c.better], escapes) for c in table.columns]


def markdown_table(table: ReportTable) -> str:
    """The table in GitHub's Markdown; the rule between groups is an empty row."""
    body = _cells(table, _MARKDOWN, '**{}**'.format, '<sup>{}</sup>'.format)
    rules = dict(l='---', r='---:', c=':---:')
    lines = [
        _header(table, _MARKDOWN),
        [rules[letter] for letter in _alignments(table, _rows(table))],
    ]
    for number, group in enumerate(_groups(table)):
        if number:
            lines.append([''] * len(table.columns))
        lines += [body[index] for index in group]
    text = [f'**{_escape(table.title, _MARKDOWN)}**', '']
    text += ['| ' + ' | '.join(line) + ' |' for line in lines]
    reasons, _ = _footnotes(table)
    notes = [f'<sup>{i + 1}</sup> {_escape(why, _MARKDOWN)}' for i, why in enumerate(reasons)]
    for note in [*notes, *(_escape(note, _MARKDOWN) for note in table.notes)]:
        text += ['', note]
    return '\n'.join(text) + '\n'


def latex_table(table: ReportTable, label: str = '') -> str:
    """The table in LaTeX, with the rules of the booktabs package.

    Args:
        table (ReportTable): The table.
        label (str): The table's label is ``tab:<label>``. Defaults to '': none.
    """
    body = _cells(table, _LATEX, r'\textbf{{{}}}'.format, r'\textsuperscript{{{}}}'.format)
    lines = [
        '% needs \\usepackage{amssymb, booktabs}',
        '\\begin{table}[t]',
        '  \\centering',
        f'  \\caption{{{_escape(table.title, _LATEX)}}}',
    ]
    if label:
        lines.append(f'  \\label{{tab:{re.sub("[^A-Za-z0-9]+", "-", label)}}}')
    lines += [
        f'  \\begin{{tabular}}{{{_alignments(table, _rows(table))}}}',
        '    \\toprule',
        '    ' + ' & '.join(_header(table, _LATEX)) + r' \\',
    ]
    for group in _groups(table):
        lines.append('    \\midrule')
        lines += ['    ' + ' & '.join(body[index]) + r' \\' for index in group]
    lines += ['    \\bottomrule', '  \\end{tabular}']
    reasons, _ = _footnotes(table)
    notes = [f'\\textsuperscript{{{i + 1}}} {_escape(w, _LATEX)}' for i, w in enumerate(reasons)]
    notes += [_escape(note, _LATEX) for note in table.notes]
    if notes:
        lines += ['', '  \\smallskip', '  \\footnotesize', '  ' + ' \\\\\n  '.join(notes)]
    return '\n'.join([*lines, '\\end{table}', ''])


def shown_table(table: ReportTable, exchanged: bool = False) -> Dict[str, Any]:
    """The table as plain texts, for a template.

    Args:
        table (ReportTable): The table.
        exchanged (bool): Rows become columns: for many columns and few rows. Defaults to False.

    Returns:
        dict: ``title``; ``head``, texts; ``align``, a letter of 'lrc' per column; ``groups``, lists
        of rows of ``dict(text=, bold=, mark=)`` (mark 0: no footnote); ``reasons`` of the
        footnotes; ``notes``.
    """
    rows = _rows(table)
    best, (reasons, marks) = _best(table, rows), _footnotes(table)
    head = [c.title + _ARROWS[c.better] for c in table.columns]
    body = [
        [
            dict(
                text=_shown(row[column.key], column.digits),
                bold=(index, column.key) in best,
                mark=marks.get((index, column.key), 0),
            )
            for column in table.columns
        ]
        for index, row in enumerate(rows)
    ]
    align = _alignments(table, rows)
    groups = [[body[index] for index in group] for group in _groups(table)]
    if exchanged and body:
        lines = [[dict(text=name, bold=False, mark=0), *column]
                 for name, column in zip(head, zip(*body, strict=True), strict=True)]  # fmt: skip
        head = [cell['text'] for cell in lines[0]]
        groups, align = [lines[1:]], 'l' + 'r' * len(body)
    notes = [str(note) for note in table.notes]
    return dict(
        title=table.title, head=head, align=align, groups=groups, reasons=reasons, notes=notes
    )


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
    rows = _rows(table)
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
    for row, given in zip(_rows(table), table.rows, strict=True):
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
