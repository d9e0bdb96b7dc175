"""How much the images of a batch differ, as a feature of each of them."""

import torch
from torch import Tensor, nn


class MinibatchDeviation(nn.Module):
    """Append the mean standard deviation over groups of images as one more channel.

    Karras et al. 2018 ("Progressive growing of GANs", Sec. 3): a discriminator that sees it can
    tell a batch of images that resemble one another from a batch of real ones. In training mode
    and in evaluation mode alike; with one image the deviation is 0.

    Args:
        group_size (int): Images that are compared, at least 1: image i with images
            i + k * N / group_size. The largest divisor of the batch size up to it is used.
            Defaults to 4.
    """

    def __init__(self, group_size: int = 4):
        super().__init__()
        if group_size < 1:
            raise ValueError(f'group_size={group_size!r}: must be at least 1')
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C + 1, H, W)."""
        count, _, height, width = x.shape
        size = next(n for n in range(min(self.group_size, count), 0, -1) if count % n == 0)
        groups = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(0, (size, -1))
        deviation = (groups.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        plane = deviation.repeat(size)[:, None, None, None].expand(-1, 1, height, width)
        return torch.cat([x, plane.to(x.dtype)], dim=1)
