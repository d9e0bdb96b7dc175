"""Every tool of tools/benchmarks runs, at sizes that say nothing about speed."""

import json

import pytest
from programs import run_program

STEP = ['--config', 'configs/cellgan_phantom.py', '--batch-size', 2]


def run(tool, *arguments):
    return run_program(f'tools/benchmarks/{tool}.py', *arguments, check=False)


@pytest.mark.parametrize(
    ('tool', 'arguments'),
    [
        ('distances', ['--images', 20, 30, '--features', 16]),
        (
            'loader',
            '--images 10 --size 32 --batch-size 4 --batches 4 --workers 1 --step-ms 5'.split(),
        ),
        ('synthesis', ['--config', 'configs/cellgan_phantom.py', '--images', 2]),
        ('train_step', [*STEP, '--precisions', 'float32']),
        ('train_step', [*STEP, '--rewrites']),
    ],
)
def test_a_race_reports_ratios(tmp_path, tool, arguments):
    common = ['--turns', 1, '--threads', 1, '--device', 'cpu']
    files = ['--json', tmp_path / 'found.json', '--plot', tmp_path / 'found.png']
    done = run(tool, *arguments, *common, *files)
    assert done.returncode == 0, done.stderr
    assert 'x reference' in done.stdout and 'load average' in done.stdout
    found = json.loads((tmp_path / 'found.json').read_text())
    for race in found['races']:
        ours = race['contestants'][-1]
        assert ours['name'] != race['reference']
        assert ours['times_reference']['low'] <= ours['times_reference']['high']
    assert (tmp_path / 'found.png').stat().st_size > 1000
    if tool == 'loader':  # all ways to the device gave the same images
        assert 'differs by 0.0e+00 at most' in done.stdout
        assert all(0 <= share < 1 for share in found['waiting'].values())


def test_a_network_that_the_plain_step_is_not_has_no_reference():
    options = ['--turns', 1, '--threads', 1, '--device', 'cpu', '--cfg-options']
    done = run('train_step', *STEP, *options, 'model.discriminator.head=global')
    assert done.returncode == 1
    assert "discriminator.head='patch', and the config has 'global'" in done.stderr
