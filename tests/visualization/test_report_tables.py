"""Tables of a report: the exact text of every format."""

import csv
import io
import json
import math

import numpy as np
import pytest

from cellgan_plugin.visualization.report_tables import (
    Column,
    ReportTable,
    csv_table,
    json_table,
    latex_table,
    markdown_table,
    write_report_table,
)

COLUMNS = [
    Column('model', 'Model'),
    Column('sgc', 'SGC'),
    Column('fid', 'FID', better='lower'),
    Column('accuracy', 'Accuracy (%)', digits=1, better='higher'),
    Column('images', 'images'),
]


@pytest.fixture
def table():
    return ReportTable(
        title='Table 1: 5% of A|B',
        columns=COLUMNS,
        rows=[
            dict(model='BigGAN', sgc=False, fid=41.5, accuracy=(74.3, 1.69), images=800),
            dict(
                model='LDM_v1', sgc=False, fid=None, fid_why='out of memory', accuracy=(-0.02, None)
            ),
            dict(model='CellGAN', sgc=True, fid=32.256, accuracy=(81.25, 0.5), images=800),
        ],
        notes=['500 images & more.'],
    )


def test_markdown(table):
    assert markdown_table(table) == (
        '**Table 1: 5% of A\\|B**\n'
        '\n'
        '| Model | SGC | FID ↓ | Accuracy (%) ↑ | images |\n'
        '| --- | :---: | ---: | ---: | ---: |\n'
        '| BigGAN |  | 41.50 | 74.3 ± 1.7 | 800 |\n'
        '| LDM_v1 |  | —<sup>1</sup> | 0.0 | — |\n'
        '| CellGAN | ✓ | **32.26** | **81.2 ± 0.5** | 800 |\n'
        '\n'
        '<sup>1</sup> out of memory\n'
        '\n'
        '500 images & more.\n'
    )


def test_latex(table):
    table.rows[0]['accuracy'] = (-74.3, 1.69)
    assert latex_table(table, 'table_1') == (
        '% needs \\usepackage{amssymb, booktabs}\n'
        '\\begin{table}[t]\n'
        '  \\centering\n'
        '  \\caption{Table 1: 5\\% of A\\textbar{}B}\n'
        '  \\label{tab:table-1}\n'
        '  \\begin{tabular}{lcrrr}\n'
        '    \\toprule\n'
        '    Model & SGC & FID $\\downarrow$ & Accuracy (\\%) $\\uparrow$ & images \\\\\n'
        '    \\midrule\n'
        '    BigGAN &  & 41.50 & $-$74.3 $\\pm$ 1.7 & 800 \\\\\n'
        '    LDM\\_v1 &  & ---\\textsuperscript{1} & 0.0 & --- \\\\\n'
        '    CellGAN & $\\checkmark$ & \\textbf{32.26} & \\textbf{81.2 $\\pm$ 0.5} & 800 \\\\\n'
        '    \\bottomrule\n'
        '  \\end{tabular}\n'
        '\n'
        '  \\smallskip\n'
        '  \\footnotesize\n'
        '  \\textsuperscript{1} out of memory \\\\\n'
        '  500 images \\& more.\n'
        '\\end{table}\n'
    )


def test_csv(table):
    assert csv_table(table) == (
        'model,sgc,fid,accuracy_mean,accuracy_std,images,fid_why\n'
        'BigGAN,false,41.5,74.3,1.69,800,\n'
        'LDM_v1,false,,-0.02,,,out of memory\n'
        'CellGAN,true,32.256,81.25,0.5,800,\n'
    )


def test_json(table):
    content = json.loads(json_table(table))
    assert content['title'] == table.title and content['notes'] == ['500 images & more.']
    assert content['columns'][2] == dict(key='fid', title='FID', digits=2, better='lower')
    assert content['rows'][1] == dict(
        model='LDM_v1', sgc=False, fid=None, fid_why='out of memory',
        accuracy=dict(mean=-0.02, std=None), images=None,
    )  # fmt: skip
    assert content['rows'][2]['accuracy'] == dict(mean=81.25, std=0.5)


def test_groups_have_a_rule_and_their_own_best(table):
    table.columns = [Column('model', 'M'), Column('fd', 'FD', digits=1, better='lower')]
    table.notes = ()
    table.rows = [
        dict(model='a', fd=2.0, group='small'),
        dict(model='b', fd=3.0, group='small'),
        dict(model='c', fd=9.0, group='large'),
        dict(model='d', fd=8.04, group='large'),
        dict(model='e', fd=8.01, group='large'),
        dict(model='f', fd=1.0, group='alone'),
    ]
    body = markdown_table(table).splitlines()[4:]
    assert body == [
        '| a | **2.0** |', '| b | 3.0 |', '|  |  |', '| c | 9.0 |', '| d | **8.0** |',
        '| e | **8.0** |', '|  |  |', '| f | 1.0 |',
    ]  # fmt: skip
    latex = latex_table(table)
    assert latex.count('\\midrule') == 3 and '\\label' not in latex
    assert csv_table(table).splitlines()[:2] == ['model,fd,group', 'a,2.0,small']
    assert json.loads(json_table(table))['rows'][5] == dict(model='f', fd=1.0, group='alone')


def test_a_reason_is_numbered_once(table):
    for row in table.rows[:2]:
        row.update(fid=None, fid_why='out of memory', images=None, images_why='not sampled')
    text = markdown_table(table)
    assert text.count('<sup>1</sup>') == 3 and text.count('<sup>2</sup>') == 3
    assert '<sup>1</sup> out of memory\n\n<sup>2</sup> not sampled' in text
    assert '**32.26**' not in text  # nothing to compare it with


def test_numbers_that_are_not_finite_are_shown_and_never_best(table):
    table.rows[0]['fid'] = math.nan
    table.rows[1].update(fid=math.inf, fid_why=None)
    table.rows.append(dict(model='d', fid=50.0))
    text = markdown_table(table)
    assert '| nan |' in text and '| inf |' in text and '| **32.26** |' in text
    rows = json.loads(json_table(table))['rows']
    assert [row['fid'] for row in rows] == ['nan', 'inf', 32.256, 50.0]


def test_numpy_numbers_are_numbers():
    table = ReportTable('t', [Column('a', 'A'), Column('b', 'B')], [dict(a=np.float32(0.5))])
    table.rows.append(dict(a=np.int64(3), b=(np.float64(1), np.float64(2))))
    assert markdown_table(table).splitlines()[4:] == ['| 0.50 | — |', '| 3 | 1.00 ± 2.00 |']
    assert csv_table(table) == 'a,b_mean,b_std\n0.5,,\n3,1.0,2.0\n'


def test_text_cannot_break_out_of_its_cell():
    nasty = '=1+1 | \\input{x} *b* <b>\n$x_1^2$ #~&%'
    table = ReportTable('t', [Column('a', 'A')], [dict(a=nasty)])
    assert markdown_table(table).splitlines()[4] == (
        '| =1+1 \\| \\\\input{x} \\*b\\* &lt;b> $x_1^2$ #~&% |'
    )
    assert (
        '    =1+1 \\textbar{} \\textbackslash{}input\\{x\\} *b* \\textless{}b\\textgreater{} '
        '\\$x\\_1\\textasciicircum{}2\\$ \\#\\textasciitilde{}\\&\\% \\\\\n'
    ) in latex_table(table)
    assert list(csv.reader(io.StringIO(csv_table(table)))) == [['a'], ["'" + nasty]]


@pytest.mark.parametrize('cell', [[1, 2, 3], dict(mean=1), ('a', 'b'), (None, 1.0), b'x'])
def test_other_cells_are_refused_by_row_and_column(cell):
    table = ReportTable('T', [Column('a', 'A')], [dict(a=1), dict(a=cell)])
    with pytest.raises(TypeError, match=r"table 'T', row 1, a: a cell is a number"):
        markdown_table(table)


def test_wrong_columns_are_refused():
    with pytest.raises(ValueError, match="column 'a': better is 'lower', 'higher' or None"):
        Column('a', 'A', better='smaller')
    with pytest.raises(ValueError, match='two columns have the same key'):
        csv_table(ReportTable('T', [Column('a', 'A'), Column('a', 'B')], []))


def test_files(table, tmp_path):
    paths = write_report_table(tmp_path / 'new', 'table_1', table)
    assert [path.name for path in paths] == [f'table_1.{s}' for s in ('md', 'tex', 'csv', 'json')]
    assert paths[0].read_text(encoding='utf-8') == markdown_table(table)
    assert paths[1].read_text(encoding='utf-8') == latex_table(table, 'table_1')
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == sorted(
        path.name for path in paths
    )
