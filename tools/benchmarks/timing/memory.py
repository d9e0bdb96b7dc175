"""Peak memory of one call."""

import ctypes
import gc
from pathlib import Path
from typing import Any, Callable, Optional, Union

import torch

from timing.machine import synchronize

_STATUS, _RESET = Path('/proc/self/status'), Path('/proc/self/clear_refs')


def _resident(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f'{field}:'):
            return int(line.split()[1]) * 1024
    raise ValueError(f'{_STATUS} has no {field}')


def peak_memory(
    function: Callable[[], Any], device: Union[str, torch.device] = 'cpu'
) -> Optional[int]:
    """Bytes that a call needs at its peak, above what is held before it.

    On CUDA: what PyTorch allocated. Elsewhere: the resident set of the process as Linux counts it,
    with libraries' workspaces; what earlier calls have freed is given back to the system first.

    Args:
        function (Callable): Without arguments. Call it once before, so that what stays (optimizer
            state, compiled kernels) is there already.
        device (str | torch.device): Where it computes. Defaults to 'cpu'.

    Returns:
        int | None: None where neither can be told.
    """
    gc.collect()
    device = torch.device(device)
    if device.type == 'cuda':
        synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if not _RESET.exists():
        return None
    libc = ctypes.CDLL(None)
    if hasattr(libc, 'malloc_trim'):
        libc.malloc_trim(0)
    _RESET.write_text('5')  # the peak so far is forgotten
    before = _resident('VmRSS')
    function()
    return _resident('VmHWM') - before
