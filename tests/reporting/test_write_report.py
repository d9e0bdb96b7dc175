"""The HTML page: what stands on it, in which order, that nothing leads out, and how it looks."""

import re

import numpy as np
import pytest
from browser import measure, needs_browser
from PIL import Image

from cellgan_plugin.benchmark.page import benchmark_sections
from cellgan_plugin.files import write_json
from cellgan_plugin.visualization.page import KINDS, Picture, Section, ordered, write_page
from cellgan_plugin.visualization.report_tables import (
    Column,
    ReportTable,
    read_report_table,
    shown_table,
    write_report_table,
)

LONG = 'Superficial squamous intermediate cell of an unusually long name'


def noise(side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def table(columns=4, rows=3, name='class'):
    heads = [Column('name', 'Model')]
    heads += [Column(f'c{i}', f'{name} {i}', better='lower') for i in range(columns)]
    lines = [dict(name=f'm{r}', **{f'c{i}': (r + i + 0.5, 0.25) for i in range(columns)})
             for r in range(rows)]  # fmt: skip
    return ReportTable('A table', heads, lines, ['A note & more'])


def test_sections_stand_in_the_order_of_a_page_and_empty_ones_are_left_out(tmp_path):
    sections = [Section(kind, kind.title(), ['text']) for kind in reversed(KINDS)]
    sections.insert(3, Section('images', 'No picture', pictures=[Picture('nowhere.png', 'x')]))
    assert [section.kind for section in ordered(sections)] == list(KINDS)
    text = write_page(tmp_path / 'x.html', 'Title', sections).read_text()
    assert re.findall(r'<h2>(.*?)</h2>', text) == [kind.title() for kind in KINDS]
    with pytest.raises(ValueError, match='kind'):
        Section('other', 'x')


def test_scores_of_a_benchmark_stand_before_its_boxes_whatever_is_doubtful(tmp_path):
    verdict = dict(outcome='no evidence', headline='No evidence.', verdicts=[dict(sentence='x')])
    write_json(tmp_path / 'results.json', dict(verdict=verdict, notes=['LEAK: a generator']))
    write_report_table(tmp_path, 'table', table())
    titles = [section.title for section in benchmark_sections(tmp_path)]
    assert titles[:4] == ['Verdict', 'Before you believe it', 'Scores', 'Folds']


def test_everything_is_escaped_and_nothing_leads_out(tmp_path):
    evil = '<script>alert(1)</script><img src="http://example.org/x.png">'
    shown = table()
    shown.title = shown.rows[0]['name'] = evil
    shown.rows[1]['name_why'] = evil
    section = Section('table', evil, [evil], [evil], [shown], [Picture(noise(8), evil)],
                      [(evil, evil)])  # fmt: skip
    text = write_page(tmp_path / 'x.html', evil, [section], evil).read_text()
    assert '<script' not in text and '<img src="http' not in text
    # The only addresses are pictures inside the file.
    assert set(re.findall(r'(?:src|href)="([^"]{,10})', text)) == {'data:image'}
    assert "default-src 'none'" in text


def test_a_table_keeps_its_marks(tmp_path):
    shown = table()
    shown.rows[1]['c0_why'] = 'a reason'
    made = shown_table(shown)
    assert made['head'][1] == 'class 0 ↓' and made['align'] == 'lrrrr'
    cells = made['groups'][0]
    assert cells[0][1] == dict(text='0.50 ± 0.25', bold=True, mark=0)
    assert cells[1][1]['mark'] == 1 and made['reasons'] == ['a reason']
    exchanged = shown_table(shown, exchanged=True)
    assert exchanged['head'] == ['Model', 'm0', 'm1', 'm2']
    assert [row[0]['text'] for row in exchanged['groups'][0]] == made['head'][1:]
    write_report_table(tmp_path, 'table', shown)
    again = read_report_table(tmp_path / 'table.json')
    assert shown_table(again) == made
    (tmp_path / 'table.json').write_text('{"title": 1}')
    with pytest.raises(ValueError, match='damaged'):
        read_report_table(tmp_path / 'table.json')


def test_a_page_is_bounded_whatever_the_pictures_are(tmp_path):
    Image.fromarray(noise(1500, 1)).save(tmp_path / 'large.png')  # noise: PNG cannot shrink it
    pictures = [Picture(tmp_path / 'large.png', 'large'), Picture(noise(40), 'small')]
    section = Section('images', 'Images', pictures=pictures)
    sizes = {}
    for most in (5_000_000, 300_000, 60_000):
        path = write_page(tmp_path / 'x.html', 'T', [section], max_bytes=most)
        sizes[most] = path.stat().st_size
        assert sizes[most] <= most
    assert sizes[300_000] > 100_000
    text = path.read_text()
    assert 'Left out' in text and text.count('data:image') == 1  # the small one still fits
    captions = [Picture(noise(40, i), 'remark ' * 200) for i in range(20)]
    section = Section('images', 'Images', pictures=captions)
    path = write_page(tmp_path / 'x.html', 'T', [section], max_bytes=60_000)
    assert path.stat().st_size <= 60_000
    with pytest.raises(ValueError, match='text alone'):
        write_page(tmp_path / 'y.html', 'T', [section], max_bytes=100)
    assert not (tmp_path / 'y.html').exists()


@needs_browser
def test_twenty_classes_and_long_names_fit_a_window(tmp_path):
    wide = table(22, 3, LONG)
    many = ReportTable('Many rows', [Column('a', LONG), Column('b', 'b')],
                       [dict(a=f'{LONG} {i}', b=(i, 1.0)) for i in range(20)])  # fmt: skip
    unbroken = Section('protocol', 'Hashes', facts=[('a' * 90, 'f' * 400)], items=['g' * 500])
    picture = Section('images', 'I', pictures=[Picture(noise(300), LONG), Picture(noise(8), 'x')])
    verdict = Section('verdict', 'Verdict', ['Words.'], tone='good')
    sections = [unbroken, picture, Section('table', LONG, tables=[wide, many]), verdict]
    path = write_page(tmp_path / 'x.html', LONG * 3, sections)
    light, dark = (measure(path, tmp_path, dark) for dark in (False, True))
    for found in (light, dark):
        assert found['images'] == 2 and found['broken'] == 0
        assert found['width'] <= found['window'] == 1280
        assert max(found['inner']) <= 0  # no table has to be scrolled either
        assert found['headings'] == ['Verdict', LONG, 'I', 'Hashes']

    def brightness(colour):
        return sum(map(int, re.findall(r'\d+', colour)[:3])) / 3

    assert brightness(light['back']) > 200 > 100 > brightness(light['text'])
    assert brightness(dark['back']) < 100 < 200 < brightness(dark['text'])
