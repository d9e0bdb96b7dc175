import numpy as np
import pytest
import torch
import torchvision
from evaluation_helpers import CLASSES, TinyFeatures
from mmengine.config import Config

from cellgan_plugin.compat import UntrustedCheckpointError
from cellgan_plugin.evaluation import (
    BackboneFeatures,
    ClassifierFeatures,
    FeatureSet,
    InceptionFeatures,
    class_table,
)
from cellgan_plugin.evaluation.extractors import (
    INCEPTION_SHA256,
    INCEPTION_VARIABLE,
    ExtractorError,
)
from cellgan_plugin.evaluation.features import ExtractorMismatchError

CLASSIFIER = """
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, num_stages=4, out_indices=(3,), style='pytorch',
                  stem_channels=4, base_channels=4,
                  init_cfg=dict(type='Pretrained', checkpoint='nowhere.pth')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=32, topk=(1,)),
    data_preprocessor=dict(mean=[10.0, 20.0, 30.0], std=[2.0, 3.0, 4.0], to_rgb={to_rgb}))
test_dataloader = dict(dataset=dict(pipeline=[dict(type='FitCellPatch', out_size=32)]))
"""


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, 40, 40), generator=generator, dtype=torch.uint8)


@pytest.fixture
def classifier(tmp_path):
    """A config and a work directory with random weights."""
    from mmengine.registry import DefaultScope
    from mmpretrain.registry import MODELS

    config = tmp_path / 'tiny_classifier.py'
    config.write_text(CLASSIFIER.format(to_rgb=True))
    model = Config.fromfile(config).model
    model.backbone.pop('init_cfg')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(model)
    (tmp_path / 'work').mkdir()
    torch.save(dict(state_dict=network.state_dict()), tmp_path / 'work' / 'iter_7.pth')
    return config, tmp_path / 'work', network.eval()


def test_classifier_features_are_its_backbones_with_its_normalisation(classifier, images):
    config, work_dir, network = classifier
    extractor = ClassifierFeatures(config, work_dir)
    assert extractor.name == 'tiny_classifier' and extractor.feature_dim == 32
    assert extractor.frechet_name == 'FD(tiny_classifier)'
    described = extractor.describe()
    assert described['mean'] == [10, 20, 30] and described['channel_order'] == 'RGB'
    assert described['resize'].startswith('32 px')
    small = images[:, :, :32, :32]
    bgr = small.flip(1)  # what MMPretrain's loader would have given its preprocessor
    with torch.no_grad():
        expected = network.extract_feat(network.data_preprocessor(dict(inputs=bgr))['inputs'])[-1]
    torch.testing.assert_close(extractor(small), expected)
    assert extractor(images).shape == (3, 32)
    assert extractor.train().network.training is False
    grey = images[:, :1]
    torch.testing.assert_close(extractor(grey), extractor(grey.repeat(1, 3, 1, 1)))
    mixed = extractor.of_images([images[0], small[1]])
    torch.testing.assert_close(mixed[1], extractor(small[1:2])[0])


def test_of_a_work_directory_the_best_weights_are_taken(classifier):
    config, work_dir, network = classifier
    with torch.no_grad():
        next(network.backbone.parameters()).add_(1)
    torch.save(dict(state_dict=network.state_dict()), work_dir / 'best_accuracy_top1_iter_3.pth')
    torch.testing.assert_close(
        ClassifierFeatures(config, work_dir).network.state_dict(), network.state_dict()
    )


def test_images_that_are_not_square(classifier, images):
    config, work_dir, _ = classifier
    tall = Config.fromfile(config)
    tall.test_dataloader.dataset.pipeline[0].out_size = [40, 20]
    extractor = ClassifierFeatures(tall, work_dir)
    assert extractor.describe()['resize'].startswith('(40, 20) px')
    cut = images[:, :, :, 5:25]
    as_they_come = ClassifierFeatures(config, work_dir, input_size=(40, 20))
    torch.testing.assert_close(extractor(cut), as_they_come(cut))
    with torch.no_grad():
        mean, std = (torch.tensor(v)[:, None, None] for v in ([10.0, 20, 30], [2.0, 3, 4]))
        expected = extractor.network.backbone((cut.float() - mean) / std)[-1].mean(dim=(2, 3))
    torch.testing.assert_close(extractor(cut), expected)
    assert extractor(images).shape == extractor(cut).shape


def test_fingerprints_tell_weights_and_settings_apart(classifier):
    config, work_dir, network = classifier
    checkpoint = work_dir / 'iter_7.pth'
    first = ClassifierFeatures(config, checkpoint)
    assert first.fingerprint == ClassifierFeatures(config, work_dir).fingerprint
    assert first.fingerprint != ClassifierFeatures(config, checkpoint, input_size=48).fingerprint
    other_order = ClassifierFeatures(config, checkpoint, channel_order='BGR')
    assert first.fingerprint != other_order.fingerprint
    with torch.no_grad():
        next(network.parameters()).add_(1)
    torch.save(network.state_dict(), work_dir / 'other.pth')
    assert first.fingerprint != ClassifierFeatures(config, work_dir / 'other.pth').fingerprint


def test_what_is_missing_is_said(classifier, tmp_path):
    config, work_dir, _ = classifier
    with pytest.raises(FileNotFoundError, match='Train the classifier first: python tools/train'):
        ClassifierFeatures(config, tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='holds no whole checkpoint'):
        ClassifierFeatures(config, tmp_path / 'empty')
    with pytest.raises(FileNotFoundError, match='classifier config'):
        ClassifierFeatures(tmp_path / 'no.py', work_dir)
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='weights of the backbone are missing'):
        ClassifierFeatures(config, tmp_path / 'other.pth')
    torch.save(dict(state_dict=TinyFeatures()), tmp_path / 'pickled.pth')
    with pytest.raises(UntrustedCheckpointError):
        ClassifierFeatures(config, tmp_path / 'pickled.pth')


def test_a_classifier_of_other_classes_is_refused(classifier):
    config, work_dir, network = classifier
    assert ClassifierFeatures(config, work_dir).classes is None  # a checkpoint that does not say
    ClassifierFeatures(config, work_dir).check_classes(['Normal', 'CIN1'])
    classes = ['NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL']
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save(dict(state_dict=network.state_dict(), meta=meta), work_dir / 'iter_7.pth')
    extractor = ClassifierFeatures(config, work_dir)
    assert extractor.classes == tuple(classes)
    extractor.check_classes(['HSIL', 'NILM'])  # some of them
    with pytest.raises(ExtractorError, match=r"(?s)'NILM'.*are of \['Normal', 'CIN1'\]: give the"):
        extractor.check_classes(['Normal', 'CIN1'])
    other = ClassifierFeatures(config, work_dir, any_classes=True)
    other.check_classes(['Normal', 'CIN1'])
    assert other.fingerprint == ClassifierFeatures(config, work_dir).fingerprint


def test_torchvision_backbone(tmp_path, images):
    torch.manual_seed(0)
    network = torchvision.models.shufflenet_v2_x0_5(weights=None).eval()
    path = tmp_path / 'weights.pth'
    torch.save(network.state_dict(), path)
    extractor = BackboneFeatures('shufflenet_v2_x0_5', path, input_size=64)
    assert extractor.feature_dim == 1024 and extractor.frechet_name == 'FD(shufflenet_v2_x0_5)'
    found = extractor(images)
    network.fc = torch.nn.Identity()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    resize = torchvision.transforms.functional.resize
    inputs = resize(images.float(), [64, 64], antialias=True) / 255
    with torch.no_grad():
        expected = network((inputs - mean.view(-1, 1, 1)) / std.view(-1, 1, 1))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    with pytest.raises(ValueError, match="torchvision has no network 'resnet19'"):
        BackboneFeatures('resnet19', path)
    with pytest.raises(ValueError, match='is no state dict of resnet18'):
        BackboneFeatures('resnet18', path)
    with pytest.raises(FileNotFoundError, match='Nothing is downloaded'):
        BackboneFeatures('resnet18', tmp_path / 'no.pth')
    with pytest.raises(ValueError, match='timm'):
        BackboneFeatures('timm:no_such_network', path)


def test_missing_inception_weights_are_explained(monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.delenv(INCEPTION_VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError) as error:
        InceptionFeatures()
    for word in (
        'weights-inception-2015-12-05-6726825d.pth',
        INCEPTION_SHA256,
        str(tmp_path),
        INCEPTION_VARIABLE,
        'https://',
    ):
        assert word in str(error.value)
    monkeypatch.setenv(INCEPTION_VARIABLE, str(tmp_path / 'no.pth'))
    with pytest.raises(FileNotFoundError, match=f'{INCEPTION_VARIABLE} names'):
        InceptionFeatures()
    (tmp_path / 'other.pth').write_bytes(b'something')
    with pytest.raises(ValueError, match='is not the network of FID: its SHA-256'):
        InceptionFeatures(tmp_path / 'other.pth')


@pytest.fixture
def inception_file(tmp_path, monkeypatch):
    """Random weights in the place of the published ones."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    with monkeypatch.context() as patch:
        patch.setattr(module, 'load_state_dict_from_url', lambda *a, **k: {})
        patch.setattr(torch.nn.Module, 'load_state_dict', lambda *a, **k: None)
        torch.manual_seed(0)
        network = module.FeatureExtractorInceptionV3('inception', ['2048'])
    path = tmp_path / 'random.pth'
    torch.save(network.state_dict(), path)
    return path, network


def test_inception_is_torch_fidelitys(inception_file, images):
    path, network = inception_file
    extractor = InceptionFeatures(path, verify=False)
    assert extractor.frechet_name != 'FID'  # only the published weights are
    plain = extractor(images[:1])
    torch.testing.assert_close(plain, network(images[:1])[0])
    before = extractor.fingerprint
    extractor.use_authors_arithmetic()
    assert extractor.fingerprint != before
    seen = []
    extractor.network.Conv2d_1a_3x3.register_forward_hook(lambda m, i, o: seen.append(i[0]))
    extractor(images[:1])
    assert 0 <= seen[0].min() and 0.9 < seen[0].max() <= 1


def test_other_arithmetic_and_other_extractors_are_refused(classifier):
    config, work_dir, _ = classifier
    with pytest.raises(ValueError, match='one of Inception features'):
        ClassifierFeatures(config, work_dir).use_authors_arithmetic()
    features, labels = np.zeros((4, 2), np.float32), np.zeros(4, np.int64)
    first = FeatureSet(features, labels, tuple(CLASSES), 'a' * 64, {})
    with pytest.raises(ExtractorMismatchError, match='different extractors'):
        class_table(first, FeatureSet(features, labels, tuple(CLASSES), 'b' * 64, {}))
    with pytest.raises(ExtractorMismatchError, match='classes of these sets differ'):
        class_table(first, FeatureSet(features, labels, ('x',), 'a' * 64, {}))


def test_wrong_images_are_refused(images):
    for wrong in (images.float(), images[0], images[:, :2]):
        with pytest.raises(ValueError, match='uint8 images of shape'):
            TinyFeatures()(wrong)
