"""The noise of the generators: white by scale, and the stain that all pixels share."""

from typing import Optional, Sequence

import torch
from torch import Tensor

from cellgan_plugin.randomness import generator_for


class DrawsScaleNoise:
    """For a pyramid with ``generators``, ``device``, ``noise_std`` and ``stain_share``."""

    def draw_noise(self, seeds: Sequence[int], index: int, height: int, width: int) -> Tensor:
        """Noise of some images at one scale, each from its own seed.

        Returns:
            Tensor: (N, image_channels, height, width), scaled by ``noise_std``.
        """
        channels = self.generators[index].image_channels
        draws = [
            torch.randn(
                channels, height, width, generator=generator_for(seed, 'pyramid_noise', index)
            )
            for seed in seeds
        ]
        stain = None
        if index == 0 and self.stain_share:
            stain = torch.stack(
                [torch.randn(channels, generator=generator_for(s, 'pyramid_stain')) for s in seeds]
            ).to(self.device)
        return self.scale_noise(index, torch.stack(draws).to(self.device), stain)

    def scale_noise(self, index: int, white: Tensor, stain: Optional[Tensor] = None) -> Tensor:
        """Noise of a scale, of deviation ``noise_std``, from standard normal numbers (N, C, H, W).

        ``stain`` (N, C) joins at the coarsest scale.
        """
        if stain is not None:
            white = (1 - self.stain_share) ** 0.5 * white
            white = white + self.stain_share**0.5 * stain[:, :, None, None]
        return white * self.noise_std[min(index, len(self.noise_std) - 1)]
