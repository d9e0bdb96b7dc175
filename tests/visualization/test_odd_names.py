"""Names of people's folders and models in titles and tables."""

import csv

import pytest
from PIL import Image

from cellgan_plugin.datasets.problems import Problem
from cellgan_plugin.datasets.report import DatasetReport
from cellgan_plugin.visualization.distance_curves import draw_distance_curves
from cellgan_plugin.visualization.figures import new_figure, save_figure
from cellgan_plugin.visualization.report_tables import Column, ReportTable, latex_table
from cellgan_plugin.visualization.tables import as_cell, write_csv

ODD = [r'$\frac{', '$x$', '=cmd|calc', 'a_b^c', '\\', '100 % & more', '癌', '\u202eLISH']


def save(figure, path):
    save_figure(figure, path)
    with Image.open(path) as image:
        return image.convert('L').tobytes()


def test_texts_in_figures_are_no_formulas(tmp_path):
    def draw(name: str):
        figure = new_figure(4, 3)
        axes = figure.add_subplot()
        figure.suptitle(name)
        axes.set_title(name)
        axes.bar(range(2), [1, 2], label=name)
        axes.set_xticks(range(2), [name, name])
        axes.legend()
        axes.text(0, 1, name)
        return save(figure, tmp_path / 'a.png')

    for name in ODD:
        draw(name)
    # A formula would be drawn as its letters alone, the same for both.
    assert draw('$x$') != draw('$ x$')


def test_curves_of_odd_classes_are_drawn(tmp_path):
    rows = {i: {name: 10.0 ** (3 - i) for name in ODD} for i in range(3)}
    path = draw_distance_curves(tmp_path / 'a.png', rows, [1.0] * 3, r'FD $\frac{', 1)
    with Image.open(path) as image:
        image.load()


@pytest.mark.parametrize('text', ['=1+1', '+1', '-1', '@x', '\tx'])
def test_no_table_runs_a_name(tmp_path, text):
    assert as_cell(text) == f"'{text}" and as_cell('a=1') == 'a=1' and as_cell(-1.5) == -1.5
    row = dict(row=text, real=1, fake=1, values={}, intervals={}, notes=[text])
    write_csv(tmp_path / 'a.csv', [row])
    report = DatasetReport(str(tmp_path), ('A',), problems=[Problem('error', 'x', text, text)])
    report.save(tmp_path / 'check')
    for path in (tmp_path / 'a.csv', tmp_path / 'check' / 'problems.csv'):
        with open(path, encoding='utf-8', newline='') as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell.startswith(('=', '+', '-', '@', '\t'))]


def test_latex_shows_names_as_they_are():
    table = ReportTable(r'of $\frac{', [Column('name', '100 % {x}')], [dict(name=n) for n in ODD])
    text = latex_table(table)
    assert r'\$\textbackslash{}frac\{' in text and r'a\_b\textasciicircum{}c' in text
