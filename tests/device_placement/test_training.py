"""A training step of every model runs on a device that is not the host's, without waiting."""

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
# In the first step of a run.
ONCE = {
    'models/moving_average.py, update_parameters: a value is read',
    'models/latent_diffusion/latent_diffusion.py, prepare_training: a value is read',
    'models/latent_diffusion/latent_diffusion.py, update_latent_scale: a value is read',
    'models/latent_diffusion/latent_diffusion.py, diffusion_loss: copied to the device',
}


@pytest.mark.parametrize('name', KINDS)
def test_a_step_runs_on_the_device(mmagic_scope, name):
    kind = KINDS[name]
    model = kind.build()
    with fake_cuda() as cuda:
        cuda.move(model)
        logs, waits, convolutions = [], [], []
        for iteration, amp in enumerate((False, True)):
            mmagic_scope.update_info('iter', iteration)  # MMagic's own models ask for it
            optimizers = kind.optimizers(model, amp)
            cuda.waits.clear(), cuda.convolutions.clear()
            logs.append(model.train_step(kind.batch(), optimizers))
            waits.append(set(cuda.waits))
            convolutions.append(set(cuda.convolutions))
    assert all(parameter.device.type == 'cuda' for parameter in model.parameters())
    for log in logs:
        assert all(on_device(value) for key, value in log.items() if 'loss' in key)
    assert torch.bfloat16 not in convolutions[0] and torch.bfloat16 in convolutions[1]
    assert waits[0] <= WAITS.get(name, set()) | ONCE
    assert waits[1] == WAITS.get(name, set())
