"""Runs under torchrun: are gradients over ranks those of one process? Then trains.

torchrun histogan_worker.py CONFIG WORK_DIR
"""

import hashlib
import sys

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size

from cellgan_plugin.compat import start_cpu_process_group
from cellgan_plugin.models import (
    GradientPenalty,
    HistoGANDiscriminator,
    HistoGANGenerator,
    WassersteinLoss,
)
from cellgan_plugin.runs.train import train


def gradients(rows, sync):
    """Of the critics' objective with its penalty, and of the generator's, in double precision."""
    torch.manual_seed(0)
    few = dict(base_channels=4, sync_bn=sync)
    generator = HistoGANGenerator((64, 32), 2, 3, 8, **few).double()
    critics = HistoGANDiscriminator((64, 32), 2, 3, max_channels=8, num_kernels=3, **few).double()
    for module in (*generator.modules(), *critics.modules()):
        if hasattr(module, 'gamma'):
            module.gamma.data.fill_(0.3)
    draws = torch.Generator().manual_seed(1)
    label = torch.tensor([0, 1, 2, 0])[rows]
    real = [
        (torch.rand(4, 3, side, side // 2, generator=draws).double() * 2 - 1)[rows]
        for side in (32, 64)
    ]
    noise = torch.randn(4, 8, generator=draws).double()[rows]
    epsilon = torch.rand(4, 1, generator=draws).double()[rows].expand(-1, 2)

    def evaluate(fake):
        both = [torch.cat(pair) for pair in zip(real, fake, strict=True)]
        logits, statistics = critics(both, torch.cat([label, label]), groups=2)
        return [of_stage.chunk(2) for of_stage in logits], statistics

    loss = WassersteinLoss()
    fake = generator(noise, label=label, return_stages=True)
    logits, statistics = evaluate([image.detach() for image in fake])
    penalties = GradientPenalty(50.0)(
        lambda mixed: critics(mixed, label, statistics=statistics)[0], real, fake, epsilon
    )
    objective = sum(loss.discriminator(*pair)['loss_disc'] for pair in logits) + sum(penalties)
    names, parameters = zip(*critics.named_parameters(), strict=True)
    found = dict(zip(names, torch.autograd.grad(objective, parameters), strict=True))
    logits, _ = evaluate(fake)
    objective = sum(loss.generator(of_fake) for _, of_fake in logits)
    names, parameters = zip(*generator.named_parameters(), strict=True)
    found.update(zip(names, torch.autograd.grad(objective, parameters), strict=True))
    return found


start_cpu_process_group('pytorch')
assert get_world_size() == 2
alone = gradients(slice(None), sync=False)
together = gradients(slice(get_rank(), None, 2), sync=True)
for name, expected in alone.items():
    torch.distributed.all_reduce(together[name])  # as DistributedDataParallel: the mean
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(
        together[name] / 2, expected, rtol=0, atol=1e-11 * scale, msg=f'gradient of {name} differs'
    )
print('gradients agree')

runner = train(sys.argv[1], work_dir=sys.argv[2], launcher='pytorch')
digest = hashlib.sha256()
for key, value in sorted(runner.model.module.state_dict().items()):
    digest.update(key.encode() + value.contiguous().numpy().tobytes())
digests = all_gather_object(digest.hexdigest())
assert len(set(digests)) == 1, 'weights, buffers or EMA differ between the ranks'
print('ranks agree')
