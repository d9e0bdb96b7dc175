import pytest
import torch
from mmagic.registry import MODELS
from test_cellgan import batch, build, optimizers

from cellgan_plugin.models import AdaptiveAugment, DiffAugment
from cellgan_plugin.randomness import generator_for

POLICY = ('color', 'translation', 'cutout')


def uniform(*shape, purpose='numbers'):
    return torch.rand(*shape, generator=generator_for(0, purpose))


def pictures(count=8):
    return uniform(count, 3, 16, 16, purpose='img') * 2 - 1


def test_probability_one_is_diff_augment_and_zero_leaves_images_alone():
    img, drawn = pictures(), uniform(8, 10)
    always = AdaptiveAugment(POLICY, initial=1.0)
    assert always.num_numbers == 10
    assert torch.equal(always(img, drawn), DiffAugment(POLICY)(img, drawn[:, 3:]))
    assert torch.equal(AdaptiveAugment(POLICY)(img, drawn), img)


def test_every_operation_is_drawn_for_every_image():
    img, drawn = pictures(), uniform(8, 10)
    found = AdaptiveAugment(POLICY, initial=0.5)(img, drawn)
    applied = set()
    for i in range(8):
        chosen = tuple(name for name, u in zip(POLICY, drawn[i, :3], strict=True) if u < 0.5)
        columns = dict(color=slice(3, 6), translation=slice(6, 8), cutout=slice(8, 10))
        expected = img[i : i + 1]
        for name in chosen:
            expected = DiffAugment([name])(expected, drawn[i : i + 1, columns[name]])
        torch.testing.assert_close(found[i : i + 1], expected)
        applied.add(chosen)
    assert len(applied) > 3


def test_gradients_reach_the_images_through_it():
    img = pictures().requires_grad_()
    augment = AdaptiveAugment(['color'], initial=0.5)
    (gradient,) = torch.autograd.grad(augment(img, uniform(8, 4)).square().sum(), img)
    assert gradient.isfinite().all() and (gradient != 0).flatten(1).any(dim=1).all()


@pytest.mark.parametrize(
    'positive, expected',  # of eight logits of real images; r_t = positive / 4 - 1
    [
        (8, [0.5, 0.5, 0.625, 0.625, 0.75]),  # 1 > 0.5: up by 2 steps * 4 images / 64
        (6, [0.5, 0.5, 0.5, 0.5, 0.5]),  # as wanted
        (0, [0.5, 0.5, 0.375, 0.375, 0.25]),
    ],
)
def test_probability_follows_the_mean_sign(positive, expected):
    augment = AdaptiveAugment(target=0.5, ramp_images=64, interval=2, initial=0.5)
    logits = torch.where(torch.arange(8) < positive, 3.0, -0.1).reshape(4, 1, 1, 2)
    found = [augment.probability.item()]
    for _ in range(4):
        found.append(augment.observe(logits).item())
    assert found == expected


def test_an_interval_counts_all_of_its_steps():
    augment = AdaptiveAugment(target=0.0, ramp_images=100, interval=2)
    augment.observe(torch.tensor([-1.0, -1.0]))
    # Three of five signs are positive over both steps.
    assert augment.observe(torch.tensor([1.0, 1.0, 1.0])).item() == pytest.approx(0.05)
    assert not augment.observed.any()


def test_probability_stays_in_its_range():
    augment = AdaptiveAugment(ramp_images=3, interval=1)
    assert augment.observe(-torch.ones(4)) == 0
    assert augment.observe(torch.ones(4)) == 1


def test_of_pairs_the_difference_counts():
    augment = AdaptiveAugment(target=0.0, ramp_images=8, interval=1)
    real, fake = torch.tensor([-5.0, -6.0]), torch.tensor([-7.0, -8.0])
    assert augment.observe(real, fake) == 0.25
    assert augment.observe(fake, real) == 0


def test_a_resumed_run_goes_on_within_an_interval():
    first = AdaptiveAugment(ramp_images=100, interval=3)
    first.observe(torch.ones(4))
    second = AdaptiveAugment(ramp_images=100, interval=3)
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        expected, found = (a.observe(torch.ones(4)).item() for a in (first, second))
    assert found == expected == pytest.approx(0.12)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(policy=[]), 'policy is empty'),
        (dict(target=1.0), 'target=1.0'),
        (dict(ramp_images=0), 'ramp_images=0'),
        (dict(interval=0), 'interval=0'),
        (dict(initial=1.5), 'initial=1.5'),
        (dict(initial=float('nan')), 'initial=nan'),
    ],
)
def test_values_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveAugment(**options)


@pytest.mark.parametrize('loss', ['HingeGANLoss', 'RelativisticLoss'])
def test_cellgan_tells_it_of_every_step(mmagic_scope, loss):
    model = build(
        augment=dict(type='AdaptiveAugment', target=0.0, ramp_images=40, interval=2),
        adversarial_loss=dict(type=loss),
    )
    seen, original = [], model.augment.observe

    def observe(*logits):
        seen.append(logits)
        return original(*logits)

    model.augment.observe = observe
    optim = optimizers(model)
    logged = [model.train_step(batch(iteration=i), optim)['augment_probability'] for i in range(4)]
    assert len(seen) == 4
    for real, fake in seen:
        assert not real.requires_grad and (fake is None) == (loss == 'HingeGANLoss')
    expected, sums = [0.0], []
    for real, fake in seen:
        sums.append((real if fake is None else real - fake).sign().mean())
        step = sum(sums).sign() * 8 / 40 if len(sums) == 2 else 0
        expected.append(min(max(float(expected[-1] + step), 0), 1))
        sums = sums if len(sums) < 2 else []
    assert [float(value) for value in logged] == pytest.approx(expected[1:])
    assert {'augment.probability', 'augment.observed'} <= set(model.state_dict())


def test_a_discriminator_that_is_not_told_what_is_real_refuses_it(mmagic_scope):
    network = dict(type='CellGANDiscriminator', in_size=32, base_channels=1)
    with pytest.raises(ValueError, match='AdaptiveAugment adapts.*use DiffAugment'):
        MODELS.build(
            dict(
                type='AugmentedDiscriminator',
                discriminator=network,
                augment=dict(type='AdaptiveAugment'),
            )
        )
