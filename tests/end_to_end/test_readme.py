"""The commands of README.md, all of them and in its order, each at a size that a test can wait for.

They run as they are written, in a folder that has the repository's tools, and configs that make
those of the repository small (readme_sizes.py). What else differs stands in one table.
"""

import json
import os
import shlex
import shutil
import sys
from string import Template
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from docs_commands import commands
from PIL import Image

from cellgan_plugin.apis import study
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.manifest import read_manifest
from cellgan_plugin.phantom import generate_phantom
from cellgan_plugin.records import RecordError
from cellgan_plugin.study.settings import read_study

from .conftest import REPO, free_port, run_tool
from .readme_sizes import write_small

CLASSES = dict(
    blast='NILM', eosinophil='ASC-US', lymphocyte='LSIL', monocyte='ASC-H', neutrophil='HSIL',
    platelet='NILM', reticulocyte='HSIL',
)  # fmt: skip
# Words of the README -> words of this test.
WORDS = {'DATA': 'cells', 'CELLGAN_DATA_ROOT=/path/to/class/folders': 'CELLGAN_DATA_ROOT=cells'}
SAME: list = []
_STUDY = ['--config', 'configs/study/small.py', '--jobs', '1']
# Command of the README -> arguments that it gets as well, or all words in its place.
ENTRIES = {
    # Phantoms of the demo, and its study up to the plan; this test's study is that of DATA.
    'make demo': ['make', 'demo', 'DEMO_IMAGES=train=4,val=2,test=2',
                  f'DEMO_MORE={shlex.join([*_STUDY, "--hours", "4", "--dry-run"])}'],
    'make test': ['make', '--dry-run', 'test'],  # which runs this test
    '. .venv/bin/activate': SAME,
    'python tools/study.py DATA --out study --hours 4 --dry-run': _STUDY,
    'python tools/study.py DATA --out study --hours 4': _STUDY,
    'python tools/synthesize.py cellgan_phantom --per-class 8 --out synthetic': SAME,
    'python tools/synthesize.py cellgan_plus_cric_64 --per-class 8 --out synthetic_cells': SAME,
    'export CELLGAN_DATA_ROOT=/path/to/class/folders': SAME,
    'python tools/check_dataset.py configs/cellgan_tct.py': SAME,
    'python tools/train.py configs/cellgan_tct.py --amp': SAME,
    'python tools/train.py configs/cellgan_tct.py --amp --resume': SAME,
    'tools/dist_train.sh configs/cellgan_tct.py 4 --amp --resume':
        ['tools/dist_train.sh', 'configs/cellgan_tct.py', '1', '--amp', '--resume',
         '--cfg-options', 'train_cfg.max_iters=6'],
    'python tools/train.py configs/classifiers/resnet34_tct.py': SAME,
    'python tools/compare.py configs/comparisons/cellgan_table1_tct.py --out out/generators': SAME,
    'python tools/synthesize.py configs/cellgan_tct.py work_dirs/cellgan_tct --per-class 2000 '
    '--out synthetic_tct': ['--per-class', '20'],
    'python tools/select_images.py synthetic_tct --real $CELLGAN_DATA_ROOT --classifier '
    'configs/classifiers/resnet34_tct.py work_dirs/resnet34_tct --out selected':
        ['--passes', '2', '--tsne', '4'],
    'python tools/benchmark.py configs/benchmarks/cellgan_table3_tct.py --train-generators '
    '--generator CellGAN=configs/cellgan_tct.py': SAME,
    'python tools/dataset_converters/gland_phantom.py --out data/gland_phantom':
        ['--size', '64', '--splits', 'train=4,test=1', '--categories', 'healthy'],
    'python tools/train.py configs/pyramid_gan/pyramid_phantom_semi.py': SAME,
    'python tools/synthesize.py configs/pyramid_gan/pyramid_phantom_semi.py '
    'work_dirs/pyramid_phantom_semi --masks data/gland_phantom/manifest.csv --split train --out '
    'synthetic_tissue': SAME,
    'python tools/segment.py configs/pyramid_gan/pyramid_phantom_semi.py '
    'work_dirs/pyramid_phantom_semi data/gland_phantom/manifest.csv --split test --out masks': SAME,
    'python tools/segmentation_benchmark.py configs/benchmarks/segmentation_gland_phantom.py': SAME,
}  # fmt: skip


class Shell:
    """A shell in a folder, as far as the README needs one."""

    def __init__(self, folder):
        self.folder, self.said = folder, {}
        self.env = dict(PORT=str(free_port()))

    def run(self, command, words):
        """Run words in the place of a command of the README."""
        words = [Template(word).safe_substitute({**os.environ, **self.env}) for word in words]
        if words[0] == '.':
            assert (self.folder / words[1]).is_file()
        elif words[0] == 'export':
            self.env.update([words[1].split('=', 1)])
        else:
            words = words[words[0] == 'python' :]  # a tool is a program of this Python
            done = run_tool(*words, cwd=self.folder, env=self.env)
            self.said[command] = done.stdout + done.stderr


def write_cells(root):
    """Seven classes in folders, of three sizes; two are others with red and blue exchanged."""
    for number, (name, kind) in enumerate(CLASSES.items()):
        (root / name).mkdir(parents=True)
        for index in range(10):
            patch = generate_phantom(kind, size=(28, 36, 48)[index % 3], seed=100 * number + index)
            pixels = patch.image[:, :, ::-1] if number > 4 else patch.image
            Image.fromarray(np.ascontiguousarray(pixels)).save(root / name / f'{index}.png')


@pytest.fixture(scope='module')
def readme(tmp_path_factory):
    """All commands, run in order."""
    folder = tmp_path_factory.mktemp('readme')
    for name in ('tools', 'Makefile', 'requirements', 'setup.py', 'pyproject.toml'):
        (folder / name).symlink_to(REPO / name)
    shutil.copytree(REPO / 'configs/_base_', folder / 'configs/_base_')
    for name in ('fc_densenet_phantom', 'pyramid_phantom'):
        (folder / 'configs/pyramid_gan').mkdir(exist_ok=True)
        (folder / f'configs/pyramid_gan/{name}.py').symlink_to(
            REPO / f'configs/pyramid_gan/{name}.py'
        )
    write_small(folder)
    write_cells(folder / 'cells')
    network = torchvision.models.shufflenet_v2_x0_5(weights=None)
    torch.save(network.state_dict(), folder / 'weights.pth')
    # An environment that is there already.
    (folder / '.venv/bin').mkdir(parents=True)
    (folder / '.venv/bin/activate').touch()
    program = folder / '.venv/bin/python'
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    program.chmod(0o755)
    (folder / '.venv/.ready').touch()
    shell = Shell(folder)
    for words in commands(REPO / 'README.md'):
        command = ' '.join(words)
        assert command in ENTRIES, f'README.md: {command}: say here how a test runs it'
        entry = ENTRIES[command]
        words = entry if entry and entry[0] in ('make', words[0]) else [*words, *entry]
        shell.run(command, [WORDS.get(word, word) for word in words])
    return SimpleNamespace(folder=folder, said=shell.said)


def said(readme, *words):
    """What the first command with some words has said."""
    return next(text for command, text in readme.said.items() if all(w in command for w in words))


def table_of(path):
    return json.loads(path.read_text())['rows']


def test_the_demo_is_a_study_of_phantoms(readme):
    text = said(readme, 'make demo')
    assert 'tools/study.py demo/data --out demo/study' in text and 'together' in text
    assert len(read_manifest(readme.folder / 'demo/data/manifest.csv')) == 5 * 8
    assert 'pytest' in said(readme, 'make test')


def test_one_command_from_a_folder_to_an_answer(readme):
    out = readme.folder / 'study'
    text = said(readme, 'study.py', '--dry-run')
    assert ', '.join(CLASSES) + '), in alphabetical order; 70 images in class folders' in text
    assert 'together' in text and '1 jobs at a time' in text
    text = readme.said['python tools/study.py DATA --out study --hours 4']
    assert 'study/report.html' in text and 'a few steps of' not in text, 'measured before'

    record = json.loads((out / 'study.json').read_text())
    assert record['classes'] == list(CLASSES) and not record['failures']
    assert {part: sum(n.values()) for part, n in record['division']['counts'].items()} == dict(
        train=49, val=7, test=14
    )
    assert [(row['arm'], row['jobs']) for row in table_of(out / 'benchmark/table.json')] == [
        (name, '1/1') for name in ('real only', '+ Traditional augmentation', '+ Tiny',
                                   '+ Tiny, selected', 'Tiny alone', 'Tiny first, then real')
    ]  # fmt: skip
    (model,) = json.loads((out / 'generators/comparison.json').read_text())['models']
    (report,) = model['trainings'][0]['result']['reports']
    assert [row['row'] for row in report['rows']][:7] == list(CLASSES)
    assert 'memorised' in report['rows'][-1]['values']
    page = (out / 'report.html').read_text()
    assert all(word in page for word in ('Verdict', 'Steps of the study', 'hash', *CLASSES))


def test_a_study_that_is_done_does_nothing_again_and_another_is_refused(readme, monkeypatch):
    monkeypatch.chdir(readme.folder)
    made = {path: path.stat().st_mtime_ns for path in (readme.folder / 'study').rglob('*.pth')}
    settings = read_study('configs/study/small.py', jobs=1)
    assert study('cells', 'study', settings)['failures'] == {} and made
    assert {path: path.stat().st_mtime_ns for path in made} == made
    with pytest.raises(RecordError, match='settings.hours: 4.0 there, 3.0 now'):
        study('cells', 'study', read_study('configs/study/small.py', hours=3.0, jobs=1))


def test_models_that_ship_make_images(readme):
    for name in ('synthetic', 'synthetic_cells'):
        rows = read_manifest(readme.folder / name / 'manifest.csv')
        counts = [[row['label'] for row in rows].count(label) for label in
                  ('NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL')]  # fmt: skip
        assert counts == [8] * 5
        assert load_image(str(readme.folder / name / rows[0]['file'])).shape == (64, 64, 3)


def test_a_generator_of_the_folders_classes_is_trained_and_goes_on(readme):
    assert 'ready' in said(readme, 'check_dataset.py')
    work_dir = readme.folder / 'work_dirs/cellgan_tct'
    assert (work_dir / 'curves.png').is_file() and list((work_dir / 'sheets').glob('*.png'))
    resumed = said(readme, 'train.py', '--resume')
    assert 'iter_4.pth' in resumed and 'Iter(train) [' not in resumed, 'it was done'
    further = said(readme, 'dist_train.sh')
    assert 'Iter(train) [6/6]' in further and 'Iter(train) [4/6]' not in further
    made = {row['label'] for row in read_manifest(readme.folder / 'synthetic_tct/manifest.csv')}
    assert made == set(CLASSES)


def test_generators_are_compared_images_selected_and_classifiers_helped_or_not(readme):
    (row,) = table_of(readme.folder / 'out/generators/table.json')
    assert row['model'] == 'CellGAN' and row['FD(resnet34_tct)/mean'] > 0
    selected = readme.folder / 'selected'
    rows = read_manifest(selected / 'manifest.csv')
    assert {row['label'] for row in rows} == set(CLASSES) and len(rows) == 7 * 5  # r = 0.5
    assert all((selected / row['file']).is_file() for row in rows)
    assert 'predicted as label' in said(readme, 'select_images.py')
    assert len((selected / 'scores.csv').read_text().splitlines()) == 1 + 7 * 20
    record = json.loads((selected / 'selection.json').read_text())
    assert record['candidates'] == str((readme.folder / 'synthetic_tct').resolve())
    # A mistake is one message and status 2.
    done = run_tool(
        'tools/select_images.py', 'synthetic_tct', '--real', 'cells', '--classifier',
        'configs/classifiers/resnet34_tct.py', 'work_dirs/resnet34_tct', '--out', 'other',
        '--passes', '2', '--ratio', '3', check=False, cwd=readme.folder,
    )  # fmt: skip
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert 'error: class blast (ratio 3 of 10 real images): 20 candidates, but 30' in done.stderr
    out = readme.folder / 'work_dirs/cellgan_table3_tct'
    assert [(row['arm'], row['jobs']) for row in table_of(out / 'table.json')] == [
        ('real only', '1/1'), ('+ CellGAN', '1/1')
    ]  # fmt: skip
    assert 'LEAK' not in (out / 'table.md').read_text()


def test_from_glands_to_masks_and_tables(readme):
    folder = readme.folder
    assert len(list((folder / 'synthetic_tissue/images').iterdir())) == 4
    assert len(list((folder / 'masks/overlays').glob('*.png'))) == 1
    (row,) = table_of(folder / 'masks/table.json')
    assert row['images'] == 1 and 0 <= row['OPA'] <= 1

    out = folder / 'work_dirs/segmentation_gland_phantom'
    table = json.loads((out / 'mIoU.json').read_text())
    assert 0 < table['rows'][0]['0.5']['mean'] < 1
    assert any('seen at 0.5 of their size' in note for note in table['notes'])
    text = said(readme, 'segmentation_benchmark.py')
    assert '| single |' in text and '| pyramid |' in text
    table = json.loads((out / 'generation.json').read_text())
    rows = {row['method']: row for row in table['rows']}
    assert rows['single']['fd'] is None and rows['pyramid']['fd']['mean'] > 0
    assert 0 < rows['pyramid']['among']['mean'] <= 1 and rows['original images']['fd'] > 0
    assert any('FD(shufflenet_v2_x0_5) of 4 images' in note for note in table['notes'])
    assert len(list(out.glob('jobs/pyramid/*/*/generated.png'))) == 1
    assert load_image(str(out / 'generation.png')).ndim == 3  # masks, pyramid, originals (Fig. 3)
    # The trained segmenter on a folder of images, and on true masks by the tool for others' masks.
    (job,) = out.glob('jobs/single/50percent/seed0')
    images = folder / 'data/gland_phantom/images'
    done = run_tool(
        'tools/segment.py', job / 'run.py', job, images, '--masks', images.with_name('masks'),
        '--instances', 'binary', '--out', folder / 'scored', '--parts', 'train=train_',
        'test=test_', cwd=folder,
    )  # fmt: skip
    assert '5 images in' in done.stdout and '5 of them segmented now' in done.stdout
    by_part = {row['part']: row for row in table_of(folder / 'scored/table.json')}
    scores = json.loads((job / 'scores.json').read_text())
    assert by_part['test']['images'] == 1 and scores['iterations'] == 3
    confusion = scores['images'][0]['confusion']
    assert by_part['test']['OPA'] == pytest.approx(
        (confusion[0][0] + confusion[1][1]) / sum(map(sum, confusion))
    )
    for metric in ('NLL', 'ECE'):  # of the training that starts at random: near log 2, and small
        value = json.loads((out / f'{metric}.json').read_text())['rows'][0]['0.5']['mean']
        assert 0 < value < 3
