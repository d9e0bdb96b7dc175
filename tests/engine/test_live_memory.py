import pytest
import torch
from torch import nn

from cellgan_plugin.engine.live_memory import LivePeak
from cellgan_plugin.models import FCDenseNet

FLOATS = 4 * 1000


def test_tensors_count_while_they_live():
    with LivePeak() as live:
        a = torch.zeros(1000)
        assert live.now == FLOATS
        b = a + 1
        view = b[:10]
        assert live.now == 2 * FLOATS, 'a view is no memory of its own'
        del a, b
        assert live.now == FLOATS, 'the view keeps it'
        del view
        assert live.now == 0 and live.peak == 2 * FLOATS


def test_what_autograd_keeps_counts_and_weights_are_there_from_the_start():
    layer = nn.Linear(1000, 1000, bias=False)
    weight = 4 * 1000 * 1000
    x = torch.zeros(1, 1000)
    with LivePeak(layer) as live:
        assert live.now == weight
        hidden = layer(x).tanh().exp()  # tanh and exp keep their results
        assert live.now == weight + 2 * FLOATS
        hidden.sum().backward()
        assert live.peak >= 2 * weight, 'weight and gradient'


@pytest.mark.parametrize('checkpoint', [False, True])
def test_tensors_without_content_count_like_real_ones(checkpoint):
    peaks = []
    for device in ('cpu', 'meta'):
        torch.manual_seed(0)
        network = FCDenseNet(5, 2, 8, 4, (1, 2), 1, checkpoint=checkpoint).to(device)
        with LivePeak(network) as live:
            network(torch.zeros(2, 5, 32, 32, device=device)).square().mean().backward()
        peaks.append(live.peak)
    assert peaks[0] == pytest.approx(peaks[1], rel=0.02)


def test_checkpointing_saves_memory():
    peaks = []
    for checkpoint in (False, True):
        network = FCDenseNet(5, 2, checkpoint=checkpoint).to('meta')
        with LivePeak(network) as live:
            network(torch.zeros(1, 5, 256, 256, device='meta')).sum().backward()
        peaks.append(live.peak)
    assert peaks[1] < 0.4 * peaks[0]
