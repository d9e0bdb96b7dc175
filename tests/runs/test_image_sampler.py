"""What needs no model; the rest is in tests/synthesis/test_synthesize.py."""

import re

import pytest
import torch

from cellgan_plugin.runs import image_sampler
from cellgan_plugin.runs.image_sampler import (
    Progress,
    available_cores,
    chunks,
    images_per_call,
    resolve_precision,
)

CPU, GPU = torch.device('cpu'), torch.device('cuda')


def test_half_precision_is_for_gpus():
    assert resolve_precision('auto', CPU) == 'fp32'
    assert resolve_precision('auto', GPU) == 'fp16'
    assert resolve_precision('bf16', CPU) == 'bf16'
    with pytest.raises(ValueError, match="precision 'half'.*fp16"):
        resolve_precision('half', GPU)


def test_a_cpu_takes_one_image_at_a_time():
    assert images_per_call(CPU, 64) == 1 and images_per_call(GPU, 64) == 64
    with pytest.raises(ValueError, match='batch size 0'):
        images_per_call(GPU, 0)


def test_cores_are_shared_by_the_processes_of_a_machine(monkeypatch):
    monkeypatch.setattr(image_sampler.os, 'sched_getaffinity', lambda pid: set(range(8)))
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '3')
    assert available_cores() == 2
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '16')
    assert available_cores() == 1


def test_chunks():
    assert chunks([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert chunks([], 2) == []


def test_a_log_gets_lines_with_pace_and_time_left(monkeypatch, capsys):
    monkeypatch.setattr(image_sampler, '_LOG_SECONDS', 0)
    progress = Progress(10, 'Synthesising', processes=2)
    progress.update(3)  # of each process
    progress.update(4)
    progress.close()
    lines = capsys.readouterr().out.splitlines()
    shown = [
        re.match(r'Synthesising: (\d+) of 10 images, [\d.]+ images/s, 0 min', x) for x in lines
    ]
    assert [int(line[1]) for line in shown] == [6, 10]


def test_other_ranks_are_silent(monkeypatch, capsys):
    monkeypatch.setattr(image_sampler, '_LOG_SECONDS', 0)
    Progress(10, 'Synthesising', shown=False).update(3)
    assert capsys.readouterr() == ('', '')


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr('sys.stderr.isatty', lambda: True, raising=False)
    progress = Progress(4, 'Synthesising')
    progress.update(4)
    progress.close()
    shown = capsys.readouterr().err
    assert 'Synthesising: 100%' in shown and '4/4' in shown and 'img/s' in shown
