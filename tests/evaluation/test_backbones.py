"""Networks of timm and torchvision: their features are what the library itself pools."""

from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from evaluation_helpers import TinyFeatures

from cellgan_plugin.compat import UntrustedCheckpointError
from cellgan_plugin.evaluation import BackboneFeatures, PresetFeatures
from cellgan_plugin.evaluation.extractors import ExtractorError
from cellgan_plugin.evaluation.inputs import resized
from cellgan_plugin.evaluation.presets import PRESETS

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
SWIN = 'swin_tiny_patch4_window7_224'
# Name, side, arguments, and the pooling of forward_features written out by hand.
NETWORKS = [
    ('vit_small_patch14_dinov2', 28, dict(depth=2), lambda net, x: x[:, 0]),
    ('vit_base_patch14_reg4_dinov2', 28, dict(depth=1), lambda net, x: x[:, 0]),
    (
        'convnext_atto',
        32,
        {},
        lambda net, x: net.head.norm(x.mean((2, 3), keepdim=True)).flatten(1),
    ),
    (SWIN, 56, dict(depths=(1, 1, 1, 1)), lambda net, x: x.mean((1, 2))),
    ('resnet18', 32, {}, lambda net, x: x.mean((2, 3))),
    ('vit_tiny_patch16_224', 32, dict(depth=1), lambda net, x: x[:, 0]),
    (
        'vit_medium_patch16_gap_256',
        32,
        dict(depth=1),
        lambda net, x: net.fc_norm(x.mean(dim=1)),
    ),
]


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 40, 36), generator=generator, dtype=torch.uint8)


def normalised(images, side, interpolation='bilinear', mean=MEAN, std=STD):
    mode = torchvision.transforms.InterpolationMode.BILINEAR
    if interpolation == 'bicubic':
        mode = torchvision.transforms.InterpolationMode.BICUBIC
    resize = torchvision.transforms.functional.resize
    inputs = resize(images.float(), [side, side], mode, antialias=True).clamp(0, 255) / 255
    return (inputs - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)


def saved(network, path):
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize('arch, side, kwargs, pool', NETWORKS, ids=[n[0] for n in NETWORKS])
@pytest.mark.parametrize('num_classes', [0, 10])
def test_features_are_the_librarys_own(arch, side, kwargs, pool, num_classes, tmp_path, images):
    torch.manual_seed(0)
    sized = dict(kwargs, img_size=side) if '_patch' in arch else kwargs
    network = timm.create_model(arch, num_classes=num_classes, **sized).eval()
    path = saved(network, tmp_path / 'weights.pth')
    extractor = BackboneFeatures(f'timm:{arch}', path, input_size=side, **kwargs)
    found = extractor(images)
    with torch.no_grad():
        maps = network.forward_features(normalised(images, side))
        expected = network.forward_head(maps, pre_logits=True)
        by_hand = pool(network, maps)
    assert extractor.feature_dim == network.num_features == found.shape[1]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(expected, by_hand, rtol=1e-4, atol=1e-5)


def test_pooling_is_what_it_says(tmp_path, images):
    torch.manual_seed(0)
    arch, kwargs = 'vit_base_patch14_reg4_dinov2', dict(depth=1, embed_dim=24, num_heads=2)
    network = timm.create_model(arch, img_size=28, num_classes=0, **kwargs).eval()
    path = saved(network, tmp_path / 'weights.pth')
    with torch.no_grad():
        tokens = network.forward_features(normalised(images, 28))
    expected = {
        'class': tokens[:, 0],
        'mean': tokens[:, 5:].mean(dim=1),  # one class token, four registers
        'class+mean': torch.cat([tokens[:, 0], tokens[:, 5:].mean(dim=1)], dim=1),
    }
    prints = set()
    for pooling, features in expected.items():
        extractor = BackboneFeatures(f'timm:{arch}', path, input_size=28, pooling=pooling, **kwargs)
        torch.testing.assert_close(extractor(images), features, rtol=1e-3, atol=1e-4)
        prints.add(extractor.fingerprint)
    assert len(prints) == 3
    with pytest.raises(ExtractorError, match="say pooling='mean', 'class' or 'class\\+mean'"):
        BackboneFeatures(f'timm:{arch}', path, input_size=28, global_pool='', **kwargs)
    with pytest.raises(ExtractorError, match="pooling='max'.*default, class, mean, class\\+mean"):
        BackboneFeatures(f'timm:{arch}', path, pooling='max')
    with pytest.raises(ExtractorError, match="pooling='class': resnet18 has default"):
        BackboneFeatures('resnet18', path, pooling='class')


def test_maps_are_averaged_over_positions_in_either_layout(tmp_path, images):
    for arch, side, over in (
        ('swin_tiny_patch4_window7_224', 56, (1, 2)),
        ('resnet18', 32, (2, 3)),
    ):
        kwargs = dict(depths=(1, 1, 1, 1)) if 'swin' in arch else {}
        sized = dict(kwargs, img_size=side) if 'swin' in arch else kwargs
        network = timm.create_model(arch, num_classes=0, **sized).eval()
        path = saved(network, tmp_path / 'weights.pth')
        extractor = BackboneFeatures(
            f'timm:{arch}', path, input_size=side, pooling='mean', global_pool='', **kwargs
        )
        with torch.no_grad():
            expected = network.forward_features(normalised(images, side)).mean(over)
        torch.testing.assert_close(extractor(images), expected, rtol=1e-3, atol=1e-4)
        with pytest.raises(ExtractorError, match='has no class token'):
            BackboneFeatures(f'timm:{arch}', path, input_size=side, pooling='class', **kwargs)


@pytest.mark.parametrize('arch, width', [('squeezenet1_1', 512), ('mobilenet_v3_small', 1024)])
def test_torchvision_heads_of_other_kinds(arch, width, tmp_path, images):
    torch.manual_seed(0)
    network = torchvision.models.get_model(arch, weights=None).eval()
    path = saved(network, tmp_path / 'weights.pth')
    extractor = BackboneFeatures(arch, path, input_size=64)
    assert extractor.feature_dim == width
    with torch.no_grad():
        expected = network.features(normalised(images, 64)).mean((2, 3))
        if arch.startswith('mobilenet'):
            expected = network.classifier[:-1](expected)
    torch.testing.assert_close(extractor(images), expected, rtol=1e-3, atol=1e-5)


def test_weights_of_other_programs_are_tensors_or_refused(tmp_path, images):
    from safetensors.torch import save_file

    network = timm.create_model('convnext_atto', num_classes=0)
    save_file(network.state_dict(), tmp_path / 'model.safetensors')
    torch.save(dict(model=network.state_dict(), epoch=3), tmp_path / 'nested.pth')
    first = BackboneFeatures('timm:convnext_atto', tmp_path / 'model.safetensors', input_size=32)
    second = BackboneFeatures('timm:convnext_atto', tmp_path / 'nested.pth', input_size=32)
    torch.testing.assert_close(first(images), second(images))
    torch.save(dict(network=TinyFeatures()), tmp_path / 'pickled.pth')
    torch.save(dict(epoch=3), tmp_path / 'empty.pth')
    (tmp_path / 'cut.safetensors').write_bytes((tmp_path / 'model.safetensors').read_bytes()[:-9])
    for name, error, words in (
        ('pickled.pth', UntrustedCheckpointError, 'pickled.pth'),
        ('empty.pth', ValueError, 'holds no state dict'),
        ('cut.safetensors', ValueError, 'damaged or no safetensors'),
    ):
        with pytest.raises(error, match=words):
            BackboneFeatures('timm:convnext_atto', tmp_path / name)


def test_bicubic_is_pillows(images):
    """Stein et al. 2023 resize with Pillow, float images and bicubic."""
    import numpy as np
    from PIL import Image

    channel = images[0, 0].numpy().astype(np.float32)
    expected = np.asarray(Image.fromarray(channel).resize((28, 28), Image.BICUBIC)).clip(0, 255)
    found = resized(images, 28, 'bicubic')[0, 0]
    torch.testing.assert_close(found, torch.from_numpy(expected.copy()), rtol=1e-4, atol=1e-2)


PARAMETERS = {  # millions, as published
    'dinov2-vitb14': (86.6, 768, 'DINOv2 ViT-B/14'),
    'dinov2-vitl14': (304.4, 1024, 'DINOv2 ViT-L/14'),
    'uni2-h': (681.4, 1536, 'UNI2-h'),
    'virchow2': (631.2, 2560, 'Virchow2'),
    'h0-mini': (85.7, 1536, 'H0-mini'),
}


@pytest.mark.parametrize('name', PRESETS)
def test_presets_are_the_published_networks(name):
    """Built without memory: sizes, blocks and normalisation of the whole network."""
    preset = PRESETS[name]
    millions, features, title = PARAMETERS[name]
    with torch.device('meta'):
        # DINOv2's files hold the positions of 518 px.
        network = timm.create_model(
            preset.arch, num_classes=0, **{'img_size': 518, **preset.arguments()}
        )
    count = sum(p.numel() for p in network.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.01)
    assert network.num_features * (2 if preset.pooling == 'class+mean' else 1) == features
    assert preset.title == title and preset.licence and preset.url.startswith('https://')


@pytest.mark.parametrize('name', PRESETS)
def test_preset_features(name, tmp_path, images, monkeypatch):
    """Each preset at the depth and width of a test, with its own tokens, norms and pooling."""
    whole = PRESETS[name]
    small = dict(whole.kwargs, depth=1, embed_dim=48, num_heads=2)
    monkeypatch.setitem(PRESETS, name, replace(whole, kwargs=small))
    torch.manual_seed(0)
    network = timm.create_model(
        whole.arch, num_classes=0, **{'img_size': 224, **PRESETS[name].arguments()}
    ).eval()
    path = saved(network, tmp_path / 'weights.pth')
    extractor = PresetFeatures(name, path)
    assert extractor.frechet_name == f'FD({whole.title})'
    assert extractor.kernel_name == f'KD({whole.title})'
    inputs = normalised(
        images, 224, whole.interpolation, torch.tensor(whole.mean), torch.tensor(whole.std)
    )
    with torch.no_grad():
        tokens = network.forward_features(inputs)
    first = 1 + {'uni2-h': 8, 'virchow2': 4, 'h0-mini': 4}.get(name, 0)
    assert tokens.shape[1] == first + 256
    expected = [tokens[:, 0]]
    if name in ('virchow2', 'h0-mini'):
        expected.append(tokens[:, first:].mean(dim=1))
    torch.testing.assert_close(extractor(images), torch.cat(expected, dim=1), rtol=1e-3, atol=1e-4)


def test_dinov2_as_published(tmp_path, images, monkeypatch):
    """The authors' file: a mask token, positions of 37 x 37 patches, resampled as they do."""
    small = dict(depth=1, embed_dim=24, num_heads=2)
    monkeypatch.setitem(PRESETS, 'dinov2-vitl14', replace(PRESETS['dinov2-vitl14'], kwargs=small))
    torch.manual_seed(0)
    network = timm.create_model('vit_large_patch14_dinov2', img_size=518, num_classes=0, **small)
    state = dict(network.eval().state_dict(), mask_token=torch.zeros(1, 24))
    torch.save(state, tmp_path / 'dinov2_vitl14_pretrain.pth')
    extractor = PresetFeatures('dinov2-vitl14', tmp_path / 'dinov2_vitl14_pretrain.pth')
    # facebookresearch/dinov2: scale_factor=((16 + 0.1) / 37, ...), bicubic, no antialiasing.
    grid = state['pos_embed'][:, 1:].reshape(1, 37, 37, 24).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(
        grid, scale_factor=(16.1 / 37, 16.1 / 37), mode='bicubic'
    )
    expected = grid.permute(0, 2, 3, 1).reshape(1, 256, 24)
    torch.testing.assert_close(extractor.network.pos_embed[:, 1:], expected)
    torch.testing.assert_close(extractor.network.pos_embed[:, :1], state['pos_embed'][:, :1])


def test_a_missing_or_wrong_preset_says_the_next_step(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'UNI2-h weights .*is published at https://hugging'
    ):
        PresetFeatures('uni2-h', tmp_path / 'no.bin')
    with pytest.raises(ExtractorError, match="no preset 'uni3'; there are dinov2-vitb14"):
        PresetFeatures('uni3', tmp_path / 'no.bin')
    torch.save(timm.create_model('resnet18').state_dict(), tmp_path / 'resnet.pth')
    with pytest.raises(ExtractorError, match='is no state dict of timm:vit_base_patch14_reg4'):
        PresetFeatures('h0-mini', tmp_path / 'resnet.pth')
