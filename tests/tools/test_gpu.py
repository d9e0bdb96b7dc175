"""``tools/benchmarks/gpu.py`` at sizes that say nothing about speed."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import gpu
import gpu_parts
import gpu_wheels
import pytest
import torch
from gpu_parts import Settings
from gpu_steps import Step
from programs import run_program
from timing import phases

TOOL = Path(gpu.__file__)


@pytest.fixture
def small(tmp_path):
    return Settings(tmp_path, 'cpu', True, 60)


def test_each_part_is_there_and_the_times_fit():
    assert all(callable(getattr(gpu_parts, name)) for name in gpu.PARTS)
    limits = [seconds for name, (_, seconds) in gpu.PARTS.items() if name != 'training']
    assert sum(limits) > 9 * 60 > max(limits), 'later parts get what the earlier ones leave'


def test_machine(small, monkeypatch):
    monkeypatch.setattr(phases, 'CPU_SIZES', (64, 1, 2**16))
    found = {row['what']: row['value'] for row in gpu_parts.machine(small)}
    assert found['device'] == 'cpu' and found['float32, TFLOP/s'] >= 0 and found['copy, GB/s'] > 0


def test_a_step_of_each_model(small, mmagic_scope):
    rows = list(gpu_parts.placement(small))
    assert [row['precision'] for row in rows] == ['float32', 'bfloat16'] * 2
    assert all(row['step'] == 'finite losses' for row in rows), rows


def test_images_of_latent_diffusion_are_those_of_its_autoencoder(small, mmagic_scope):
    step = Step(small.config('latent diffusion'), 'cpu', batch=2)
    assert step.data['inputs']['img'].shape == (2, 3, 64, 64)


def test_a_cpu_is_its_own_equal_and_bfloat16_is_near(small, mmagic_scope):
    exact, rounded = gpu_parts.parity(small)
    (losses, *gradients) = (value for value in exact.values() if isinstance(value, float))
    assert losses == 0 and gradients == [0, 0]
    gradients = [value for key, value in rounded.items() if key.startswith('gradient')]
    assert all(0 < value < 0.5 for value in gradients)


def test_other_models_loader_and_distances(small, mmagic_scope):
    ways = [row['way'] for row in gpu_parts.loader(small)]
    assert len(ways) == 4 and "cache='device'" in ways
    rows = list(gpu_parts.other_models(small))
    assert not any('error' in row for row in rows), rows
    assert rows[-1]['counted in docs/pyramid_gan.md, MiB'] > 0
    (row,) = gpu_parts.distances(small)
    assert row['FD'] > 0 and row['relative difference to the CPU'] == 0


def test_a_part_that_takes_too_long_is_stopped(tmp_path):
    found = dict(started='now', small=True, parts={})
    args = SimpleNamespace(out=str(tmp_path), device='cpu', small=True)
    gpu.run_part('training', 0.3, args, found)
    assert found['parts']['training']['state'] == 'stopped at its limit of 0 s'
    assert 'stopped at its limit' in (tmp_path / 'gpu.md').read_text()


def test_without_a_card_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['gpu.py', '--out', str(tmp_path)])
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit, match='2'):
        gpu.main()
    assert '--small runs anywhere' in capsys.readouterr().err


def test_synthesis(small, mmagic_scope, monkeypatch):
    monkeypatch.setattr(os, 'sched_setaffinity', lambda *_: None, raising=False)
    rows = list(gpu_parts.sampling(small))
    found = [(row['way'], row['precision']) for row in rows]
    assert found == [('one at a time', 'fp32'), ('synthesiser', 'fp32'), ('synthesiser', 'bf16')]
    assert all(row['images/s'] > 0 for row in rows)


def test_the_training_step_and_its_picture(small, mmagic_scope, monkeypatch):
    monkeypatch.setattr(phases, 'CPU_SIZES', (64, 1, 2**16))
    rows = list(gpu_parts.training_step(small))
    names = [row['step'] for row in rows]
    assert names[:3] == ['as the paper reads', 'float32', 'bfloat16'] and len(names) == 9
    assert not any('error' in row for row in rows), rows
    part = dict(state='done', seconds=1.0, rows=rows)
    found = dict(started='now', small=True, parts=dict(training_step=part))
    gpu.draw(found, small.out)
    assert (small.out / 'training_step.png').stat().st_size > 1000
    assert '| as the paper reads | 2 |' in gpu.markdown(found)


def test_one_command_leaves_one_folder(tmp_path):
    parts = ['--parts', 'training']
    run_program(TOOL, '--small', '--out', tmp_path / 'out', *parts, cwd=tmp_path)
    files = {path.name: path.stat().st_size for path in (tmp_path / 'out').iterdir()}
    assert files.keys() == {'gpu.json', 'gpu.md', 'sheet.png', 'curves.png'}
    assert 1000 < sum(files.values()) < 16 * 2**20
    found = json.loads((tmp_path / 'out' / 'gpu.json').read_text())['parts']
    assert all(part['state'] == 'done' and part['rows'] for part in found.values())
    assert found['training']['rows'][0]['iterations'] == 2
    assert 'say nothing about speed' in (tmp_path / 'out' / 'gpu.md').read_text()


@pytest.mark.parametrize('python', ['3.10', '3.12', '3.14'])
def test_wheels_are_of_the_versions_of_the_list(python):
    wheels = gpu_wheels.pinned(gpu_wheels.PURE, python)
    assert 'mmagic==1.2.0' in wheels and all('==' in wheel for wheel in wheels)
    assert len(gpu_wheels.pinned(gpu_wheels.COMPILED, python)) == len(gpu_wheels.COMPILED)
    with pytest.raises(ValueError, match='has no no-such-package'):
        gpu_wheels.pinned(['no-such-package'], python)
