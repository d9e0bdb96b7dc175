from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub

from cellgan_plugin.engine.hooks import NonFiniteLossError, NonFiniteLossHook


def runner_at(iteration, last=None):
    hub = MessageHub(f'hub{iteration}{last}')
    if last:
        hub.update_info('last_ckpt', last)
    return SimpleNamespace(iter=iteration, message_hub=hub)


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_a_loss_that_is_not_finite_is_named(bad):
    outputs = dict(loss_gen=torch.tensor(1.0), loss_r1=torch.tensor(bad))
    with pytest.raises(NonFiniteLossError) as error:
        NonFiniteLossHook().after_train_iter(runner_at(6, 'run/iter_4.pth'), 6, outputs=outputs)
    message = str(error.value)
    assert 'iteration 7' in message and 'loss_r1' in message and 'loss_gen' not in message
    assert 'run/iter_4.pth' in message


def test_before_any_checkpoint_it_says_so():
    with pytest.raises(NonFiniteLossError, match='none was saved yet'):
        NonFiniteLossHook().after_train_iter(
            runner_at(0), 0, outputs=dict(loss=torch.tensor(float('nan')))
        )


def test_finite_losses_pass_and_the_interval_is_kept():
    hook = NonFiniteLossHook(interval=2)
    hook.after_train_iter(runner_at(1), 1, outputs=dict(loss=torch.tensor(1.0)))
    hook.after_train_iter(runner_at(0), 0, outputs=dict(loss=torch.tensor(float('nan'))))
    with pytest.raises(NonFiniteLossError):
        hook.after_train_iter(runner_at(1), 1, outputs=dict(loss=torch.tensor(float('nan'))))
