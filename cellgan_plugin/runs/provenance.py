"""What a trained model was made from, as far as its files say."""

from pathlib import Path
from typing import Optional, Set, Union

import torch

from cellgan_plugin.compat import load_tensors
from cellgan_plugin.datasets.content_hash import TRAINING_IMAGES, read_training_images, to_hex
from cellgan_plugin.engine import find_resumable
from cellgan_plugin.engine.hooks.training_images_hook import HASHES


def training_images_of(source: Union[str, Path]) -> Optional[Set[str]]:
    """Which images a generator was trained on, as far as it says.

    Args:
        source (str | Path): A checkpoint; a work directory (its ``training_images.txt``, else its
            newest checkpoint); or a folder of synthetic images with ``training_images.txt``.

    Returns:
        set[str] | None: Content hashes in hexadecimal; None when nothing says it, which is not
        the same as none.

    Raises:
        FileNotFoundError: No such file or folder.
        ValueError: The list or the checkpoint is damaged.
        UntrustedCheckpointError: The checkpoint holds more than tensors and plain containers.
    """
    source = Path(source).expanduser()
    if not source.exists():
        raise FileNotFoundError(f'{source} does not exist: name a checkpoint or a folder')
    if source.is_dir():
        if (source / TRAINING_IMAGES).is_file():
            return set(to_hex(read_training_images(source)))
        newest = find_resumable(source)
        if newest is None:
            return None
        source = newest
    if source.name == TRAINING_IMAGES:
        return set(to_hex(read_training_images(source)))
    checkpoint = load_tensors(source, 'cpu')
    hashes = checkpoint.get(HASHES) if isinstance(checkpoint, dict) else None
    if hashes is None:
        return None
    try:
        if not isinstance(hashes, torch.Tensor):
            raise ValueError(f'a {type(hashes).__name__} is no tensor')
        return set(to_hex(hashes))
    except ValueError as error:
        raise ValueError(f'{source}: {HASHES} cannot be read ({error})') from error
