"""Weights as sampling needs them: normalised once, and laid out so that less is computed."""

import torch
from torch import nn
from torch.nn.utils import parametrize, remove_spectral_norm


@torch.no_grad()
def fuse_spectral_norm(model: nn.Module) -> int:
    """Replace weights that are normalised at every forward by their normalised values, in place.

    The model computes in evaluation mode what it computed before and holds plain layers; it can
    no longer be trained on, and its ``state_dict`` has other keys. Three kinds are known:
    parametrizations (this plugin's and ``torch.nn.utils.parametrizations.spectral_norm``; any
    other parametrization of a weight is fused as well), the hooks of
    ``torch.nn.utils.spectral_norm``, and the layers with ``sn_weight`` of MMagic's BigGAN.

    Args:
        model (nn.Module): Any model.

    Returns:
        int: Number of weights fused.
    """
    model.eval()  # power iterations would move the weights that are being read
    fused = 0
    for module in model.modules():
        if parametrize.is_parametrized(module):
            fused += _fuse_parametrizations(module)
        names = [name for name, _ in module.named_parameters(recurse=False)]
        for name in names:
            # What torch's hook leaves behind: the weight itself is then no parameter.
            if name.endswith('_orig') and hasattr(module, f'{name[:-5]}_u'):
                remove_spectral_norm(module, name[:-5])
                fused += 1
        if callable(getattr(module, 'sn_weight', None)):
            _fuse_sn_layer(module)
            fused += 1
    return fused


def _fuse_parametrizations(module: nn.Module) -> int:
    weights = {name: getattr(module, name).detach().clone() for name in module.parametrizations}
    plain = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    # torch's remove_parametrizations deletes the property from the class instead; copies of a
    # module (a generator and its moving average) share that class, and would lose theirs.
    module.__class__ = plain
    for name, weight in weights.items():
        module.register_parameter(name, nn.Parameter(weight, requires_grad=False))
    return len(weights)


def _fuse_sn_layer(module: nn.Module) -> None:
    weight = module.sn_weight().detach().clone()
    plain = next(kind for kind in type(module).__mro__ if kind.__module__.startswith('torch.nn.'))
    for name, _ in list(module.named_buffers(recurse=False)):
        delattr(module, name)
    module.__class__ = plain
    module.weight = nn.Parameter(weight, requires_grad=False)
