"""Each rewrite of the training step gives the numbers and gradients of its literal form."""

import copy
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine.optim import OptimWrapperDict

from cellgan_plugin.engine.amp import BFloat16OptimWrapper
from cellgan_plugin.models import (
    CellGAN,
    CellGANDiscriminator,
    CellGANGenerator,
    ForeachEMA,
    R1Penalty,
    sample_pixels,
)
from cellgan_plugin.models.layers import (
    AdaIN,
    UpsamplingConv2d,
    normalised_once,
    sn_conv,
    upsampling_conv_weight,
)
from cellgan_plugin.models.layers.adain import norm_all_images, norm_image_by_image
from cellgan_plugin.randomness import StepRandom, generator_for

REPO = Path(__file__).resolve().parents[2]
COMPILES = not torch.__version__.startswith('2.4.')
PLAIN = SimpleNamespace(
    **runpy.run_path(str(REPO / 'tools' / 'benchmarks' / 'plain_training_step.py'))
)


def normal(*shape, purpose='x'):
    return torch.randn(shape, generator=generator_for(0, purpose), dtype=torch.float64)


def assert_same(found, expected, atol=1e-10):
    """Values and gradients of {name: tensor}."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-8, atol=atol, msg=name)


def gradients(module):
    return {k: p.grad.clone() for k, p in module.named_parameters() if p.grad is not None}


class DoubleRandom(StepRandom):
    """The numbers of a step in the precision of the test."""

    def normal(self, *args):
        return super().normal(*args).double()

    def uniform(self, *args):
        return super().uniform(*args).double()


class Recorder:
    """An optimizer that keeps the gradients it is given, for ours and for the plain step."""

    def __init__(self, module):
        self.module, self.seen = module, None

    def step(self):
        self.seen = gradients(self.module)

    def zero_grad(self):
        self.module.zero_grad()

    def update_params(self, loss):
        loss.backward()
        self.step()
        self.zero_grad()


def build(**generator):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='CellGAN',
            num_classes=3,
            noise_size=8,
            generator=dict(
                type='CellGANGenerator', out_size=64, base_channels=4, init_gain=1.0, **generator
            ),
            discriminator=dict(
                type='CellGANDiscriminator',
                in_size=64,
                base_channels=4,
                decoder_channels=(4, 2),
                init_gain=1.0,
            ),
            ema_config=dict(type='ExponentialMovingAverage', momentum=0.1),
        )
    )
    # Evaluation mode: the literal step takes a power iteration at each forward, this one at each
    # update (test_one_power_iteration_per_update).
    return model.eval().double()


@pytest.mark.parametrize('sgc_fusion', ['add', 'modulate'])
def test_a_step_has_the_losses_and_gradients_of_the_literal_step(mmagic_scope, sgc_fusion):
    model = build(sgc_fusion=sgc_fusion)
    twin = copy.deepcopy(model)
    label = torch.tensor([0, 2])
    real = normal(2, 3, 64, 64).clamp(-1, 1)
    sample = DataSample()
    sample.set_gt_label(label)
    model.step_random, ours = DoubleRandom(0, 0), {}
    found = {}
    for part in ('discriminator', 'generator'):
        ours[part] = Recorder(getattr(model, part))
        log = getattr(model, f'train_{part}')(dict(img=real), sample, ours[part])
        found.update({k: v.detach() for k, v in log.items() if k.startswith('loss_')})

    numbers = DoubleRandom(0, 0)
    theirs = {part: Recorder(getattr(twin, part)) for part in ours}
    losses = PLAIN.training_step(
        twin,
        twin.generator_ema.module,
        0.1,
        theirs,
        real,
        label,
        dict(
            crop=numbers.integers('crop', 9, 2),
            **{name: numbers.normal(name, 2, 8) for name in ('noise_disc', 'noise_gen')},
            **{
                name: numbers.uniform(name, 2, model.augment.num_numbers)
                for name in ('augment_real', 'augment_fake', 'augment_gen')
            },
        ),
    )
    assert_same(found, {name: value.detach() for name, value in losses.items()})
    for part in ours:
        expected = theirs[part].seen
        assert sum(g.norm() > 1e-6 for g in expected.values()) > len(expected) / 2
        if part == 'generator' and sgc_fusion == 'add':
            # What the normalisation cancels has no gradient but rounding.
            assert max(g.abs().max() for g in expected.values()) > 1e-3
        assert_same(ours[part].seen, expected)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize(
    'options',
    [dict(), dict(head='global'), dict(in_channels=1, in_size=32), dict(decoder_channels=None)],
    ids=str,
)
def test_r1_by_the_transposed_network_is_the_double_backward(options, training):
    torch.manual_seed(0)
    arguments = dict(in_size=64, num_classes=3, base_channels=2, decoder_channels=(4, 4))
    net = CellGANDiscriminator(**{**arguments, **options}).double().train(training)
    twin = copy.deepcopy(net)
    img = normal(3, net.in_channels, net.in_size, net.in_size)
    label = torch.tensor([[0], [2], [2]])
    penalty = R1Penalty(loss_weight=3.0)
    found = penalty(None, img, lambda x: net.input_gradient(x, label))
    found.backward()
    expected = penalty(lambda x: twin(x, label=label), img)
    expected.backward()
    assert expected > 1e-6
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    # The generic form gives the decoders no gradient, and zeros where the logits depend on nothing.
    assert_same(gradients(net), gradients(twin))
    for name, value in net.named_buffers():  # one power iteration in either
        torch.testing.assert_close(value, dict(twin.named_buffers())[name], msg=name)


@MODELS.register_module()
class BoundedDiscriminator(CellGANDiscriminator):
    """Whose inherited ``input_gradient`` is not that of its logits."""

    def logits(self, last, label):
        return super().logits(last, label).tanh()


@pytest.mark.parametrize('kind', ['BoundedDiscriminator', 'CellGANDiscriminator'])
def test_r1_of_a_discriminator_with_logits_of_its_own(mmagic_scope, kind):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='CellGAN',
            num_classes=3,
            noise_size=8,
            generator=dict(type='CellGANGenerator', out_size=32, base_channels=1),
            discriminator=dict(type=kind, in_size=32, base_channels=1, decoder_channels=(2,)),
            r1_loss=dict(type='R1Penalty', loss_weight=1.0),
        )
    )
    model.eval().double().step_random = StepRandom(0, 0)
    real, label = normal(2, 3, 32, 32), torch.tensor([0, 2])
    expected = R1Penalty(1.0)(lambda img: model.discriminator(img, label=label), real)
    torch.testing.assert_close(
        model._gradient_penalty(model.r1_loss, real, label), expected, rtol=1e-10, atol=0
    )
    assert (model._input_gradient is None) == (kind == 'BoundedDiscriminator')


def test_the_input_gradient_has_no_graph_of_the_image():
    net = CellGANDiscriminator(32, base_channels=1, decoder_channels=None)
    img = torch.zeros(1, 3, 32, 32, requires_grad=True)
    net.input_gradient(img, torch.tensor([0])).sum().backward()
    assert img.grad is None


@pytest.mark.parametrize('side', [2, 4, 5, 8])
def test_upsampling_layer(side):
    layer = UpsamplingConv2d(3, 5).double()
    twin = copy.deepcopy(layer)
    x, y = (normal(2, 3, side, side).requires_grad_() for _ in range(2))
    found = layer(x)
    expected = F.conv2d(F.interpolate(y, scale_factor=2, mode='nearest'), twin.weight, padding=1)
    seed = normal(*expected.shape, purpose='seed')
    found.backward(seed), expected.backward(seed)
    assert_same(
        dict(out=found.detach(), x=x.grad, **gradients(layer)),
        dict(out=expected.detach(), x=y.grad, **gradients(twin)),
    )
    with torch.no_grad():
        torch.testing.assert_close(layer.merged(side)(x), expected.detach())


@pytest.mark.parametrize('size', [(1, 1), (4, 4), (5, 8)])
def test_upsampling_and_convolution_as_one_transposed_convolution(size):
    x = normal(2, 6, *size)
    weight = normal(5, 6, 3, 3, purpose='w')
    expected = F.conv2d(F.interpolate(x, scale_factor=2, mode='nearest'), weight, padding=1)
    found = F.conv_transpose2d(x, upsampling_conv_weight(weight), stride=2, padding=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_only_3x3_kernels_are_merged():
    with pytest.raises(ValueError, match=r'\(5, 6, 1, 1\)'):
        upsampling_conv_weight(torch.zeros(5, 6, 1, 1))


@pytest.mark.parametrize('shape', [(2, 3, 4, 6), (1, 5, 8, 8)])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('norm', [norm_all_images, norm_image_by_image])
def test_instance_normalisation_in_one_pass(shape, memory_format, norm):
    x, y = (
        (3 + normal(*shape)).contiguous(memory_format=memory_format).requires_grad_()
        for _ in range(2)
    )
    scale, bias, seed = normal(*shape[:2]), normal(*shape[:2], purpose='b'), normal(*shape)
    (mine, mine_bias), (scale, bias) = (
        (scale.clone().requires_grad_(), bias.clone().requires_grad_()) for _ in range(2)
    )
    found = norm(x, mine, mine_bias)
    mean = y.mean(dim=(2, 3), keepdim=True)
    deviation = ((y - mean).square().mean(dim=(2, 3), keepdim=True) + 1e-5).sqrt()
    expected = scale[:, :, None, None] * (y - mean) / deviation + bias[:, :, None, None]
    found.backward(seed), expected.backward(seed)
    assert_same(
        dict(out=found.detach(), x=x.grad, scale=mine.grad, bias=mine_bias.grad),
        dict(out=expected.detach(), x=y.grad, scale=scale.grad, bias=bias.grad),
    )


def test_adain_keeps_statistics_in_float32_under_autocast():
    layer = AdaIN(4, 3).eval()
    x = (100 + normal(2, 4, 16, 16)).bfloat16()
    embedding = normal(2, 3, purpose='c').float()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = layer(x, embedding)
        scale, bias = layer.affine(embedding).float()[:, :, None, None].chunk(2, dim=1)
    assert found.dtype == torch.bfloat16
    expected = F.instance_norm(x.float()) * (1 + scale) + bias
    torch.testing.assert_close(found.float(), expected, rtol=0.01, atol=0.02)


def test_one_power_iteration_per_update():
    layer = sn_conv(4, 7, 3).double().train()
    twin = copy.deepcopy(layer)
    x, y = normal(2, 4, 5, 5), normal(3, 4, 5, 5, purpose='y')
    with normalised_once(layer):
        with torch.no_grad():
            layer(x)
        (layer(x).square().sum() + layer(y).square().sum()).backward()
    weight = twin.weight
    (F.conv2d(x, weight, padding=1).square().sum()).backward(retain_graph=True)
    (F.conv2d(y, weight, padding=1).square().sum()).backward()
    assert_same(gradients(layer), gradients(twin))
    for ours, theirs in zip(layer.buffers(), twin.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    before = [value.clone() for value in layer.buffers()]
    layer(x)  # outside of the context each forward iterates
    assert not any(torch.equal(a, b) for a, b in zip(before, layer.buffers(), strict=True))


def test_foreach_average_has_the_numbers_of_mmagics():
    nets = [torch.nn.Sequential(sn_conv(3, 4, 3), torch.nn.BatchNorm2d(4)) for _ in range(6)]
    for net in nets:
        net[1].running_mean.normal_()
    averages = [kind(nets[0], momentum=0.2) for kind in (ForeachEMA, ForeachEMA.__base__)]
    new = copy.deepcopy(averages[0].state_dict())
    for number, net in enumerate(nets):
        if number == 3:  # a state that has not averaged yet: begins with a copy again
            for average in averages:
                average.load_state_dict(new)
        for average in averages:
            average.update_parameters(net)  # buffers too: MMEngine's EMAHook asks no more
        ours, theirs = (average.state_dict() for average in averages)
        assert ours.keys() == theirs.keys() and ours['steps'] == theirs['steps']
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), name


@pytest.mark.skipif(COMPILES, reason='of torch 2.4')
def test_an_older_compiler_is_refused(mmagic_scope):
    with pytest.raises(ValueError, match='compile needs torch 2.5 or newer'):
        CellGAN(CellGANGenerator(out_size=32, base_channels=1), compile=True)


@pytest.mark.skipif(not COMPILES, reason='torch 2.4 fails at spectral norm, and is refused')
def test_compiled_networks_train_alike(mmagic_scope):
    """The whole of either network and of R1 is one graph each, and the losses stay."""
    logs, sampled = [], []
    for compile in (False, dict(backend='eager', fullgraph=True)):
        torch.manual_seed(0)
        model = MODELS.build(
            dict(
                type='CellGAN',
                num_classes=3,
                noise_size=8,
                generator=dict(type='CellGANGenerator', out_size=32, base_channels=1),
                discriminator=dict(
                    type='CellGANDiscriminator', in_size=32, base_channels=1, decoder_channels=(2,)
                ),
                ema_config=dict(type='ForeachEMA', momentum=0.1),
                compile=compile,
            )
        ).train()
        optim = OptimWrapperDict(
            **{
                part: BFloat16OptimWrapper(
                    torch.optim.Adam(getattr(model, part).parameters(), 0.001, fused=True)
                )
                for part in ('generator', 'discriminator')
            }
        )
        images = torch.randint(0, 256, (2, 3, 32, 32), generator=generator_for(0, 'img'))
        logs.append([])
        for _ in range(2):
            samples = []
            for label in (0, 2):
                samples.append(DataSample())
                samples[-1].set_gt_label(label)
            data = dict(inputs=dict(img=images.to(torch.uint8)), data_samples=samples)
            logs[-1].append(model.train_step(data, optim))
        assert not any('_orig_mod' in name for name in model.state_dict())
        noise = torch.randn(2, 8, generator=generator_for(0, 'noise'))
        images = [sample_pixels(model, noise, torch.tensor([0, 2]), m) for m in ('ema', 'orig')]
        sampled.append(torch.stack(images).int())
    for plain, compiled in zip(*logs, strict=True):
        assert plain.keys() == compiled.keys()
        for name in plain:
            torch.testing.assert_close(compiled[name], plain[name], rtol=1e-4, atol=1e-5, msg=name)
    assert (sampled[0] - sampled[1]).abs().max() <= 1


def test_lazy_r1_is_heavier_and_rarer(mmagic_scope):
    model = build()
    model.r1_loss = R1Penalty(0.01, interval=3)
    real, label = normal(2, 3, 64, 64), torch.tensor([0, 1])
    found = []
    for iteration in range(7):
        model.step_random = StepRandom(0, iteration)
        found.append(float(model._gradient_penalty(model.r1_loss, real, label).detach()))
    gradient = model.discriminator.input_gradient(real, label)
    due = 3 * 0.01 * gradient.square().sum().item() / len(real)
    assert found == pytest.approx([due, 0, 0, due, 0, 0, due])
    with pytest.raises(ValueError, match='interval=0'):
        R1Penalty(interval=0)
