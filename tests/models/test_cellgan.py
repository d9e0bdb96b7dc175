import copy
import itertools

import pytest
import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine import MessageHub
from mmengine.optim import OptimWrapper, OptimWrapperDict

from cellgan_plugin.models import CellGAN, CellGANDiscriminator, CellGANGenerator
from cellgan_plugin.models.layers import normalised_once
from cellgan_plugin.randomness import StepRandom, generator_for

pytestmark = pytest.mark.usefixtures('mmagic_scope')


def build(**kwargs):
    torch.manual_seed(0)
    config = dict(
        type='CellGAN',
        num_classes=5,
        noise_size=8,
        generator=dict(type='CellGANGenerator', out_size=32, base_channels=1),
        discriminator=dict(
            type='CellGANDiscriminator', in_size=32, base_channels=1, decoder_channels=(2,)
        ),
        ema_config=dict(type='ExponentialMovingAverage', momentum=0.1),
    )
    for key, value in kwargs.items():
        if key in ('generator', 'discriminator'):
            config[key].update(value)
        else:
            config[key] = value
    return MODELS.build(config).train()


def test_without_reconstruction_no_weight_is_left_without_a_gradient():
    # Several processes would wait for gradients that never come.
    for discriminator in (dict(), dict(type='CellGANGlobalDiscriminator')):
        model = build(reconstruction_loss=None, discriminator=discriminator)
        assert not model.discriminator.has_decoders
        labels = torch.arange(4)
        model.discriminator(torch.randn(4, 3, 32, 32), label=labels).sum().backward()
        missing = [n for n, p in model.discriminator.named_parameters() if p.grad is None]
        assert not missing
    assert build().discriminator.has_decoders


def optimizers(model, lr=0.01):
    return OptimWrapperDict(
        **{
            name: OptimWrapper(
                torch.optim.Adam(getattr(model, name).parameters(), lr, (0.0, 0.999))
            )
            for name in ('generator', 'discriminator')
        }
    )


def batch(count=4, iteration=0, labels=None):
    draws = generator_for(0, 'batch', iteration)
    img = torch.randint(0, 256, (count, 3, 32, 32), generator=draws, dtype=torch.uint8)
    labels = torch.randint(0, 5, (count,), generator=draws) if labels is None else labels
    samples = []
    for label in labels:
        samples.append(DataSample())
        samples[-1].set_gt_label(int(label))
    return dict(inputs=dict(img=list(img)), data_samples=samples)


def weights(module):
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def changed(before, module):
    return {name for name, p in module.named_parameters() if not torch.equal(before[name], p)}


LOSSES = {'loss_disc_real', 'loss_disc_fake', 'loss_recon', 'loss_r1', 'loss_gen'}


def test_a_step_changes_both_networks_and_reports_every_loss():
    model = build()
    optim = optimizers(model)
    before = {name: weights(getattr(model, name)) for name in ('generator', 'discriminator')}
    log = model.train_step(batch(), optim)
    assert LOSSES | {'loss', 'disc_real', 'disc_fake'} == set(log)
    assert all(torch.as_tensor(value).isfinite() for value in log.values())
    terms = LOSSES - {'loss_gen'}
    assert log['loss'].item() == pytest.approx(sum(log[name].item() for name in terms))
    assert changed(before['discriminator'], model.discriminator) == set(before['discriminator'])
    skip = {n for n in before['generator'] if n.startswith('skips.')}
    assert changed(before['generator'], model.generator) >= set(before['generator']) - skip
    assert all(p.requires_grad for p in model.discriminator.parameters())


def prepared(model, iteration=0):
    model.step_random = StepRandom(0, iteration)
    return model.data_preprocessor(batch(), True)


def test_discriminator_step_touches_only_the_discriminator():
    model = build()
    before = weights(model.generator)
    model.train_discriminator(
        **prepared(model), optimizer_wrapper=optimizers(model)['discriminator']
    )
    assert all(p.grad is None for p in model.generator.parameters())
    assert not changed(before, model.generator)


def test_generator_step_touches_only_the_generator():
    model = build()
    optim = optimizers(model)
    model.train_step(batch(), optim)
    before = weights(model.discriminator)
    seen = []

    def spy(*args, **kwargs):
        seen.append([p.requires_grad for p in model.discriminator.parameters()])
        return original(*args, **kwargs)

    original, model.train_generator = model.train_generator, spy
    optim['discriminator'].update_params = lambda loss: loss.backward()
    optim['discriminator'].zero_grad()
    model.train_discriminator = lambda *args, **kwargs: {}
    model.train_step(batch(), optim)
    assert seen and not any(seen[0])
    assert all(p.grad is None or not p.grad.any() for p in model.discriminator.parameters())
    assert not changed(before, model.discriminator)


def count_calls(module, counts, name):
    module.register_forward_hook(lambda *_: counts.__setitem__(name, counts.get(name, 0) + 1))


@pytest.mark.parametrize(
    'options, expected',
    [
        # real, fake, and the generator's; R1 goes through the transposed layers
        ({}, dict(crop=1, half=1, discriminator=3, generator=2)),
        (dict(r1_loss=None), dict(crop=1, half=1, discriminator=3, generator=2)),
        (dict(reconstruction_loss=None), dict(discriminator=3, generator=2)),
    ],
)
def test_nothing_is_computed_twice(options, expected):
    model = build(**options)
    counts = {}
    for name, module in (
        ('generator', model.generator),
        ('discriminator', model.discriminator),
        ('crop', getattr(model.discriminator, 'crop_decoder', None)),
        ('half', getattr(model.discriminator, 'half_decoder', None)),
    ):
        if module is not None:
            count_calls(module, counts, name)
    model.train_step(batch(), optimizers(model))
    assert counts == expected


def test_same_numbers_give_the_same_run_to_the_last_bit():
    logs = []
    for _ in range(2):
        MessageHub._instance_dict.clear()
        model = build()
        optim = optimizers(model)
        torch.manual_seed(len(logs) + 1)  # the global generator must not matter
        logs.append([model.train_step(batch(iteration=i), optim) for i in range(3)])
    for first, second in zip(*logs, strict=True):
        assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in second.items()}
    assert float(logs[0][0]['loss']) != float(logs[0][1]['loss'])


def test_iterations_are_counted_where_there_is_no_runner():
    first, second = build(), build()
    optims = optimizers(first), optimizers(second)
    seen = []
    for model, optim in ((first, optims[0]), (first, optims[0]), (second, optims[1])) * 2:
        model.train_step(batch(), optim)
        seen.append(model.step_random.iteration)
    # each model has its own count, whatever the other one left in MMEngine's global hub
    assert seen == [0, 1, 0, 2, 3, 1]


def test_iteration_and_seed_of_a_runner_are_used():
    model = build(seed=3)
    optim = optimizers(model)
    hub = MessageHub.get_current_instance()
    model.train_step(batch(), optim)
    assert (model.step_random.seed, model.step_random.iteration) == (3, 0)
    hub.update_info('loop_stage', 'train')
    hub.update_info('seed', 11)
    for iteration in (0, 40):
        hub.update_info('iter', iteration)
        model.train_step(batch(), optim)
        assert (model.step_random.seed, model.step_random.iteration) == (11, iteration)
        assert hub.get_info('iter') == iteration


def test_real_and_fake_logits_have_one_shape():
    model = build()
    seen = []
    original = model.adversarial_loss.discriminator
    model.adversarial_loss.discriminator = lambda *a: (
        seen.append([x.shape for x in a]) or original(*a)
    )
    model.train_step(batch(3), optimizers(model))
    assert seen == [[(3, 1, 8, 8), (3, 1, 8, 8)]]


@pytest.mark.parametrize('fake_labels', ['data', 'uniform', [0, 0, 1, 3, 0]], ids=str)
def test_labels_of_the_generated_images(fake_labels):
    model = build(fake_labels=fake_labels)
    real = torch.tensor([0, 1, 0, 0] * 500)
    model.step_random = StepRandom(0, 0)
    drawn = model.training_labels(real)
    if fake_labels == 'data':
        assert torch.equal(drawn, real)
        return
    target = torch.ones(5) / 5 if fake_labels == 'uniform' else torch.tensor([0, 0, 0.25, 0.75, 0])
    share = torch.bincount(drawn, minlength=5) / len(drawn)
    torch.testing.assert_close(share, target, rtol=0, atol=0.04)
    assert not torch.equal(drawn, model.training_labels(real))


@pytest.mark.parametrize(
    'fake_labels', ['Data', [1, 1], [1, 1, 1, 1, -1], [0] * 5, [1, 2, 3, 4, float('nan')]], ids=str
)
def test_wrong_fake_labels(fake_labels):
    with pytest.raises(ValueError, match='^fake_labels'):
        build(fake_labels=fake_labels)


def test_ema_follows_its_closed_form():
    start, momentum, steps = 3, 0.1, 6
    model = build(
        ema_config=dict(type='ExponentialMovingAverage', momentum=momentum, start_iter=start)
    )
    optim = optimizers(model)
    history = []
    for i in range(steps):
        model.train_step(batch(iteration=i), optim)
        history.append(weights(model.generator))
        # buffers (spectral-norm vectors) are the generator's own at all times
        for ours, theirs in zip(
            model.generator_ema.module.buffers(), model.generator.buffers(), strict=True
        ):
            assert torch.equal(ours, theirs)
    expected = {}
    for name in history[0]:
        # the step that reaches start_iter copies, each later one averages
        value = history[start - 1][name]
        for later in history[start:]:
            value = (1 - momentum) * value + momentum * later[name]
        expected[name] = value
    for name, value in model.generator_ema.module.named_parameters():
        torch.testing.assert_close(value.detach(), expected[name])
    assert int(model.generator_ema.steps) == steps - start + 1


def test_ema_copies_before_it_starts():
    model = build(ema_config=dict(type='ExponentialMovingAverage', momentum=0.1, start_iter=100))
    model.train_step(batch(), optimizers(model))
    for ours, theirs in zip(
        model.generator_ema.module.parameters(), model.generator.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(generator=dict(out_size=64)), ValueError, 'out_size=64 but discriminator.in_size=32'),
        (dict(generator=dict(out_channels=1)), ValueError, 'out_channels=1'),
        (dict(discriminator=dict(num_classes=3)), AssertionError, 'inconsistent'),
        (dict(discriminator=dict(decoder_channels=None)), ValueError, '^reconstruction_loss'),
        (dict(augment=dict(type='DiffAugment', policy=['colour'])), ValueError, 'policy'),
    ],
)
def test_parts_that_do_not_fit(options, error, message):
    with pytest.raises(error, match=message):
        build(**options)


@pytest.mark.parametrize(
    'options',
    [
        dict(generator=dict(sgc_fusion='modulate')),
        dict(generator=dict(skip_type='sle'), discriminator=dict(head='global')),
        dict(generator=dict(mapping_depth=0)),
        dict(generator=dict(out_channels=1), discriminator=dict(in_channels=1)),
        dict(discriminator=dict(decoder_channels=None), reconstruction_loss=None),
        dict(augment=dict(type='DiffAugment', policy=[])),
        dict(fake_labels='uniform'),
        dict(discriminator_steps=2),
        dict(generator_steps=2),
    ],
    ids=str,
)
def test_every_option_trains(options):
    model = build(**options)
    optim = optimizers(model)
    channels = model.generator.out_channels
    for i in range(2):
        data = batch(iteration=i)
        data['inputs']['img'] = [img[:channels] for img in data['inputs']['img']]
        log = model.train_step(data, optim)
        assert all(torch.as_tensor(value).isfinite() for value in log.values())
    assert 'loss_gen' in log


def test_several_generator_steps_draw_different_noise():
    model = build(generator_steps=2)
    seen = []
    model.generator.register_forward_pre_hook(lambda m, args: seen.append(args[0].clone()))
    model.train_step(batch(), optimizers(model))
    assert len(seen) == 3
    assert not any(torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])


def test_reconstruction_targets_are_the_augmented_images():
    model = build()
    seen = {}
    original = model.reconstruction_loss.forward

    def spy(crop, half, crop_target, img):
        seen.update(crop_target=crop_target, img=img)
        return original(crop, half, crop_target, img)

    model.reconstruction_loss.forward = spy
    data = batch()
    step = StepRandom(0, 0)
    model.train_step(data, optimizers(model))
    real = model.data_preprocessor(data)['inputs']['img']
    expected = model.augment(real, step.uniform('augment_real', 4, 5))
    rows, columns = model.discriminator.crop_box(step.integers('crop', 9, 2))
    assert torch.equal(seen['img'], expected)
    assert torch.equal(seen['crop_target'], expected[:, :, rows, columns])
    assert not torch.equal(expected, real)


def test_loss_is_equation_2():
    """The whole discriminator objective, computed beside the class from its parts."""
    model = build()
    data = batch()
    twin = copy.deepcopy(model.discriminator)
    with torch.no_grad():
        step = StepRandom(0, 0)
        prep = model.data_preprocessor(data)
        real, labels = prep['inputs']['img'], prep['data_samples'].gt_label.label
        fake = copy.deepcopy(model.generator)(step.normal('noise_disc', 4, 8), label=labels)
        seen = model.augment(real, step.uniform('augment_real', 4, 5))
        fake = model.augment(fake, step.uniform('augment_fake', 4, 5))
        top, left = step.integers('crop', 9, 2)
    with normalised_once(twin):  # one power iteration for the whole update
        out = twin(seen, labels, crop_offset=(top, left))
        fake_logits = twin(fake, labels)
        real = real.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(twin(real, labels).sum(), real)
    crop = seen[:, :, 2 * top : 2 * top + 16, 2 * left : 2 * left + 16]
    recon = (out.crop - crop).abs().mean() + (out.half - seen[:, :, ::2, ::2]).abs().mean()
    expected = dict(
        loss_disc_real=(1 - out.logits).clamp(min=0).mean(),
        loss_disc_fake=(1 + fake_logits).clamp(min=0).mean(),
        loss_recon=recon,
        loss_r1=0.01 * gradient.square().flatten(1).sum(1).mean(),
        disc_real=out.logits.mean(),
        disc_fake=fake_logits.mean(),
    )
    expected['loss'] = sum(v for k, v in expected.items() if k.startswith('loss_'))
    log = model.train_step(data, optimizers(model))
    for name, value in expected.items():
        assert float(log[name]) == pytest.approx(float(value), rel=1e-5, abs=1e-9), name


def test_each_player_sees_labels_noise_and_augmentation_of_its_own():
    model, data = build(fake_labels='uniform', r1_loss=None, reconstruction_loss=None), batch(6)
    made, scored = [], []
    model.generator.register_forward_hook(
        lambda _, args, kwargs, out: made.append((args[0], kwargs['label'], out.detach())),
        with_kwargs=True,
    )
    model.discriminator.register_forward_pre_hook(
        lambda _, args, kwargs: scored.append((args[0].detach(), kwargs['label'])),
        with_kwargs=True,
    )
    model.train_step(data, optimizers(model))
    real = model.data_preprocessor(data)
    step = StepRandom(0, 0)
    images = [real['inputs']['img']] + [image for _, _, image in made]
    labels = [real['data_samples'].gt_label.label]
    labels += [step.labels('fake_labels', 6, torch.ones(5)) for _ in made]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(labels, 2))
    for number, player in enumerate(('disc', 'gen')):
        assert torch.equal(made[number][0], step.normal(f'noise_{player}', 6, 8))
        assert torch.equal(made[number][1].argmax(dim=1), labels[1 + number])
    for number, purpose in enumerate(('augment_real', 'augment_fake', 'augment_gen')):
        seen = model.augment(images[number], step.uniform(purpose, 6, 5))
        torch.testing.assert_close(scored[number][0], seen)
        assert torch.equal(scored[number][1], labels[number])


def test_a_batch_without_labels_is_refused():
    model = build()
    data = batch()
    data['data_samples'] = [DataSample() for _ in range(4)]
    with pytest.raises(ValueError, match='gt_label'):
        model.train_step(data, optimizers(model))


def test_a_model_made_of_modules_in_a_notebook():
    model = CellGAN(
        CellGANGenerator(out_size=32, base_channels=1, noise_size=8),
        CellGANDiscriminator(32, base_channels=1, decoder_channels=(2,)),
    )
    log = model.train_step(batch(), optimizers(model))
    assert set(log) >= LOSSES
    assert len(model.eval()(dict(num_batches=2))) == 2
    alone = CellGAN(CellGANGenerator(out_size=32, base_channels=1, noise_size=8))
    assert len(alone.eval()(dict(num_batches=2))) == 2


PLUS = dict(
    generator=dict(style='class_noise', block_depth=2),
    discriminator=dict(
        type='CellGANGlobalDiscriminator', spectral_norm=False, decoder_channels=None
    ),
    adversarial_loss=dict(type='RelativisticLoss'),
    reconstruction_loss=None,
    r1_loss=dict(type='R1Penalty', loss_weight=1e-3, interval=2),
    r2_loss=dict(type='R1Penalty', loss_weight=1e-3, interval=2),
)


def test_a_step_with_everything_that_is_not_the_papers():
    model = build(**PLUS)
    optim = optimizers(model)
    before = {name: weights(getattr(model, name)) for name in ('generator', 'discriminator')}
    log = model.train_step(batch(), optim)
    assert set(log) == {'loss', 'loss_disc', 'loss_r1', 'loss_r2', 'disc_real', 'disc_fake'} | {
        'loss_gen'
    }
    assert log['loss_r1'] > 0 and log['loss_r2'] > 0
    # Only differences of logits count: what is added to all of them learns nothing.
    biases = {'to_logits.bias', 'global_head.to_logit.bias'}
    for name in before:
        found = changed(before[name], getattr(model, name))
        assert set(before[name]) - found <= biases, name
    log = model.train_step(batch(iteration=1), optim)
    assert log['loss_r1'] == log['loss_r2'] == 0  # lazy


def test_r2_is_the_penalty_of_generated_images_times_the_interval():
    model = build(**PLUS)
    labels = torch.tensor([0, 1, 2, 3])
    model.step_random = StepRandom(0, 0)
    with torch.no_grad():
        fake = model._generated('noise_disc', labels)
    img = fake.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model.discriminator(img, label=labels).sum(), img)
    expected = 2 * 1e-3 * gradient.square().sum() / 4
    found = model._gradient_penalty(model.r2_loss, fake, labels)
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_generator_is_paired_with_real_images_of_their_own_labels():
    model = build(**{**PLUS, 'fake_labels': [0, 0, 0, 0, 1]})
    seen = []
    model.discriminator.register_forward_pre_hook(
        lambda m, args, kwargs: seen.append(kwargs['label'].tolist()), with_kwargs=True
    )
    data = prepared(model)
    real_labels = model.data_sample_to_label(data['data_samples']).tolist()
    model.train_generator(**data, optimizer_wrapper=optimizers(model)['generator'])
    assert seen == [[4] * 4, real_labels]
