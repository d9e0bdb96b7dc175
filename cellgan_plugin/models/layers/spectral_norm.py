"""Spectral normalisation as a parametrization, and layers that are born with it."""

import contextlib
from typing import Iterator, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .upsampling import UpsamplingConv2d

# The authors' program; Sec. 3.1 of the paper names spectral normalisation without a number.
SPECTRAL_NORM_EPS = 1e-4
# Xavier gain of the authors' program.
OFFICIAL_INIT_GAIN = 0.02

_Layer = Union[nn.Conv2d, nn.ConvTranspose2d, nn.Linear]


class SpectralNorm(nn.Module):
    """Divide a weight by its largest singular value, estimated by one power iteration a forward.

    Miyato et al. 2018, Algorithm 1. The iteration runs in training mode only, and always in the
    weight's own precision: under autocast a bfloat16 singular value would scale whole layers.

    Args:
        weight (Tensor): The weight to normalise, at least 2-D.
        dim (int): The dimension of the output features: 0, or 1 for transposed convolutions.
            Defaults to 0.
        eps (float): Added to the norms that are divided by. Defaults to 1e-4.
    """

    def __init__(self, weight: Tensor, dim: int = 0, eps: float = SPECTRAL_NORM_EPS):
        super().__init__()
        self.dim = dim
        self.eps = eps
        with torch.no_grad():
            matrix = self._as_matrix(weight)
            height, width = matrix.shape
            self.register_buffer('u', F.normalize(matrix.new_empty(height).normal_(), dim=0))
            self.register_buffer('v', F.normalize(matrix.new_empty(width).normal_(), dim=0))
            # One iteration a step would start from a poor estimate; the first steps would then
            # train a differently scaled network.
            for _ in range(15):
                self._iterate(matrix)

    def _as_matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    def _iterate(self, matrix: Tensor) -> None:
        self.u.copy_(F.normalize(torch.mv(matrix, self.v), dim=0, eps=self.eps))
        self.v.copy_(F.normalize(torch.mv(matrix.t(), self.u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        """Return ``weight`` / sigma, same shape."""
        with torch.autocast(weight.device.type, enabled=False):
            matrix = self._as_matrix(weight)
            if self.training:
                with torch.no_grad():
                    self._iterate(matrix)
            # Clones: a later forward of the same step moves u and v on in place, and the backward
            # of this one still needs the vectors it used.
            u, v = self.u.clone(), self.v.clone()
            return weight / torch.dot(u, torch.mv(matrix, v))


@contextlib.contextmanager
def normalised_once(network: nn.Module) -> Iterator[None]:
    """Compute each parametrized weight of a network once for all forwards within the context.

    For the passes of one optimizer step: the weights do not change between them, and Algorithm 1
    of Miyato et al. has one power iteration per update, not one per pass. Every pass sees the same
    weights, and their gradients go through one division by sigma.

    Args:
        network (nn.Module): Its weights' gradients are those of the mode in which the context is
            entered; under ``torch.no_grad()`` there are none.
    """
    with parametrize.cached():
        for module in network.modules():
            if parametrize.is_parametrized(module):
                for name in module.parametrizations:
                    getattr(module, name)
        yield


def with_spectral_norm(layer: _Layer, eps: float = SPECTRAL_NORM_EPS) -> _Layer:
    """Initialise a layer (Xavier normal of gain 1, bias 0) and put spectral norm on its weight."""
    nn.init.xavier_normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    dim = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    parametrize.register_parametrization(layer, 'weight', SpectralNorm(layer.weight, dim, eps))
    return layer


def scale_initial_weights(network: nn.Module, gain: float) -> None:
    """Multiply every weight under spectral norm by the gain of its initialisation, in place.

    The network computes the same: spectral norm divides the gain out again. What changes is how far
    one optimizer step turns a weight. Adam moves each element by about the learning rate whatever
    the gradient, so with the authors' 0.02 the first steps replace the weights altogether, whatever
    the learning rate, and only the growth of their norm calms the training down over thousands of
    iterations; with 1.0 it is calm from the start.

    Args:
        network (nn.Module): A network made of this module's layers.
        gain (float): Above 0.
    """
    if gain <= 0:
        raise ValueError(f'init_gain={gain!r}: must be above 0')
    with torch.no_grad():
        for module in network.modules():
            if parametrize.is_parametrized(module, 'weight'):
                module.parametrizations.weight.original.mul_(gain)


def remove_spectral_norm_for_training(network: nn.Module) -> None:
    """Make every layer with this module's spectral norm a plain one, in place.

    The weights are drawn anew so that the size of the maps stays from layer to layer (He et al.
    2015, Eq. (14), for a LeakyReLU of slope 0.2); spectral norm would have divided any size out.

    Args:
        network (nn.Module): Convolutions and linear layers, not transposed convolutions.
    """
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, 'weight'):
            parametrize.remove_parametrizations(module, 'weight', leave_parametrized=False)
            nn.init.kaiming_normal_(module.weight, a=0.2)


def sn_conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias, 'same' padding for odd kernels, with spectral norm."""
    return with_spectral_norm(
        nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, (kernel_size - 1) // 2, bias=False
        )
    )


def sn_linear(in_features: int, out_features: int, bias: bool = True) -> nn.Linear:
    """A fully connected layer with spectral norm."""
    return with_spectral_norm(nn.Linear(in_features, out_features, bias))


def sn_upsampling_conv(in_channels: int, out_channels: int) -> UpsamplingConv2d:
    """Nearest-neighbour upsampling and a 3x3 convolution without bias, with spectral norm."""
    return with_spectral_norm(UpsamplingConv2d(in_channels, out_channels))
