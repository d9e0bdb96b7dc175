"""Pages about folders: a benchmark's, an evaluation's, and both on one."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import find_browser, measure

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmark_helpers import (  # noqa: E402
    CLASSES,
    write_classifier,
    write_images,
    write_made_up_predictions,
)

from cellgan_plugin.benchmark.experiment import Benchmark  # noqa: E402
from cellgan_plugin.benchmark.protocol import Generator, read_protocol  # noqa: E402
from cellgan_plugin.evaluation.class_table import class_floors  # noqa: E402
from cellgan_plugin.evaluation.features import FeatureSet  # noqa: E402
from cellgan_plugin.reporting.write import sections_of, write_report  # noqa: E402
from cellgan_plugin.visualization.page import KINDS  # noqa: E402

RIGHT = dict(helps=(0.5, 0.95), harms=(0.9, 0.3), nothing=(0.7, 0.7))


@pytest.fixture(scope='module')
def benchmark(tmp_path_factory):
    """A benchmark of six folds whose predictions are made up by how often each row is right."""
    root = tmp_path_factory.mktemp('benchmark')
    write_images(root / 'real', 60, seed=1, groups=2)
    write_images(root / 'synthetic', 6, seed=2)
    write_classifier(root)
    (root / 'benchmark.py').write_text(
        f'title = "Cells & <b>"\ndata = dict(data_root={str(root / "real")!r}, '
        f'ann_file="manifest.csv")\nclasses = {list(CLASSES)}\n'
        'classifiers = dict(Tiny="tiny.py")\nper_class = 60\nsynthetic_per_class = 6\nepochs = 1\n'
    )
    folder = str(root / 'synthetic')

    def make(kind, folds=6, failed=()):
        names = ['GAN', *failed]
        generators = [Generator(name, folder=folder, trained_on='itself') for name in names]
        protocol = read_protocol(root / 'benchmark.py', generators, num_folds=folds)
        found = Benchmark(protocol, root / f'{kind}_{folds}_{len(failed)}')
        real, synthetic = RIGHT[kind]
        write_made_up_predictions(found, {'real only': real, **dict.fromkeys(names, synthetic)})
        for planned in found.runs:
            if planned.arm in failed:
                (planned.work_dir / 'predictions.csv').unlink()
        found.write()
        return found.out_dir

    return make


def evaluation(folder, memorised):
    """What ``tools/evaluate_folders.py`` leaves behind."""
    folder.mkdir()
    rows = [
        dict(row=name, real=50, fake=40, values={'FD(x)': 3.0, 'memorised': memorised},
             intervals={'FD(x)': [2.0, 4.0]}, notes=['few images'], floor={'FD(x)': 1.0})
        for name in (*CLASSES, 'mean', 'pooled')
    ]  # fmt: skip
    protocol = dict(extractor_fingerprint='abc', extractor=dict(type='X'), floor='two halves')
    lines = [
        json.dumps(dict(row, time=time, real='r', fake='f', protocol=protocol))
        for time in ('earlier', 'later')
        for row in rows
    ]
    (folder / 'evaluation.jsonl').write_text('\n'.join(lines) + '\n')
    return folder


@pytest.mark.parametrize(
    ('kind', 'outcome', 'words'),
    [
        ('helps', 'helps', 'Synthetic images help.'),
        ('harms', 'harms', 'Synthetic images harm.'),
        ('nothing', 'no evidence', 'No evidence that synthetic images help.'),
    ],
)
def test_the_verdict_of_a_benchmark(benchmark, kind, outcome, words):
    out = benchmark(kind)
    verdict = json.loads((out / 'results.json').read_text())['verdict']
    assert verdict['outcome'] == outcome
    text = (out / 'report.html').read_text()
    assert words in text and 'Cells &amp; &lt;b&gt;' in text and '<b>' not in text
    assert (out / 'images.png').is_file()


def test_rows_that_failed_are_not_counted_by_the_verdict(benchmark):
    alone = json.loads((benchmark('helps') / 'results.json').read_text())['verdict']
    beside = json.loads((benchmark('helps', failed=['gone']) / 'results.json').read_text())
    assert [row['sentence'] for row in alone['verdicts']] == [
        row['sentence'] for row in beside['verdict']['verdicts'] if 'GAN' in row['sentence']
    ]


def test_two_folds_have_no_interval_anywhere(benchmark):
    out = benchmark('helps', 2)
    table = json.loads((out / 'table.json').read_text())
    row = next(row for row in table['rows'] if row['arm'] == '+ GAN')
    assert row['interval'] is row['p'] is None and '3 are needed' in row['p_why']
    assert json.loads((out / 'results.json').read_text())['verdict']['outcome'] == 'too few'
    assert 'Too few groups to tell' in (out / 'report.html').read_text()
    for interval in re.findall(r'\[([-+][\d.]+), ([-+][\d.]+)\]', (out / 'table.md').read_text()):
        assert all(abs(float(end)) <= 100 for end in interval)


def test_several_folders_make_one_page(benchmark, tmp_path):
    out = benchmark('nothing')
    folders = {'Benchmark': out, 'GAN': evaluation(tmp_path / 'evaluation', 0.4)}
    path = write_report(tmp_path, folders, 'Together', 'both')
    text = path.read_text()
    headings = re.findall(r'<h2>(.*?)</h2>', text)
    assert headings[:2] == ['Verdict', 'Memorised'] and 'Distances: GAN' in headings
    kinds = re.findall(r'<section id="part\d+" class="(\w+)', text)
    assert kinds == sorted(kinds, key=KINDS.index)
    assert '40 % of the images of GAN' in text and 'two halves' in text
    assert text.count('2 to 4') == len(CLASSES) + 2  # the last evaluation alone
    few = evaluation(tmp_path / 'few', 0.01)
    assert 'Memorised' not in [section.title for section in sections_of(few)]
    if find_browser():
        found = measure(path, tmp_path)
        assert found['broken'] == 0 and found['width'] <= found['window'] == 1280
    with pytest.raises(ValueError, match='holds no results'):
        sections_of(tmp_path / 'few' / '..' / '..')
    with pytest.raises(FileNotFoundError):
        sections_of(tmp_path / 'nowhere')


def test_the_floor_is_the_distance_of_real_images_from_real_ones():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 4)).astype(np.float32)
    labels = np.repeat([0, 1], [200, 100])
    real = FeatureSet(features, labels, ('a', 'b'), 'x', {})
    halves = class_floors(real, [50, 50])
    assert all(0 < floor['FD'] < 0.5 for floor in halves)
    shifted = FeatureSet(features + 3, labels, ('a', 'b'), 'x', {})
    apart = class_floors(real, [50, 50], training=shifted)
    assert all(floor['FD'] > 30 for floor in apart)  # 4 features, 3 apart: 36
    one = FeatureSet(features[199:], labels[199:], ('a', 'b'), 'x', {})
    assert class_floors(one, [5, 5])[0] == {}
