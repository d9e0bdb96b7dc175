"""How images are drawn from a trained model: settled once, handed down, kept in protocols."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import torch
from mmengine.config import Config
from torch import Tensor

from cellgan_plugin.compat import load_tensors
from cellgan_plugin.errors import SynthesisError
from cellgan_plugin.files import file_sha256
from cellgan_plugin.models.conditional_gan import ConditionalGAN
from cellgan_plugin.models.fusing import fuse_for_sampling
from cellgan_plugin.models.sampling import draw_noise, truncate_noise
from cellgan_plugin.runs.data_settings import are_open
from cellgan_plugin.runs.image_sampler import (
    GPU_BATCH_SIZE,
    ImageSampler,
    images_per_call,
    resolve_precision,
)
from cellgan_plugin.runs.model_zoo import named_model
from cellgan_plugin.runs.provenance import classes_in_checkpoint
from cellgan_plugin.runs.train import load_config
from cellgan_plugin.runs.trained_model import (
    LoadedModel,
    default_classes,
    find_checkpoint,
    load_model,
    settle_classes,
    take_classes,
)

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
    relevant = dict(model=config.to_dict()['model'], classes=default_classes(config))
    return hashlib.sha256(json.dumps(relevant, sort_keys=True, default=str).encode()).hexdigest()


def _classes_in(checkpoint: Path) -> Optional[Sequence[str]]:
    state = checkpoint.stat()
    return _read_classes(checkpoint, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _read_classes(checkpoint: Path, *state: int) -> Optional[Sequence[str]]:
    """Read once as long as the file stays what it is: it is read as a whole."""
    return classes_in_checkpoint(load_tensors(checkpoint, 'cpu'))


@dataclass(frozen=True, eq=False)
class Sampling:
    """How images are drawn from one trained model: settled once, before a model is loaded.

    Make one with :meth:`settle`. The model is loaded when it is first asked for.

    Attributes:
        config (Config): The run, as resolved.
        checkpoint (Path): The file.
        device (torch.device): Where to sample.
        sample_model (str): 'ema' or 'orig'.
        sample_kwargs (dict): For the model's generator, plain values.
        truncation (float | None): Bound of the truncated normal distribution that z is of.
        precision (str): 'fp32', 'bf16' or 'fp16'.
        images_per_call (int): Of the network.
        seed (int): Of models that draw by a seed and a name. Defaults to 0.
    """

    config: Config
    checkpoint: Path
    device: torch.device
    sample_model: str
    sample_kwargs: Dict[str, Any]
    truncation: Optional[float]
    precision: str
    images_per_call: int
    seed: int = 0

    @classmethod
    def settle(
        cls,
        config: Union[str, Path, Config],
        checkpoint: Optional[Union[str, Path]],
        device: Optional[str] = None,
        truncation: Optional[float] = None,
        sample_model: Optional[str] = None,
        sample_kwargs: Optional[dict] = None,
        precision: str = 'auto',
        batch_size: int = GPU_BATCH_SIZE,
        seed: int = 0,
        options: Optional[dict] = None,
    ) -> 'Sampling':
        """Read the config, find the checkpoint, and check how to sample.

        Args:
            config (str | Path | Config): The run that the model comes from, or the name of a
                shipped model.
            checkpoint (str | Path, optional): A file, or a work directory; None for a shipped
                model.
            device (str, optional): Defaults to None: a GPU where there is one.
            truncation (float, optional): See
                :func:`~cellgan_plugin.models.sampling.truncate_noise`.
            sample_model (str, optional): 'ema' or 'orig'. Defaults to None: 'ema' where the config
                asks for an average.
            sample_kwargs (dict, optional): For the model's generator. Defaults to None.
            precision (str): 'fp32', 'bf16', 'fp16' or 'auto': fp16 on a GPU. Defaults to 'auto'.
            batch_size (int): Images per call of the network on a GPU. Defaults to 64.
            seed (int): See above. Defaults to 0.
            options (dict, optional): Overrides of the config. Defaults to None.

        Raises:
            FileNotFoundError: No such config or checkpoint.
            SynthesisError: A setting that cannot be.
        """
        config, checkpoint = named_model(config, checkpoint)
        config = load_config(config, options=options)
        if config.get('model') is None:
            raise SynthesisError(f'{config.filename} has no model: give the config of a generator')
        checkpoint = find_checkpoint(checkpoint)
        if are_open(config):
            take_classes(config, _classes_in(checkpoint))
        target = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        if target.type == 'cuda' and not torch.cuda.is_available():
            raise SynthesisError(f'device {device}: PyTorch finds no GPU here; say --device cpu')
        has_average = bool(config.model.get('ema_config'))
        sample_model = sample_model or ('ema' if has_average else 'orig')
        if sample_model not in ('ema', 'orig'):
            raise SynthesisError(f"sample_model {sample_model!r}: must be 'ema' or 'orig'")
        if sample_model == 'ema' and not has_average:
            raise SynthesisError("sample_model 'ema': this model keeps no average, say 'orig'")
        if truncation is not None:
            truncate_noise(torch.zeros(1), truncation)  # complains of what cannot be
        return cls(
            config,
            checkpoint,
            target,
            sample_model,
            json.loads(json.dumps(dict(sample_kwargs or {}))),
            truncation,
            resolve_precision(precision, target),
            images_per_call(target, batch_size),
            seed,
        )

    @property
    def settings(self) -> Dict[str, Any]:
        """What decides the pixels beside model and weights, as it goes into a protocol."""
        return dict(
            sample_model=self.sample_model,
            sample_kwargs=self.sample_kwargs,
            truncation=self.truncation,
            precision=self.precision,
            device=self.device.type,
        )

    @cached_property
    def hashes(self) -> Dict[str, str]:
        """Which weights and which config, as it goes into a protocol."""
        return dict(
            checkpoint_sha256=file_sha256(self.checkpoint),
            config_sha256=model_sha256(self.config),
        )

    @cached_property
    def classes(self) -> Tuple[str, ...]:
        """Class names, once config and checkpoint agree on them; the model is not built."""
        in_checkpoint = _classes_in(self.checkpoint)
        return settle_classes(self.config, in_checkpoint, self.config.model.get('num_classes'))

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model with its weights.

        Raises:
            SynthesisError: Options are given to a model that would drop them.
        """
        loaded = load_model(self.config, self.checkpoint, self.device)
        if self.sample_kwargs and not isinstance(loaded.model, ConditionalGAN):
            raise SynthesisError(
                f'sample_kwargs {self.sample_kwargs}: {type(loaded.model).__name__} takes none'
            )
        return loaded

    def sampler(self) -> ImageSampler:
        """The model with fused weights, wrapped to be called with a fixed number of images."""
        return ImageSampler(
            fuse_for_sampling(self.loaded.model),
            self.sample_model,
            self.sample_kwargs,
            self.images_per_call,
            self.precision,
        )

    def noise(self, rows: Sequence[LabelAndSeed]) -> Tensor:
        """Noise z of images, see :func:`synthesis_noise`."""
        return synthesis_noise(self.loaded.model.noise_size, rows, self.truncation)
