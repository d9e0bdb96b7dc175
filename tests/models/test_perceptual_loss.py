from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from mmengine.logging import MMLogger
from torchvision.models import vgg

from cellgan_plugin.files import file_sha256
from cellgan_plugin.models import ClassifierPerceptualLoss, VGGPerceptualLoss
from cellgan_plugin.models.losses.perceptual import _MEAN, _STD, perceptual_weights

LAYERS = (1, 4)  # of VGG-11: the two first ReLUs


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv('CELLGAN_VGG_WEIGHTS', raising=False)


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Random weights of VGG-11's first two convolutions, named as torchvision's."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('vgg') / 'vgg11.pth'
    features = vgg.make_layers(vgg.cfgs['A'])[:5]
    torch.save({f'features.{k}': v for k, v in features.state_dict().items()}, path)
    return path, features


def images(seed, count=3, channels=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, 16, 16, generator=generator) * 2 - 1


def expected(features, a, b):
    """Zhang et al. 2018, Eq. (1), written out with loops."""
    total = 0
    for last in LAYERS:
        maps = []
        for img in (a, b):
            grey = (img + 1) / 2
            for channel, (mean, std) in enumerate(
                zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
            ):
                grey[:, channel] = (grey[:, channel] - mean) / std
            for index in range(last + 1):
                layer = features[index]
                grey = F.relu(grey) if isinstance(layer, torch.nn.ReLU) else layer(grey)
            maps.append(grey / grey.square().sum(1, keepdim=True).sqrt().clamp_min(1e-10))
        total += (maps[0] - maps[1]).square().sum(1).mean((1, 2))
    return total.mean()


def test_the_value_is_that_of_the_formula(weights):
    path, features = weights
    loss = VGGPerceptualLoss(path, arch='vgg11', layers=LAYERS, loss_weight=0.5)
    a, b = images(0), images(1)
    with torch.no_grad():
        torch.testing.assert_close(loss(a, b), 0.5 * expected(features, a, b))
    assert loss(a, a) == 0


def test_the_gradient_reaches_the_image_and_no_weight(weights):
    loss = VGGPerceptualLoss(weights[0], arch='vgg11', layers=LAYERS)
    img = images(0).requires_grad_()
    loss(img, images(1)).backward()
    assert img.grad.isfinite().all() and img.grad.abs().sum() > 0
    flat = torch.zeros(1, 3, 16, 16, requires_grad=True)
    loss(flat, flat.detach()).backward()
    assert flat.grad.isfinite().all()
    assert not any(p.requires_grad for p in loss._hidden[0].parameters())


def test_the_network_is_in_no_checkpoint_but_moves_with_the_module(weights):
    loss = VGGPerceptualLoss(weights[0], arch='vgg11', layers=LAYERS)
    assert not loss.state_dict() and not list(loss.parameters())
    loss.double()
    assert loss(images(0).double(), images(1).double()).item() > 0


def test_grey_images(weights):
    loss = VGGPerceptualLoss(weights[0], arch='vgg11', layers=LAYERS)
    a, b = images(0, channels=1), images(1, channels=1)
    assert loss(a, b) == loss(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1))


def test_without_weights_it_is_off_and_says_so_once(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        loss = VGGPerceptualLoss()
        assert loss(images(0), images(1)) == 0 and not loss.enabled
        loss(images(0), images(1))
    finally:
        logger.removeHandler(caplog.handler)
    said = [record for record in caplog.records if 'perceptual loss is off' in record.message]
    assert len(said) == 1 and 'CELLGAN_VGG_WEIGHTS' in said[0].message


def test_the_environment_names_the_file(weights, monkeypatch):
    monkeypatch.setenv('CELLGAN_VGG_WEIGHTS', str(weights[0]))
    assert VGGPerceptualLoss(arch='vgg11', layers=LAYERS).enabled


def test_learned_weights_of_lpips_are_those_of_its_package():
    linear = torch.load(_lpips_file(), map_location='cpu', weights_only=True)
    from cellgan_plugin.models.losses.perceptual import _load_linear

    for index, weight in enumerate(_load_linear('lpips')):
        assert torch.equal(weight, linear[f'lin{index}.model.1.weight'])


def _lpips_file():
    import importlib.util
    from pathlib import Path

    origin = importlib.util.find_spec('lpips').origin
    return Path(origin).parent / 'weights' / 'v0.1' / 'vgg.pth'


def test_the_value_is_that_of_lpips_itself(tmp_path, monkeypatch):
    """With its own program, its learned weights and the same random VGG-16."""
    import lpips
    import torchvision

    def without_classifier(pretrained):  # which is most of the network, and not used
        return SimpleNamespace(features=vgg.make_layers(vgg.cfgs['D']))

    monkeypatch.setattr(torchvision.models, 'vgg16', without_classifier)
    torch.manual_seed(0)
    theirs = lpips.LPIPS(
        net='vgg', pnet_rand=True, pretrained=True, model_path=str(_lpips_file()), verbose=False
    )
    state = {}
    for key, value in theirs.net.state_dict().items():
        _, index, name = key.split('.')
        state[f'features.{index}.{name}'] = value
    path = tmp_path / 'vgg16.pth'
    torch.save(state, path)
    ours = VGGPerceptualLoss(path, linear_weights='lpips')
    a, b = images(0, count=2), images(1, count=2)
    with torch.no_grad():
        torch.testing.assert_close(ours(a, b), theirs(a, b).mean(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(weights='nowhere.pth'), FileNotFoundError, 'nowhere.pth does not exist'),
        (dict(arch='resnet18'), ValueError, "arch='resnet18': must be one of"),
        (dict(arch='vgg19'), ValueError, r'no weights of .* vgg19: features.2.weight is missing'),
        (dict(arch='vgg11', linear_weights='lpips'), ValueError, "those of arch='vgg16'"),
    ],
)
def test_mistakes(weights, options, error, message):
    with pytest.raises(error, match=message):
        VGGPerceptualLoss(**{'weights': weights[0], **options})


@pytest.mark.parametrize('checkpoint', [False, True])
def test_the_l1_of_pix2pixhd(weights, checkpoint):
    """Mean absolute difference of the features, by layer (Li et al. 2022, Sec. 3.1.3)."""
    path, features = weights
    a, b = images(0).requires_grad_(), images(1)
    total, maps = 0, []
    for img in (a, b):
        x = (img + 1) / 2
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (_MEAN, _STD))
        x = (x - mean) / std
        of_img = []
        for layer in features:
            x = F.relu(x) if isinstance(layer, torch.nn.ReLU) else layer(x)
            of_img.append(x)
        maps.append([of_img[index] for index in LAYERS])
    for weight, x, y in zip((0.25, 1.0), *maps, strict=True):
        total = total + 10 * weight * (x - y).abs().mean()
    (gradient,) = torch.autograd.grad(total, a)
    loss = VGGPerceptualLoss(
        path, 'vgg11', LAYERS, loss_weight=10, distance='l1', layer_weights=(0.25, 1.0),
        checkpoint=checkpoint,
    )  # fmt: skip
    value = loss(a, b)
    torch.testing.assert_close(value, total)
    value.backward()
    torch.testing.assert_close(a.grad, gradient)
    with pytest.raises(ValueError, match='layer_weights has 1 entries for 2 layers'):
        VGGPerceptualLoss(path, 'vgg11', LAYERS, layer_weights=(1.0,))


def test_the_notice_names_the_file_of_the_network(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        loss = VGGPerceptualLoss(arch='vgg19', distance='l1')
    finally:
        logger.removeHandler(caplog.handler)
    assert not loss.enabled and loss(images(0), images(1)) == 0
    assert 'perceptual loss is off' in caplog.text and 'vgg19-dcbb9e9d.pth' in caplog.text


# A classifier's own features --------------------------------------------------------------------

NETWORK = dict(
    type='mmpretrain.ResNet', depth=18, stem_channels=4, base_channels=4, out_indices=(0, 2)
)
OWN = dict(network=NETWORK, mean=(120, 110, 100), std=(60, 50, 40))


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    """A checkpoint of a classifier whose batch norms have seen something; its backbone."""
    torch.manual_seed(0)
    backbone = MODELS.build(NETWORK)
    backbone.train()
    backbone(torch.randn(4, 3, 16, 16) * 2 + 1)
    backbone.eval()
    folder = tmp_path_factory.mktemp('classifier')
    state = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    torch.save(dict(state_dict={**state, 'head.fc.bias': torch.zeros(2)}), folder / 'iter_5.pth')
    return folder / 'iter_5.pth', backbone


@pytest.mark.parametrize('checkpoint', [False, True])
def test_the_features_of_a_classifier(classifier, checkpoint):
    path, backbone = classifier
    loss = ClassifierPerceptualLoss(
        **OWN, weights=path, loss_weight=3.0, layer_weights=(0.5, 1.0), checkpoint=checkpoint
    )
    loss.train()  # as a model that trains calls it: batch norms keep the classifier's statistics
    a, b = images(0).requires_grad_(), images(1)
    mean, std = (torch.tensor(OWN[key]).float().view(-1, 1, 1) for key in ('mean', 'std'))
    maps = [backbone(((img + 1) * 127.5 - mean) / std) for img in (a, b)]
    total = 0
    for weight, x, y in zip((0.5, 1.0), *maps, strict=True):
        total = total + 3 * weight * (x - y).abs().mean()
    (gradient,) = torch.autograd.grad(total, a)
    value = loss(a, b)
    torch.testing.assert_close(value, total)
    value.backward()
    torch.testing.assert_close(a.grad, gradient, rtol=1e-4, atol=1e-6)
    assert loss(b, b) == 0 and not loss.state_dict() and not list(loss.parameters())
    assert loss.enabled and loss.weights_sha256 == file_sha256(path)


def test_a_work_directory_and_an_environment_for_vgg_alone(classifier, monkeypatch):
    path, _ = classifier
    config = dict(OWN, type='ClassifierPerceptualLoss', weights=str(path.parent))
    assert ClassifierPerceptualLoss(**{k: v for k, v in config.items() if k != 'type'}).enabled
    monkeypatch.setenv('CELLGAN_VGG_WEIGHTS', 'vgg.pth')
    assert perceptual_weights(config) == str(path.parent)
    assert perceptual_weights(dict(type='mmagic.ClassifierPerceptualLoss')) is None
    assert perceptual_weights(dict(type='VGGPerceptualLoss')) == 'vgg.pth'


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(weights='nowhere.pth'), FileNotFoundError, 'nowhere.pth does not exist'),
        (dict(network=dict(NETWORK, base_channels=8)), ValueError,
         r'backbone.layer1.0.conv1.weight is \(4, 4, 3, 3\), expected \(8, 4, 3, 3\)'),
        (dict(prefix='model.'), ValueError, 'model.conv1.weight is missing'),
        (dict(network=dict(type='mmpretrain.ResNet', depth=18)), ValueError, 'out_indices'),
        (dict(layer_weights=(1.0,)), ValueError, 'layer_weights has 1 entries for 2 layers'),
        (dict(distance='l2'), ValueError, 'distance'),
    ],
)  # fmt: skip
def test_mistakes_with_a_classifier(classifier, options, error, message):
    with pytest.raises(error, match=message):
        ClassifierPerceptualLoss(**{**OWN, 'weights': classifier[0], **options})
