"""A study as a laboratory runs it: other class names, mixed sizes, one command, no list typed."""

import json

import numpy as np
from PIL import Image

from cellgan_plugin.apis import study
from cellgan_plugin.phantom import generate_phantom
from cellgan_plugin.study.settings import read_study

from .conftest import REPO, run_tool

NAMES = dict(
    blast='NILM', eosinophil='ASC-US', lymphocyte='LSIL', monocyte='ASC-H', neutrophil='HSIL',
    platelet='NILM', reticulocyte='HSIL',
)  # fmt: skip
GENERATOR = """
_base_ = {base!r}
model = dict(
    generator=dict(out_size=32, base_channels=1),
    discriminator=dict(in_size=32, base_channels=1),
    ema_config=dict(start_iter=2))
train_dataloader = dict(batch_size=4)
"""
CLASSIFIER = """
_base_ = {base!r}
model = dict(backbone=dict(stem_channels=4, base_channels=4), head=dict(in_channels=32))
"""
# What a test can wait for, in the place of what four hours allow.
STUDY = """
generators = dict(Tiny='generator.py')
classifier = 'classifier.py'
iterations = 4
steps = 2
folds = 1
"""


def write_images(root):
    """Seven classes in folders, of three sizes; two are the others with red and blue exchanged."""
    for number, (name, kind) in enumerate(NAMES.items()):
        (root / name).mkdir(parents=True)
        for index in range(10):
            patch = generate_phantom(kind, size=(28, 36, 48)[index % 3], seed=100 * number + index)
            pixels = patch.image[:, :, ::-1] if number > 4 else patch.image
            Image.fromarray(np.ascontiguousarray(pixels)).save(root / name / f'{index}.png')
    return root


def test_one_command_from_a_folder_to_an_answer(tmp_path):
    data = write_images(tmp_path / 'cells')
    for name, text in (('generator', GENERATOR), ('classifier', CLASSIFIER)):
        base = 'cellgan' if name == 'generator' else name
        text = text.format(base=str(REPO / 'configs/study' / f'{base}.py'))
        (tmp_path / f'{name}.py').write_text(text)
    (tmp_path / 'study.py').write_text(STUDY)
    out = tmp_path / 'study'
    done = run_tool('tools/study.py', data, '--out', out, '--config', tmp_path / 'study.py',
                    '--jobs', 2)  # fmt: skip
    assert ', '.join(NAMES) + '), in alphabetical order; 70 images in class folders' in done.stdout
    assert 'together' in done.stdout and '2 jobs at a time' in done.stdout
    assert f'{out}/report.html' in done.stdout.replace('\n', '')

    record = json.loads((out / 'study.json').read_text())
    assert record['classes'] == list(NAMES) and not record['failures']
    assert {part: sum(n.values()) for part, n in record['division']['counts'].items()} == dict(
        train=49, val=7, test=14
    )
    rows = json.loads((out / 'benchmark/table.json').read_text())['rows']
    assert [(row['arm'], row['jobs']) for row in rows] == [
        (name, '1/1') for name in ('real only', '+ Traditional augmentation', '+ Tiny',
                                   '+ Tiny, selected', 'Tiny alone', 'Tiny first, then real')
    ]  # fmt: skip
    (model,) = json.loads((out / 'generators/comparison.json').read_text())['models']
    (report,) = model['trainings'][0]['result']['reports']
    assert [row['row'] for row in report['rows']][:7] == list(NAMES)
    assert 'memorised' in report['rows'][-1]['values']
    page = (out / 'report.html').read_text()
    assert all(word in page for word in ('Verdict', 'Steps of the study', 'hash', *NAMES))

    # The same call does nothing again, and other settings are another study.
    made = {path: path.stat().st_mtime_ns for path in out.rglob('*.pth')}
    settings = read_study(tmp_path / 'study.py', jobs=2)
    assert study(data, out, settings)['failures'] == {}
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*.pth')} == made
    other = run_tool('tools/study.py', data, '--out', out, '--hours', 3, check=False)
    assert other.returncode == 2 and 'settings.hours: 4.0 there, 3.0 now' in other.stderr
