import pytest
import torch
import torch.nn.functional as F

from cellgan_plugin.models import CellGANDiscriminator, CellGANGenerator
from cellgan_plugin.models.cellgan.generator import ClassMapping
from cellgan_plugin.models.layers import AdaIN, SkipLayerExcitation, SkipLayerGlobalContext
from cellgan_plugin.randomness import generator_for

CASES = [
    dict(out_size=32),
    dict(out_size=64),
    dict(out_size=128),
    dict(out_size=256, base_channels=1),
    dict(out_size=512, base_channels=1),
    dict(out_size=1024, base_channels=1),
    dict(num_classes=1),
    dict(num_classes=2),
    dict(out_channels=1),
    dict(noise_size=1),
    dict(embed_size=3),
    dict(mapping_depth=0),
    dict(mapping_depth=1),
    dict(skip_type=None),
    dict(skip_type='sle'),
    dict(skip_type='sle', out_size=128),
    dict(sgc_fusion='modulate'),
    dict(sgc_fusion='modulate', out_size=128),
    dict(sgc_fusion='modulate', skip_type='sle'),
    dict(skips=()),
    dict(skips=((4, 8), (4, 64))),
    dict(skips=((4, 8), (16, 32)), sgc_fusion='modulate'),
    dict(style='class_noise'),
    dict(style='class_noise', embed_size=3, sgc_fusion='modulate', out_size=128),
    dict(block_depth=2),
    dict(block_depth=2, style='class_noise', skip_type=None),
]


def build(**kwargs):
    torch.manual_seed(0)
    return CellGANGenerator(**{**dict(out_size=64, base_channels=2, noise_size=8), **kwargs})


def noise(count, size=8):
    return torch.randn(count, size, generator=generator_for(0, 'noise'))


@pytest.mark.parametrize('case', CASES, ids=str)
def test_forward_and_backward(case):
    net = build(**case)
    count = 1 if net.out_size > 256 else 2
    labels = torch.arange(count) % net.num_classes
    image = net(noise(count, net.noise_size), label=labels)
    assert image.shape == (count, net.out_channels, net.out_size, net.out_size)
    assert image.dtype == torch.float32
    assert image.min() >= -1 and image.max() <= 1
    image.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    'name, value',
    [
        ('out_size', 16),
        ('out_size', 100),
        ('out_size', 2048),
        ('num_classes', 0),
        ('noise_size', 0),
        ('embed_size', 0),
        ('mapping_depth', -1),
        ('init_gain', 0),
        ('base_channels', 0),
        ('out_channels', 2),
        ('skip_type', 'SGC'),
        ('sgc_fusion', 'concat'),
        ('style', 'noise'),
        ('block_depth', 3),
        ('least_slope', -0.1),
        ('least_slope', 1.1),
        ('skips', ((64, 8),)),
        ('skips', ((8, 128),)),
        ('skips', ((8, 8),)),
        ('skips', ((8, 64), (16, 64))),
    ],
)
def test_wrong_argument_is_named(name, value):
    with pytest.raises(ValueError, match=f'^{name}'):
        build(**{name: value})


@pytest.mark.parametrize('depth', [0, 1, 3])
def test_the_mapping_is_groups_of_linear_and_leaky_relu(depth):
    mapping = ClassMapping(4, 6, depth).eval()
    one_hot = torch.eye(4)
    expected = one_hot
    with torch.no_grad():
        for layer in mapping.layers:
            layer.bias.normal_()
            expected = expected @ layer.weight.T + layer.bias
            if depth:  # 0: a table of embeddings, and nothing else
                expected = torch.where(expected > 0, expected, 0.2 * expected)
        found = mapping(one_hot)
    assert len(mapping.layers) == max(depth, 1) and (found < 0).any()
    torch.testing.assert_close(found, expected)


def test_size_of_the_paper():
    net = CellGANGenerator()
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(6.09, abs=0.005)
    shapes = {size: block.conv.out_channels for size, block in net.up_blocks.items()}
    assert shapes == {'8': 512, '16': 256, '32': 256, '64': 128, '128': 64, '256': 32}
    assert net.init.out_channels == 512
    assert net.skip_sources == {64: 8, 128: 16, 256: 32}
    assert len(net.mapping.layers) == 4


@pytest.mark.parametrize(
    'out_size, skips',
    [
        (32, {32: 4}),
        (64, {64: 8}),
        (128, {64: 8, 128: 16}),
        (512, {64: 8, 128: 16, 256: 32, 512: 64}),
    ],
)
def test_default_skips_follow_the_size(out_size, skips):
    assert build(out_size=out_size, base_channels=1).skip_sources == skips


@pytest.mark.parametrize('kind', [CellGANGenerator, CellGANDiscriminator])
def test_gain_of_the_initialisation_is_divided_out_again(kind):
    nets = []
    for gain in (0.02, 1.0):
        torch.manual_seed(0)
        nets.append(kind(32, base_channels=2, init_gain=gain).eval())
    if kind is CellGANGenerator:
        outputs = [net(noise(2, 128), label=torch.tensor([0, 1])) for net in nets]
    else:
        img = torch.rand(2, 3, 32, 32, generator=generator_for(0, 'img'))
        outputs = [net(img, torch.tensor([0, 1])) for net in nets]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    weights = [next(p for n, p in net.named_parameters() if 'original' in n) for net in nets]
    torch.testing.assert_close(weights[0], 0.02 * weights[1])


def touched(fusion, dtype):
    """{name of an SGC parameter: (change of the image when it changes, gradient norm)}."""
    net = build(out_size=256, base_channels=4, sgc_fusion=fusion).eval().to(dtype)
    z, label = noise(1).to(dtype), torch.tensor([3])
    image = net(z, label=label)
    direction = torch.randn(image.shape, generator=generator_for(0, 'direction'))
    (image * direction.to(dtype)).sum().backward()
    found = {}
    for name, parameter in net.skips.named_parameters():
        kept = parameter.detach().clone()
        step = torch.randn(kept.shape, generator=generator_for(0, name)).to(dtype)
        with torch.no_grad():
            parameter += 0.1 * kept.norm() / step.norm() * step
            change = (net(z, label=label) - image).abs().max().item()
            parameter.copy_(kept)
        found[name] = change, (parameter.grad.norm() * kept.norm()).item()
    return found


def test_added_context_reaches_the_image_at_the_last_resolution_only():
    for dtype, nothing in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        found = touched('add', dtype)
        assert {name.split('.')[0] for name in found} == {'64', '128', '256'}
        for name, (change, gradient) in found.items():
            if name.startswith('256.'):
                assert change > 1e-4 and gradient > 1e-3, name
            else:
                # float32: sums over 65536 pixels of terms that cancel
                assert change < nothing and gradient < 100 * nothing, name


def test_modulating_context_reaches_the_image_everywhere():
    found = touched('modulate', torch.float64)
    assert len(found) == 9
    for name, (change, gradient) in found.items():
        assert change > 1e-5 and gradient > 1e-4, (name, change, gradient)


def test_sgc_pools_with_a_softmax_over_positions():
    sgc = SkipLayerGlobalContext(3, 4, 2).eval().double()
    low = torch.randn(2, 3, 5, 4, generator=generator_for(0, 'low')).double()
    pooled = torch.zeros(2, 3, dtype=torch.double)
    for i in range(2):
        scores = torch.einsum('c,chw->hw', sgc.attention.weight[0, :, 0, 0], low[i]).exp()
        for row in range(5):
            for column in range(4):
                pooled[i] += scores[row, column] / scores.sum() * low[i, :, row, column]
    hidden = pooled @ sgc.squeeze.weight[:, :, 0, 0].T
    hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    expected = hidden @ sgc.expand.weight[:, :, 0, 0].T
    torch.testing.assert_close(sgc(low)[:, :, 0, 0], expected)


def test_excitation_gates_lie_between_zero_and_one():
    gates = SkipLayerExcitation(3, 6)(torch.randn(2, 3, 8, 8, generator=generator_for(0, 'x')))
    assert gates.shape == (2, 6, 1, 1) and gates.min() > 0 and gates.max() < 1


def test_adain_sets_mean_and_spread():
    adain = AdaIN(4, 3).eval()
    x = 5 + 3 * torch.randn(2, 4, 16, 16, generator=generator_for(0, 'x'))
    embedding = torch.randn(2, 3, generator=generator_for(0, 'c'))
    shift = torch.randn(2, 8, generator=generator_for(0, 'shift'))
    for given in (None, shift):
        scale, bias = (adain.affine(embedding) + (0 if given is None else given)).chunk(2, dim=1)
        y = adain(x, embedding, given)
        torch.testing.assert_close(y.mean((2, 3)), bias, rtol=1e-4, atol=1e-5)
        spread = y.std((2, 3), correction=0)
        torch.testing.assert_close(spread, (1 + scale).abs(), rtol=1e-4, atol=1e-5)


def test_calling_convention_of_mmagic():
    net = build().eval()
    z = noise(3)
    label = torch.tensor([0, 4, 2])
    image = net(z, label=label)
    full = net(z, label=label[:, None], return_noise=True)
    assert torch.equal(full['fake_img'], image)
    assert torch.equal(full['noise_batch'], z) and torch.equal(full['label'], label)
    one_hot = torch.eye(5)[label]
    assert torch.equal(net(z, label=one_hot), image)
    assert torch.equal(net(lambda shape: z.reshape(shape), num_batches=3, label=label), image)
    drawn = net(num_batches=2, return_noise=True)
    assert drawn['fake_img'].shape == (2, 3, 64, 64) and drawn['noise_batch'].shape == (2, 8)
    torch.testing.assert_close(net(z, label=label, truncation=0.5), net(0.5 * z, label=label))
    with pytest.raises(ValueError, match='3 noise vectors but 2 labels'):
        net(z, label=label[:2])


def test_mixed_classes_lie_between():
    net = build(mapping_depth=0).eval()
    z = noise(1)
    weights = torch.tensor([[0.5, 0.5, 0, 0, 0]])
    mixed = net(z, label=weights)
    for label in (0, 1):
        assert (mixed - net(z, label=torch.tensor([label]))).abs().max() > 1e-4


def test_label_and_noise_change_the_image():
    net = build().eval()
    a, b = noise(2)[:, None]
    first, second = torch.tensor([0]), torch.tensor([1])
    assert not torch.allclose(net(a, label=first), net(b, label=first))
    assert not torch.allclose(net(a, label=first), net(a, label=second))


@pytest.mark.parametrize('case', [{}, dict(sgc_fusion='modulate'), dict(skip_type='sle')], ids=str)
def test_an_image_does_not_depend_on_its_batch(case):
    net = build(**case).eval()
    z, label = noise(4), torch.tensor([0, 1, 2, 3])
    together = net(z, label=label)
    for i in range(4):
        alone = net(z[i : i + 1], label=label[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-5, atol=1e-5)


def channel_means(net, z):
    """Mean of every channel behind the AdaIN of every block, (N, channels of all blocks)."""
    found = []
    handles = [
        block.adain.register_forward_hook(lambda m, i, out: found.append(out.mean(dim=(2, 3))))
        for block in net.up_blocks.values()
    ]
    with torch.no_grad():
        net(z, label=torch.zeros(len(z), dtype=torch.long))
    for handle in handles:
        handle.remove()
    return torch.cat(found, dim=1)


def test_images_of_a_class_differ_in_channel_means_only_with_a_style_of_noise():
    """With AdaINs of the class alone, what an image holds of a channel is the same for every z."""
    z = noise(4)
    of_class = channel_means(build(skip_type=None).eval(), z)
    torch.testing.assert_close(of_class, of_class[:1].expand_as(of_class), rtol=0, atol=1e-5)
    of_noise = channel_means(build(skip_type=None, style='class_noise').eval(), z)
    assert (of_noise.std(dim=0) > 0.01).float().mean() > 0.9


def test_style_is_of_mean_square_one_and_depends_on_class_and_noise():
    net = build(style='class_noise').eval()
    one_hot = torch.eye(5)[[0, 0, 1]]
    z = noise(2)[[0, 1, 0]]
    with torch.no_grad():
        style = net.style(net.mapping(one_hot), z)
        louder = net.style(net.mapping(one_hot), 3 * z)
    torch.testing.assert_close(style.square().mean(dim=1), torch.ones(3))
    torch.testing.assert_close(louder, style)  # only the direction of z counts
    assert not torch.allclose(style[0], style[1], atol=0.1)
    assert not torch.allclose(style[0], style[2], atol=0.01)


def test_second_convolution_by_hand():
    block = build(block_depth=2).eval().up_blocks['8']
    x, c = torch.randn(2, 32, 4, 4, generator=generator_for(0, 'x')), noise(2)
    with torch.no_grad():
        first = block.conv(F.leaky_relu(block.adain(x, c), 0.2))
        expected = F.conv2d(
            F.leaky_relu(block.second_adain(first, c), 0.2), block.second_conv.weight, padding=1
        )
        torch.testing.assert_close(block(x, c), expected)


def test_least_slope_changes_the_backward_alone():
    plain, floored = build(), build(least_slope=0.2)
    z, label = noise(2), torch.tensor([0, 1])
    found = {}
    for name, net in (('plain', plain), ('floored', floored)):
        net.eval()
        net.to_image.register_forward_hook(lambda m, i, out, name=name: found.update({name: out}))
        image = net(z, label=label)
        before = found[name]
        before.retain_grad()
        image.sum().backward()
        found[name] = (image, before.grad, 1 - image.square())
    assert torch.equal(found['plain'][0], found['floored'][0])
    torch.testing.assert_close(found['plain'][1], found['plain'][2])
    torch.testing.assert_close(found['floored'][1], found['floored'][2].clamp(min=0.2))
