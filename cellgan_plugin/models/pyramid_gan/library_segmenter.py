"""Segmenters of segmentation-models-pytorch as baselines beside the FC-DenseNet."""

from pathlib import Path
from typing import Optional

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.checkpoint_reading import read_state_dict
from cellgan_plugin.compat import UnavailableError

_IMAGE_CHANNELS = 3
# Encoders halve the image five times; sides that are no multiple of it are extended.
_MULTIPLE = 32
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet


@MODELS.register_module()
class LibrarySegmenter(nn.Module):
    """U-Net, DeepLabV3+, FPN and the others of segmentation-models-pytorch.

    Stands in the place of :class:`FCDenseNet` at a single scale: it sees the image alone, since
    nothing coarser has segmented it. Images are normalised as ImageNet's, which the encoders'
    published weights expect.

    Args:
        in_channels (int): Image channels and those of the coarser prediction, which are passed
            over.
        out_channels (int): Classes.
        arch (str): Of the library: ``'unet'``, ``'deeplabv3plus'``, ``'fpn'``, ...
            Defaults to 'unet'.
        encoder (str): Of the library. Defaults to 'resnet34'.
        encoder_checkpoint (str, optional): File of the encoder's weights, of torchvision or timm
            (tensors only). Nothing is downloaded. Defaults to None: random weights.
        **kwargs: Of the library's network.

    Raises:
        UnavailableError: The library is not installed.
        ValueError: Unknown network or encoder, or weights of another one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        arch: str = 'unet',
        encoder: str = 'resnet34',
        encoder_checkpoint: Optional[str] = None,
        **kwargs,
    ):
        super().__init__()
        try:
            import segmentation_models_pytorch as library
        except ImportError as error:
            raise UnavailableError(
                f'the segmenter {arch!r} needs segmentation-models-pytorch: pip install '
                'segmentation-models-pytorch (or cellgan_plugin[segmenters])'
            ) from error
        self.in_channels, self.out_channels = in_channels, out_channels
        try:
            self.network = library.create_model(
                arch,
                encoder_name=encoder,
                encoder_weights=None,
                in_channels=_IMAGE_CHANNELS,
                classes=out_channels,
                **kwargs,
            )
        except KeyError as error:
            raise ValueError(
                f'segmentation-models-pytorch has no arch={arch!r} with encoder={encoder!r}: '
                f'{error}'
            ) from error
        if encoder_checkpoint:
            self._load_encoder(Path(encoder_checkpoint).expanduser(), encoder)
        for name, values in (('mean', _MEAN), ('std', _STD)):
            value = torch.tensor(values).view(1, -1, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def _load_encoder(self, path: Path, encoder: str) -> None:
        state, own = read_state_dict(path), self.network.encoder.state_dict()
        missing = [k for k, v in own.items() if k not in state or state[k].shape != v.shape]
        if missing:
            raise ValueError(
                f'{path} does not fit the encoder {encoder}: {len(missing)} weights are missing or '
                f'of another shape ({missing[0]}, ...)'
            )
        nn.Module.load_state_dict(self.network.encoder, {key: state[key] for key in own})

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, out_channels, H, W) of (N, in_channels, H, W) of any size.

        The first three channels are RGB in [-1, 1].
        """
        height, width = x.shape[-2:]
        images = ((x[:, :_IMAGE_CHANNELS] + 1) / 2 - self.mean) / self.std
        extra = [-side % _MULTIPLE for side in (width, height)]
        images = F.pad(images, (0, extra[0], 0, extra[1]), mode='replicate')
        return self.network(images)[..., :height, :width]
