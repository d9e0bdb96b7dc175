"""Checkpoints that hold only tensors and plain containers, and are whole or absent."""

from pathlib import Path
from typing import Any, Dict, Mapping, Union

import numpy as np
import torch
from mmengine.fileio import register_backend
from mmengine.fileio.backends import LocalBackend
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseAveragedModel
from torch import nn

from cellgan_plugin.checkpoint_files import (  # noqa: F401  (found here by their users)
    find_resumable,
    numbered_checkpoints,
)
from cellgan_plugin.checkpoint_reading import with_checksum
from cellgan_plugin.files import atomic_write
from cellgan_plugin.models.conditional_gan import unwrap

_HISTORY_KEY = '__history_buffer__'


@register_backend('cellgan_atomic')
class AtomicLocalBackend(LocalBackend):
    """MMEngine's local file backend with writes that are whole or not at all.

    Checkpoints get the checksum of their content
    (:func:`~cellgan_plugin.checkpoint_reading.with_checksum`).

    Name it in a hook with ``backend_args=dict(backend='cellgan_atomic')``.
    """

    def put(self, obj: Union[bytes, memoryview], filepath: Union[str, Path]) -> None:
        """Write bytes to a temporary file, flush it to the disk and move it into place."""
        with atomic_write(filepath, 'wb') as file:
            file.writelines(with_checksum(obj) if Path(filepath).suffix == '.pth' else [obj])

    def put_text(self, obj: str, filepath: Union[str, Path], encoding: str = 'utf-8') -> None:
        """As :meth:`put`, for text."""
        with atomic_write(filepath, 'w', encoding=encoding) as file:
            file.write(obj)


def to_plain(value: Any) -> Any:
    """Turn what MMEngine puts into a checkpoint into tensors and plain containers.

    History buffers become two float64 / int64 tensors, numpy arrays tensors, numpy numbers Python
    ones, other mappings dicts, other sequences lists.

    Raises:
        TypeError: For an object that has no plain form; the message names its type.
    """
    if isinstance(value, HistoryBuffer):
        history, counts = value.data
        return {
            _HISTORY_KEY: True,
            'history': torch.from_numpy(np.array(history, dtype=np.float64)),
            'counts': torch.from_numpy(np.array(counts, dtype=np.int64)),
            'max_length': int(value.max_length),
        }
    if value is None or isinstance(value, (bool, torch.Tensor)):
        return value
    for kind in (int, float, str, bytes):
        if isinstance(value, kind) and not isinstance(value, np.generic):
            return kind(value)  # a subclass (an enum, say) would be pickled as its class
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, dict):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [to_plain(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, (set, frozenset)):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(
        f'a checkpoint of this plugin holds tensors and plain containers; {type(value)} is neither'
    )


def from_plain(value: Any) -> Any:
    """Rebuild the history buffers that :func:`to_plain` took apart; the rest is left as it is."""
    if isinstance(value, dict):
        if value.get(_HISTORY_KEY):
            # Lists, as the buffer itself grows them; its length then counts on from here.
            return HistoryBuffer(
                value['history'].tolist(), value['counts'].tolist(), value['max_length']
            )
        return {key: from_plain(item) for key, item in value.items()}
    return value


def without_wrappers(model: nn.Module, state: Mapping[str, Any]) -> Dict[str, Any]:
    """Weights named as in a run of one process: ``generator.x`` for ``generator.module.x``.

    MMEngine wraps the networks of a GAN one by one, saves the names with the wrappers, but loads
    names without them: a distributed run would come back with untrained networks.

    Args:
        model (nn.Module): The model that the weights belong to, itself not in a wrapper; its
            networks may be.
        state (Mapping[str, Any]): Weights of such a model, of a run of any number of processes.

    Returns:
        dict: The same values in the same order.
    """
    # An averaged model has a ``module`` of its own, which belongs to the name.
    prefixes = [
        f'{name}.module.'
        for name, child in model.named_children()
        if not isinstance(unwrap(child), BaseAveragedModel)
    ]
    renamed = {}
    for key, value in state.items():
        for prefix in prefixes:
            if key.startswith(prefix):
                key = prefix[: -len('module.')] + key[len(prefix) :]
        renamed[key] = value
    return renamed
