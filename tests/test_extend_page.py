"""The modules printed in docs/extend.md do what the page says."""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmagic.registry import MODELS, TRANSFORMS
from mmpretrain.registry import MODELS as CLASSIFIERS
from programs import run_program

from cellgan_plugin.benchmark.score_registry import SCORES
from cellgan_plugin.benchmark.scores import compute_scores
from cellgan_plugin.evaluation import FeatureSet, TableOptions, class_table
from cellgan_plugin.evaluation.table_distances import DISTANCES
from cellgan_plugin.models import CellGAN
from cellgan_plugin.models.model_checks import generated_shape
from cellgan_plugin.runs.config_check import check_config
from cellgan_plugin.runs.config_file import open_config
from cellgan_plugin.selection import SELECTION_RULES, CandidateScores, ClassPool
from cellgan_plugin.user_modules import import_user_modules

PAGE = Path(__file__).parents[1] / 'docs' / 'extend.md'
TEXT = PAGE.read_text(encoding='utf-8')
FILES = dict(re.findall(r'```python\n# (\w+\.py)\n(.*?)```', TEXT, re.DOTALL))
CONFIGS = [name for name, text in FILES.items() if '_base_ =' in text]
REGISTERED = [
    (MODELS.module_dict, 'MyGenerator'), (TRANSFORMS.module_dict, 'RandomBrightness'),
    (DISTANCES, 'centre'), (SCORES, 'kappa'), (SELECTION_RULES.module_dict, 'agreeing'),
    (CLASSIFIERS.module_dict, 'MyNetwork'),
]  # fmt: skip


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a module of the page and imports it, for one test."""
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.setenv('CELLGAN_IMPORT', '')
    monkeypatch.setenv('PYTHONPATH', '')

    def write(name):
        (tmp_path / name).write_text(FILES[name], encoding='utf-8')
        import_user_modules([str(tmp_path / name)])
        return tmp_path / name

    yield write
    for name in FILES:
        sys.modules.pop(name.removesuffix('.py'), None)
    for registry, name in REGISTERED:
        registry.pop(name, None)


def test_no_recipe_takes_more_files_than_its_row_says():
    rows = re.findall(r'^\| \[[^]]+\]\(#([\w-]+)\)[^|]* \| (\d): [^|]+ \| 0 \|', TEXT, re.MULTILINE)
    sections = {
        heading.lower().replace(' ', '-'): len(re.findall(r'```python\n# \w+\.py\n', body))
        for heading, body in re.findall(
            r'^## (.+?)\n(.*?)(?=^## |\Z)', TEXT, re.DOTALL | re.MULTILINE
        )
    }
    assert sections.pop('inside-the-package') == 0
    assert {name: int(files) for name, files in rows} == sections
    assert max(sections.values()) == 2


@pytest.mark.parametrize('name', CONFIGS)
def test_configs_are_read_and_their_parts_are_known(name, written, tmp_path):
    text = FILES[name].replace("'REPO/", f"'{PAGE.parents[1]}/")
    (tmp_path / name).write_text(text, encoding='utf-8')
    for module in re.findall(r"'(my_\w+)'\]\)", text):  # of custom_imports
        written(f'{module}.py')
    if name == 'my_benchmark.py':
        settings = open_config(tmp_path / name)
        assert 'kappa' in settings.metrics and Path(settings.classifiers['ResNet']).is_file()
    else:
        check_config(open_config(tmp_path / name))


def test_network(written):
    written('my_network.py')
    features = CLASSIFIERS.get('MyNetwork')(width=2)(torch.zeros(1, 3, 16, 16))
    assert [tuple(feature.shape) for feature in features] == [(1, 4, 4, 4)]


def test_generator(written):
    written('my_generator.py')
    network = MODELS.get('MyGenerator')(out_size=32, noise_size=4, num_classes=3, channels=2)
    images = network(torch.randn(2, 4), label=torch.tensor([[0], [2]]))
    assert images.shape == (2, 3, 32, 32) and images.abs().max() <= 1
    mixed = network(torch.randn(2, 4), label=torch.tensor([[1.0, 0, 0], [0.5, 0, 0.5]]))
    assert mixed.shape == images.shape
    model = CellGAN(network, noise_size=4, num_classes=3, reconstruction_loss=None)
    assert generated_shape(model) == (3, 32, 32)


def test_transform(written):
    written('my_transform.py')
    transform = TRANSFORMS.get('RandomBrightness')(strength=30)
    image = np.full((4, 4, 3), 250, np.uint8)
    shown = [
        transform(dict(img=image, sample_seed=1, sample_position=position))['img']
        for position in (0, 0, 1, 2, 3)
    ]
    assert np.array_equal(shown[0], shown[1]) and shown[0].dtype == np.uint8
    assert len({int(one[0, 0, 0]) for one in shown}) > 2


def test_distance(written):
    written('my_distance.py')
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    real, fake = (
        FeatureSet(values, np.zeros(6, int), ('a',), 'f' * 64, {})
        for values in (rows, rows + np.float32([3, 4]))
    )
    row = class_table(real, fake, options=TableOptions(distances=('centre',)))[0]
    assert row.values == dict(centre=pytest.approx(5))


def test_score(written):
    written('my_score.py')
    scores = compute_scores(np.eye(2)[[0, 0, 1, 1]], [0, 0, 1, 0], ('a', 'b'))
    assert scores.values()['kappa'] == pytest.approx(0.5)


def test_rule(written):
    written('my_rule.py')
    values = np.array([0.9, 0.1, 0.5, 0.2])
    scores = CandidateScores(
        entropy=values, entropy_of_mean=values, distance=values, confidence=1 - values,
        predicted=np.array([0, 1, 0, 0]), nearest=np.zeros(4, int), nearest_distance=values,
        plain_distance=values,
    )  # fmt: skip
    pool = ClassPool(0, scores, np.arange(4), np.arange(4))
    kept, reasons = SELECTION_RULES.get('agreeing')()(pool, 2)
    assert kept.tolist() == [False, False, True, True]
    assert reasons == ['less certain', 'other class', 'kept', 'kept']


def test_converter(tmp_path):
    folder = tmp_path / 'arrays'
    folder.mkdir()
    np.save(folder / 'images.npy', np.zeros((9, 8, 8, 3), np.uint8))
    np.save(folder / 'labels.npy', np.array(['normal', 'tumour', 'normal'] * 3))
    np.save(folder / 'slides.npy', np.repeat(['s1', 's2', 's3'], 3))
    (tmp_path / 'my_converter.py').write_text(FILES['my_converter.py'], encoding='utf-8')
    run_program(tmp_path / 'my_converter.py', folder, '--out', tmp_path / 'out')
    with open(tmp_path / 'out' / 'manifest.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 and {row['group'] for row in rows} == {'s1', 's2', 's3'}
    assert all((tmp_path / 'out' / row['file']).is_file() for row in rows)
