import sys

import pytest
import torch
from timing import Phases, ceilings, peak_memory


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
        for _ in range(2):  # one after the other
            torch.ones(2**23).add_(1)  # 32 MiB

    assert 30 <= peak_memory(call) / 2**20 <= 50
    assert peak_memory(lambda: held.add_(1)) / 2**20 <= 4


def test_ceilings_are_of_this_machine(monkeypatch):
    monkeypatch.setattr('timing.phases.CPU_SIZES', (256, 1, 2**18))
    found = ceilings()
    assert set(found) == {'float32', 'bfloat16', 'copy'}
    assert all(1e6 < value < 1e16 for value in found.values())
