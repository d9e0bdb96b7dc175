"""torch: checkpoints are read without running code from them, wherever they come from."""

import os
import pickle
import re
from pathlib import Path
from typing import Union

from cellgan_plugin.compat.safetensors import load_safetensors

TRUST_VARIABLE = 'CELLGAN_TRUST_CHECKPOINT'
# What torch's safe unpickler says of a sound file that holds other objects, torch 2.4 to 2.15;
# anything else it says is of bytes that are no checkpoint.
_FOREIGN_OBJECT = re.compile(
    r'.*(?:unsupported (?:GLOBAL|global|class)\b|Unsupported (?:global|class)\b'
    r'|Trying to (?:call|instantiate)|Can only (?:build|create)'
    r'|must be imported to load).*'
)


class UntrustedCheckpointError(RuntimeError):
    """A checkpoint holds something other than tensors and plain containers."""


def load_tensors(path: Union[str, Path], map_location=None) -> dict:
    """Load a checkpoint that may come from anywhere, without running code from it.

    Args:
        path (str | Path): A file written by :func:`torch.save`, or one ``*.safetensors`` of
            :mod:`cellgan_plugin.compat.safetensors` (on the CPU whatever ``map_location``).
        map_location: As in :func:`torch.load`. Defaults to None.

    Returns:
        dict: What the file holds: tensors and plain containers only.

    Raises:
        FileNotFoundError: No such file.
        UntrustedCheckpointError: The file holds pickled objects of other kinds. They are only
            loaded when the environment variable ``CELLGAN_TRUST_CHECKPOINT=1`` is set (the tools'
            ``--trust-checkpoint``), which runs whatever code the file holds.
        ValueError: The file is damaged or not a checkpoint.
    """
    import torch

    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    _refuse_no_checkpoint(path)
    if path.suffix == '.safetensors':
        return load_safetensors(path)
    try:
        try:
            return torch.load(path, map_location=map_location, weights_only=True)
        except pickle.UnpicklingError as error:
            detail = _FOREIGN_OBJECT.search(str(error))
            if detail is None:
                raise
            if os.environ.get(TRUST_VARIABLE) != '1':
                raise UntrustedCheckpointError(
                    f'{path} holds more than tensors and plain containers and was not loaded, '
                    f'because loading it would run code from the file ({detail[0].strip()}). If '
                    'you made the file yourself or trust who did, pass --trust-checkpoint to the '
                    f'tool (or set {TRUST_VARIABLE}=1).'
                ) from None
            return torch.load(path, map_location=map_location, weights_only=False)
    except (MemoryError, UntrustedCheckpointError):
        raise
    except Exception as error:  # bytes that are no checkpoint make the unpickler fail anyhow
        # Torch wraps what its unpickler says in advice to load the file without looking.
        text = str(error).split('WeightsUnpickler error:')[-1].split('Check the documentation')[0]
        first_line = next((x for x in text.splitlines() if x.strip()), type(error).__name__)
        raise ValueError(
            f'{path} is damaged or not a PyTorch checkpoint ({first_line.strip()}); it may have '
            'been cut off while it was copied or written'
        ) from error


def _refuse_no_checkpoint(path: Path) -> None:
    """ValueError for what is often found under a checkpoint's name: nobody should trust these."""
    with open(path, 'rb') as file:
        start = file.read(1024).lstrip(b'\xef\xbb\xbf \t\r\n').lower()
    if start.startswith(b'version https://git-lfs'):
        raise ValueError(
            f'{path} is not a checkpoint but a git-LFS pointer to one: get the file itself with '
            '`git lfs pull` in its repository, or download it'
        )
    if start.startswith((b'<!doctype html', b'<html', b'<?xml', b'<head')):
        raise ValueError(
            f'{path} is not a checkpoint but a web page (HTML), as saved when a download needs a '
            'login, a confirmation or another address: delete it and download it again'
        )
