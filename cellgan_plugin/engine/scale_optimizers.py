"""Optimizers of the networks that a pyramid trains at its current scale."""

import copy
from typing import Optional

from mmagic.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapperDict
from torch import nn

from cellgan_plugin.models.conditional_gan import unwrap


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ScaleOptimWrapperConstructor:
    """One optimizer per network of the scale in training; none for the others.

    Args:
        optim_wrapper_cfg (dict): Optimizer wrapper configs by the name of the network, as the
            model's ``trained_networks`` has it: ``generator``, ``discriminator``, ``segmenter``.
            Entries of networks that the model does not have are left out, so that baselines
            inherit the schedule of the whole.
        paramwise_cfg (dict, optional): Not supported; give it in the entry of a network.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None):
        if paramwise_cfg is not None:
            raise ValueError('paramwise_cfg belongs into the entries of the networks')
        self.optim_wrapper_cfg = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build the optimizers of the current scale.

        Raises:
            ValueError: A network has no optimizer.
        """
        networks = unwrap(model).trained_networks()
        missing = [name for name in networks if name not in self.optim_wrapper_cfg]
        if missing:
            raise ValueError(
                f'optim_wrapper has no entry for {", ".join(missing)}: add '
                f"{missing[0]}=dict(optimizer=dict(type='Adam', lr=...))"
            )
        wrappers = {}
        for name, network in networks.items():
            config = copy.deepcopy(dict(self.optim_wrapper_cfg[name]))
            paramwise = config.pop('paramwise_cfg', None)
            wrappers[name] = DefaultOptimWrapperConstructor(config, paramwise)(network)
        return OptimWrapperDict(**wrappers)
