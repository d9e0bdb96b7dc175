"""A table of a report as Markdown, LaTeX, and the plain texts of a template."""

import re
from typing import Any, Callable, Dict, List

from cellgan_plugin.visualization.table_cells import (
    ARROWS,
    ReportTable,
    alignments,
    best_cells,
    checked_rows,
    footnotes,
    row_groups,
    shown_cell,
)

_LATEX = {
    '\\': r'\textbackslash{}', '&': r'\&', '%': r'\%', '$': r'\$', '#': r'\#', '_': r'\_',
    '{': r'\{', '}': r'\}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}',
    '<': r'\textless{}', '>': r'\textgreater{}', '|': r'\textbar{}', '—': '---', '±': r'$\pm$',
    '×': r'$\times$', '↓': r'$\downarrow$', '↑': r'$\uparrow$', '✓': r'$\checkmark$',
}  # fmt: skip
_MARKDOWN = {'\\': '\\\\', '|': '\\|', '*': '\\*', '<': '&lt;'}


def _escape(text: str, table: Dict[str, str]) -> str:
    return ''.join(table.get(letter, letter) for letter in ' '.join(str(text).split()))


def _cells(
    table: ReportTable,
    escapes: Dict[str, str],
    bold: Callable[[str], str],
    mark: Callable[[int], str],
) -> List[List[str]]:
    """The body as text in one of the two markups."""
    rows = checked_rows(table)
    best, (_, marks) = best_cells(table, rows), footnotes(table)
    body = []
    for index, row in enumerate(rows):
        line = []
        for column in table.columns:
            cell = row[column.key]
            text = _escape(shown_cell(cell, column.digits), escapes)
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
    return [_escape(c.title + ARROWS[c.better], escapes) for c in table.columns]


def markdown_table(table: ReportTable) -> str:
    """The table in GitHub's Markdown; the rule between groups is an empty row."""
    body = _cells(table, _MARKDOWN, '**{}**'.format, '<sup>{}</sup>'.format)
    rules = dict(l='---', r='---:', c=':---:')
    lines = [
        _header(table, _MARKDOWN),
        [rules[letter] for letter in alignments(table, checked_rows(table))],
    ]
    for number, group in enumerate(row_groups(table)):
        if number:
            lines.append([''] * len(table.columns))
        lines += [body[index] for index in group]
    text = [f'**{_escape(table.title, _MARKDOWN)}**', '']
    text += ['| ' + ' | '.join(line) + ' |' for line in lines]
    reasons, _ = footnotes(table)
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
        f'  \\begin{{tabular}}{{{alignments(table, checked_rows(table))}}}',
        '    \\toprule',
        '    ' + ' & '.join(_header(table, _LATEX)) + r' \\',
    ]
    for group in row_groups(table):
        lines.append('    \\midrule')
        lines += ['    ' + ' & '.join(body[index]) + r' \\' for index in group]
    lines += ['    \\bottomrule', '  \\end{tabular}']
    reasons, _ = footnotes(table)
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
    rows = checked_rows(table)
    best, (reasons, marks) = best_cells(table, rows), footnotes(table)
    head = [c.title + ARROWS[c.better] for c in table.columns]
    body = [
        [
            dict(
                text=shown_cell(row[column.key], column.digits),
                bold=(index, column.key) in best,
                mark=marks.get((index, column.key), 0),
            )
            for column in table.columns
        ]
        for index, row in enumerate(rows)
    ]
    align = alignments(table, rows)
    groups = [[body[index] for index in group] for group in row_groups(table)]
    if exchanged and body:
        lines = [[dict(text=name, bold=False, mark=0), *column]
                 for name, column in zip(head, zip(*body, strict=True), strict=True)]  # fmt: skip
        head = [cell['text'] for cell in lines[0]]
        groups, align = [lines[1:]], 'l' + 'r' * len(body)
    notes = [str(note) for note in table.notes]
    return dict(
        title=table.title, head=head, align=align, groups=groups, reasons=reasons, notes=notes
    )
