import math

import numpy as np
import pytest
import torch
from torch import nn

from cellgan_plugin.models.layers import (
    ConditionalBatchNorm2d,
    GlobalBatchNorm2d,
    MinibatchDiscrimination,
    SelfAttention,
    gather_rows,
    height_and_width,
    sum_over_ranks,
)
from cellgan_plugin.models.losses import GradientPenalty, WassersteinLoss


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def one_hot(labels, classes):
    return torch.eye(classes)[torch.tensor(labels)]


# Batch normalisation ------------------------------------------------------------------------------


def conditional_norm(classes=3, channels=4, **kwargs):
    norm = ConditionalBatchNorm2d(channels, classes, **kwargs)
    with torch.no_grad():
        norm.scale.copy_(numbers(classes, channels, seed=1))
        norm.shift.copy_(numbers(classes, channels, seed=2))
    return norm


def test_conditional_batch_norm_is_its_definition():
    norm, labels = conditional_norm(), [2, 0, 2, 1, 0]
    x = numbers(5, 4, 6, 3) * 3 + 1
    found = norm(x, one_hot(labels, 3)).detach().numpy()
    for channel in range(4):
        values = x[:, channel].numpy().astype(np.float64)
        normal = (values - values.mean()) / math.sqrt(values.var() + 1e-5)
        for row, label in enumerate(labels):
            scale, shift = norm.scale[label, channel].item(), norm.shift[label, channel].item()
            np.testing.assert_allclose(found[row, channel], normal[row] * scale + shift, atol=1e-5)


def test_a_mixture_of_classes_gets_the_mixture_of_their_scales():
    norm, x = conditional_norm().eval(), numbers(1, 4, 2, 2)
    half = norm(x, torch.tensor([[0.5, 0.0, 0.5]]))
    ends = [norm(x, one_hot([label], 3)) for label in (0, 2)]
    torch.testing.assert_close(half, (ends[0] + ends[1]) / 2)


def test_running_statistics_are_pytorchs():
    ours, theirs = conditional_norm(), nn.BatchNorm2d(4, affine=False)
    for seed in range(3):
        x = numbers(5, 4, 6, 3, seed=seed) + seed
        ours(x, one_hot([0] * 5, 3))
        theirs(x)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours.normalise(x), theirs(x))


@pytest.fixture
def as_two_ranks(monkeypatch):
    """One process that computes as two do that hold the same rows: every sum is doubled."""
    from cellgan_plugin.models.layers import conditional_batch_norm, cross_rank

    for module in (conditional_batch_norm, cross_rank):
        monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    monkeypatch.setattr(cross_rank, 'get_rank', lambda: 1)
    monkeypatch.setattr(cross_rank, 'all_reduce', lambda x: x.mul_(2))


def test_statistics_of_all_ranks_are_those_of_one_large_batch(as_two_ranks):
    norm, x = conditional_norm(), numbers(5, 4, 6, 3)
    found = norm(x, one_hot([0, 1, 2, 0, 1], 3))
    alone = conditional_norm(sync=False)
    twice = alone(torch.cat([x, x]), one_hot([0, 1, 2, 0, 1] * 2, 3))
    torch.testing.assert_close(found, twice[:5])
    torch.testing.assert_close(norm.running_mean, alone.running_mean)
    torch.testing.assert_close(norm.running_var, alone.running_var)


def test_rows_of_all_ranks_come_in_their_order(as_two_ranks):
    x = numbers(3, 2).requires_grad_()
    rows = gather_rows(x)
    assert rows.shape == (6, 2)
    assert torch.equal(rows[:3], torch.zeros(3, 2)) and torch.equal(rows[3:], 2 * x)


def test_the_sum_over_ranks_can_be_differentiated_twice(as_two_ranks):
    x = torch.tensor([3.0], requires_grad=True)
    (first,) = torch.autograd.grad(sum_over_ranks(x) ** 3, x, create_graph=True)
    (second,) = torch.autograd.grad(first, x)
    # y = 2x, and gradients are doubled on their way back as well: first 2 * 3y^2, then 2 * 6y * 2.
    assert first.item() == pytest.approx(24 * 9)
    assert second.item() == pytest.approx(2 * 6 * 6 * 2)


@pytest.mark.parametrize('sync', [False, True])
def test_batch_norm_has_a_second_derivative(sync, request):
    if sync:
        request.getfixturevalue('as_two_ranks')
    norm = GlobalBatchNorm2d(2, track_running_stats=False, sync=sync).double()
    x = numbers(3, 2, 2, 2).double().requires_grad_()
    # Doubling the sums in the backward as well is no gradient of one process: not checked there.
    (gradient,) = torch.autograd.grad(norm(x).pow(3).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert x.grad.abs().sum() > 0 and norm.weight.grad.abs().sum() > 0
    if not sync:
        assert torch.autograd.gradgradcheck(lambda t: norm(t).pow(3), x)


def test_a_critics_norm_keeps_no_statistics_and_uses_the_batchs():
    norm, x = GlobalBatchNorm2d(2, track_running_stats=False), numbers(4, 2, 3, 3)
    assert not dict(norm.named_buffers())
    assert torch.equal(norm(x), norm.eval()(x))


# Self-attention -----------------------------------------------------------------------------------


@pytest.mark.parametrize('fused', [True, False])
def test_self_attention_is_equations_2_and_3(fused):
    attention = SelfAttention(8, key_channels=2, fused=fused)
    with torch.no_grad():
        attention.gamma.fill_(0.7)
    x = numbers(2, 8, 4, 2)
    found, alpha = attention(x), attention.attention(x)
    assert alpha.shape == (2, 8, 8)
    query, key, value = (
        np.einsum('oc,ncp->nop', layer.weight[:, :, 0, 0].detach().numpy(), x.flatten(2).numpy())
        for layer in (attention.query, attention.key, attention.value)
    )
    for n in range(2):
        for j in range(8):
            scores = [np.exp(query[n, :, j] @ key[n, :, i]) for i in range(8)]
            weights = [score / sum(scores) for score in scores]
            np.testing.assert_allclose(alpha[n, j].detach(), weights, atol=1e-6)
            out = sum(weight * value[n, :, i] for i, weight in enumerate(weights))
            expected = 0.7 * out + x.flatten(2)[n, :, j].numpy()
            np.testing.assert_allclose(found.flatten(2)[n, :, j].detach(), expected, atol=1e-5)


def test_pooling_looks_at_the_maxima_of_windows():
    attention = SelfAttention(4, key_channels=3, pool=2)
    x = numbers(1, 4, 4, 6)
    alpha = attention.attention(x)
    assert alpha.shape == (1, 24, 6)
    torch.testing.assert_close(alpha.sum(-1), torch.ones(1, 24))
    key = attention.key(x)
    window = key[0, :, 2:4, 4:6].amax(dim=(1, 2))  # the last of the six
    scores = attention.query(x).flatten(2)[0].T @ window
    others = attention.query(x).flatten(2)[0].T @ key[0, :, :2, :2].amax(dim=(1, 2))
    torch.testing.assert_close((alpha[0, :, 5] / alpha[0, :, 0]).log(), scores - others)


def test_attention_starts_as_the_identity_and_its_parts_agree():
    x = numbers(2, 8, 4, 2)
    assert torch.equal(SelfAttention(8)(x), x)
    plain, fused = SelfAttention(8, fused=False, pool=2), SelfAttention(8, fused=True, pool=2)
    with torch.no_grad():
        plain.gamma.fill_(1.0)
    fused.load_state_dict(plain.state_dict())
    torch.testing.assert_close(plain(x), fused(x))


# Minibatch discrimination -------------------------------------------------------------------------


def test_minibatch_discrimination_is_a_loop_over_pairs():
    layer, x = MinibatchDiscrimination(6, num_kernels=3, kernel_size=2), numbers(4, 6)
    found = layer(x)
    assert found.shape == (4, 9) and torch.equal(found[:, :6], x)
    matrices = (x @ layer.weight).view(4, 3, 2)
    for i in range(4):
        for kernel in range(3):
            closeness = sum(
                math.exp(-(matrices[i, kernel] - matrices[j, kernel]).abs().sum().item())
                for j in range(4)
                if j != i
            )
            assert found[i, 6 + kernel].item() == pytest.approx(closeness, abs=1e-5)


def test_a_batch_of_copies_is_told_from_a_varied_one():
    layer = MinibatchDiscrimination(6, num_kernels=3, kernel_size=2)
    same = layer(numbers(1, 6).expand(5, 6))[:, 6:]
    torch.testing.assert_close(same, torch.full((5, 3), 4.0))  # exp(0), four others
    assert (layer(numbers(5, 6) * 10)[:, 6:] < 1).all()
    assert torch.equal(layer(numbers(1, 6))[:, 6:], torch.zeros(1, 3))


def test_minibatch_discrimination_follows_the_order_of_the_batch():
    layer, x, order = MinibatchDiscrimination(6), numbers(5, 6), torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(layer(x[order]), layer(x)[order])


# Losses -------------------------------------------------------------------------------------------


def test_wasserstein_loss():
    loss, real, fake = WassersteinLoss(), torch.tensor([1.0, 3.0]), torch.tensor([5.0, -2.0])
    assert loss.discriminator(real, fake)['loss_disc'].item() == 1.5 - 2
    assert loss.generator(fake).item() == -1.5


@pytest.mark.parametrize('norm', [0.0, 0.25, 1.0, 3.0])
def test_penalty_of_a_linear_critic_has_a_closed_form(norm):
    weight = numbers(3, 4, 2)
    weight = weight / weight.norm() * norm
    real, fake = numbers(5, 3, 4, 2, seed=1), numbers(5, 3, 4, 2, seed=2)
    (found,) = GradientPenalty(50.0)(
        lambda mixed: [(mixed[0] * weight).sum(dim=(1, 2, 3))], [real], [fake], torch.rand(5, 1)
    )
    assert found.item() == pytest.approx(50 * (norm - 1) ** 2, abs=1e-3)


def test_penalty_of_a_quadratic_critic_is_that_of_the_mixtures():
    """D(x) = |x|^2 / 2 has the gradient x: the penalty shows where it was taken."""
    real, fake = numbers(4, 3, 2, 2, seed=1), numbers(4, 3, 2, 2, seed=2)
    small = [real[:, :, :1], fake[:, :, :1]]
    epsilon = torch.rand(4, 2, generator=torch.Generator().manual_seed(0))
    found = GradientPenalty(10.0)(
        lambda mixed: [m.square().sum(dim=(1, 2, 3)) / 2 for m in mixed],
        [small[0], real],
        [small[1], fake],
        epsilon,
    )
    for stage, (x, y) in enumerate([small, (real, fake)]):
        share = epsilon[:, stage, None, None, None]
        norms = (share * x + (1 - share) * y).flatten(1).norm(dim=1)
        assert found[stage].item() == pytest.approx(10 * (norms - 1).square().mean().item())


def test_penalty_against_a_hand_written_one_and_its_gradient():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(16, 1))
    real, fake, share = numbers(3, 3, 4, 4), numbers(3, 3, 4, 4, seed=1), torch.rand(3, 1)
    (found,) = GradientPenalty(50.0)(lambda mixed: [critic(mixed[0])], [real], [fake], share)
    found.backward()
    slopes = [p.grad.clone() for p in critic.parameters() if p.grad is not None]
    assert sum(slope.abs().sum() for slope in slopes) > 0

    total = 0.0
    for row in range(3):  # image by image, in double precision
        twin = nn.Sequential(*critic).double()
        x = (share[row] * real[row] + (1 - share[row]) * fake[row]).double()[None]
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(twin(x).sum(), x)
        total += (gradient.norm().item() - 1) ** 2
    critic.float()
    assert found.item() == pytest.approx(50 * total / 3, rel=1e-5)


def test_penalty_is_in_full_precision_under_autocast():
    weight, seen = numbers(3, 4, 2), []

    def logits_of(mixed):
        seen.append((mixed[0].dtype, torch.is_autocast_enabled('cpu')))
        return [mixed[0].flatten(1) @ weight.flatten()]

    with torch.autocast('cpu', dtype=torch.bfloat16):
        (found,) = GradientPenalty(1.0)(
            logits_of, [numbers(2, 3, 4, 2)], [numbers(2, 3, 4, 2).bfloat16()], torch.rand(2, 1)
        )
    assert seen == [(torch.float32, False)] and found.dtype == torch.float32
    assert found.item() == pytest.approx((weight.norm().item() - 1) ** 2, rel=1e-5)


# Sizes --------------------------------------------------------------------------------------------


def test_height_and_width():
    assert height_and_width('size', 96) == (96, 96)
    assert height_and_width('size', [256, 128]) == (256, 128)


@pytest.mark.parametrize('size', [0, (3,), (3, 4, 5), (2.5, 3), 'large', None, (0, 4)], ids=str)
def test_a_size_that_is_none_names_the_argument(size):
    with pytest.raises(ValueError, match=r'^in_size='):
        height_and_width('in_size', size)
