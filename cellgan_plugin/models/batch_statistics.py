"""Statistics of batch normalisation for weights that were never trained with any: averaged ones."""

from typing import Any, Callable, Dict, Optional, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.models.layers import GlobalBatchNorm2d
from cellgan_plugin.models.sampling import draw_noise
from cellgan_plugin.randomness import generator_for

PURPOSE = 'batch_statistics'


class _Moments:
    """Sums over batches of one layer's input, per channel, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.sum: Any = 0.0
        self.squares: Any = 0.0

    def add(self, x: Tensor) -> None:
        x = x.detach().double().transpose(0, 1).flatten(1)
        self.count += x.shape[1]
        self.sum = self.sum + x.sum(dim=1)
        self.squares = self.squares + x.square().sum(dim=1)

    def mean(self) -> Tensor:
        return self.sum / self.count

    def variance(self) -> Tensor:
        return (self.squares / self.count - self.mean().square()).clamp_(min=0)


def tracked_layers(network: nn.Module) -> Dict[str, nn.Module]:
    """Batch normalisations of a network that keep running statistics, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, (_BatchNorm, GlobalBatchNorm2d)) and module.running_mean is not None
    }


@torch.no_grad()
def estimate_batch_statistics(
    network: nn.Module, forward: Callable[[int], Any], passes: int
) -> int:
    """Replace the running statistics of a network by those of given batches, in place.

    While they are taken, every layer normalises by the batch it sees, as in training, so that each
    layer's input is what the layers before it make of it; what is kept is the mean and the
    (biased) variance over all batches together. "Standing statistics" (Brock et al. 2019, Appendix
    A) do this before sampling. Nothing but batch normalisation leaves evaluation mode, and no
    process waits for another, whatever the layers do in training.

    Args:
        network (nn.Module): Left in the mode in which it is.
        forward (Callable[[int], Any]): Runs batch i (from 0) through the network.
        passes (int): Number of batches, at least 1.

    Returns:
        int: Number of layers; with 0, nothing was run.
    """
    if passes < 1:
        raise ValueError(f'passes={passes!r}: must be at least 1')
    layers = tracked_layers(network)
    if not layers:
        return 0
    moments = {name: _Moments() for name in layers}

    def look(name: str) -> Callable:
        def hook(layer: nn.Module, inputs: tuple) -> None:
            moments[name].add(inputs[0])
            of_batch = _Moments()
            of_batch.add(inputs[0])
            layer.running_mean.copy_(of_batch.mean())
            layer.running_var.copy_(of_batch.variance())

        return hook

    modes = {module: module.training for module in network.modules()}
    handles = [layer.register_forward_pre_hook(look(name)) for name, layer in layers.items()]
    network.eval()
    try:
        for number in range(passes):
            forward(number)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    for name, layer in layers.items():
        if moments[name].count:
            layer.running_mean.copy_(moments[name].mean())
            layer.running_var.copy_(moments[name].variance())
    return len(layers)


def settle_average(
    model: nn.Module,
    class_weights: Optional[Sequence[float]] = None,
    seed: int = 0,
    passes: int = 8,
    batch_size: int = 32,
) -> int:
    """Give the averaged generator of a conditional GAN statistics of its own, in place.

    An average of weights has been trained with no batch: statistics copied from the weights that
    move, or averaged beside them, are those of other networks. For MMagic's GANs and this
    plugin's; a model without an average, or whose generator has no batch normalisation, is left
    alone. The numbers depend on the averaged weights and the seed alone, so calling it again, or
    after a resume, gives the same.

    Args:
        model (nn.Module): The model, wrapped or not.
        class_weights (Sequence[float], optional): How often each class is generated in training,
            e.g. the class counts of the data set. Defaults to None: every class alike.
        seed (int): Base seed of noise and labels. Defaults to 0.
        passes (int): Batches of generated images. Defaults to 8.
        batch_size (int): Images per batch. Defaults to 32.

    Returns:
        int: Number of layers.
    """
    model = unwrap(model)
    if not getattr(model, 'with_ema_gen', False):
        return 0
    network = model.generator_ema.module
    if not tracked_layers(network):
        return 0
    if class_weights is None:
        class_weights = [1.0] * model.num_classes
    weights = torch.as_tensor(list(class_weights), dtype=torch.float64)
    device = next(network.parameters()).device

    def forward(number: int) -> None:
        rows = [(number, i) for i in range(batch_size)]
        noise = draw_noise(model.noise_size, seed, PURPOSE, rows)
        draws = generator_for(seed, f'{PURPOSE}_labels', number)
        labels = torch.multinomial(weights, batch_size, replacement=True, generator=draws)
        network(noise.to(device), label=labels.to(device), return_noise=False)

    return estimate_batch_statistics(network, forward, passes)
