"""Trained weights for the autoencoder of a latent diffusion model."""

import json
from pathlib import Path
from typing import NamedTuple, Optional, Union

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from cellgan_plugin.checkpoint_files import find_resumable
from cellgan_plugin.compat import load_tensors
from cellgan_plugin.datasets.content_hash import TRAINING_IMAGES, read_training_images
from cellgan_plugin.models.latent_diffusion.autoencoder import ImageAutoencoder

VARIABLE = 'CELLGAN_AUTOENCODER'
_PREFIX = 'autoencoder.'


class TrainedAutoencoder(NamedTuple):
    """Where trained weights came from.

    Attributes:
        path (Path): A checkpoint file, or a folder of diffusers.
        training_images (Tensor | None): Content hashes of the images that trained them, uint8
            (N, 16); None when nobody says.
    """

    path: Path
    training_images: Optional[Tensor]


def _hint(train_config: Optional[str]) -> str:
    command = f'python tools/train.py {train_config or "CONFIG of stage 1"}'
    return (
        f'Train stage 1 first: {command}, and name its work directory or checkpoint in {VARIABLE} '
        '(or model.autoencoder_checkpoint)'
    )


def _diffusers_folder(folder: Path) -> Optional[Path]:
    """Where diffusers' ``config.json`` of an autoencoder lies, the ``vae`` of a pipeline too."""
    for candidate in (folder, folder / 'vae', folder / 'vqvae'):
        if (candidate / 'config.json').is_file():
            return candidate
    return None


def find_autoencoder(path: Union[str, Path, None], train_config: Optional[str] = None) -> Path:
    """Find trained weights; nothing is downloaded.

    Args:
        path (str | Path): A checkpoint of stage 1 or of stage 2, a work directory (its newest whole
            checkpoint), or a folder that diffusers saved (``config.json`` with
            ``diffusion_pytorch_model.safetensors``, or a pipeline with such a ``vae``).
        train_config (str, optional): Config that trains them, for the message.

    Returns:
        Path: A checkpoint file, or a folder of diffusers.

    Raises:
        FileNotFoundError: There are none; the message names the command that trains them.
    """
    if not path:
        raise FileNotFoundError(f'no trained autoencoder was given. {_hint(train_config)}')
    path = Path(path).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        found = _diffusers_folder(path) or find_resumable(path)
        if found is not None:
            return found
        raise FileNotFoundError(
            f'{path} holds neither a whole checkpoint nor an autoencoder of diffusers '
            f'(config.json). {_hint(train_config)}'
        )
    raise FileNotFoundError(f'trained autoencoder {path} does not exist. {_hint(train_config)}')


def load_autoencoder(
    autoencoder: ImageAutoencoder,
    path: Union[str, Path, None],
    train_config: Optional[str] = None,
) -> TrainedAutoencoder:
    """Load trained weights; arguments of :func:`find_autoencoder`.

    Returns:
        TrainedAutoencoder: Where they came from, and from which images. A folder of diffusers says
        the latter by a ``training_images.txt`` (an empty one: none of yours).

    Raises:
        FileNotFoundError: See :func:`find_autoencoder`.
        ValueError: They are of another autoencoder; the message names the first difference.
    """
    path = find_autoencoder(path, train_config)
    if path.is_dir():
        _load_diffusers(autoencoder, path)
        known = (path / TRAINING_IMAGES).is_file()
        images = torch.from_numpy(read_training_images(path)) if known else None
    else:
        checkpoint = load_tensors(path, 'cpu')
        _load_checkpoint(autoencoder, path, checkpoint.get('state_dict', checkpoint))
        images = checkpoint.get('training_images')
    print_log(f'Autoencoder: {path}', 'current')
    return TrainedAutoencoder(path, images)


def _load_checkpoint(autoencoder: ImageAutoencoder, path: Path, state: dict) -> None:
    found = {k[len(_PREFIX) :]: v for k, v in state.items() if k.startswith(_PREFIX)}
    if not found:
        raise ValueError(
            f'{path} holds no autoencoder (weights named {_PREFIX}*): give a checkpoint of '
            'LatentAutoencoder'
        )
    own = autoencoder.state_dict()
    for key in sorted(own.keys() | found.keys()):
        shapes = [tuple(s[key].shape) if key in s else 'missing' for s in (found, own)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f'{path} is of another autoencoder than model.autoencoder: {key} is {shapes[0]} '
                f'there, {shapes[1]} here. Give both configs the same autoencoder'
            )
    autoencoder.load_state_dict(found)


def _load_diffusers(autoencoder: ImageAutoencoder, folder: Path) -> None:
    with open(folder / 'config.json', encoding='utf-8') as file:
        theirs = json.load(file)
    kind = theirs.get('_class_name', autoencoder.kind)
    if kind != autoencoder.kind:
        raise ValueError(
            f'{folder} is a {kind} of diffusers, model.autoencoder.type is {autoencoder.kind}'
        )
    for key, value in autoencoder.architecture.items():
        if key in theirs and theirs[key] != value:
            raise ValueError(
                f'{folder}/config.json has {key}={theirs[key]}, model.autoencoder has {value}: '
                'give both the same architecture'
            )
    if not (folder / 'diffusion_pytorch_model.safetensors').is_file():
        raise FileNotFoundError(
            f'{folder} has no diffusion_pytorch_model.safetensors; pickled weights (.bin) of '
            'diffusers are not read: convert them with safetensors first'
        )
    network: nn.Module = type(autoencoder.net).from_pretrained(
        folder, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
    )
    autoencoder.net.load_state_dict(network.state_dict())
