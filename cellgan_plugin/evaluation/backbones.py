"""Features of published networks: torchvision, timm, and presets by name, with local weights."""

from typing import Any, Dict, List, Optional, Sequence

import torch
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.checkpoint_reading import read_state_dict
from cellgan_plugin.evaluation.extractors import ExtractorError, FeatureExtractor, Weights
from cellgan_plugin.evaluation.inputs import checked_file, load_fitting, resized
from cellgan_plugin.evaluation.presets import PRESETS, Preset, fit_position_embedding
from cellgan_plugin.files import file_sha256

POOLINGS = ('default', 'class', 'mean', 'class+mean')


@MODELS.register_module()
class BackboneFeatures(FeatureExtractor):
    """Features before the head of a torchvision or timm network with local weights.

    Args:
        arch (str): Name in ``torchvision.models`` (``'resnet50'``), or ``'timm:NAME'``.
        weights (str | Path): File with the state dict, ``*.safetensors`` or of :func:`torch.save`
            (tensors only). With or without a head. Nothing is downloaded.
        name (str, optional): For tables. Defaults to ``arch``.
        input_size (int): Side in pixels that images are resized to. Defaults to 224.
        mean (Sequence[float]): Of the RGB channels in [0, 1]. Defaults to ImageNet's.
        std (Sequence[float]): Likewise.
        interpolation (str): 'bilinear' or 'bicubic'. Defaults to 'bilinear'.
        pooling (str): What of a timm network becomes the feature vector: 'default' is the
            network's own (``forward_head(..., pre_logits=True)``); 'class' the class token;
            'mean' the mean over positions or patch tokens, without class and register tokens;
            'class+mean' both. Defaults to 'default', all that torchvision's networks have.
        **kwargs: Of the network's constructor. Of timm networks without a size of their own
            (``dynamic_img_size``) ``img_size`` is set to ``input_size`` where they take it.

    Raises:
        FileNotFoundError: No such weights.
        ExtractorError: Unknown network, weights of another one, or a pooling it does not have.
    """

    def __init__(
        self,
        arch: str,
        weights: Weights,
        name: Optional[str] = None,
        input_size: int = 224,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        interpolation: str = 'bilinear',
        pooling: str = 'default',
        **kwargs,
    ):
        super().__init__()
        self.is_timm = arch.startswith('timm:')
        if pooling not in POOLINGS or not (self.is_timm or pooling == 'default'):
            known = POOLINGS if self.is_timm else POOLINGS[:1]
            raise ExtractorError(f'pooling={pooling!r}: {arch} has {", ".join(known)}')
        path = checked_file(weights, 'backbone weights', 'Nothing is downloaded: give a file')
        if self.is_timm:
            self.network = _timm(arch[5:], input_size, kwargs)
        else:
            self.network = _torchvision(arch, kwargs)
        missing = load_fitting(self.network, self._converted(read_state_dict(path)))
        if missing:
            raise ExtractorError(
                f'{path} is no state dict of {arch}: {len(missing)} weights are missing or of '
                f'another shape ({missing[0]}, ...)'
            )
        self.arch, self.sha256, self.name = arch, file_sha256(path), name or arch
        self.input_size, self.interpolation, self.pooling = input_size, interpolation, pooling
        self.kwargs = {key: _plain(value) for key, value in kwargs.items()}
        grey_mean, grey_std = torch.tensor([list(mean), list(std)]) * 255
        self.register_buffer('mean', grey_mean.view(-1, 1, 1), persistent=False)
        self.register_buffer('std', grey_std.view(-1, 1, 1), persistent=False)
        self.finish(input_size)

    def _converted(self, state: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """The state dict by the network's names and sizes, as timm's own loader converts it."""
        if not self.is_timm:
            return state
        import inspect

        convert = getattr(inspect.getmodule(type(self.network)), 'checkpoint_filter_fn', None)
        return convert(dict(state), self.network) if convert else state

    def describe(self) -> Dict[str, Any]:
        """See the base."""
        return dict(
            kind=f'{self.arch} before its head',
            name=self.name,
            weights_sha256=self.sha256,
            arguments=self.kwargs,
            pooling=self.pooling,
            resize=f'{self.input_size} px, {self.interpolation}, antialiased',
            mean=self.mean.flatten().tolist(),
            std=self.std.flatten().tolist(),
            dtype='float32',
        )

    def features(self, images: Tensor) -> Tensor:
        """See the base."""
        images = resized(images, self.input_size, self.interpolation)
        images = (images - self.mean) / self.std
        if not self.is_timm:
            return self.network(images)
        output = self.network.forward_features(images)
        if self.pooling == 'default':
            output = self.network.forward_head(output, pre_logits=True)
            if output.ndim != 2:
                raise ExtractorError(
                    f'{self.arch} does not pool its features by itself (shape '
                    f"{tuple(output.shape)}): say pooling='mean', 'class' or 'class+mean'"
                )
            return output
        return self._pooled(output)

    def _pooled(self, output: Tensor) -> Tensor:
        """Maps (N, C, H, W) or (N, H, W, C), or tokens (N, L, C), as (N, C) or (N, 2 C)."""
        if output.ndim == 4:
            if self.pooling != 'mean':
                raise ExtractorError(f"{self.arch} has no class token: say pooling='mean'")
            last = str(getattr(self.network, 'output_fmt', 'NCHW')).endswith('C')
            return output.mean(dim=(1, 2) if last else (2, 3))
        prefix = getattr(self.network, 'num_prefix_tokens', 0)
        if self.pooling != 'mean' and getattr(self.network, 'cls_token', None) is None:
            raise ExtractorError(f"{self.arch} has no class token: say pooling='mean'")
        parts = []
        if self.pooling != 'mean':
            parts.append(output[:, 0])
        if self.pooling != 'class':
            parts.append(output[:, prefix:].mean(dim=1))
        return torch.cat(parts, dim=1)


@MODELS.register_module()
class PresetFeatures(BackboneFeatures):
    """Features of a published network as its model card defines them, by name.

    Args:
        preset (str): A key of :data:`cellgan_plugin.evaluation.presets.PRESETS`, for example
            ``'dinov2-vitl14'``: FD-DINOv2 (Stein et al. 2023).
        weights (str | Path): The published file; see docs/evaluation.md for where it is, under
            which licence. Nothing is downloaded.

    Raises:
        FileNotFoundError: No such weights; the message says where they are published.
        ExtractorError: Unknown preset, or weights of another network.
    """

    def __init__(self, preset: str, weights: Weights):
        if preset not in PRESETS:
            raise ExtractorError(f'no preset {preset!r}; there are {", ".join(PRESETS)}')
        chosen: Preset = PRESETS[preset]
        next_step = f'{chosen.title} is published at {chosen.url} ({chosen.access})'
        checked_file(weights, f'{chosen.title} weights', next_step)
        self._dinov2_positions = chosen.dinov2_positions
        super().__init__(
            f'timm:{chosen.arch}',
            weights,
            name=chosen.title,
            input_size=chosen.input_size,
            mean=chosen.mean,
            std=chosen.std,
            interpolation=chosen.interpolation,
            pooling=chosen.pooling,
            **chosen.arguments(),
        )

    def _converted(self, state: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """See the base; DINOv2's position embedding is resampled as its own program does."""
        if self._dinov2_positions:
            state = fit_position_embedding(state, self.network.patch_embed.grid_size)
        return super()._converted(state)


def _plain(value: Any) -> str:
    """Text of a constructor's argument that is the same in every process."""
    return f'{value.__module__}.{value.__qualname__}' if isinstance(value, type) else repr(value)


def _torchvision(arch: str, kwargs: dict) -> nn.Module:
    """A torchvision classifier whose head is an identity."""
    import torchvision

    names = torchvision.models.list_models(torchvision.models)
    if arch not in names:
        presets = f'; presets are {", ".join(PRESETS)}'
        raise ExtractorError(
            f'torchvision has no network {arch!r}; it has {", ".join(names)}{presets}'
        )
    network = torchvision.models.get_model(arch, weights=None, **kwargs)
    if isinstance(network, torchvision.models.SqueezeNet):
        network.classifier = nn.AdaptiveAvgPool2d(1)  # its head is a convolution
        return network
    linear: List[str] = [n for n, m in network.named_modules() if isinstance(m, nn.Linear)]
    parent, _, child = linear[-1].rpartition('.')
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network


def _timm(arch: str, input_size: int, kwargs: dict) -> nn.Module:
    """A timm network without a head."""
    try:
        import timm
    except ImportError as error:
        raise ExtractorError(
            f'timm:{arch} needs timm: pip install timm (or cellgan_plugin[backbones])'
        ) from error
    if not timm.is_model(arch):
        raise ExtractorError(f'timm has no network {arch!r}; timm.list_models() lists them')
    network_kwargs = {**kwargs, 'num_classes': 0}
    if (timm.get_pretrained_cfg(arch) or _NoConfig).fixed_input_size:
        network_kwargs.setdefault('img_size', input_size)
    return timm.create_model(arch, pretrained=False, **network_kwargs)


class _NoConfig:
    """What timm knows of the pretrained weights of a network without any."""

    fixed_input_size = False
