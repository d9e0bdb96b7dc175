"""What extractors share: image sizes, pooling, and weights that must fit a network."""

from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

import torch.nn.functional as F
from torch import Tensor, nn


def resized(
    images: Tensor, size: Optional[Union[int, Sequence[int]]], interpolation: str = 'bilinear'
) -> Tensor:
    """Images (N, C, H, W) of values 0 to 255 at the size that a network expects, float32.

    With antialiasing, as Pillow resizes; not resampled where the size fits or is None.
    ``interpolation`` is 'bilinear' or 'bicubic', whose values beyond 0 to 255 are cut off.
    """
    images = images.float()
    sides = (size, size) if isinstance(size, int) else size
    if sides is None or tuple(images.shape[-2:]) == tuple(sides):
        return images
    images = F.interpolate(images, tuple(sides), mode=interpolation, antialias=True)
    return images.clamp(0, 255) if interpolation == 'bicubic' else images


def pooled(output: Union[Tensor, Sequence[Tensor]]) -> Tensor:
    """Last output of an MMPretrain backbone as (N, d): the mean over positions or tokens."""
    if isinstance(output, (tuple, list)):
        output = output[-1]
    if output.ndim == 4:
        return output.mean(dim=(2, 3))
    if output.ndim == 3:
        return output.mean(dim=1)
    return output


def load_fitting(network: nn.Module, state: Dict[str, Tensor]) -> List[str]:
    """Load what is there in the right shape; the names of the rest."""
    expected = network.state_dict()
    fitting = {k: v for k, v in state.items() if k in expected and v.shape == expected[k].shape}
    network.load_state_dict(fitting, strict=False)
    return [key for key in expected if key not in fitting]


def checked_file(path: Union[str, Path], what: str, next_step: str) -> Path:
    """The path of a file or folder that exists.

    Raises:
        FileNotFoundError: With ``what`` it should have been, and the ``next_step``.
    """
    path = Path(path).expanduser()
    if not str(path) or not path.exists():
        raise FileNotFoundError(f'{what} {path} does not exist. {next_step}')
    return path
