"""What needs no model; the rest is in tests/synthesis/test_synthesize.py."""

import re

import numpy as np
import pytest
import torch
from mmagic.registry import MODELS

from cellgan_plugin.runs import image_sampler
from cellgan_plugin.runs.image_sampler import (
    ImageSampler,
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
    monkeypatch.setattr(image_sampler, 'usable_cores', lambda: 8)
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


def test_a_short_batch_is_filled_up_and_cut_again(mmagic_scope):
    """As on a GPU: one shape for all calls, so that pixels depend on noise and label alone."""
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='CellGAN',
            num_classes=3,
            noise_size=8,
            generator=dict(type='CellGANGenerator', out_size=32, base_channels=1),
        )
    )
    sampler = ImageSampler(model)
    sampler.images_per_call = 4
    shapes = []
    model.generator.register_forward_pre_hook(lambda _, args: shapes.append(len(args[0])))
    noise, labels = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])
    with sampler.worker():
        whole = sampler(noise, labels)
        short = sampler(noise[:3], labels[:3])
    assert shapes == [4, 4]
    assert all(np.array_equal(short[i], whole[i]) for i in range(3))
    with pytest.raises(IndexError):
        short[3]
    with pytest.raises(ValueError, match='5 images, but a call takes 4'):
        sampler(torch.randn(5, 8), torch.zeros(5, dtype=torch.int64))
