"""Trains a GAN of MMagic under torchrun and compares the ranks: noise_worker.py CONFIG WORK_DIR."""

import sys

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook

from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.runs import train as apis

seen = []


class Listen(Hook):
    """Keeps the noise that the generator is given."""

    def before_train(self, runner):
        unwrap(unwrap(runner.model).generator).register_forward_pre_hook(
            lambda module, args, kwargs: seen.append(kwargs['noise'].clone()), with_kwargs=True
        )


from_cfg = apis.Runner.from_cfg


def with_listener(config):
    runner = from_cfg(config)
    runner.register_hook(Listen())
    return runner


apis.Runner.from_cfg = with_listener
runner = apis.train(
    sys.argv[1], work_dir=sys.argv[2], launcher='pytorch', options={'train_cfg.max_iters': 2}
)
assert len(seen) == 4
mine = dict(noise=torch.stack(seen), weights=list(unwrap(runner.model).generator.parameters()))
one, other = all_gather_object(mine)
assert not torch.isclose(one['noise'], other['noise']).flatten(1).any(), 'ranks share their noise'
for a, b in zip(one['weights'], other['weights'], strict=True):
    assert torch.equal(a, b), 'weights differ'
print('weights agree, noise differs')
