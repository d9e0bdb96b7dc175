"""Minibatch discrimination: a critic sees how alike the images of a batch are."""

import torch
from torch import Tensor, nn

from .cross_rank import gather_rows
from .precision import at_least_float32


class MinibatchDiscrimination(nn.Module):
    r"""Appends to each image's features how close the rest of the batch is (Salimans et al. 2016).

    Sec. 3.2: :math:`M_i = f(x_i) T`, of shape (kernels, kernel size);
    :math:`o(x_i)_b = \sum_{j \ne i} \exp(-\|M_{i,b} - M_{j,b}\|_1)`. As in their program the image
    itself, which would add 1, is left out. Never computed in half: small differences of large sums.

    Args:
        in_features (int): Length of f(x).
        num_kernels (int): b; numbers that are appended. Defaults to 100 (their program).
        kernel_size (int): Length of a row of M. Defaults to 5 (their program).
        sync (bool): Compare with the images of all processes, so that their number does not
            change the model. Defaults to True.
    """

    def __init__(
        self, in_features: int, num_kernels: int = 100, kernel_size: int = 5, sync: bool = True
    ):
        super().__init__()
        self.num_kernels = num_kernels
        self.kernel_size = kernel_size
        self.sync = sync
        self.out_features = in_features + num_kernels
        # Features of unit size then give distances of a few units, where exp(-d) has a slope.
        weight = torch.randn(in_features, num_kernels * kernel_size) * in_features**-0.5
        self.weight = nn.Parameter(weight)

    def forward(self, features: Tensor) -> Tensor:
        """Append the closeness: (N, in_features) to (N, in_features + num_kernels).

        At least in float32.
        """
        with torch.autocast(features.device.type, enabled=False):
            features = at_least_float32(features)
            own = (features @ self.weight).view(-1, self.num_kernels, self.kernel_size)
            others = gather_rows(own) if self.sync else own
            distance = (own[:, None] - others[None]).abs().sum(dim=-1)  # (N, all, kernels)
            closeness = torch.exp(-distance).sum(dim=1) - 1  # the image itself: exp(0)
            return torch.cat([features, closeness], dim=1)
