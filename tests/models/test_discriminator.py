import pytest
import torch
import torch.nn.functional as F

from cellgan_plugin.models import CellGANDiscriminator
from cellgan_plugin.models.cellgan.discriminator import DECODER_CHANNELS, decoder_stages
from cellgan_plugin.randomness import generator_for

CASES = [
    dict(in_size=32),
    dict(in_size=64),
    dict(in_size=128),
    dict(in_size=256, base_channels=1),
    dict(in_size=512, base_channels=1),
    dict(in_size=1024, base_channels=1, decoder_channels=(2, 2)),
    dict(num_classes=1),
    dict(num_classes=2),
    dict(in_channels=1),
    dict(head='global'),
    dict(head='global', in_size=128),
    dict(decoder_channels=None),
    dict(decoder_channels=(3,)),
    dict(decoder_channels=None, head='global', in_channels=1),
]


def build(**kwargs):
    torch.manual_seed(0)
    defaults = dict(in_size=64, base_channels=2, decoder_channels=(4, 4))
    return CellGANDiscriminator(**{**defaults, **kwargs})


def pictures(net, count=2):
    shape = (count, net.in_channels, net.in_size, net.in_size)
    return torch.rand(shape, generator=generator_for(0, 'img')) * 2 - 1


@pytest.mark.parametrize('case', CASES, ids=str)
def test_forward_and_backward(case):
    net = build(**case)
    count = 1 if net.in_size > 256 else 2
    img = pictures(net, count)
    label = torch.arange(count) % net.num_classes
    side = 8 if net.head == 'patch' else 1
    if net.has_decoders:
        out = net(img, label=label, crop_offset=(3, 8))
        half = (count, net.in_channels, net.in_size // 2, net.in_size // 2)
        assert out.crop.shape == out.half.shape == half
        for rebuilt in (out.crop, out.half):
            assert rebuilt.min() >= -1 and rebuilt.max() <= 1
        (out.logits.sum() + out.crop.square().sum() + out.half.square().sum()).backward()
        logits = out.logits
    else:
        logits = net(img, label)
        logits.sum().backward()
        with pytest.raises(ValueError, match='crop_offset'):
            net(img, label, crop_offset=(0, 0))
    assert logits.shape == (count, 1, side, side)
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    'name, value',
    [
        ('in_size', 16),
        ('in_size', 96),
        ('num_classes', 0),
        ('base_channels', 0),
        ('in_channels', 4),
        ('head', 'pixel'),
        ('init_gain', 0),
    ],
)
def test_wrong_argument_is_named(name, value):
    with pytest.raises(ValueError, match=f'^{name}'):
        build(**{name: value})


def test_size_of_the_paper():
    net = CellGANDiscriminator()
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(7.27, abs=0.005)
    assert list(net.down_blocks) == ['128', '64', '32', '16', '8']
    assert net.down_blocks['8'].conv2.out_channels == 512
    assert tuple(net.class_embedding.weight.shape) == (512, 5)
    assert [conv.out_channels for conv in net.half_decoder.convs] == [128, 64, 64, 32]


@pytest.mark.parametrize(
    'in_size, expected',
    [
        (32, [32]),
        (64, [64, 32]),
        (128, [64, 64, 32]),
        (256, [128, 64, 64, 32]),
        (1024, [128, 128, 128, 64, 64, 32]),
    ],
)
def test_decoder_stages_follow_the_size(in_size, expected):
    assert decoder_stages(in_size, DECODER_CHANNELS) == expected


@pytest.mark.parametrize('in_size', [32, 64, 256])
@pytest.mark.parametrize('offset', [(0, 0), (8, 8), (3, 5)])
def test_crop_of_the_feature_and_of_the_image_are_the_same_place(in_size, offset):
    net = build(in_size=in_size, base_channels=1)
    rows, columns = net.crop_box(offset)
    # The mean over each position's own pixels stands in for the feature map.
    img = pictures(net)
    features = F.avg_pool2d(img, in_size // 16)
    window = features[:, :, offset[0] : offset[0] + 8, offset[1] : offset[1] + 8]
    torch.testing.assert_close(F.avg_pool2d(img[:, :, rows, columns], in_size // 16), window)
    assert img[:, :, rows, columns].shape[-1] == in_size // 2
    assert net.max_crop_offset == 8


def test_crop_decoder_reads_the_window_it_is_told():
    net = build().eval()
    seen = {}
    net.crop_decoder.register_forward_pre_hook(lambda m, inputs: seen.update(window=inputs[0]))
    img = pictures(net)
    activated, _ = net.features(img)
    net(img, torch.tensor([0, 1]), crop_offset=(2, 7))
    torch.testing.assert_close(seen['window'], activated[:, :, 2:10, 7:15])


@pytest.mark.parametrize('offset', [(-1, 0), (0, 9), (1,), (1, 2, 3)])
def test_crop_offset_outside_the_map(offset):
    net = build()
    with pytest.raises(ValueError, match='^crop_offset'):
        net(pictures(net), torch.tensor([0, 1]), crop_offset=offset)


def test_logits_are_a_map_plus_the_inner_product_with_the_class():
    net = build().eval()
    img, label = pictures(net), torch.tensor([4, 1])
    _, last = net.features(img)
    logits = net(img, label)
    for i in range(2):
        for row, column in ((0, 0), (3, 6), (7, 7)):
            feature = last[i, :, row, column]
            expected = net.to_logits.weight[0, :, 0, 0] @ feature
            expected = expected + net.class_embedding.weight[:, label[i]] @ feature
            torch.testing.assert_close(logits[i, 0, row, column], expected)


def test_global_head_sums_the_activated_map():
    net = build(head='global').eval()
    img, label = pictures(net), torch.tensor([4, 1])
    _, last = net.features(img)
    summed = torch.where(last > 0, last, 0.2 * last).sum((2, 3))
    expected = summed @ net.to_logits.weight[0, :, 0, 0]
    expected = expected + (summed * net.class_embedding.weight.T[label]).sum(1)
    torch.testing.assert_close(net(img, label).flatten(), expected)


def test_labels_of_any_shape_and_wrong_inputs():
    net = build().eval()
    img, label = pictures(net), torch.tensor([4, 1])
    # (N, 1) labels are what MMagic's own data preprocessor makes; they must not broadcast.
    assert torch.equal(net(img, label[:, None]), net(img, label))
    with pytest.raises(ValueError, match='needs label'):
        net(img)
    with pytest.raises(ValueError, match='2 images but 1 labels'):
        net(img, label[:1])
    with pytest.raises(ValueError, match=r'expected \(N, 3, 64, 64\)'):
        net(img[:, :, :32], label)
