"""Candidates of a generator, selected by the tool: what a user types."""

import csv
import json
import sys
from pathlib import Path

from cellgan_plugin.datasets.manifest import read_manifest
from cellgan_plugin.phantom import write_phantom_dataset

from .conftest import REPO, run_tool

sys.path.insert(0, str(REPO / 'tests' / 'selection'))
from selection_helpers import build_network, save  # noqa: E402


def test_tool(tiny, tmp_path):
    classes = ['NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL']
    write_phantom_dataset(tmp_path / 'pool', size=32, counts=8, seed=1)
    config = REPO / 'configs' / 'classifiers' / 'resnet18_phantom.py'
    checkpoint = save(build_network(config), tmp_path / 'random.pth', classes)
    out = tmp_path / 'out'
    command = (
        'tools/select_images.py', tmp_path / 'pool', '--real', tiny.data, '--classifier', config,
        checkpoint, '--out', out, '--passes', '2', '--tsne', '4', '--entropy', 'entropy_of_mean',
    )  # fmt: skip
    result = run_tool(*command)
    assert 'predicted as label' in result.stdout + result.stderr
    rows = read_manifest(out / 'manifest.csv')
    assert sorted({row['label'] for row in rows}) == sorted(classes) and len(rows) == 5 * 2
    assert all((out / row['file']).is_file() for row in rows)
    with open(out / 'scores.csv', newline='') as file:
        assert len(list(csv.DictReader(file))) == 5 * 8
    record = json.loads((out / 'selection.json').read_text())
    assert record['protocol']['rule'] == dict(type='selective', entropy='entropy_of_mean')
    assert Path(record['candidates']) == (tmp_path / 'pool').resolve()
    # A mistake is one message and status 2.
    result = run_tool(*command, '--ratio', '3', check=False)
    assert result.returncode == 2 and 'Traceback' not in result.stderr
    assert 'error: class NILM (ratio 3 of 4 real images): 8 candidates, but 12' in result.stderr
