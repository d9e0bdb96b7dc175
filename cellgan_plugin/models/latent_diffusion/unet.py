"""The denoising network: diffusers' U-Net with a class embedding that has a null class."""

from typing import Tuple

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.compat import diffusers_class


@MODELS.register_module()
class LatentUNet(nn.Module):
    """``UNet2DModel`` of diffusers, conditioned on the timestep and on a class.

    The class embedding is added to that of the timestep. Class ``num_classes`` is the null class
    of classifier-free guidance (Ho & Salimans 2022).

    Args:
        num_classes (int): Without the null class.
        sample_size (int): Side of the latents.
        in_channels (int): Channels of the latents.
        block_out_channels (Sequence[int]): Channels at each resolution, every one but the first of
            half the side.
        **config: Of diffusers' ``UNet2DModel`` (``down_block_types``, ``up_block_types``,
            ``layers_per_block``, ``attention_head_dim``, ``norm_num_groups``, ``dropout``, ...).

    Raises:
        ValueError: ``sample_size`` cannot be halved as often as needed, or diffusers refuses the
            config.
    """

    def __init__(
        self, num_classes: int, sample_size: int, in_channels: int, block_out_channels, **config
    ):
        super().__init__()
        network = diffusers_class('UNet2DModel')
        halvings = len(block_out_channels) - 1
        if not isinstance(sample_size, int) or sample_size < 1 or sample_size % 2**halvings:
            raise ValueError(
                f'generator.sample_size={sample_size!r}: the {halvings + 1} entries of '
                f'block_out_channels halve it {halvings} times, so it must be a multiple of '
                f'{2**halvings}'
            )
        self.num_classes = num_classes
        self.sample_size = sample_size
        self.in_channels = in_channels
        try:
            self.net = network(
                sample_size=sample_size,
                in_channels=in_channels,
                out_channels=in_channels,
                block_out_channels=tuple(block_out_channels),
                class_embed_type='identity',  # the embedding is below, so that classes can be mixed
                **config,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f'generator: UNet2DModel of diffusers says: {error}') from error
        width = self.net.time_embedding.linear_2.out_features
        self.class_embedding = nn.Embedding(num_classes + 1, width)

    @property
    def latent_shape(self) -> Tuple[int, int, int]:
        """Shape (channels, height, width) of a latent."""
        return self.in_channels, self.sample_size, self.sample_size

    @property
    def noise_size(self) -> int:
        """Values of a latent: the length of z."""
        return self.in_channels * self.sample_size**2

    def forward(self, latents: Tensor, timesteps: Tensor, label: Tensor) -> Tensor:
        """Predict the noise (or what the schedule's ``prediction_type`` says).

        Args:
            latents (Tensor): Noisy latents (N, C, h, w).
            timesteps (Tensor): (N,) or scalar, 0-based.
            label (Tensor): (N,) int in [0, num_classes], the last being the null class; or weights
                (N, num_classes) or (N, num_classes + 1), which mix embeddings.

        Returns:
            Tensor: (N, C, h, w).
        """
        if label.is_floating_point():
            missing = self.class_embedding.num_embeddings - label.shape[1]
            embedding = F.pad(label, (0, missing)) @ self.class_embedding.weight
        else:
            embedding = self.class_embedding(label)
        return self.net(latents, timesteps, class_labels=embedding, return_dict=False)[0]


def null_label(label: Tensor, num_classes: int) -> Tensor:
    """The null class for every row of ``label``, in its form: (N,) int or weights (N, C + 1)."""
    if not label.is_floating_point():
        return torch.full_like(label, num_classes)
    null = label.new_zeros(len(label), num_classes + 1)
    null[:, num_classes] = 1
    return null
