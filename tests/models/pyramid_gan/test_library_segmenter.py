import sys
from pathlib import Path

import pytest
import segmentation_models_pytorch as library
import torch
import torchvision
from mmengine.config import Config

from cellgan_plugin.compat import UnavailableError
from cellgan_plugin.models import LibrarySegmenter, PyramidGAN

REPO = Path(__file__).parents[3]


@pytest.mark.parametrize('arch', ['unet', 'deeplabv3plus', 'fpn'])
def test_it_is_the_librarys_network_on_normalised_images(arch):
    torch.manual_seed(0)
    segmenter = LibrarySegmenter(5, 2, arch, 'resnet18').eval()
    own = library.create_model(arch, 'resnet18', encoder_weights=None, in_channels=3, classes=2)
    own.load_state_dict(segmenter.network.state_dict())
    grey = torch.randint(0, 256, (1, 3, 64, 96)).float()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = own.eval()((grey / 255 - mean.view(-1, 1, 1)) / std.view(-1, 1, 1))
        # What a coarser scale would say is not looked at.
        for coarser in (0.0, 1.0):
            x = torch.cat([grey / 127.5 - 1, torch.full((1, 2, 64, 96), coarser)], dim=1)
            torch.testing.assert_close(segmenter(x), expected, rtol=1e-4, atol=1e-4)
        assert segmenter(x[..., :50, :41]).shape == (1, 2, 50, 41)


def test_weights_of_the_encoder(tmp_path):
    torch.manual_seed(0)
    published = torchvision.models.resnet18(weights=None)
    torch.save(published.state_dict(), tmp_path / 'resnet18.pth')
    segmenter = LibrarySegmenter(5, 2, 'fpn', 'resnet18', str(tmp_path / 'resnet18.pth'))
    torch.testing.assert_close(segmenter.network.encoder.conv1.weight, published.conv1.weight)
    with pytest.raises(ValueError, match='does not fit the encoder resnet34'):
        LibrarySegmenter(5, 2, 'fpn', 'resnet34', str(tmp_path / 'resnet18.pth'))
    with pytest.raises(ValueError, match="no arch='unett'"):
        LibrarySegmenter(5, 2, 'unett', 'resnet18')
    with pytest.raises(ValueError, match="encoder='resnet19'"):
        LibrarySegmenter(5, 2, 'unet', 'resnet19')


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'segmentation_models_pytorch', None)
    with pytest.raises(UnavailableError, match='pip install segmentation-models-pytorch'):
        LibrarySegmenter(5, 2)


@pytest.mark.usefixtures('mmagic_scope')
def test_it_trains_in_the_place_of_the_fc_densenet():
    from tiny_pyramid import optimizers, tissue_batch

    config = Config.fromfile(REPO / 'configs' / 'pyramid_gan' / 'unet_phantom.py').model
    config.pop('type')
    torch.manual_seed(0)
    model = PyramidGAN(**config).train()
    before = model.segmenters[0].network.encoder.conv1.weight.clone()
    wrapper = optimizers(model)
    log = model.train_step(tissue_batch(size=64), wrapper)
    assert log['loss_cross_entropy'].isfinite()
    assert not torch.equal(before, model.segmenters[0].network.encoder.conv1.weight)
    assert model.segment(torch.zeros(1, 3, 64, 64)).shape == (1, 2, 64, 64)
