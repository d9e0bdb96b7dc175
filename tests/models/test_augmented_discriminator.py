import copy

import pytest
import torch
from mmagic.registry import MODELS

import cellgan_plugin.models  # noqa: F401
from cellgan_plugin.models import AugmentedDiscriminator, DiffAugment
from cellgan_plugin.randomness import generator_for

pytestmark = pytest.mark.usefixtures('mmagic_scope')

NETWORKS = {
    'BigGAN': dict(type='BigGANDiscriminator', input_scale=32, base_channels=2, num_classes=3),
    'SNGAN': dict(type='ProjDiscriminator', input_scale=32, base_channels=8, num_classes=3),
    'CellGAN': dict(type='CellGANDiscriminator', in_size=32, base_channels=1, num_classes=3),
}
POLICY = dict(type='DiffAugment', policy=['color', 'translation', 'cutout'])


def build(name, augment=POLICY, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(
        dict(type='AugmentedDiscriminator', discriminator=NETWORKS[name], augment=augment, **kwargs)
    )


def pictures(count=4):
    return torch.rand(count, 3, 32, 32, generator=generator_for(0, 'img')) * 2 - 1


LABELS = torch.tensor([0, 2, 1, 0])


def by_hand(network, images, call, iteration=-1, seed=0):
    """Augmentation written out, then the bare discriminator."""
    count = DiffAugment(POLICY['policy']).num_numbers
    drawn = torch.rand(
        len(images), count, generator=generator_for(seed, 'diff_augment', iteration, call)
    )
    return network(DiffAugment(POLICY['policy'])(images, drawn), label=LABELS)


@pytest.mark.parametrize('name', NETWORKS)
def test_logits_and_gradients_are_those_of_augmenting_by_hand(name):
    wrapped = build(name).train()
    bare = copy.deepcopy(wrapped.discriminator)
    for call in range(3):  # real and generated images, then the generator's step
        images = pictures().requires_grad_()
        again = images.detach().clone().requires_grad_()
        found = wrapped(images, label=LABELS)
        expected = by_hand(bare, again, call)
        assert torch.equal(found, expected)
        found.square().sum().backward()
        expected.square().sum().backward()
        assert torch.equal(images.grad, again.grad)
        assert (images.grad != 0).flatten(1).any(dim=1).all()
    mine = dict(wrapped.discriminator.named_parameters())
    for key, parameter in bare.named_parameters():
        if parameter.grad is not None:  # decoders take no part
            assert torch.equal(mine[key].grad, parameter.grad), key


@pytest.mark.parametrize('name', NETWORKS)
def test_without_a_policy_or_in_evaluation_nothing_is_changed(name):
    images = pictures()
    wrapped = build(name, dict(type='DiffAugment', policy=[])).train()
    bare = copy.deepcopy(wrapped.discriminator)
    assert torch.equal(wrapped(images, label=LABELS), bare(images, label=LABELS))
    wrapped = build(name).eval()
    assert torch.equal(wrapped(images, label=LABELS), wrapped.discriminator(images, label=LABELS))
    shape = wrapped(images, label=LABELS).shape
    assert wrapped.train()(images, label=LABELS).shape == shape


def test_numbers_in_a_run_come_from_seed_and_iteration(mmagic_scope):
    hub = mmagic_scope
    hub.update_info('loop_stage', 'train')
    hub.update_info('seed', 7)
    wrapped = build('BigGAN').eval()  # singular vectors stand still
    seen = {}

    def logits():
        wrapped.training = True
        return wrapped(pictures(), label=LABELS)

    for iteration in (4, 5):
        hub.update_info('iter', iteration)
        for call in range(2):
            seen[iteration, call] = logits()
            expected = by_hand(wrapped.discriminator, pictures(), call, iteration, seed=7)
            assert torch.equal(seen[iteration, call], expected)
    values = list(seen.values())
    assert all(not torch.equal(a, b) for i, a in enumerate(values) for b in values[:i])
    # Resumed before iteration 5: another object, no memory of the fourth.
    other = AugmentedDiscriminator(wrapped.discriminator, POLICY)
    other.training = True
    assert torch.equal(other(pictures(), label=LABELS), seen[5, 0])


def gan(discriminator, **kwargs):
    return MODELS.build(
        dict(
            type='BigGAN',
            data_preprocessor=dict(type='CellDataPreprocessor'),
            generator=dict(
                type='BigGANGenerator', output_scale=32, base_channels=1, noise_size=8, shared_dim=4
            ),
            discriminator=discriminator,
            **kwargs,
        )
    )


def test_a_gan_gives_it_the_number_of_classes():
    inside = {k: v for k, v in NETWORKS['BigGAN'].items() if k != 'num_classes'}
    model = gan(dict(type='AugmentedDiscriminator', discriminator=inside), num_classes=3)
    assert model.discriminator.num_classes == 3
    assert model.discriminator.proj_y.num_embeddings == 3
    assert model.discriminator.input_scale == 32
    with pytest.raises(ValueError, match='num_classes=4 but the discriminator inside has 3'):
        gan(
            dict(type='AugmentedDiscriminator', discriminator=NETWORKS['BigGAN']),
            num_classes=4,
        )
    with pytest.raises(AttributeError, match='no_such_thing'):
        _ = model.discriminator.no_such_thing


def test_initial_weights_are_those_without_it():
    states = []
    for discriminator in (
        NETWORKS['BigGAN'],
        dict(type='AugmentedDiscriminator', discriminator=NETWORKS['BigGAN']),
    ):
        torch.manual_seed(0)
        model = gan(discriminator, num_classes=3)
        before = {key: value.clone() for key, value in model.discriminator.state_dict().items()}
        torch.manual_seed(1)
        model.init_weights()
        after = model.discriminator.state_dict()
        assert any(not torch.equal(before[key], after[key]) for key in after)
        states.append(after)
    assert {f'discriminator.{key}' for key in states[0]} == set(states[1])
    for key, value in states[0].items():
        assert torch.equal(states[1][f'discriminator.{key}'], value), key


def test_weights_of_a_bare_discriminator_load_and_its_own_do_too():
    torch.manual_seed(3)
    plain = gan(NETWORKS['BigGAN'], num_classes=3)
    torch.manual_seed(4)
    wrapped = gan(
        dict(type='AugmentedDiscriminator', discriminator=NETWORKS['BigGAN']), num_classes=3
    )
    for state in (plain.state_dict(), wrapped.state_dict()):
        names = list(state)
        wrapped.load_state_dict(state)
        assert list(state) == names
        for key, value in plain.discriminator.state_dict().items():
            assert torch.equal(wrapped.discriminator.discriminator.state_dict()[key], value)
    duplicate = copy.deepcopy(wrapped.discriminator)
    images = pictures()
    assert torch.equal(
        duplicate.eval()(images, label=LABELS), wrapped.discriminator.eval()(images, label=LABELS)
    )
