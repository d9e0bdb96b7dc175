"""A training step of any config of the repository on random images, for ``gpu.py``."""

from typing import Any, Dict, List, Optional, Tuple

import torch
from mmagic.registry import MODELS
from mmengine import MessageHub
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from cellgan_plugin.engine.amp import enable_amp
from cellgan_plugin.models.model_checks import generated_shape
from cellgan_plugin.randomness import generator_for
from cellgan_plugin.runs.train import load_config


class Step:
    """One training step, as ``tools/train.py`` would take it.

    Args:
        config (str): Path of a config. Its perceptual loss is left out, as its weights are not in
            the repository; an autoencoder that latent diffusion needs is random.
        device (str): That computes.
        batch (int, optional): Images. Defaults to None: the config's own.
        amp (bool): bfloat16. Defaults to False.
        scale (int, optional): Of a model with scales. Defaults to None: the last one.
    """

    def __init__(
        self,
        config: str,
        device: str,
        batch: Optional[int] = None,
        amp: bool = False,
        scale: Optional[int] = None,
    ):
        self.config: Config = load_config(config)
        self.device = device
        if self.config.model.get('perceptual_loss'):
            self.config.model.perceptual_loss = None
        torch.manual_seed(0)
        self.model = MODELS.build(self.config.model)
        if hasattr(self.model, 'scales'):
            self.model.enter_scale(len(self.model.scales) - 1 if scale is None else scale)
            self.model.scale_epoch = float('inf')  # the terms that come late take part
        if hasattr(self.model, 'autoencoder_is_trained'):
            self.model.autoencoder_is_trained.fill_(True)
        self.model.to(device).train()
        if amp:
            enable_amp(self.config.optim_wrapper)
        self.optimizers = build_optim_wrapper(self.model, self.config.optim_wrapper)
        self.data = self._data(batch)
        self.iteration = 0

    def _data(self, batch: Optional[int]) -> Dict[str, Any]:
        # After the plugin, whose repairs MMagic needs beside new packages.
        from mmagic.structures import DataSample

        model, draws = self.model, generator_for(0, 'benchmarks/gpu')
        if hasattr(model, 'scales'):
            count = batch or model.scales[model.scale_index].batch_size
            size = (model.tile_size, model.tile_size)
            img = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=draws)
            mask = torch.randint(0, model.num_classes, (count, *size), generator=draws)
            half = getattr(model, 'semi_supervised', type(model).__name__ == 'MeanTeacher')
            labelled = torch.arange(count) < (count // 2 if half else count)
            inputs = dict(img=img, mask=mask.to(torch.uint8), labelled=labelled)
            return dict(inputs=inputs, data_samples=None)
        count = batch or self.config.train_dataloader.batch_size
        # The generator of latent diffusion makes latents.
        if hasattr(model, 'generator') and not hasattr(model, 'autoencoder_is_trained'):
            shape = generated_shape(model)
        else:
            shape = (3, *[self.config.model.autoencoder.sample_size] * 2)
        img = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=draws)
        samples = DataSample()
        samples.set_gt_label(torch.arange(count) % getattr(model, 'num_classes', 1))
        return dict(inputs=dict(img=img), data_samples=samples)

    @property
    def images(self) -> int:
        """Images of a step."""
        return len(self.data['inputs']['img'])

    def __call__(self) -> Dict[str, Any]:
        """Take a step in which every network has its turn; returns the log."""
        counts = getattr(self.model, 'discriminator_steps', 1)
        if 'discriminator' in self.optimizers:
            counts *= self.optimizers['discriminator']._accumulative_counts
        hub = MessageHub.get_current_instance()
        for _ in range(counts):
            hub.update_info('iter', self.iteration)
            log = self.model.train_step(self.data, self.optimizers)
            self.iteration += 1
        return log


def losses_and_gradients(step: Step) -> Tuple[Dict[str, float], Dict[str, List[torch.Tensor]]]:
    """Losses of a step, and gradients of every network, on the host; no weight changes.

    Returns:
        tuple: ``{name: value}`` and ``{network: gradients}``.
    """
    gradients: Dict[str, List[torch.Tensor]] = {}
    for name, wrapper in step.optimizers.items():

        def update(loss, name=name, wrapper=wrapper):
            wrapper.backward(loss)
            weights = [p for group in wrapper.param_groups for p in group['params']]
            gradients[name] = [p.grad.float().cpu() for p in weights if p.grad is not None]
            wrapper.zero_grad()

        wrapper.update_params = update
    log = step()
    return {k: float(v.detach()) for k, v in log.items() if 'loss' in k}, gradients
