import json
import mmap
import sys

import pytest
import torch
import train_step
from mmengine.logging import MMLogger
from timing import Phases, ceilings, peak_memory, phases


def test_operations_and_bytes_of_each_phase():
    a, b = torch.ones(30, 20), torch.ones(20, 10)
    phases = Phases(('outer', 'inner'))
    for _ in range(2):
        phases.new_step()
        with phases('outer'):
            with phases('inner'):
                torch.ones(100000).sort()
    assert [len(row['seconds']) for row in phases.found.values()] == [2, 2]
    outer, inner = (min(phases.found[name]['seconds']) for name in ('outer', 'inner'))
    assert 0 <= outer < inner  # a phase within another one is its own
    with phases.counting():
        with phases('outer'):
            product = a @ b
            with phases('inner'):
                product.t() + 1.0  # the view moves nothing
            product.add_(product)
    assert phases.found['outer']['flop'] == 2 * 30 * 20 * 10
    assert phases.found['outer']['bytes'] == 4 * (600 + 200 + 300 + 3 * 300)
    assert phases.found['inner'] == dict(
        seconds=phases.found['inner']['seconds'], flop=0, bytes=4 * 2 * 300
    )
    assert len(phases.found['outer']['seconds']) == 2  # counting takes no time


def test_a_method_can_be_a_phase():
    class Thing:
        def double(self, x):
            return 2 * x

    thing, phases = Thing(), Phases(('double',))
    phases.wrap(thing, 'double', 'double')
    phases.new_step()
    assert thing.double(3) == 6
    assert phases.found['double']['seconds'][0] > 0


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_peak_memory_is_that_of_the_call():
    held = torch.ones(2**22)  # 16 MiB that were there before

    def call():
        for _ in range(2):  # 32 MiB one after the other, from the system: malloc may keep them
            with mmap.mmap(-1, 2**25) as memory:
                memory[:: mmap.PAGESIZE] = bytes(2**25 // mmap.PAGESIZE)

    assert 30 <= peak_memory(call) / 2**20 <= 50
    assert peak_memory(lambda: held.add_(1)) / 2**20 <= 4


def test_ceilings_are_of_this_machine(monkeypatch):
    monkeypatch.setattr('timing.phases.CPU_SIZES', (256, 1, 2**18))
    found = ceilings()
    assert set(found) == {'float32', 'bfloat16', 'copy'}
    assert all(1e6 < value < 1e16 for value in found.values())


def test_phases_of_the_training_step(tmp_path, monkeypatch, mmagic_scope):
    monkeypatch.setattr(phases, 'CPU_SIZES', (64, 1, 2**16))
    words = '--phases --turns 1 --threads 1 --device cpu --batch-size 2 --precisions bfloat16'
    config = ['--config', 'configs/cellgan_phantom.py', '--json', str(tmp_path / 'found.json')]
    monkeypatch.setattr(sys, 'argv', ['train_step.py', *words.split(), *config])
    monkeypatch.setattr(MMLogger.get_current_instance(), 'setLevel', lambda level: None)
    train_step.main()
    found = json.loads((tmp_path / 'found.json').read_text())['phases']
    assert list(found) == ['data', 'D', 'R1', 'G', 'optimizers', 'EMA']
    assert all(phase['bytes'] > 0 and len(phase['seconds']) == 1 for phase in found.values())
    # R1: one forward, its transpose, and two such passes backward; D: three for real, three for
    # generated images, without the images' gradient, decoders and the generator on top.
    assert 0.3 < found['R1']['flop'] / found['D']['flop'] < 4 / 6
    assert found['optimizers']['flop'] == found['EMA']['flop'] == 0
