import copy

import pytest
import torch
from torch import nn

from cellgan_plugin.models import FCDenseNet


def test_the_segmenter_of_the_paper_has_42_layers_and_about_a_million_parameters():
    network = FCDenseNet(in_channels=3 + 2, out_channels=2)
    convolutions = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert network.num_layers == len(convolutions) == 42
    assert sum(p.numel() for p in network.parameters()) == 1_044_562


def test_layers_are_counted_as_by_jegou():
    """FC-DenseNet56 has 1.5 M parameters (their Table 1)."""
    network = FCDenseNet(3, 12, growth_rate=12, block_layers=(4,) * 5, bottleneck_layers=4)
    assert network.num_layers == 56
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(1.4, abs=0.1)


@pytest.mark.parametrize('size', [(4, 4), (16, 16), (17, 30), (33, 5)])
def test_any_size(size):
    network = FCDenseNet(5, 3, 6, 4, (1, 2), 1).eval()
    with torch.no_grad():
        assert network(torch.randn(2, 5, *size)).shape == (2, 3, *size)


def test_an_image_that_is_too_small_is_named():
    with pytest.raises(ValueError, match='at least 4 pixels'):
        FCDenseNet(5, 3, 6, 4, (1, 2), 1)(torch.randn(2, 5, 3, 8))


def test_checkpointing_changes_neither_numbers_nor_gradients_nor_buffers():
    torch.manual_seed(0)
    plain = FCDenseNet(5, 3, 6, 4, (1, 2), 1, dropout=0.3)
    saving = copy.deepcopy(plain)
    saving.checkpoint = True
    x = torch.randn(2, 5, 12, 12)
    results = []
    for network in (plain, saving):
        torch.manual_seed(7)
        out = network(x)
        out.square().mean().backward()
        results.append(out.detach())
    assert torch.equal(*results)
    for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), name
    for (name, a), b in zip(plain.named_buffers(), saving.buffers(), strict=True):
        assert torch.equal(a, b), name
    assert plain.down_blocks[0][0][0].num_batches_tracked == 1
