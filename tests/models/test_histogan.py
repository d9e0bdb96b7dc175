import copy
from pathlib import Path

import pytest
import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine.config import Config
from mmengine.optim import OptimWrapper, OptimWrapperDict

from cellgan_plugin.engine.amp import BFloat16OptimWrapper
from cellgan_plugin.models import (
    HistoGAN,
    HistoGANDiscriminator,
    HistoGANGenerator,
    sample_pixels,
)
from cellgan_plugin.models.histogan.stages import image_pyramid, stage_sizes
from cellgan_plugin.models.layers import height_and_width
from cellgan_plugin.models.model_checks import check_model_config, generated_shape
from cellgan_plugin.randomness import StepRandom, generator_for

pytestmark = pytest.mark.usefixtures('mmagic_scope')

CLASSES, NOISE = 4, 8


def build(size=(64, 32), stages=2, **kwargs):
    torch.manual_seed(0)
    config = dict(
        type='HistoGAN',
        num_classes=CLASSES,
        noise_size=NOISE,
        generator=dict(type='HistoGANGenerator', out_size=size, num_stages=stages, base_channels=4),
        discriminator=dict(
            type='HistoGANDiscriminator',
            in_size=size,
            num_stages=stages,
            base_channels=4,
            max_channels=8,
            num_kernels=3,
            kernel_size=2,
        ),
    )
    for key, value in kwargs.items():
        if key in ('generator', 'discriminator') and value is not None:
            config[key].update(value)
        else:
            config[key] = value
    return MODELS.build(config).train()


def optimizers(model, lr=0.002, wrapper='OptimWrapper'):

    kind = OptimWrapper if wrapper == 'OptimWrapper' else BFloat16OptimWrapper
    return OptimWrapperDict(
        **{
            name: kind(torch.optim.Adam(getattr(model, name).parameters(), lr, (0.0, 0.9)))
            for name in ('generator', 'discriminator')
        }
    )


def batch(count=4, size=(64, 32), iteration=0):
    draws = generator_for(0, 'batch', iteration)
    img = torch.randint(0, 256, (count, 3, *size), generator=draws, dtype=torch.uint8)
    samples = DataSample()
    samples.set_gt_label(torch.randint(0, CLASSES, (count,), generator=draws))
    return dict(inputs=dict(img=img), data_samples=samples)


def noise(count, seed=0):
    return torch.randn(count, NOISE, generator=generator_for(seed, 'noise'))


def weights(module):
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def changed(before, module):
    return {name for name, p in module.named_parameters() if not torch.equal(before[name], p)}


# Sizes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'size, stages, expected',
    [
        ((256, 128), 3, [(64, 32), (128, 64), (256, 128)]),  # the paper's cervical images
        (96, 2, [(48, 48), (96, 96)]),  # and PCam
        ((32, 64), 1, [(32, 64)]),
        ((48, 16), 1, [(48, 16)]),
        ([64, 32], 2, [(32, 16), (64, 32)]),
        (128, 3, [(32, 32), (64, 64), (128, 128)]),
    ],
    ids=str,
)
def test_shapes_of_every_stage(size, stages, expected):
    assert stage_sizes('out_size', size, stages) == expected
    few = dict(base_channels=4, num_classes=3)
    generator = HistoGANGenerator(size, stages, noise_size=NOISE, **few)
    critic = HistoGANDiscriminator(size, stages, max_channels=8, num_kernels=3, **few)
    label = torch.tensor([0, 2])
    with torch.no_grad():
        images = generator(noise(2), label=label, return_stages=True)
        logits, _ = critic(images, label=label)
    assert [tuple(image.shape) for image in images] == [(2, 3, *side) for side in expected]
    assert [tuple(of_stage.shape) for of_stage in logits] == [(2,)] * stages
    assert all(image.abs().max() <= 1 for image in images)
    assert generator.out_size == critic.in_size == expected[-1]


def test_the_papers_networks_start_from_whole_maps():
    """Four up-sampling blocks and 3 stages leave a 4x2 map of 256x128; 2 stages 3x3 of 96x96."""
    large = HistoGANGenerator((256, 128), 3), HistoGANDiscriminator((256, 128), 3)
    small = HistoGANGenerator(96, 2, 2), HistoGANDiscriminator(96, 2, 2)
    assert large[0].first.embedding.kernel_size == (4, 2)
    assert small[0].first.embedding.kernel_size == (3, 3)
    for critics in (large[1].critics, small[1].critics):
        for number, critic in enumerate(critics):
            assert len(critic.blocks) == 4 + number
            assert critic.attention.value.in_channels == [64, 128, 256][number]
    count = [sum(p.numel() for p in net.parameters()) for net in (*large, *small)]
    assert count == PARAMETERS


PARAMETERS = [14_605_521, 34_230_066, 14_697_249, 19_078_860]  # docs/histogan.md


def test_parts_are_left_out_one_at_a_time():
    """Self-attention, spectral norm and the label's norms (Sec. 3.1.1), each by a switch."""
    from torch.nn.utils.parametrize import is_parametrized

    whole = {name for name, _ in build().named_parameters()}
    model = build(generator=dict(attention=False), discriminator=dict(attention=False))
    left = {name for name, _ in model.named_parameters()}
    assert left < whole and all('attention' in name for name in whole - left)
    with pytest.raises(ValueError, match='attention=False'):
        model.generator(noise(2), label=torch.tensor([0, 1]), return_attention=True)
    model = build(discriminator=dict(spectral_norm=False))
    assert not any(is_parametrized(module) for module in model.modules())
    assert sum(is_parametrized(module) for module in build().modules()) == 2  # a head per stage
    blind = dict(conditional_norm=False)
    model = build(generator=blind, discriminator=dict(blind, projection=True))
    tables = [name for name in whole if name.endswith(('.scale', '.shift'))]
    assert tables and not {name for name, _ in model.named_parameters()} & set(tables)
    # The label still enters beside the noise; at the same noise another one gives another image.
    z = noise(1).expand(2, -1)
    first, second = model.generator.eval()(z, label=torch.tensor([0, 1]))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: HistoGANGenerator((250, 128)), r'out_size=\(250, 128\).*multiples of 64'),
        (lambda: HistoGANDiscriminator((256, 96)), r'in_size=\(256, 96\)'),
        (lambda: HistoGANGenerator(64, 0), 'num_stages=0'),
        (lambda: HistoGANGenerator('64'), 'out_size='),
        (lambda: HistoGANGenerator(64, 3, base_channels=2), 'base_channels=2.*at least 4'),
        (lambda: HistoGANGenerator(64, 2, attention_pool=3), 'attention_pool=3.*32x32'),
        (lambda: HistoGANGenerator(64, 2, attention_pool=0), 'attention_pool=0'),
        (lambda: HistoGANGenerator(64, 2, out_channels=2), 'out_channels=2'),
        (lambda: HistoGANDiscriminator(64, 2, conditional_norm=False), 'say projection=True'),
        (lambda: HistoGANDiscriminator(64, 2, batch_norm=False), 'batch_norm=False.*projection'),
        (lambda: build(r1_loss=dict(type='R1Penalty')), 'set discriminator.batch_norm=False'),
        (lambda: HistoGANGenerator((64, 32), 2, spatial_noise=True), 'e.g. 2828'),
        (lambda: HistoGANDiscriminator(64, 2, max_channels=8), 'max_channels=8'),
        (lambda: build(discriminator=dict(in_size=64)), r'out_size=\(64, 32\) but disc'),
        (lambda: build(generator=dict(num_stages=1)), 'num_stages=1 but discriminator.num_st'),
        (lambda: build(generator=dict(out_channels=1)), 'out_channels=1 but disc'),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_checks_before_training_know_heights_and_widths():
    part = dict(type='HistoGANGenerator', out_size=(256, 128))
    check_model_config(dict(generator=part, discriminator=dict(in_size=[256, 128])))
    with pytest.raises(ValueError, match='must be equal'):
        check_model_config(dict(generator=part, discriminator=dict(in_size=256)))
    assert generated_shape(build()) == (3, 64, 32)


# Sampling -----------------------------------------------------------------------------------------


@torch.no_grad()
def test_forward_gives_the_last_stage_and_the_others_when_asked():
    model = build(ema_config=dict(type='ExponentialMovingAverage', update_buffers=True)).eval()
    inputs = dict(noise=noise(3), labels=[0, 1, 3])
    plain = model(inputs)
    assert [sample.fake_img.shape for sample in plain] == [(3, 64, 32)] * 3
    assert 'stage_1' not in plain[0]
    asked = model(dict(inputs, sample_kwargs=dict(return_stages=True)))
    assert [sample.stage_1.shape for sample in asked] == [(3, 32, 16)] * 3
    both = model(dict(inputs, sample_kwargs=dict(return_stages=True), sample_model='ema/orig'))
    stages = model.stage_images(inputs['noise'], torch.tensor(inputs['labels']))
    for i in range(3):
        assert torch.equal(asked[i].fake_img, plain[i].fake_img)
        assert torch.equal(both[i].ema.stage_1, asked[i].stage_1)
        bgr = stages[0][i].flip(0).float()
        assert torch.equal(asked[i].stage_1.round(), bgr)
    assert torch.equal(stages[1], sample_pixels(model, inputs['noise'], torch.tensor([0, 1, 3])))


def trained_a_little(**kwargs):
    model = build(**kwargs)
    optim = optimizers(model)
    for i in range(3):
        model.train_step(batch(iteration=i), optim)
    return model


def test_an_evaluated_generator_makes_each_image_alone():
    generator = trained_a_little().generator.eval().requires_grad_(False)
    z, labels = noise(5), torch.tensor([0, 1, 2, 3, 1])
    whole = generator(z, label=labels, return_stages=True)
    alone = [generator(z[i : i + 1], label=labels[i : i + 1]) for i in range(5)]
    torch.testing.assert_close(torch.cat(alone), whole[-1], atol=1e-5, rtol=1e-4)
    order = torch.tensor([4, 2, 0, 1, 3])
    mixed = generator(z[order], label=labels[order], return_stages=True)
    for a, b in zip(mixed, whole, strict=True):
        torch.testing.assert_close(a, b[order], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_label_and_noise_reach_every_stage():
    generator = build().generator
    for seed in range(10):  # running statistics of what it makes
        generator(noise(16, seed), label=torch.arange(16) % CLASSES)
    generator.eval()
    z = noise(1)
    one, other = (generator(z, label=torch.tensor([c]), return_stages=True) for c in (0, 1))
    varied = generator(noise(1, seed=1), label=torch.tensor([0]), return_stages=True)
    for a, b, c in zip(one, other, varied, strict=True):
        assert (a - b).abs().max() > 1e-3 and (a - c).abs().max() > 1e-3
    one_hot = generator(z, label=torch.tensor([[1.0, 0, 0, 0]]), return_stages=True)
    assert all(torch.equal(a, b) for a, b in zip(one, one_hot, strict=True))
    half = generator(z, label=torch.tensor([[0.5, 0.5, 0, 0]]))
    assert (half - one[-1]).abs().max() > 1e-3 and (half - other[-1]).abs().max() > 1e-3


@torch.no_grad()
def test_spatial_noise_is_the_end_of_z():
    """Each map moves the pixels near its own place alone, once its weights have left zero."""
    maps = [(4, 2), (8, 4), (16, 8), (32, 16), (64, 32)]
    size = NOISE + sum(h * w for h, w in maps)
    torch.manual_seed(0)
    net = HistoGANGenerator(
        (64, 32), 2, noise_size=size, base_channels=4, attention=False, spatial_noise=True
    ).eval()
    assert net.map_sizes == maps and net.embedded_size == NOISE
    z, label = torch.randn(1, size, generator=generator_for(0, 'z')), torch.tensor([1])
    blocks = [*net.first.blocks, *(stage.up for stage in net.stages)]
    embedded, cut = net.split_noise(z)
    assert torch.equal(torch.cat([embedded, *(part.flatten(1) for part in cut)], 1), z)
    moved = z.clone()
    moved[0, -1] += 3  # the last pixel of the finest map
    with torch.no_grad():
        assert torch.equal(net(z, label=label), net(moved, label=label))
        for block in blocks:
            block.noise_weight.normal_(generator=generator_for(1, 'weights'))
        (first, second), (first_moved, second_moved) = (
            net(noise, label=label, return_stages=True) for noise in (z, moved)
        )
    assert torch.equal(first, first_moved)
    where = (second != second_moved)[0].any(dim=0).nonzero()
    assert len(where) and where.min(dim=0).values.tolist() == [62, 30]


def test_the_generators_attention_is_of_the_map_it_uses():
    generator = build().generator.eval()
    label = torch.tensor([0, 1])
    found = generator(noise(2), label=label, return_attention=True)
    assert found['attention'].shape == (2, 32 * 16, 32 * 16)
    assert torch.equal(found['fake_img'], generator(noise(2), label=label))
    seen = []
    generator.first.attention.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    generator(noise(2), label=label)
    assert torch.equal(found['attention'], generator.first.attention.attention(seen[0]))


# Critics ------------------------------------------------------------------------------------------


def critics(**kwargs):
    torch.manual_seed(0)
    options = dict(num_classes=CLASSES, base_channels=4, max_channels=8, num_kernels=3)
    net = HistoGANDiscriminator((64, 32), 2, **{**options, **kwargs})
    with torch.no_grad():
        for critic in net.critics:  # as after some training
            critic.attention.gamma.fill_(0.5)
            for block in critic.blocks:
                if block.norm is not None:
                    block.norm.scale.add_(0.3 * torch.randn_like(block.norm.scale))
    return net


# A critic whose logit is a function of its image alone.
PLAIN_CRITICS = dict(batch_norm=False, num_kernels=0, projection=True, spectral_norm=False)


def images(count=6, seed=0):
    draws = generator_for(seed, 'images')
    return image_pyramid(torch.rand(count, 3, 64, 32, generator=draws) * 2 - 1, 2)


@pytest.mark.parametrize('projection', [False, True])
def test_label_and_order_matter_to_the_critics_as_they_should(projection):
    net, label = critics(projection=projection), torch.tensor([0, 1, 2, 3, 0, 1])
    net(images(), label)  # spectral norm moves on in training mode; from here on it stays
    net.eval()
    with torch.no_grad():
        first, _ = net(images(), label)
        order = torch.tensor([5, 3, 1, 0, 2, 4])
        mixed, _ = net([image[order] for image in images()], label[order])
        other, _ = net(images(), (label + 1) % 4)
    for a, b, c in zip(first, mixed, other, strict=True):
        torch.testing.assert_close(a[order], b, atol=1e-4, rtol=1e-4)
        assert (a - c).abs().min() > 1e-4


@torch.no_grad()
def test_a_common_colour_is_seen_in_a_common_batch_only():
    """Batch norm hides from a critic what all images of a batch have in common."""
    net, label = critics(num_kernels=0).eval(), torch.zeros(12, dtype=torch.long)
    real = images()
    pale = [image * 0.5 + 0.4 for image in real]
    apart = [net(group, label[:6])[0][1] for group in (real, pale)]
    together, _ = net([torch.cat(pair) for pair in zip(real, pale, strict=True)], label, groups=2)
    of_real, of_pale = together[1].chunk(2)
    # Only the zero padding at the borders still tells the pale images when they are apart.
    assert (of_real - of_pale).abs().mean() > 3 * (apart[0] - apart[1]).abs().mean()


@torch.no_grad()
def test_groups_are_compared_for_variety_within_themselves():
    net = critics().eval()
    label = torch.zeros(12, dtype=torch.long)
    both = [torch.cat(pair) for pair in zip(images(), images(seed=1), strict=True)]
    _, statistics = net(both, label, groups=2)
    joint, _ = net(both, label, groups=2, statistics=statistics)
    first, _ = net(images(), label[:6], statistics=statistics)
    for a, b in zip(joint, first, strict=True):
        torch.testing.assert_close(a[:6], b, atol=1e-5, rtol=1e-4)


def test_with_given_statistics_a_critic_judges_each_image_alone():
    """So that the gradient of the sum of the logits is that of each image's own logit."""
    net, label = critics(num_kernels=0).eval(), torch.tensor([0, 1, 2, 3, 0, 1])
    _, statistics = net(images(seed=1), label)
    found, _ = net(images(), label, statistics=statistics)
    alone = [
        net([image[i : i + 1] for image in images()], label[i : i + 1], statistics=statistics)[0]
        for i in range(6)
    ]
    for stage, of_stage in enumerate(found):
        expected = torch.cat([logits[stage] for logits in alone])
        torch.testing.assert_close(of_stage, expected, atol=1e-5, rtol=1e-4)


def test_without_batch_norm_a_logit_is_of_its_image_alone():
    net, label = critics(**PLAIN_CRITICS).eval(), torch.tensor([0, 1, 2, 3, 0, 1])
    together, statistics = net(images(), label)
    assert statistics == [[None] * len(critic.blocks) for critic in net.critics]
    for stage, of_stage in enumerate(together):
        alone = [net([x[i : i + 1] for x in images()], label[i : i + 1])[0] for i in range(6)]
        expected = torch.cat([logits[stage] for logits in alone])
        torch.testing.assert_close(of_stage, expected, atol=1e-5, rtol=1e-4)
    other, _ = net(images(), (label + 1) % 4)
    assert all((a - b).abs().min() > 1e-5 for a, b in zip(together, other, strict=True))


def test_wrong_input_of_the_critics_is_named():
    net, label = critics(), torch.zeros(6, dtype=torch.long)
    with pytest.raises(ValueError, match='needs label'):
        net(images())
    with pytest.raises(ValueError, match='list of 2 batches'):
        net(images()[1], label)
    with pytest.raises(ValueError, match=r'\(6, 3, 64, 32\) given; expected \(N, 3, 32, 16\)'):
        net(images()[::-1], label)
    with pytest.raises(ValueError, match='6 images but 5 labels'):
        net(images(), label[:5])


# Training -----------------------------------------------------------------------------------------

LOSSES = {f'loss_{name}_stage{stage}' for name in ('disc', 'disc_gp', 'gen') for stage in (1, 2)}


def test_real_images_are_averaged_down():
    image = images(1)[1]
    small = image_pyramid(image, 3)
    assert [tuple(batch.shape[2:]) for batch in small] == [(16, 8), (32, 16), (64, 32)]
    torch.testing.assert_close(small[0][0, 0, 0, 0], image[0, 0, :4, :4].mean())
    assert small[-1] is image


@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'BFloat16OptimWrapper'])
def test_a_step_changes_every_stage_of_both_networks(wrapper):
    model = build()
    optim = optimizers(model, wrapper=wrapper)
    model.train_step(batch(), optim)  # attention starts at gamma = 0, which hides its layers
    before = {name: weights(getattr(model, name)) for name in ('generator', 'discriminator')}
    log = model.train_step(batch(iteration=1), optim)
    assert set(log) == LOSSES | {'loss'} | {
        f'disc_{kind}_stage{stage}' for kind in ('real', 'fake') for stage in (1, 2)
    }
    assert all(torch.as_tensor(value).isfinite() for value in log.values())
    for name, old in before.items():
        # A constant cancels in a Wasserstein critic.
        moving = {n for n in old if not n.endswith('to_logit.bias')}
        assert changed(old, getattr(model, name)) == moving, name


def test_the_objective_is_wgan_gp_at_every_stage():
    model, data = build(), batch()
    twin, generator = copy.deepcopy(model.discriminator), copy.deepcopy(model.generator)
    step = StepRandom(0, 0)
    prepared = model.data_preprocessor(data)
    labels = prepared['data_samples'].gt_label.label
    real = image_pyramid(prepared['inputs']['img'], 2)
    with torch.no_grad():
        fake = generator(step.normal('noise_disc', 4, NOISE), label=labels, return_stages=True)
    share = step.uniform('gradient_penalty', 4, 1)[:, :, None, None]
    both = [torch.cat(pair) for pair in zip(real, fake, strict=True)]
    logits, statistics = twin(both, torch.cat([labels, labels]), groups=2)
    mixed = [share * x + (1 - share) * y for x, y in zip(real, fake, strict=True)]
    mixed = [image.requires_grad_() for image in mixed]
    evaluated, _ = twin(mixed, labels, statistics=statistics)
    expected = {}
    for stage in (0, 1):
        of_real, of_fake = logits[stage][:4], logits[stage][4:]
        expected[f'loss_disc_stage{stage + 1}'] = (of_fake.mean() - of_real.mean()).item()
        (slope,) = torch.autograd.grad(evaluated[stage].sum(), mixed[stage], retain_graph=True)
        penalty = 50 * (slope.flatten(1).norm(dim=1) - 1).square().mean()
        expected[f'loss_disc_gp_stage{stage + 1}'] = penalty.item()
    log = model.train_step(data, optimizers(model))
    for name, value in expected.items():
        assert log[name].item() == pytest.approx(value, rel=1e-4, abs=1e-6), name
    assert log['loss'].item() == pytest.approx(sum(expected.values()), rel=1e-4)


def test_the_relativistic_objective_with_penalties_of_both_kinds():
    """Pairs of one class: softplus(D(G(z)) - D(x)), and squared slopes every fourth iteration."""
    penalty = dict(type='R1Penalty', loss_weight=0.3, interval=4)
    model = build(
        discriminator=PLAIN_CRITICS,
        adversarial_loss=dict(type='RelativisticLoss'),
        gradient_penalty=None,
        r1_loss=penalty,
        r2_loss=penalty,
    )
    data, step = batch(), StepRandom(0, 0)
    prepared = model.data_preprocessor(data)
    labels = prepared['data_samples'].gt_label.label
    real = image_pyramid(prepared['inputs']['img'], 2)
    with torch.no_grad():
        z = step.normal('noise_disc', 4, NOISE)
        fake = copy.deepcopy(model.generator)(z, label=labels, return_stages=True)
    critics_before = copy.deepcopy(model.discriminator)
    expected, logits = {}, {}
    for kind, stages in (('r1', real), ('r2', fake)):
        stages = [image.clone().requires_grad_() for image in stages]
        logits[kind], _ = critics_before(stages, labels)
        slopes = torch.autograd.grad(sum(x.sum() for x in logits[kind]), stages, retain_graph=True)
        for stage, slope in enumerate(slopes, start=1):
            value = 4 * 0.3 * slope.square().flatten(1).sum(1).mean()
            expected[f'loss_disc_{kind}_stage{stage}'] = value.item()
    for stage in (0, 1):
        difference = logits['r2'][stage] - logits['r1'][stage]
        softplus = torch.nn.functional.softplus(difference).mean()
        expected[f'loss_disc_stage{stage + 1}'] = softplus.item()
    optim = optimizers(model)
    log = model.train_step(data, optim)
    for name, value in expected.items():
        assert log[name].item() == pytest.approx(value, rel=1e-4, abs=1e-7), name
    assert log['loss_gen_stage1'].item() > 0
    # Lazy: not in the second iteration.
    later = model.train_step(batch(iteration=1), optim)
    assert not [name for name in later if 'r1' in name or 'r2' in name]


def test_the_generators_turn_of_a_relativistic_loss_compares_with_the_real_images():
    model = build(
        discriminator=PLAIN_CRITICS,
        adversarial_loss=dict(type='RelativisticLoss'),
        gradient_penalty=None,
    )
    data = batch()
    prepared = model.data_preprocessor(data)
    labels = prepared['data_samples'].gt_label.label
    model.step_random = StepRandom(0, 0)
    with torch.no_grad():
        z = StepRandom(0, 0).normal('noise_gen', 4, NOISE)
        fake = copy.deepcopy(model.generator)(z, label=labels, return_stages=True)
        of_fake, _ = model.discriminator(fake, labels)
        of_real, _ = model.discriminator(image_pyramid(prepared['inputs']['img'], 2), labels)
    log = model.train_generator(**prepared, optimizer_wrapper=optimizers(model)['generator'])
    for stage in (0, 1):
        expected = torch.nn.functional.softplus(of_real[stage] - of_fake[stage]).mean().item()
        assert log[f'loss_gen_stage{stage + 1}'].item() == pytest.approx(expected, rel=1e-4)


def test_the_generator_is_scored_beside_real_images():
    """Critics normalise over the batch: fakes alone would be given other statistics than in D's
    step, and the generator would be led to please another critic than the one that was trained."""
    model, data = build(fake_labels='uniform'), batch()
    twin, generator = copy.deepcopy(model.discriminator), copy.deepcopy(model.generator)
    prepared = model.data_preprocessor(data)
    real_labels = prepared['data_samples'].gt_label.label
    model.step_random, step = StepRandom(0, 0), StepRandom(0, 0)
    labels = step.labels('fake_labels', 4, torch.ones(CLASSES))
    assert not torch.equal(labels, real_labels)
    with torch.no_grad():
        fake = generator(step.normal('noise_gen', 4, NOISE), label=labels, return_stages=True)
        real = image_pyramid(prepared['inputs']['img'], 2)
        both = [torch.cat(pair) for pair in zip(real, fake, strict=True)]
        alone, _ = copy.deepcopy(twin)(fake, labels)
        logits, _ = twin(both, torch.cat([real_labels, labels]), groups=2)
    log = model.train_generator(**prepared, optimizer_wrapper=optimizers(model)['generator'])
    for stage in (0, 1):
        found = log[f'loss_gen_stage{stage + 1}'].item()
        assert found == pytest.approx(-logits[stage][4:].mean().item(), rel=1e-4, abs=1e-6)
        assert abs(found + alone[stage].mean().item()) > 1e-3


def test_the_penalty_keeps_the_weights_of_the_statistics_in_its_gradient():
    model, data = build(), batch()
    model.step_random = StepRandom(0, 0)
    prepared = model.data_preprocessor(data)
    labels = prepared['data_samples'].gt_label.label
    real = image_pyramid(prepared['inputs']['img'], 2)
    fake = [image.flip(0) * 0.3 for image in real]
    _, statistics = model._judge_together(real, fake, labels, labels)
    penalty = sum(model._penalties(real, fake, labels, labels, statistics))
    first = model.discriminator.critics[0].blocks[0].conv.weight
    (slope,) = torch.autograd.grad(penalty, first)
    # A norm follows: the critic does not change when the convolution is scaled.
    assert slope.norm() > 1e-3
    assert (slope * first).sum().abs() < 1e-2 * slope.norm() * first.norm()


def test_each_network_learns_while_the_other_stands_still():
    model = build(gradient_penalty=None)
    optim, data = optimizers(model, lr=0.005), batch(8)

    def steps(standing, count):
        optim[standing].optimizer.param_groups[0]['lr'] = 0.0
        logs = []
        for _ in range(count):
            inputs = dict(data['inputs'])
            logs.append(model.train_step(dict(data, inputs=inputs), optim))
        optim[standing].optimizer.param_groups[0]['lr'] = 0.005
        return logs

    for standing, names in (
        ('generator', ('loss_disc_stage1', 'loss_disc_stage2')),
        ('discriminator', ('loss_gen_stage1', 'loss_gen_stage2')),
    ):
        values = [sum(log[name].item() for name in names) for log in steps(standing, 8)]
        assert sum(values[-2:]) < sum(values[:2]) - 0.5, (standing, values)


def test_same_numbers_give_the_same_run_to_the_last_bit():
    logs = []
    for _ in range(2):
        model = build()
        optim = optimizers(model)
        torch.manual_seed(len(logs) + 1)  # the global generator must not matter
        logs.append([model.train_step(batch(iteration=i), optim) for i in range(2)])
    for first, second in zip(*logs, strict=True):
        assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in second.items()}


@pytest.mark.parametrize(
    'options',
    [
        dict(fake_labels='uniform'),
        dict(gradient_penalty=None, adversarial_loss=dict(type='HingeGANLoss')),
        dict(discriminator_steps=2),
        dict(discriminator=dict(projection=True, num_kernels=0)),
        dict(generator=dict(out_channels=1), discriminator=dict(in_channels=1)),
        dict(generator=dict(attention_pool=2, num_residual_blocks=0)),
        dict(size=16, stages=1),
        dict(generator=dict(attention=False), discriminator=dict(attention=False)),
        dict(discriminator=dict(spectral_norm=False)),
        dict(
            generator=dict(conditional_norm=False),
            discriminator=dict(conditional_norm=False, projection=True),
        ),
        dict(noise_size=NOISE + 2728, generator=dict(spatial_noise=True)),
    ],
    ids=str,
)
def test_every_option_trains(options):
    model = build(**options)
    optim = optimizers(model)
    for i in range(2):
        data = batch(size=model.generator.out_size, iteration=i)
        data['inputs']['img'] = data['inputs']['img'][:, : model.generator.out_channels]
        log = model.train_step(data, optim)
        assert all(torch.as_tensor(value).isfinite() for value in log.values())
    assert 'loss_gen_stage1' in log


def test_mixtures_of_two_classes_bear_the_nearer_one():
    model = build()
    model.step_random = StepRandom(0, 0)
    share = StepRandom(0, 0).uniform('gradient_penalty', 4, 1)[:, 0]
    seen = []
    model.discriminator.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs['label']), with_kwargs=True
    )
    real_labels, fake_labels = torch.tensor([0, 0, 0, 0]), torch.tensor([1, 2, 3, 1])
    real = images(4)
    _, statistics = model.discriminator(real, label=real_labels)
    model._penalties(real, [x.flip(0) for x in real], real_labels, fake_labels, statistics)
    assert seen[1].tolist() == [
        0 if part >= 0.5 else int(fake) for part, fake in zip(share, fake_labels, strict=True)
    ]


def test_averaged_batch_statistics_reach_the_averaged_generator():
    """With the generator moved to another memory format after the average was made."""
    momentum = 0.3
    model = build(
        ema_config=dict(
            type='ExponentialMovingAverage', momentum=momentum, update_buffers=True, start_iter=0
        )
    )
    optim, expected = optimizers(model), None
    for i in range(3):
        model.train_step(batch(iteration=i), optim)
        now = {k: v.clone() for k, v in model.generator.state_dict().items()}
        expected = (
            now
            if expected is None
            else {k: (1 - momentum) * expected[k] + momentum * now[k] for k in now}
        )
    found = model.generator_ema.module.state_dict()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)
    assert not torch.equal(found['first.norm.running_mean'], now['first.norm.running_mean'])


def test_a_model_made_of_modules_in_a_notebook():
    model = HistoGAN(
        HistoGANGenerator(32, 2, CLASSES, NOISE, base_channels=4),
        HistoGANDiscriminator(32, 2, CLASSES, base_channels=4, max_channels=8),
    )
    log = model.train_step(batch(size=(32, 32)), optimizers(model))
    assert set(log) >= LOSSES
    alone = HistoGAN(HistoGANGenerator(32, 2, CLASSES, NOISE, base_channels=4))
    assert len(alone.eval()(dict(num_batches=2))) == 2


def test_a_batch_without_labels_is_refused():
    model, data = build(), batch()
    data['data_samples'] = DataSample()
    with pytest.raises(ValueError, match='gt_label'):
        model.train_step(data, optimizers(model))


# Configs ------------------------------------------------------------------------------------------

CONFIGS = sorted(Path(__file__).resolve().parents[2].glob('configs/histogan*/*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_sizes_and_classes_of_the_configs_agree(path):
    config = Config.fromfile(path)
    check_model_config(config.model)
    loaders = [config.train_dataloader, config.get('val_dataloader')]
    evaluates = [metric.extractor for metric in config.get('val_evaluator', {}).get('metrics', [])]
    assert len(evaluates) == (path.stem.endswith('_fd') or '_plus_' in path.stem)
    for evaluate in evaluates:
        classifier = Config.fromfile(evaluate.config)
        assert classifier.model.head.num_classes == config.model.num_classes
        loaders += [classifier.train_dataloader, classifier.val_dataloader]
    for loader in filter(None, loaders):
        classes, fit = loader.dataset.metainfo.classes, loader.dataset.pipeline[0]
        assert list(classes) == list(config.train_dataloader.dataset.metainfo.classes)
        assert len(classes) == config.model.num_classes
        size = height_and_width('out_size', fit.out_size)
        assert size == height_and_width('out_size', config.model.generator.out_size)
        assert loader.dataset.data_root == config.train_dataloader.dataset.data_root


def test_the_papers_schedules():
    """1,000 epochs of 1,853 images at 64, and of 32,768 at 256 (Sec. 4.1, 4.2.1)."""
    cervical, pcam = (
        Config.fromfile(CONFIGS[0].with_name(f'histogan_{name}.py'))
        for name in ('cervical', 'pcam')
    )
    for config, images, batch_size in ((cervical, 1853, 64), (pcam, 32_768, 256)):
        assert config.train_dataloader.batch_size == batch_size
        assert abs(config.train_cfg.max_iters - 1000 * images / batch_size) < 1
        assert config.optim_wrapper.generator.optimizer.lr == 2e-4
        assert config.optim_wrapper.discriminator.optimizer.lr == 2e-4
        assert config.model.gradient_penalty.loss_weight == 50
