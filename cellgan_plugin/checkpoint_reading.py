"""Reading a checkpoint without running code from it, and knowing that it is as it was written."""

import functools
import hashlib
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from cellgan_plugin.safetensors_files import load_foreign_safetensors, load_safetensors

TRUST_VARIABLE = 'CELLGAN_TRUST_CHECKPOINT'
SAFETENSORS = '.safetensors'
# What torch's safe unpickler says of a sound file that holds other objects, torch 2.4 to 2.15;
# anything else it says is of bytes that are no checkpoint.
_FOREIGN_OBJECT = re.compile(
    r'.*(?:unsupported (?:GLOBAL|global|class)\b|Unsupported (?:global|class)\b'
    r'|Trying to (?:call|instantiate)|Can only (?:build|create)'
    r'|must be imported to load).*'
)
# First torch without the hole, by its number.
_HOLES = {'CVE-2025-32434': (2, 6), 'CVE-2026-24747': (2, 10)}
# The checksum is the comment at the end of the zip archive that torch.save writes: readers of zip
# archives, torch's among them, pass over it, and it goes wherever the file goes.
_MARK = b'cellgan_plugin sha256='
_COMMENT = len(_MARK) + 64
_ZIP_END = b'PK\x05\x06'
_ZIP_END_BYTES = 22


class UntrustedCheckpointError(RuntimeError):
    """A checkpoint holds something other than tensors and plain containers."""


def with_checksum(data: Union[bytes, memoryview]) -> list:
    """The bytes of a checkpoint, as :func:`torch.save` wrote them, then their SHA-256.

    Pieces to write one after the other; the data alone where it is no zip archive, or has a
    comment already.
    """
    data = memoryview(data)
    end = bytes(data[-_ZIP_END_BYTES:])
    if len(end) < _ZIP_END_BYTES or end[:4] != _ZIP_END or end[-2:] != b'\0\0':
        return [data]
    content = data[:-2]
    digest = hashlib.sha256(content).hexdigest()
    return [content, _COMMENT.to_bytes(2, 'little'), _MARK, digest.encode()]


def checksum_fits(path: Union[str, Path]) -> Optional[bool]:
    """Whether a file's content is that of the checksum written with it; None: it has none.

    A file is read once in a process, however often it is asked for, unless it changes.
    """
    info = os.stat(path)
    return _checksum_fits(os.path.abspath(path), info.st_size, info.st_mtime_ns, info.st_ino)


@functools.lru_cache(maxsize=256)
def _checksum_fits(path: str, size: int, changed: int, inode: int) -> Optional[bool]:
    with open(path, 'rb') as file:
        file.seek(max(0, size - _COMMENT - _ZIP_END_BYTES))
        tail = file.read()
        start = tail.rfind(_ZIP_END)
        comment = tail[start + _ZIP_END_BYTES :]
        length = int.from_bytes(tail[start + _ZIP_END_BYTES - 2 : start + _ZIP_END_BYTES], 'little')
        if start < 0 or (not length and not comment):
            return None
        if length != len(comment):
            return False  # cut off, or something was written behind it
        if not comment.startswith(_MARK):
            return None
        file.seek(0)
        state, left = hashlib.sha256(), size - _COMMENT - 2
        while left and (block := file.read(min(left, 1 << 20))):
            state.update(block)
            left -= len(block)
    return comment == _MARK + state.hexdigest().encode()


def is_whole(path: Union[str, Path]) -> bool:
    """Whether a checkpoint file is as it was written.

    By the checksum written with it. Of a file without one (of another program, or of an earlier
    version) every record has to agree with its own, and the whole has to load.
    """
    try:
        fits = checksum_fits(path)
        if fits is None:
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    return False
            load_tensors(path, 'cpu')
    except UntrustedCheckpointError:
        return True  # a sound file; whoever loads it is told what is in it
    except Exception:  # damaged bytes make zipfile, zlib and pickle fail anyhow
        return False
    return fits is not False


def load_tensors(path: Union[str, Path], map_location=None) -> dict:
    """Load a checkpoint that may come from anywhere, without running code from it.

    The text of a config that MMEngine puts into checkpoints (``meta.config``, ``meta.cfg``,
    ``message_hub.runtime_info.cfg``) is left out: MMEngine would run it as Python. It can be read
    as ``meta.config_text``.

    Args:
        path (str | Path): A file written by :func:`torch.save`, or one ``*.safetensors`` of
            :mod:`cellgan_plugin.safetensors_files` (on the CPU whatever ``map_location``).
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
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    _refuse_no_checkpoint(path)
    if path.suffix == SAFETENSORS:
        return load_safetensors(path)
    if checksum_fits(path) is False:
        raise ValueError(
            f'{path} is damaged: its content is not that of the checksum written with it. Copy it '
            'again from where it came from, or take another checkpoint'
        )
    try:
        _refuse_compressed(path)
        state = _load_pickled(path, map_location)
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
    _refuse_odd(path, state)
    return _without_programs(state)


def _load_pickled(path: Path, map_location) -> Any:
    import torch

    _say_known_holes()
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


def known_holes(version: str) -> list:
    """Published holes of a torch version's ``weights_only=True``, by their CVE numbers."""
    numbers = tuple(int(number) for number in re.findall(r'\d+', version)[:2])
    return [name for name, mended in _HOLES.items() if numbers < mended]


@functools.lru_cache(maxsize=1)
def _say_known_holes() -> None:
    import torch  # the repairs of what is imported stand on this file: see compat
    from mmengine.logging import print_log

    holes = known_holes(torch.__version__)
    if holes:
        print_log(
            f'torch {torch.__version__} has known holes in its safe loading ({", ".join(holes)}): '
            'a checkpoint made for it could run code. Load only files of people you trust, take '
            f'weights as {SAFETENSORS}, or update torch to 2.10 or later',
            logger='current',
            level=30,
        )


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


def _refuse_compressed(path: Path) -> None:
    """ValueError for an archive whose records are larger in memory than the file on the disk."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
    if any(r.compress_type for r in records) or sum(r.file_size for r in records) > os.path.getsize(
        path
    ):
        raise ValueError('its records are compressed, which torch.save never does')


def _refuse_odd(path: Path, state: Any) -> None:
    """ValueError for a sound file that is no checkpoint by its structure."""
    import torch

    expected = 'a checkpoint is a dictionary with the weights under state_dict'
    if not isinstance(state, Mapping):
        raise ValueError(f'{path} holds a {type(state).__name__}; {expected}')
    plain = (str, bytes, int, float, list, tuple, torch.Tensor)
    for key in ('meta', 'state_dict', 'message_hub'):
        if isinstance(state.get(key), plain):
            raise ValueError(
                f'{path}: {key} is a {type(state[key]).__name__} where a dictionary was expected; '
                f'{expected}. It was not written by MMEngine or this plugin'
            )


def _without_programs(state: dict) -> dict:
    """Take out the texts that MMEngine runs as Python configs: Runner.resume and BaseInferencer.

    That of the training run stays to be read, as ``meta.config_text``, which nobody runs.
    """
    hub = state.get('message_hub')
    info = hub.get('runtime_info') if isinstance(hub, dict) else None
    for part, keys in ((state.get('meta'), ('config', 'cfg')), (info, ('cfg',))):
        if isinstance(part, dict):
            texts = [part.pop(key, None) for key in keys]
            if part is state.get('meta') and any(isinstance(text, str) for text in texts):
                part['config_text'] = next(text for text in texts if isinstance(text, str))
    return state


def read_state_dict(path: Union[str, Path]) -> dict:
    """The state dict in a file of another program, without running code from it.

    Args:
        path (str | Path): ``*.safetensors``, or written by :func:`torch.save`: a state dict, or a
            checkpoint that holds one under ``state_dict`` or ``model``.

    Returns:
        dict[str, Tensor]: On the CPU.

    Raises:
        UntrustedCheckpointError: The file holds other objects than tensors and plain containers.
        ValueError: The file is damaged or no state dict.
    """
    import torch

    path = Path(path)
    if path.suffix == SAFETENSORS:
        return load_foreign_safetensors(path)
    state = load_tensors(path, 'cpu')
    for key in ('state_dict', 'model'):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
    if not tensors:
        raise ValueError(f'{path} holds no state dict: no entry of it is a tensor')
    return tensors
