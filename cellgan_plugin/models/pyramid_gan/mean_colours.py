"""Mean colours of images as standard normal numbers: the stain of a slide as a code."""

import torch
from torch import Tensor, nn

_LEAST_VARIANCE = 1e-4  # of colours in [-1, 1]: the first batch may hold one colour alone


class MeanColours(nn.Module):
    """Whitens the mean colour of an image by the mean and covariance of all that were seen.

    A generator that is given the code of its real image need not average over stains to be near
    that image; a standard normal draw in its place gives an image of some stain of the training
    set. The statistics are sums over all training steps, buffers of float64: a resumed run goes
    on with them.

    Args:
        channels (int): Of the images. Defaults to 3.
    """

    def __init__(self, channels: int = 3):
        super().__init__()
        self.register_buffer('count', torch.zeros((), dtype=torch.float64))
        self.register_buffer('total', torch.zeros(channels, dtype=torch.float64))
        self.register_buffer('products', torch.zeros(channels, channels, dtype=torch.float64))

    @torch.no_grad()
    def update(self, img: Tensor) -> None:
        """Take in real images (N, channels, H, W)."""
        means = img.double().mean(dim=(2, 3))
        self.count += len(means)
        self.total += means.sum(dim=0)
        self.products += means.T @ means

    @torch.no_grad()
    def code(self, img: Tensor) -> Tensor:
        """Codes (N, channels), float32, of images (N, channels, H, W).

        Over the images that were taken in their mean is 0 and their covariance the identity.
        """
        mean = self.total / self.count
        covariance = self.products / self.count - torch.outer(mean, mean)
        covariance = covariance + _LEAST_VARIANCE * torch.eye(len(mean), device=mean.device)
        # Without a check, which would wait for the GPU: the matrix is positive by its construction.
        root, _ = torch.linalg.cholesky_ex(covariance)
        centred = img.double().mean(dim=(2, 3)) - mean
        return torch.linalg.solve_triangular(root, centred.T, upper=False).T.float()
