"""A whole training step of every model on a device that is not the host's."""

import pytest
import torch
from fake_cuda import fake_cuda, on_device
from placement_models import KINDS

pytestmark = pytest.mark.usefixtures('mmagic_scope')
# What the host waits for in a step, as docs/performance.md lists it.
_LABELS_AND_NOISE = {
    'mmagic, noise_sample_fn: copied to the device',
    'mmagic, label_sample_fn: copied to the device',
}
WAITS = {
    'BigGAN': _LABELS_AND_NOISE,
    'SNGAN': _LABELS_AND_NOISE,
    'VQ autoencoder': {
        'models/latent_diffusion/autoencoder.py, _decode_codes: copied to the device'
    },
}


@pytest.mark.parametrize('amp', [False, True], ids=['float32', 'amp'])
@pytest.mark.parametrize('name', KINDS)
def test_a_step_runs_on_the_device(mmagic_scope, name, amp):
    kind = KINDS[name]
    model = kind.build()
    with fake_cuda() as cuda:
        cuda.move(model)
        optimizers = kind.optimizers(model, amp)
        for iteration in range(2):
            mmagic_scope.update_info('iter', iteration)  # MMagic's own models ask for it
            cuda.waits.clear()
            log = model.train_step(kind.batch(), optimizers)
    assert all(parameter.device.type == 'cuda' for parameter in model.parameters())
    assert all(on_device(value) for key, value in log.items() if 'loss' in key)
    assert (torch.bfloat16 in cuda.convolutions) == amp
    assert set(cuda.waits) == WAITS.get(name, set())
