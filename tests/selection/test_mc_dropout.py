import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from selection_helpers import (
    CLASSES,
    DENSENET,
    RESNET,
    build_network,
    classifier,
    random_classifier,
    random_images,
    save,
    write_config,
)

from cellgan_plugin.evaluation import ClassifierFeatures
from cellgan_plugin.models.mc_dropout import (
    BackboneError,
    SplitBackbone,
    draw_masks,
    mc_dropout_backbone,
    trained_dropout,
)
from cellgan_plugin.selection import McDropoutClassifier

BACKBONES = pytest.mark.parametrize('backbone', [RESNET, DENSENET], ids=['ResNet', 'DenseNet'])


@BACKBONES
def test_without_dropout_it_is_the_plain_network(tmp_path, backbone):
    network = classifier(tmp_path, backbone, dropout=0.0)
    images = random_images(3)
    trunk = network.trunk(images)
    probabilities, last = network.top(trunk, network.masks(trunk, 0, 0, 'abc'))
    plain = build_network(tmp_path / 'tiny_classifier.py').eval()
    plain.load_state_dict(torch.load(tmp_path / 'random.pth')['state_dict'])
    x = (images.float() - 127.5) / 60
    plain.backbone.out_indices = (0, 1, 2, 3)
    with torch.no_grad():
        stages = plain.backbone(x)
        expected = plain.head(plain.neck(stages[-1:])).softmax(1)
    torch.testing.assert_close(probabilities, expected)
    for found, stage in zip([*trunk.maps, last], stages, strict=True):
        torch.testing.assert_close(found, stage)
    assert network.num_stages == 4 and network.num_classes == 3
    torch.testing.assert_close(network(images), stages[-1].mean((2, 3)))


@BACKBONES
def test_a_pass_is_a_full_pass_with_dropout_before_the_last_block(tmp_path, backbone):
    """The fast path against the whole network run with a hook that applies the same mask."""
    network = classifier(tmp_path, backbone)
    images, keys = random_images(4), list('abcd')
    trunk = network.trunk(images)
    for number in range(3):
        mask = network.masks(trunk, 5, number, keys)
        fast, last = network.top(trunk, mask)
        block = SplitBackbone(network.network.backbone).block

        def dropped(_, inputs, mask=mask):
            return (inputs[0] * mask * 2.0,)

        handle = block.register_forward_pre_hook(dropped)
        with torch.no_grad():
            x = (images.float() - 127.5) / 60
            stage = network.network.backbone(x)
            full = network.network.head(network.network.neck(stage)).softmax(1)
        handle.remove()
        torch.testing.assert_close(fast, full, atol=1e-6, rtol=0)
        torch.testing.assert_close(last, stage[-1], atol=1e-6, rtol=1e-6)


def test_masks_depend_on_the_image_and_the_pass_alone(tmp_path):
    network = classifier(tmp_path)
    trunk = network.trunk(random_images(3))
    together = network.masks(trunk, 0, 1, ['a', 'b', 'c'])
    shape = trunk.last_input.shape[1:]
    for row, key in enumerate('abc'):
        assert torch.equal(together[row], draw_masks(shape, 0.5, 0, 1, [key])[0])
    assert torch.equal(network.masks(trunk, 0, 1, ['c', 'a', 'b'])[0], together[2])
    for other in (draw_masks(shape, 0.5, 0, 2, ['a']), draw_masks(shape, 0.5, 1, 1, ['a'])):
        assert not torch.equal(together[0], other[0])
    assert draw_masks((64, 40, 40), 0.3, 0, 0, ['a']).float().mean() == pytest.approx(0.7, abs=0.01)


def test_the_mean_input_over_many_passes_is_the_input(tmp_path):
    network = classifier(tmp_path)
    trunk = network.trunk(random_images(2))
    mean = sum(network.masks(trunk, 0, k, 'ab').float() for k in range(800)) / 800 * 2
    assert (mean - 1).abs().mean() < 0.05 and mean.mean() == pytest.approx(1, abs=0.01)


def test_a_backbone_trains_with_dropout_and_keeps_its_weights_names(tmp_path):
    config = write_config(tmp_path, dropout=0.4)
    wrapped = build_network(config)
    plain_folder = tmp_path / 'plain'
    plain_folder.mkdir()
    plain = build_network(write_config(plain_folder))
    assert list(wrapped.state_dict()) == list(plain.state_dict())
    assert trained_dropout(wrapped.backbone) == 0.4 and trained_dropout(plain.backbone) is None
    x = random_images(2).float() / 64 - 2
    seen = []
    SplitBackbone(wrapped.backbone).block.register_forward_pre_hook(
        lambda _, inputs: seen.append((inputs[0] == 0).float().mean().item())
    )
    wrapped.train()
    torch.manual_seed(0)
    assert not torch.equal(wrapped(x), wrapped(x))
    wrapped.eval()
    assert torch.equal(wrapped(x), wrapped(x))
    assert min(seen[:2]) > max(seen[2:]) + 0.1  # zeros of the block's input, beyond those of ReLU
    # The extractor takes over the probability it was trained with.
    checkpoint = save(wrapped, tmp_path / 'wrapped.pth')
    assert McDropoutClassifier(config, checkpoint).dropout == 0.4
    assert McDropoutClassifier(config, checkpoint, 0.1).dropout == 0.1
    first = McDropoutClassifier(config, checkpoint)
    assert first.fingerprint != McDropoutClassifier(config, checkpoint, 0.1).fingerprint


def test_other_networks_and_numbers_are_refused(tmp_path):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        with pytest.raises(BackboneError, match='not for ResNet_CIFAR'):
            mc_dropout_backbone(dict(type='ResNet_CIFAR', depth=18, base_channels=8))
    with pytest.raises(ValueError, match='below 1, got 1.0'):
        classifier(tmp_path, dropout=1.0)


def test_a_checkpoint_without_the_head_is_refused(tmp_path):
    config, checkpoint = random_classifier(tmp_path)
    state = torch.load(checkpoint)['state_dict']
    torch.save({k: v for k, v in state.items() if not k.startswith('head')}, checkpoint)
    with pytest.raises(ValueError, match=r'head.fc.weight is missing.*trained head'):
        McDropoutClassifier(Config.fromfile(config), checkpoint)


def test_a_config_that_leaves_its_classes_open_has_those_of_the_checkpoint(tmp_path):
    checkpoint = save(build_network(write_config(tmp_path)), tmp_path / 'three.pth')
    fits = McDropoutClassifier(tmp_path / 'tiny_classifier.py', checkpoint)
    # As configs/classifiers/resnet34_tct.py, which was trained by --data DIR.
    text = (tmp_path / 'tiny_classifier.py').read_text().replace('num_classes=3', 'num_classes=5')
    (tmp_path / 'open.py').write_text(text.replace(f'classes={list(CLASSES)!r}', 'classes=None'))
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    for kind in (McDropoutClassifier, ClassifierFeatures):
        found = kind(tmp_path / 'open.py', checkpoint)
        assert found.classes == CLASSES
        scores = found.class_scores(found(images))
        torch.testing.assert_close(scores, fits.class_scores(fits(images)))
