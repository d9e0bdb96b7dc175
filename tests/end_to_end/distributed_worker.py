"""Runs under torchrun: are gradients over ranks those of one process? Then trains.

torchrun distributed_worker.py CONFIG WORK_DIR
"""

import copy
import hashlib
import sys

import torch
from mmagic.registry import MODELS
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.model import MMSeparateDistributedDataParallel
from mmengine.registry import init_default_scope

from cellgan_plugin.compat import start_cpu_process_group
from cellgan_plugin.models import AdaptiveAugment
from cellgan_plugin.randomness import StepRandom, generator_for
from cellgan_plugin.runs.train import load_config, train


class DoubleRandom(StepRandom):
    """The numbers of a step in the precision of the comparison."""

    def normal(self, *args):
        return super().normal(*args).double()

    def uniform(self, *args):
        return super().uniform(*args).double()


class Recorder:
    """An optimizer wrapper that keeps the gradients it is given and updates nothing."""

    def __init__(self, module):
        self.module, self.seen = module, {}

    def update_params(self, loss):
        loss.backward()
        # Of the inner module, so that the names are those without a wrapper.
        inner = getattr(self.module, 'module', self.module)
        self.seen = {name: p.grad.clone() for name, p in inner.named_parameters()}
        self.module.zero_grad()


def gradients(model, rank, world_size):
    """Of both objectives (Eq. 2), for the rows of a rank of one batch of four images."""
    # After the plugin, whose repairs MMagic needs beside new packages.
    from mmagic.structures import DataSample

    size, rows = model.discriminator, slice(rank, None, world_size)
    size = getattr(size, 'module', size).in_size
    real = torch.randn(4, 3, size, size, generator=generator_for(0, 'real')).double().clamp(-1, 1)
    sample = DataSample()
    sample.set_gt_label(torch.tensor([0, 2, 1, 0])[rows])
    model.step_random = DoubleRandom(0, 0, rank, world_size)
    found, parts = {}, ('discriminator', 'generator')
    for part in parts:
        for other in parts:  # as in MMagic's step
            getattr(model, other).requires_grad_(part == other)
        recorder = Recorder(getattr(model, part))
        getattr(model, f'train_{part}')(dict(img=real[rows]), sample, recorder)
        found.update({f'{part}.{name}': grad for name, grad in recorder.seen.items()})
    return found


start_cpu_process_group('pytorch')
assert get_world_size() == 2
init_default_scope('mmagic')
config = load_config(sys.argv[1])
torch.manual_seed(0)
single = MODELS.build(config.model).double().train()
# Both as the step runs: the discriminator's power iterations are those of training, too.
wrapper = {k: v for k, v in config.model_wrapper_cfg.items() if k != 'type'}
wrapped = MMSeparateDistributedDataParallel(copy.deepcopy(single), **wrapper).module
together = gradients(wrapped, get_rank(), 2)
alone = gradients(single, 0, 1)
assert together.keys() == alone.keys()
for name, expected in alone.items():
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(
        together[name], expected, rtol=0, atol=1e-10 * scale, msg=f'gradient of {name} differs'
    )
for part in ('discriminator', 'generator'):  # there was something to compare
    own = [grad for name, grad in alone.items() if name.startswith(part)]
    assert sum(grad.abs().max() > 1e-6 for grad in own) > len(own) / 2, part
print('gradients agree')

# Rank 0 sees signs of mean 1, rank 1 of mean 0: both act on the mean of all, a half.
augment = AdaptiveAugment(target=0.4, ramp_images=8, interval=1)
assert augment.observe(torch.tensor([1.0, -1.0, 1.0, 1.0])[get_rank() :: 2]) == 4 / 8

runner = train(sys.argv[1], work_dir=sys.argv[2], launcher='pytorch')
digest = hashlib.sha256()
for key, value in sorted(runner.model.module.state_dict().items()):
    digest.update(key.encode() + value.contiguous().numpy().tobytes())
digests = all_gather_object(digest.hexdigest())
assert len(set(digests)) == 1, 'weights, buffers or EMA differ between the ranks'
print('ranks agree')
