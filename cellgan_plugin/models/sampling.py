"""Images on demand from any class-conditional MMagic model: image i of class c is always the same.

Everything that draws pictures or writes synthetic images goes through here: training sheets,
synthesis, comparisons, selection.
"""

import math
from typing import Optional, Sequence, Tuple, Union

import torch
from mmagic.structures import DataSample
from torch import Tensor, nn

from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.models.layers import evaluating
from cellgan_plugin.randomness import generator_for

Row = Tuple[Union[int, str], ...]


def draw_noise(noise_size: int, seed: int, purpose: str, rows: Sequence[Row]) -> Tensor:
    """One z per row, each from (seed, purpose, row) alone.

    Args:
        noise_size (int): Length of z.
        seed (int): Base seed.
        purpose (str): See :func:`~cellgan_plugin.randomness.derive_seed`.
        rows (Sequence[tuple]): What tells one image from another, e.g. (label, index).

    Returns:
        Tensor: (len(rows), noise_size), standard normal, float32, on the CPU.
    """
    if not rows:
        return torch.empty(0, noise_size)
    return torch.stack(
        [torch.randn(noise_size, generator=generator_for(seed, purpose, *row)) for row in rows]
    )


def truncate_noise(noise: Tensor, threshold: float) -> Tensor:
    """The truncation trick (Brock et al. 2019, Sec. 3.1) without drawing again.

    Standard normal numbers become numbers of the normal distribution truncated to
    ``[-threshold, threshold]``, by way of their quantiles: the order of the numbers stays, so an
    image keeps its looks while it moves towards the typical one.

    Args:
        noise (Tensor): Standard normal.
        threshold (float): Positive; large values change nothing, small ones lower the variety.

    Returns:
        Tensor: As ``noise``, within the bounds.

    Raises:
        ValueError: The threshold is not positive.
    """
    if not threshold > 0:
        raise ValueError(f'truncation {threshold}: must be positive (0.5 to 2 are usual)')
    half = math.erf(threshold / math.sqrt(2))  # probability of lying within the bounds
    # erf(z / sqrt 2) is 2 Phi(z) - 1; in float64, since it is near 1 in the tails.
    quantile = torch.erf(noise.double() / math.sqrt(2)) * half
    truncated = torch.erfinv(quantile) * math.sqrt(2)
    return truncated.clamp(-threshold, threshold).to(noise.dtype)


def default_sample_model(model: nn.Module) -> str:
    """``'ema'`` where the model keeps averaged weights, else ``'orig'``."""
    return 'ema' if getattr(unwrap(model), 'with_ema_gen', False) else 'orig'


def returns_bgr(model: nn.Module) -> bool:
    """Whether ``fake_img`` of a model trained on RGB images is BGR, by its preprocessor's word."""
    probe = torch.tensor([0.5, 0.0, -0.5], device=model.device).view(1, 3, 1, 1)
    found = model.data_preprocessor.destruct(probe, None).flatten()
    return bool(found[0] < found[2])


@torch.no_grad()
def sample_pixels(
    model: nn.Module,
    noise: Tensor,
    labels: Tensor,
    sample_model: Optional[str] = None,
    sample_kwargs: Optional[dict] = None,
) -> Tensor:
    """Generate a batch as a saved PNG would hold it.

    Puts the model into evaluation mode for the call and leaves it in the mode that it was in.

    Args:
        model (nn.Module): A conditional GAN of MMagic or a model of this plugin, wrapped or not.
        noise (Tensor): z (N, noise_size), on any device.
        labels (Tensor): (N,) int, on any device; models of this plugin that mix class embeddings
            take float weights (N, num_classes) as well.
        sample_model (str, optional): 'ema' or 'orig'. Defaults to None: 'ema' where there is one.
        sample_kwargs (dict, optional): For the model's generator. MMagic's own classes drop them.

    Returns:
        Tensor: uint8 (N, C, H, W), RGB, on the model's device, rounded to the nearest grey level.

    Raises:
        FloatingPointError: An image holds NaN or infinities: the model has diverged.
    """
    model = unwrap(model)
    inputs = dict(
        noise=noise.to(model.device),
        num_batches=len(noise),
        sample_model=sample_model or default_sample_model(model),
        sample_kwargs=dict(sample_kwargs or {}),
    )
    labels = labels.to(model.device)
    samples = DataSample()
    if labels.is_floating_point():
        inputs['labels'] = labels
    else:
        samples.set_gt_label(labels)
    with evaluating(model):
        images = model(inputs, data_samples=samples)
    batch = torch.stack([image.fake_img for image in images])
    if not torch.isfinite(batch).all():
        raise FloatingPointError(
            'the generator gives NaN or infinite images: it has diverged; use an earlier checkpoint'
        )
    if batch.shape[1] == 3 and returns_bgr(model):
        batch = batch.flip(1)
    return batch.round().clamp(0, 255).to(torch.uint8)
