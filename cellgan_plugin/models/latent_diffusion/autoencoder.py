"""The autoencoders of latent diffusion (Rombach et al. 2022, Sec. 3.1), from diffusers."""

from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn

from cellgan_plugin.compat import diffusers_class


class ImageAutoencoder(nn.Module):
    """Base: images (N, C, S, S) in [-1, 1] to latents (N, latent_channels, S/f, S/f) and back.

    Args:
        sample_size (int): Side of the images in pixels.
        block_out_channels (Sequence[int]): Channels at each resolution; every one but the first
            halves the side, so f = 2^(number - 1).
        **config: Of the network in diffusers. ``down_block_types`` and ``up_block_types`` default
            to plain residual blocks (attention sits in the middle block, as in Rombach et al.).

    Attributes:
        kind (str): Class of diffusers.
        net (nn.Module): diffusers' network.
        loss_name (str): What its regulariser is called in the log.
        default_weight (float): Weight of the regulariser, see :class:`LatentAutoencoder`.

    Raises:
        ValueError: ``sample_size`` is no multiple of f, or diffusers refuses the config.
    """

    kind: str = ''
    loss_name: str = ''
    default_weight: float = 1.0

    def __init__(self, sample_size: int, block_out_channels, **config):
        super().__init__()
        levels = len(block_out_channels)
        self.factor = 2 ** (levels - 1)
        if not isinstance(sample_size, int) or sample_size < 1 or sample_size % self.factor:
            raise ValueError(
                f'autoencoder.sample_size={sample_size!r}: must be a multiple of {self.factor}, by '
                f'which the {levels} entries of autoencoder.block_out_channels scale images down'
            )
        config.setdefault('down_block_types', ('DownEncoderBlock2D',) * levels)
        config.setdefault('up_block_types', ('UpDecoderBlock2D',) * levels)
        for name in ('down_block_types', 'up_block_types'):
            if len(config[name]) != levels:
                raise ValueError(
                    f'autoencoder.{name} has {len(config[name])} entries, block_out_channels '
                    f'{levels}: they must be as many'
                )
        try:
            self.net = diffusers_class(self.kind)(
                sample_size=sample_size, block_out_channels=tuple(block_out_channels), **config
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f'autoencoder: {self.kind} of diffusers says: {error}') from error
        self.image_size = sample_size
        self.in_channels = self.net.config.in_channels
        if self.net.config.out_channels != self.in_channels:
            raise ValueError(
                f'autoencoder.in_channels={self.in_channels} but out_channels='
                f'{self.net.config.out_channels}: they must be equal'
            )

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return self.net.config.latent_channels

    @property
    def latent_size(self) -> int:
        """Side of a latent."""
        return self.image_size // self.factor

    @property
    def latent_shape(self) -> Tuple[int, int, int]:
        """Shape (channels, height, width) of a latent."""
        return self.latent_channels, self.latent_size, self.latent_size

    @property
    def noise_size(self) -> int:
        """Length of the noise vector that encoding one image takes; 0: none."""
        return 0

    @property
    def last_layer(self) -> Tensor:
        """Weight of the decoder's last layer, for the adaptive weight of the discriminator."""
        return self.net.decoder.conv_out.weight

    @property
    def architecture(self) -> Dict[str, Any]:
        """What another network of diffusers must agree on to give its weights to this one."""
        apart = ('sample_size', 'scaling_factor', 'force_upcast', 'latents_mean', 'latents_std')
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in self.net.config.items()
            if not key.startswith('_') and key not in apart
        }

    def encode(self, img: Tensor, noise: Optional[Tensor] = None) -> Tensor:
        """Latents of images.

        Args:
            img (Tensor): (N, C, S, S) in [-1, 1].
            noise (Tensor, optional): (N, noise_size), standard normal: a draw from the posterior
                where there is one. Defaults to None: its mean.

        Returns:
            Tensor: (N, latent_channels, S/f, S/f), float32.
        """
        raise NotImplementedError

    def decode(self, latents: Tensor) -> Tensor:
        """Images (N, C, S, S) of latents (N, latent_channels, S/f, S/f), not clamped."""
        return self.net.decode(latents, return_dict=False)[0]

    def forward(self, img: Tensor, noise: Optional[Tensor] = None) -> Dict[str, Tensor]:
        """Encode and decode, for training.

        Returns:
            dict[str, Tensor]: ``reconstruction`` (N, C, S, S); ``regulariser``, a scalar; and
            scalars for the log.
        """
        raise NotImplementedError


class KLAutoencoder(ImageAutoencoder):
    """``AutoencoderKL``: a diagonal Gaussian posterior, slightly pulled to the standard normal.

    The regulariser is the divergence KL(posterior || N(0, 1)) of an image in nats, divided by the
    number of its values (C x S x S) and averaged over the batch. Rombach et al.'s program adds
    1e-6 times that sum to the *sum* of the absolute errors; divided by the number of values, it is
    the same objective on the scale of a mean error, hence the weight of 1e-6. ``kl_nats`` in the
    log is the divergence of one value of the latent, without weight.
    """

    kind = 'AutoencoderKL'
    loss_name = 'loss_kl'
    default_weight = 1e-6

    @property
    def noise_size(self) -> int:
        """See the base."""
        channels, height, width = self.latent_shape
        return channels * height * width

    def _posterior(self, img: Tensor) -> Tuple[Tensor, Tensor]:
        moments = self.net.encode(img).latent_dist.parameters.float()
        mean, log_variance = moments.chunk(2, dim=1)
        return mean, log_variance.clamp(-30.0, 20.0)  # diffusers' bounds

    @staticmethod
    def _draw(mean: Tensor, log_variance: Tensor, noise: Optional[Tensor]) -> Tensor:
        if noise is None:
            return mean
        return mean + (0.5 * log_variance).exp() * noise.view_as(mean)

    def encode(self, img: Tensor, noise: Optional[Tensor] = None) -> Tensor:
        """See the base."""
        return self._draw(*self._posterior(img), noise)

    def forward(self, img: Tensor, noise: Optional[Tensor] = None) -> Dict[str, Tensor]:
        """See the base."""
        mean, log_variance = self._posterior(img)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)
        latents = self._draw(mean, log_variance, noise)
        return dict(
            reconstruction=self.decode(latents),
            regulariser=divergence.flatten(1).sum(dim=1).mean() / img[0].numel(),
            kl_nats=divergence.detach().mean(),
            latent_std=latents.detach().std(),
        )


class VQAutoencoder(ImageAutoencoder):
    """``VQModel``: latents are replaced by the nearest of ``num_vq_embeddings`` code vectors.

    The regulariser is diffusers' own: mean squared distance of latent and code, with weight 1 for
    the gradient into the encoder and 0.25 into the codebook (the order of Rombach et al.'s
    program). Diffusion works on the latents *before* quantisation; the decoder quantises (Sec. 3.1:
    the quantisation layer is absorbed by the decoder).
    """

    kind = 'VQModel'
    loss_name = 'loss_codebook'
    default_weight = 1.0

    @property
    def latent_channels(self) -> int:
        """See the base: those of a code vector, what is quantised."""
        return self.net.config.vq_embed_dim or self.net.config.latent_channels

    def encode(self, img: Tensor, noise: Optional[Tensor] = None) -> Tensor:
        """See the base; there is no posterior to draw from."""
        return self.net.encode(img).latents.float()

    def decode(self, latents: Tensor) -> Tensor:
        """See the base."""
        return self._decode_codes(self._quantise(latents)[0])

    def _quantise(self, latents: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        # Nearest neighbours in half precision are others than in float32.
        with torch.autocast(latents.device.type, enabled=False):
            codes, loss, (_, _, indices) = self.net.quantize(latents.float())
        return codes, loss, indices

    def _decode_codes(self, codes: Tensor) -> Tensor:
        return self.net.decode(codes, force_not_quantize=True, return_dict=False)[0]

    def forward(self, img: Tensor, noise: Optional[Tensor] = None) -> Dict[str, Tensor]:
        """See the base; ``codes_used`` is the share of the codebook that this batch uses."""
        codes, loss, indices = self._quantise(self.encode(img))
        # Not bincount, for which the host waits for the GPU.
        used = loss.new_zeros(self.net.quantize.n_e).index_fill(0, indices.flatten(), 1.0)
        return dict(
            reconstruction=self._decode_codes(codes),
            regulariser=loss,
            codes_used=used.mean(),
        )


# The type in a config, as diffusers calls it.
AUTOENCODERS: Dict[str, type] = {cls.kind: cls for cls in (KLAutoencoder, VQAutoencoder)}


def build_autoencoder(config: Mapping[str, Any]) -> ImageAutoencoder:
    """Build from a config such as ``dict(type='AutoencoderKL', sample_size=256, ...)``.

    Raises:
        ValueError: Another type, or a config that cannot be.
    """
    config = dict(config)
    kind = config.pop('type', None)
    if kind not in AUTOENCODERS:
        raise ValueError(f'autoencoder.type={kind!r}: must be one of {list(AUTOENCODERS)}')
    for name in ('sample_size', 'block_out_channels'):
        if name not in config:
            raise ValueError(f'autoencoder.{name} is missing: say it in the config of the model')
    return AUTOENCODERS[kind](**config)
