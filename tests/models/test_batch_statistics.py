import copy
import math

import pytest
import torch
from mmagic.registry import MODELS
from tiny_generators import MODEL_CONFIGS
from torch import nn

from cellgan_plugin.models.batch_statistics import (
    estimate_batch_statistics,
    settle_average,
    tracked_layers,
)
from cellgan_plugin.models.layers import GlobalBatchNorm2d
from cellgan_plugin.models.moving_average import ForeachEMA
from cellgan_plugin.randomness import generator_for

pytestmark = pytest.mark.usefixtures('mmagic_scope')


def maps(number, count=6):
    return torch.randn(count, 3, 4, 5, generator=generator_for(0, 'maps', number)) * 2 + number


@pytest.mark.parametrize('kind', [nn.BatchNorm2d, nn.SyncBatchNorm, GlobalBatchNorm2d])
def test_one_layer_gets_the_moments_of_all_batches_together(kind):
    layer = kind(3)
    assert estimate_batch_statistics(layer, lambda i: layer(maps(i)), passes=3) == 1
    x = torch.cat([maps(i) for i in range(3)]).double()
    torch.testing.assert_close(layer.running_mean.double(), x.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(layer.running_var.double(), x.var(dim=(0, 2, 3), correction=0))


def test_a_layer_behind_another_sees_what_that_one_makes_in_training():
    """Behind a normalisation with scale 3 and bias 2 every batch has mean 2 and deviation 3."""
    net = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3)).eval()
    nn.init.constant_(net[0].weight, 3.0)
    nn.init.constant_(net[0].bias, 2.0)
    net[0].running_mean.fill_(100.0)  # of other weights
    assert estimate_batch_statistics(net, lambda i: net(maps(i)), passes=4) == 2
    torch.testing.assert_close(net[1].running_mean, torch.full((3,), 2.0))
    torch.testing.assert_close(net[1].running_var, torch.full((3,), 9.0), rtol=1e-4, atol=0)


def test_nothing_else_changes():
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5)).train()
    net[1].eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    seen = []
    estimate_batch_statistics(net, lambda i: seen.append(net(maps(i)).requires_grad), passes=2)
    assert seen == [False, False]
    assert [m.training for m in net.modules()] == [True, True, False, True]
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {'1.running_mean', '1.running_var'}
    assert not net[1]._forward_pre_hooks


def test_networks_without_tracked_statistics_are_not_run():
    net = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.InstanceNorm2d(3))
    assert not tracked_layers(net)
    assert estimate_batch_statistics(net, lambda i: pytest.fail('was run'), passes=1) == 0
    with pytest.raises(ValueError, match='^passes'):
        estimate_batch_statistics(nn.BatchNorm2d(3), lambda i: None, passes=0)


def test_modes_and_hooks_are_restored_after_an_error():
    layer = nn.BatchNorm2d(3).train()
    with pytest.raises(RuntimeError, match='broken'):
        estimate_batch_statistics(layer, lambda i: (_ for _ in ()).throw(RuntimeError('broken')), 1)
    assert layer.training and not layer._forward_pre_hooks


class _Generator(nn.Module):
    """One layer; its input is z + 10 * label, so that its mean is 10 times the mean label."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, noise, label, return_noise=False):
        return self.norm(noise.mean(dim=1)[:, None, None, None] + 10 * label[:, None, None, None])


class _GAN(nn.Module):
    with_ema_gen, num_classes, noise_size = True, 2, 4

    def __init__(self):
        super().__init__()
        self.generator = _Generator()
        self.generator_ema = ForeachEMA(self.generator)


def test_labels_come_as_often_as_their_weights_say():
    model = _GAN()
    for weights, share in ((None, 0.5), ([3, 1], 0.25), ([0, 7], 1.0)):
        assert settle_average(model, weights, passes=64, batch_size=64) == 1
        norm = model.generator_ema.module.norm
        # Five standard deviations of a mean over 4,096 images.
        tolerance = 5 * math.sqrt((100 * share * (1 - share) + 0.25) / 4096)
        assert norm.running_mean.item() == pytest.approx(10 * share, abs=tolerance)
    assert torch.equal(model.generator.norm.running_mean, torch.zeros(1))  # the other is left alone


def test_the_numbers_follow_from_weights_and_seed():
    first, second = _GAN(), _GAN()
    second.generator_ema.module.norm.running_mean.fill_(5.0)
    for model, seed in ((first, 1), (second, 1)):
        settle_average(model, seed=seed)
    now = first.generator_ema.module.norm.running_mean.clone()
    assert torch.equal(now, second.generator_ema.module.norm.running_mean)
    settle_average(first, seed=2)
    assert not torch.equal(now, first.generator_ema.module.norm.running_mean)
    first.with_ema_gen = False
    assert settle_average(first) == 0


HISTOGAN = dict(
    type='HistoGAN',
    num_classes=3,
    noise_size=8,
    generator=dict(type='HistoGANGenerator', out_size=32, num_stages=2, base_channels=4),
    ema_config=dict(type='ForeachEMA', momentum=0.1),
)

SNGAN = dict(
    type='SNGAN',
    num_classes=3,
    noise_size=8,
    data_preprocessor=dict(type='CellDataPreprocessor'),
    generator=dict(type='SNGANGenerator', output_scale=32, base_channels=4, auto_sync_bn=False),
    ema_config=dict(type='ForeachEMA', momentum=0.1),
)


@pytest.mark.parametrize(
    'config', [MODEL_CONFIGS['biggan'], SNGAN, HISTOGAN], ids=['BigGAN', 'SNGAN', 'HistoGAN']
)
def test_networks_of_real_models(config):
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(config)).eval()
    layers = tracked_layers(model.generator_ema.module).values()
    for layer in layers:
        layer.running_mean.fill_(3.0)
    assert settle_average(model, passes=1, batch_size=4) == len(layers) > 3
    assert all((layer.running_mean != 3).all() for layer in layers)


def test_power_average_is_the_mean_of_its_closed_form():
    """With shares p / (t + p), step s has in the end the weight p / (s + p) * prod(t / (t + p))."""
    power, steps = 2.0, 12
    net = nn.Linear(1, 1, bias=False)
    average = ForeachEMA(net, momentum=1e-6, power=power)
    for t in range(steps):
        net.weight.data.fill_(float(t))
        average.update_parameters(net)
    expected = 0.0
    for s in range(steps):
        share = 1.0 if s == 0 else power / (s + power)
        expected += s * share * math.prod(t / (t + power) for t in range(s + 1, steps))
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)


def test_power_gives_way_to_momentum_and_goes_on_after_loading():
    def trained(steps, average, net):
        for t in steps:
            net.weight.data.fill_(float(t))
            average.update_parameters(net)
        return average

    net = nn.Linear(1, 1, bias=False)
    whole = trained(range(20), ForeachEMA(net, momentum=0.5, power=1.0), net)
    half = trained(range(10), ForeachEMA(net, momentum=0.5, power=1.0), net)
    resumed = ForeachEMA(net, momentum=0.5, power=1.0)
    resumed.load_state_dict(copy.deepcopy(half.state_dict()))
    assert torch.equal(trained(range(10, 20), resumed, net).module.weight, whole.module.weight)
    # From step 1 on the share 1 / (t + 1) is not above 0.5: a plain average from there.
    plain = trained(range(20), ForeachEMA(net, momentum=0.5), net)
    assert torch.equal(plain.module.weight, whole.module.weight)


@pytest.mark.parametrize('kwargs', [dict(power=0), dict(power=2, update_buffers=True)])
def test_power_that_cannot_be(kwargs):
    with pytest.raises(ValueError, match='power'):
        ForeachEMA(nn.Linear(1, 1), **kwargs)
