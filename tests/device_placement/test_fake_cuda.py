"""The fake device catches what it is there for."""

from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from fake_cuda import fake_cuda, on_device
from placement_models import KINDS
from python_backward import run_backward
from torch import nn

from cellgan_plugin.randomness import StepRandom

pytestmark = pytest.mark.usefixtures('mmagic_scope')


def test_a_tensor_left_on_the_host_is_caught():
    kind = KINDS['CellGAN']
    model = kind.build()
    augment = model.augment.forward
    forgotten = torch.full((4, 3, 1, 1), 0.5)
    model.augment.forward = lambda img, numbers: augment(img, numbers) * forgotten
    with fake_cuda() as cuda:
        cuda.move(model)
        with pytest.raises(Exception, match='cuda:0.*cpu|cpu.*cuda:0'):
            model.train_step(kind.batch(), kind.optimizers(model, amp=False))


def test_numbers_of_a_step_left_on_the_host_are_caught(monkeypatch):
    monkeypatch.setattr(StepRandom, '_own_rows', lambda self, numbers: numbers)
    kind = KINDS['FC-DenseNet']
    model = kind.build()
    model.segmenter_noise = 0.1
    with fake_cuda() as cuda:
        cuda.move(model)
        with pytest.raises(Exception, match='cuda:0.*cpu|cpu.*cuda:0'):
            model.train_step(kind.batch(), kind.optimizers(model, amp=False))


def test_what_makes_the_host_wait_is_noted():
    with fake_cuda() as cuda:
        x = torch.ones(4, pin_memory=False).to('cuda', non_blocking=True)
        y = x * 2 + x.sum()
        assert on_device(y) and not cuda.waits
        y.sum().item(), bool(y[0] > 0), y.tolist(), y.cpu(), y.copy_(torch.zeros(4)), x.equal(y)
        torch.zeros(4)[torch.tensor([True] * 4)], torch.rand(3).max().item()  # the host's own
    read, moved = 'a value is read', 'copied to the {}'.format
    # tolist reads value by value.
    assert cuda.waits == [read] * 6 + [moved('host'), moved('device'), read]


def test_the_walk_gives_the_gradients_of_the_engine():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3)).double()
    img = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)

    def gradients():
        (by_image,) = torch.autograd.grad(net(img).sum(), img, create_graph=True)
        loss = by_image.square().sum() + F.softplus(net(img) + net[0].bias.mean()).mean()
        net.zero_grad(), loss.backward()
        return [by_image.detach(), *(p.grad.clone() for p in net.parameters())]

    expected = gradients()
    img.grad = None
    with mock.patch('torch.autograd._engine_run_backward', run_backward):
        found = gradients()
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
