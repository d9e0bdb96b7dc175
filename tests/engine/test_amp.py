import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from cellgan_plugin.engine.amp import BFloat16OptimWrapper, amp_wrapper, enable_amp


def test_every_optimizer_of_a_gan_is_switched():
    config = ConfigDict(
        constructor='MultiOptimWrapperConstructor',
        generator=dict(optimizer=dict(type='Adam')),
        discriminator=dict(optimizer=dict(type='Adam')),
    )
    message = enable_amp(config)
    assert 'generator, discriminator' in message
    kind = amp_wrapper()[1]['type']
    assert config.generator.type == config.discriminator.type == kind
    assert config.constructor == 'MultiOptimWrapperConstructor'


def test_a_single_optimizer_is_switched():
    config = ConfigDict(optimizer=dict(type='Adam'))
    enable_amp(config)
    assert config.type == amp_wrapper()[1]['type']


def test_a_config_without_optimizer_is_refused():
    with pytest.raises(ValueError, match='no entry with an optimizer'):
        enable_amp(ConfigDict(constructor='X'))


def test_bfloat16_really_changes_the_precision_of_the_forward_only():
    layer = nn.Linear(3, 2)
    wrapper = BFloat16OptimWrapper(torch.optim.SGD(layer.parameters(), 0.1))
    if torch.cuda.is_available():
        layer.cuda()
    x = torch.ones(1, 3, device=layer.weight.device)
    with wrapper.optim_context(layer):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert layer.weight.dtype == torch.float32


def test_the_backward_leaves_autocast():
    seen = []

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.square()

        @staticmethod
        def backward(ctx, gradient):
            seen.append(torch.is_autocast_enabled(gradient.device.type))
            return gradient

    weight = nn.Parameter(torch.ones(2))
    wrapper = BFloat16OptimWrapper(torch.optim.SGD([weight], 0.1))
    with wrapper.optim_context(nn.Module()):
        wrapper.update_params(Square.apply(weight).sum())
    assert seen == [False]
