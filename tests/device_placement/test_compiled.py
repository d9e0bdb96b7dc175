"""``torch.compile`` takes every network as one graph, with the numbers it has without.

CellGAN's own, with R1, are in tests/models/test_training_step.py.
"""

import pytest
import torch
from placement_models import KINDS

from cellgan_plugin.models.layers import class_weights

pytestmark = [
    pytest.mark.usefixtures('mmagic_scope'),
    # CellGAN(compile=...) refuses it, and promises nothing of the others.
    pytest.mark.skipif(torch.__version__.startswith('2.4.'), reason='its compiler is too old'),
]
LABELS = torch.tensor([0, 2])
WEIGHTS = class_weights(LABELS, 3)
IMAGES = torch.rand(2, 3, 32, 32)
MASKS = torch.eye(2)[torch.arange(2048).reshape(2, 32, 32) % 2].movedim(3, 1)
NETWORKS = {
    ('CellGAN-plus', 'generator'): (torch.rand(2, 8), 0, WEIGHTS),
    ('CellGAN-plus', 'discriminator'): (IMAGES, LABELS),
    ('HistoGAN', 'generator'): (torch.rand(2, 8), 0, WEIGHTS),
    ('HistoGAN', 'discriminator'): (
        [torch.rand(2, 3, 32, 16), torch.rand(2, 3, 64, 32)],
        WEIGHTS,
    ),
    ('SNGAN', 'generator'): (torch.rand(2, 8), 0, LABELS),
    ('SNGAN', 'discriminator'): (IMAGES, LABELS),
    ('BigGAN', 'generator'): (torch.rand(2, 20), LABELS),
    ('BigGAN', 'discriminator'): (IMAGES, LABELS),
    ('FC-DenseNet', 'segmenter'): (torch.rand(2, 5, 32, 32),),
    ('pyramid GAN, 2 scales', 'generators'): (MASKS, torch.rand(2, 3, 32, 32), IMAGES),
    ('pyramid GAN, 2 scales', 'discriminators'): (IMAGES, MASKS),
    ('pix2pix', 'generators'): (MASKS, torch.rand(2, 3, 32, 32)),
    ('pix2pix', 'discriminators'): (IMAGES, MASKS),
    ('autoencoder', 'discriminator'): (IMAGES,),
    ('VQ autoencoder', 'autoencoder'): (IMAGES,),
    ('autoencoder', 'autoencoder'): (IMAGES,),
    ('latent diffusion', 'generator'): (
        torch.rand(2, 2, 16, 16),
        torch.tensor([3, 4]),
        LABELS,
    ),
}


@pytest.mark.parametrize(('name', 'part'), NETWORKS, ids=str)
def test_a_network_is_one_graph(name, part):
    model = KINDS[name].build().eval()
    network = getattr(model, part, None) or model.trained_networks()[part]
    if isinstance(network, torch.nn.ModuleList):
        network = network[-1]  # of the finest scale
    torch._dynamo.reset()
    compiled = torch.compile(network, backend='eager', fullgraph=True)
    found = []
    for call in (network, compiled):
        torch.manual_seed(0)
        with torch.no_grad():
            found.append(call(*NETWORKS[name, part]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
