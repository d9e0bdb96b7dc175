"""Self-attention over the positions of a feature map."""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    r"""Self-attention of HistoGAN (Sec. 3.1.1, Eq. (2) and (3)), after SAGAN (Zhang et al. 2019).

    .. math::

        \alpha_{j,i} = \frac{\exp(s_{ji})}{\sum_i \exp(s_{ji})}, \quad
        o_j = \sum_i \alpha_{j,i} W_v x_i, \quad y_j = \gamma o_j + x_j

    :math:`s_{ji}` is the inner product of a 1x1 convolution of the position j that is made and
    another one of the position i that is looked at. They are called ``query`` and ``key`` here, as
    is usual; Eq. (2) names them the other way round.

    Where the paper is silent, from SAGAN: an eighth of the channels for queries and keys, no
    biases, and the residual sum with :math:`\gamma`, a learned number that starts at 0. By Eq. (3)
    the values have all channels and no convolution follows. By Eq. (2) every position is looked
    at; SAGAN's released program takes the maximum of keys and values over 2x2 positions first,
    which ``pool=2`` does.

    Args:
        channels (int): Channels of the feature map.
        key_channels (int, optional): Of queries and keys. Defaults to None: ``channels // 8``, at
            least 1.
        pool (int): Side of the max pooling of keys and values. Defaults to 1.
        fused (bool): Use PyTorch's fused attention, which never holds the map of all pairs in
            memory, but has no second derivative: False where a gradient penalty passes.
            Defaults to True.
    """

    def __init__(
        self,
        channels: int,
        key_channels: Optional[int] = None,
        pool: int = 1,
        fused: bool = True,
    ):
        super().__init__()
        key_channels = key_channels or max(1, channels // 8)
        if pool < 1:
            raise ValueError(f'pool={pool!r}: must be at least 1')
        self.pool = pool
        self.fused = fused
        self.query = nn.Conv2d(channels, key_channels, 1, bias=False)
        self.key = nn.Conv2d(channels, key_channels, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def _pooled(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, positions)."""
        return (F.max_pool2d(x, self.pool) if self.pool > 1 else x).flatten(2)

    def attention(self, x: Tensor) -> Tensor:
        """The attention map of (N, C, H, W) alone: alpha (N, H * W, H * W / pool^2).

        Row j holds the weights of the positions i that position j looks at; rows sum to 1.
        """
        query, key = self.query(x).flatten(2), self._pooled(self.key(x))
        return (query.transpose(1, 2) @ key).softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        value = self._pooled(self.value(x))
        if self.fused:
            query, key = self.query(x).flatten(2), self._pooled(self.key(x))
            out = F.scaled_dot_product_attention(
                *(part.transpose(1, 2).unsqueeze(1) for part in (query, key, value)), scale=1.0
            )
            out = out.squeeze(1).transpose(1, 2)
        else:
            alpha = self.attention(x)
            out = value @ alpha.transpose(1, 2).to(value.dtype)
        return self.gamma.to(out.dtype) * out.reshape(x.shape) + x
