"""How images are sampled: checked before any model is loaded, and written into protocols."""

import hashlib
import json
from typing import Any, Dict, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from torch import Tensor, nn

from cellgan_plugin.errors import SynthesisError
from cellgan_plugin.models.conditional_gan import ConditionalGAN
from cellgan_plugin.models.fusing import fuse_for_sampling
from cellgan_plugin.models.sampling import draw_noise, truncate_noise
from cellgan_plugin.runs.image_sampler import (
    GPU_BATCH_SIZE,
    ImageSampler,
    resolve_precision,
)
from cellgan_plugin.runs.trained_model import config_classes

PURPOSE = 'synthesize'

LabelAndSeed = Tuple[int, int]  # label, seed


def synthesis_noise(
    noise_size: int, rows: Sequence[LabelAndSeed], truncation: Optional[float] = None
) -> Tensor:
    """Noise z of synthetic images, each from its seed and label alone.

    Args:
        noise_size (int): Length of z.
        rows (Sequence[tuple[int, int]]): (label, seed) of each image.
        truncation (float, optional): See :func:`~cellgan_plugin.models.sampling.truncate_noise`.

    Returns:
        Tensor: (len(rows), noise_size), float32.
    """
    # LabelAndSeed by row: vectorised functions give other last bits at the end of an array.
    noise = [draw_noise(noise_size, seed, PURPOSE, [(label,)]) for label, seed in rows]
    if truncation is not None:
        noise = [truncate_noise(z, truncation) for z in noise]
    return torch.cat(noise) if noise else torch.empty(0, noise_size)


def model_sha256(config: Config) -> str:
    """SHA-256 of the parts of a config that decide what is generated: model and class names."""
    relevant = dict(model=config.to_dict()['model'], classes=config_classes(config))
    return hashlib.sha256(json.dumps(relevant, sort_keys=True, default=str).encode()).hexdigest()


def sample_settings(
    config: Config,
    device: torch.device,
    truncation: Optional[float] = None,
    sample_model: Optional[str] = None,
    sample_kwargs: Optional[dict] = None,
    precision: str = 'auto',
) -> Dict[str, Any]:
    """Check how to sample before any model is loaded.

    Args:
        config (Config): The run.
        device (torch.device): Where to sample.
        truncation (float, optional): See :func:`synthesize`, as the others.
        sample_model (str, optional): Defaults to None: 'ema' where the config asks for an average.
        sample_kwargs (dict, optional): Defaults to None.
        precision (str): Defaults to 'auto'.

    Returns:
        dict: The same with defaults filled in, as it goes into a protocol.

    Raises:
        ValueError: A setting that cannot be.
    """
    if config.get('model') is None:
        raise SynthesisError(f'{config.filename} has no model: give the config of a generator')
    has_average = bool(config.model.get('ema_config'))
    sample_model = sample_model or ('ema' if has_average else 'orig')
    if sample_model not in ('ema', 'orig'):
        raise SynthesisError(f"sample_model {sample_model!r}: must be 'ema' or 'orig'")
    if sample_model == 'ema' and not has_average:
        raise SynthesisError("sample_model 'ema': this model keeps no average, say 'orig'")
    if truncation is not None:
        truncate_noise(torch.zeros(1), truncation)  # complains of what cannot be
    return dict(
        sample_model=sample_model,
        sample_kwargs=json.loads(json.dumps(dict(sample_kwargs or {}))),
        truncation=truncation,
        precision=resolve_precision(precision, device),
        device=device.type,
    )


def check_sample_kwargs(model: nn.Module, settings: Dict[str, Any]) -> None:
    """SynthesisError when options are given to a model that would drop them."""
    if settings['sample_kwargs'] and not isinstance(model, ConditionalGAN):
        raise SynthesisError(
            f'sample_kwargs {settings["sample_kwargs"]}: {type(model).__name__} takes none'
        )


def prepare_sampler(
    model: nn.Module, settings: Dict[str, Any], batch_size: int = GPU_BATCH_SIZE
) -> ImageSampler:
    """Fuse the weights of a model and wrap it by the settings of a protocol."""
    return ImageSampler(
        fuse_for_sampling(model),
        settings['sample_model'],
        settings['sample_kwargs'],
        batch_size,
        settings['precision'],
    )
