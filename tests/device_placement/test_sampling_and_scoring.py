"""Sampling, evaluation and selection on a device that is not the host's."""

import pytest
import torch
from fake_cuda import fake_cuda, on_device
from mmengine.config import Config
from mmengine.registry import DefaultScope
from placement_models import KINDS

from cellgan_plugin.evaluation.extractors import FeatureExtractor
from cellgan_plugin.evaluation.frechet import frechet_distance
from cellgan_plugin.evaluation.kernel import kernel_distance
from cellgan_plugin.models.fusing import fuse_for_sampling
from cellgan_plugin.models.sampling import draw_noise, sample_pixels
from cellgan_plugin.selection import McDropoutClassifier
from cellgan_plugin.selection.centroids import CentroidSums
from cellgan_plugin.selection.scores import score_batch

pytestmark = pytest.mark.usefixtures('mmagic_scope')
GANS = ['CellGAN', 'CellGAN-plus', 'BigGAN', 'SNGAN', 'latent diffusion', 'HistoGAN']


@pytest.mark.parametrize('name', GANS)
def test_sampling(name):
    model = KINDS[name].build()
    noise = draw_noise(model.noise_size, 0, 'sample', [(0, i) for i in range(3)])
    with fake_cuda() as cuda:
        cuda.move(model)
        for amp in (True, False):
            cuda.convolutions.clear()
            with torch.autocast('cuda', torch.bfloat16, enabled=amp), torch.no_grad():
                images = model(
                    dict(noise=noise.to('cuda'), labels=torch.tensor([0, 1, 2]).to('cuda')),
                    data_samples=None,
                )
            assert len(images) == 3 and all(on_device(image.fake_img) for image in images)
            assert (torch.bfloat16 in cuda.convolutions) == amp
            fuse_for_sampling(model)


def test_pixels_of_host_noise():
    model = KINDS['CellGAN'].build()
    with fake_cuda() as cuda:
        cuda.move(model)
        plain = sample_pixels(model, torch.randn(2, 8), torch.tensor([0, 2]))
        fused = sample_pixels(fuse_for_sampling(model), torch.randn(2, 8), torch.tensor([0, 2]))
    for pixels in (plain, fused):
        assert on_device(pixels) and pixels.dtype == torch.uint8
        assert pixels.shape == (2, 3, 32, 32)


@pytest.mark.parametrize('name', ['pyramid GAN, 2 scales', 'pix2pix'])
def test_images_of_masks(name):
    model = KINDS[name].build()
    with fake_cuda() as cuda:
        cuda.move(model)
        images = model.generate(torch.zeros(2, 32, 32, dtype=torch.uint8), seeds=3)
    assert on_device(images) and images.shape == (2, 3, 32, 32)


@pytest.mark.parametrize('name', ['pyramid GAN, 2 scales', 'mean teacher', 'FC-DenseNet'])
def test_segmentation_of_a_large_image(name):
    model = KINDS[name].build().eval()
    image = torch.rand(3, 48, 40) * 2 - 1
    with fake_cuda() as cuda:
        cuda.move(model)
        (sample,) = model(dict(img=[image]), mode='predict')
    assert sample.pred_sem_seg.data.shape == (48, 40) and not on_device(sample.pred_sem_seg.data)


class _Mean(FeatureExtractor):
    """Mean colour of the halves of an image."""

    name = 'mean colour'

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(6))
        self.finish(8)

    def describe(self):
        return dict(kind='test')

    def features(self, images):
        halves = images.float().unflatten(2, (2, -1)).mean(dim=(3, 4))
        return halves.flatten(1) * self.scale


def test_features_and_distances():
    extractor = _Mean()
    with fake_cuda() as cuda:
        extractor.to('cuda')
        images = torch.randint(0, 256, (12, 3, 8, 8), dtype=torch.uint8)
        real, fake = extractor(images[:6]), extractor.of_images(list(images[6:]))
        assert on_device(real) and on_device(fake)
        assert frechet_distance(real, fake) >= 0
        kernel_distance(real, fake)
    assert cuda.waits


_CLASSIFIER = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmagic.MCDropoutBackbone', p=0.5, backbone=dict(
        type='ResNet', depth=18, stem_channels=4, base_channels=4)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=32, topk=(1,)),
    data_preprocessor=dict(mean=[127.5] * 3, std=[60.0] * 3, num_classes=3))
"""


def test_selection_by_mc_dropout(tmp_path):
    from mmpretrain.registry import MODELS

    config = tmp_path / 'classifier.py'
    config.write_text(_CLASSIFIER)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        plain = MODELS.build(Config.fromfile(config).model)
    torch.save(dict(state_dict=plain.state_dict()), tmp_path / 'weights.pth')
    network = McDropoutClassifier(config, tmp_path / 'weights.pth')
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    labels, keys = torch.tensor([0, 1, 2, 0]), ['a', 'b', 'c', 'd']
    with fake_cuda() as cuda:
        network.to('cuda')
        cuda.waits.clear()
        trunk = network.trunk(images)
        _, last = network.top(trunk, network.masks(trunk, 0, 0, keys))
        assert on_device(last)
        sums = CentroidSums(3)
        sums.add([*trunk.maps, last], labels)
        scores = score_batch(network, sums.centroids(), images, labels, keys, passes=2)
    assert len(scores) == 4 and all(len(column) == 4 for column in vars(scores).values())
    # Seven columns of scores per batch, once; nothing in the passes.
    assert set(cuda.waits) <= {
        'selection/scores.py, <genexpr>: copied to the host',
        'selection/extractor.py, trunk: copied to the device',
        'selection/extractor.py, masks: copied to the device',
        'selection/centroids.py, add: copied to the device',
        'selection/centroids.py, centroids: copied to the device',
        'selection/centroids.py, own_and_nearest: copied to the device',
        'selection/scores.py, score_batch: copied to the device',
    }
