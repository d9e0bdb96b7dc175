"""Reader studies: what the page gives away, from the page to the scored table, and statistics."""

import base64
import html
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy.stats import beta
from sklearn.metrics import cohen_kappa_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'reporting'))
from browser import measure, needs_browser, run_browser  # noqa: E402
from programs import run_program

from cellgan_plugin.reader_study.agreement import (  # noqa: E402
    cohens_kappa,
    fleiss_kappa,
    proportion,
)
from cellgan_plugin.reader_study.draw import ReaderStudyError  # noqa: E402
from cellgan_plugin.reader_study.make import make_reader_study  # noqa: E402
from cellgan_plugin.reader_study.score import score_reader_study  # noqa: E402
from cellgan_plugin.reader_study.shown import shown_images  # noqa: E402
from cellgan_plugin.records import RecordError  # noqa: E402

CLASSES = ['NILM', 'LSIL', 'HSIL']


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Real images: large PNG files that say so; synthetic ones: small JPEG files, smooth."""
    root = tmp_path_factory.mktemp('study')
    rng = np.random.default_rng(0)
    told = PngInfo()
    told.add_text('origin', 'a real slide')
    for name in CLASSES:
        for side in ('real', 'synthetic'):
            (root / side / name).mkdir(parents=True)
        for index in range(8):
            pixels = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
            real = root / 'real' / name / f'patient_{index}.png'
            Image.fromarray(pixels).save(real, pnginfo=told)
            flat = np.full((32, 32, 3), rng.integers(50, 200), np.uint8)
            flat[8:20, 8:20] = rng.integers(0, 256, 3)
            Image.fromarray(flat).save(root / 'synthetic' / name / f'made_{index}.jpg')
    return root


@pytest.fixture(scope='module')
def study(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp('reading') / 'reading'
    made = make_reader_study(
        folders / 'real', folders / 'synthetic', out, per_class=3, classes=CLASSES
    )
    return out, made


def test_an_image_gives_nothing_away_but_its_pixels(folders, study):
    out, made = study
    assert {path.name for path in out.iterdir()} == {'reading.html', 'key.json'}
    assert made['images'] == 18 and made['size'] == [32, 32]
    text = (out / 'reading.html').read_text()
    for word in ('patient_', 'made_', str(folders), 'a real slide', 'http:', 'https:'):
        assert word not in text
    addresses = re.findall(r'data:[a-z/]+;base64,[A-Za-z0-9+/=]+', text)
    assert len(addresses) == 18 and len(set(map(len, addresses))) == 1
    assert {a.partition(',')[0] for a in addresses} == {'data:image/jpeg;base64'}
    heads = set()
    for address in addresses:
        content = base64.b64decode(address.partition(',')[2])
        image = Image.open(io.BytesIO(content))
        heads.add((image.size, image.mode, image.format, str(sorted(image.info)), len(content)))
        heads.add(content[: content.index(b'\xff\xc4')])  # tables of quantisation, sampling
        assert not image.getexif() and 'comment' not in image.info
    assert len(heads) == 2  # all alike
    key = json.loads((out / 'key.json').read_text())
    origins = [item['origin'] for item in key['items'].values()]
    assert origins.count('real') == origins.count('synthetic') == 9
    assert origins != sorted(origins) and origins != sorted(origins, reverse=True)
    for name in CLASSES:  # neither does a class
        of = [i['origin'] for i in key['items'].values() if i['label'] == name]
        assert of.count('real') == 3


def test_the_order_is_that_of_the_seed(folders, study, tmp_path):
    out, _ = study

    def make(where, **options):
        real, fake = folders / 'real', folders / 'synthetic'
        return make_reader_study(real, fake, where, per_class=3, classes=CLASSES, **options)

    make(tmp_path / 'same')
    for name in ('reading.html', 'key.json'):
        assert (tmp_path / 'same' / name).read_bytes() == (out / name).read_bytes()
    make(tmp_path / 'other', seed=1)
    key, other = (json.loads((f / 'key.json').read_text()) for f in (out, tmp_path / 'other'))
    assert key['study'] != other['study'] and key['items'] != other['items']
    with pytest.raises(RecordError):
        make(out, seed=1)  # its key would be lost


def test_groups_are_of_one_class_and_show_no_image_twice(folders, tmp_path):
    out = tmp_path / 'groups'
    make_reader_study(
        folders / 'real', folders / 'synthetic', out, 'groups', groups=4, group_size=3
    )
    key = json.loads((out / 'key.json').read_text())
    files = sum((item['files'] for item in key['items'].values()), [])
    assert len(files) == len(set(files)) == 4 * 6
    for item in key['items'].values():
        sides = [item['files'][:3], item['files'][3:]]
        assert all('/real/' in f for f in sides[item['real_side']])
        assert all('/synthetic/' in f for f in sides[1 - item['real_side']])
        assert all(f'/{item["label"]}/' in file for file in item['files'])
    with pytest.raises(ReaderStudyError, match='room for 6'):
        make_reader_study(
            folders / 'real', folders / 'synthetic', tmp_path / 'x', 'groups', group_size=4
        )


# In the browser -----------------------------------------------------------------------------------

PLAY = """
<script>
addEventListener('load', async () => {
  const press = (key) => dispatchEvent(new KeyboardEvent('keydown', {key, cancelable: true}));
  URL.createObjectURL = (blob) => { window.saved = blob; return '#'; };
  HTMLAnchorElement.prototype.click = () => {};  // no file is written
  const key = KEY, name = NAME, wrong = new Set(WRONG);
  document.getElementById('reader').value = name;
  press('Enter');
  for (const item of study.items) {
    const known = key[item.id];
    if (item.sides) {
      press(wrong.has(item.id) ? '3' : known.real_side ? '2' : '1');
    } else {
      press((known.origin === 'real') !== wrong.has(item.id) ? '1' : '2');
      press(String(1 + study.questions[1].options.findIndex((o) => o.value === known.label)));
      press(known.origin === 'real' ? '5' : '3');
    }
    if (item.id === '2') {
      press('/');
      const remark = document.getElementById('remark');
      document.body.dataset.focus = document.activeElement.id;
      remark.value = 'smudged <chromatin> & "halo"';
      remark.dispatchEvent(new Event('input'));
      remark.blur();
    }
    press('Enter');
  }
  document.body.dataset.kept = localStorage.length;
  press('Enter');
  document.body.dataset.answers = await window.saved.text();
});
</script>
"""


def play(out, name, wrong, tmp_path):
    """A reader who answers by keyboard, knows the key, and is wrong where told; their file."""
    key = json.loads((out / 'key.json').read_text())['items']
    script = PLAY.replace('KEY', json.dumps(key)).replace('NAME', json.dumps(name))
    script = script.replace('WRONG', json.dumps(wrong))
    copy = tmp_path / f'{name}.html'
    text = (out / 'reading.html').read_text()
    copy.write_text(text.replace('</body>', f'{script}</body>'))
    document = run_browser(copy.as_uri(), tmp_path)
    found = {k: html.unescape(v) for k, v in re.findall(r'data-(\w+)="([^"]*)"', document)}
    assert int(found['kept']) > 1 and found.get('focus', 'remark') == 'remark'
    path = tmp_path / f'answers_{name}.json'
    path.write_text(found['answers'])
    return path


@needs_browser
def test_from_the_page_to_the_scored_table(study, tmp_path):
    out, _ = study
    files = [play(out, 'A', ['1', '4'], tmp_path), play(out, 'B', ['1'], tmp_path)]
    found = score_reader_study(out, files)
    rows = {row['reader']: row for row in found['readers']}
    assert rows['A']['accuracy'] == pytest.approx(100 * 16 / 18) and rows['A']['answered'] == 18
    assert rows['B']['accuracy'] == pytest.approx(100 * 17 / 18)
    assert rows['all readers']['accuracy'] == pytest.approx(100 * 33 / 36)
    low = 100 * beta.ppf(0.025, 16, 3)
    assert rows['A']['interval'].startswith(f'{low:.1f} to ')
    assert {row['kappa'] for row in found['labels']} == {1.0}
    kappa = {(r['question'], r['measure']): r['kappa'] for r in found['agreement']}
    assert kappa['Class', "Cohen's"] == 1 and 0.8 < kappa['Real or synthetic', "Cohen's"] < 1
    assert [row['remark'] for row in found['remarks']] == ['smudged <chromatin> & "halo"'] * 2
    page = measure(out / 'report.html', tmp_path)
    assert page['broken'] == 0 and page['images'] == 1 and page['width'] <= page['window']
    text = (out / 'report.html').read_text()
    assert 'Readers tell real from synthetic: 91.7 % right' in text and '<chromatin>' not in text


@needs_browser
def test_groups_from_the_page_to_the_scored_table(folders, tmp_path):
    out = tmp_path / 'groups'
    options = '--mode groups --groups 5 --group-size 2'.split()
    made = run_program(
        'tools/reader_study.py', 'make', folders / 'real', folders / 'synthetic', '--out', out,
        *options,
    )  # fmt: skip
    assert 'To keep: ' in made.stdout, made.stderr
    found = score_reader_study(out, [play(out, 'C', ['3'], tmp_path)])
    (row,) = found['readers']
    assert (row['real'], row['fake'], row['ties'], row['answered']) == (4, 0, 1, 4)
    assert row['interval'] == f'{100 * 0.025 ** (1 / 4):.1f} to 100.0'
    assert found['remarks'][0]['origin'] == 'both'


@needs_browser
def test_the_page_fits_a_window(study, tmp_path):
    out, _ = study
    for dark in (False, True):
        page = measure(out / 'reading.html', tmp_path, dark)
        assert page['width'] <= page['window'] and page['broken'] == 0


# Answers ------------------------------------------------------------------------------------------


def answers(out, path, reader='A', **changes):
    key = json.loads((out / 'key.json').read_text())
    own = {item: dict(real=known['origin'] == 'real', label=known['label'], quality=4)
           for item, known in key['items'].items()}  # fmt: skip
    content = dict(format=key['format'], study=key['study'], reader=reader, answers=own)
    content.update(changes)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(study='x'), 'each page has its own key'),
        (dict(format='x'), 'no file of answers'),
        (dict(reader=' '), '"reader"'),
        (dict(answers={'99': {}}), "image '99' is not of this study"),
        (dict(answers={'1': dict(real=1)}), 'real 1 is none of'),
        (dict(answers={'1': dict(label='<b>')}), "label '<b>' is none of"),
        (dict(answers={'1': dict(quality=True)}), 'quality True is none of'),
        (dict(answers={'1': dict(choice=0)}), r'choice 0 is none of \[\]'),
    ],
)
def test_answers_that_cannot_be_are_named(study, tmp_path, changes, words):
    path = answers(study[0], tmp_path / 'a.json', **changes)
    with pytest.raises(ReaderStudyError, match=words):
        score_reader_study(study[0], [path])


def test_files_that_are_no_answers_are_named(study, tmp_path):
    path = tmp_path / 'x.json'
    path.write_text('{')
    with pytest.raises(ReaderStudyError, match='damaged'):
        score_reader_study(study[0], [path])
    path.write_text('[' * 200_000)
    with pytest.raises(ReaderStudyError, match='damaged'):
        score_reader_study(study[0], [path])
    with pytest.raises(FileNotFoundError):
        score_reader_study(study[0], [tmp_path / 'none.json'])
    twice = [answers(study[0], tmp_path / f'{i}.json') for i in range(2)]
    with pytest.raises(ReaderStudyError, match="answers of 'A' already"):
        score_reader_study(study[0], twice)
    with pytest.raises(ReaderStudyError, match='no key'):
        score_reader_study(tmp_path, twice)
    empty = answers(study[0], tmp_path / 'empty.json', answers={})
    found = score_reader_study(study[0], [empty])
    assert found['readers'][0]['accuracy'] is None


# Statistics ---------------------------------------------------------------------------------------


def test_exact_intervals_in_closed_form():
    found = proportion(7, 10)
    assert found.low == pytest.approx(beta.ppf(0.025, 7, 4))
    assert found.high == pytest.approx(beta.ppf(0.975, 8, 3))
    assert found.p == pytest.approx(2 * sum([120, 45, 10, 1]) / 1024)
    nothing, everything = proportion(0, 10), proportion(10, 10)
    assert nothing.low == 0 and nothing.high == pytest.approx(1 - 0.025**0.1)
    assert everything.high == 1 and everything.low == pytest.approx(0.025**0.1)
    assert proportion(0, 0).value is None
    with pytest.raises(ValueError, match='3 right answers of 2'):
        proportion(3, 2)


@pytest.mark.parametrize('weights', ['none', 'linear', 'quadratic'])
def test_cohens_kappa_is_that_of_scikit_learn(weights):
    rng = np.random.default_rng(0)
    a = rng.integers(0, 5, 200)
    b = np.where(rng.random(200) < 0.6, a, rng.integers(0, 5, 200))
    expected = cohen_kappa_score(a, b, weights=None if weights == 'none' else weights)
    assert cohens_kappa(a, b, 5, weights) == pytest.approx(expected)
    assert cohens_kappa(a, a, 5, weights) == 1
    assert cohens_kappa([], [], 5) is cohens_kappa([1, 1], [1, 1], 5) is None
    with pytest.raises(ValueError, match='weights'):
        cohens_kappa(a, b, 5, 'cubic')


def test_fleiss_kappa_of_the_papers_own_example():
    """Fleiss 1971, Table 1: 30 patients, 6 psychiatrists, 5 diagnoses: kappa 0.430."""
    counts = np.array([
        [0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6], [0, 3, 0, 3, 0],
        [2, 0, 4, 0, 0], [0, 0, 4, 0, 2], [2, 0, 3, 1, 0], [2, 0, 0, 4, 0], [0, 0, 0, 0, 6],
        [1, 0, 0, 5, 0], [1, 1, 0, 4, 0], [0, 3, 3, 0, 0], [1, 0, 0, 5, 0], [0, 2, 0, 3, 1],
        [0, 0, 5, 0, 1], [3, 0, 0, 1, 2], [5, 1, 0, 0, 0], [0, 2, 0, 4, 0], [1, 0, 2, 0, 3],
        [0, 0, 0, 0, 6], [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0], [1, 0, 0, 4, 1],
        [0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0], [1, 0, 5, 0, 0], [0, 0, 0, 0, 6],
    ])  # fmt: skip
    assert (counts.sum(axis=1) == 6).all()
    ratings = np.array([np.repeat(np.arange(5), row) for row in counts])
    assert fleiss_kappa(ratings, 5) == pytest.approx(0.430, abs=5e-4)
    assert fleiss_kappa(np.array([[0, 0, 0], [1, 1, 1]]), 2) == 1
    # Two raters who disagree wherever they can.
    assert fleiss_kappa(np.array([[0, 1], [1, 0]]), 2) == -1
    assert fleiss_kappa(ratings[:, :1], 5) is fleiss_kappa(np.zeros((4, 3), int), 2) is None


def test_a_page_that_is_gone_costs_the_pictures_alone(tmp_path):
    assert shown_images(tmp_path / 'none.html') is None
    (tmp_path / 'x.html').write_text('<p>')
    assert shown_images(tmp_path / 'x.html') is None
