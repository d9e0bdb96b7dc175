"""How much memory is left, and decoded images kept in it."""

import os
import re
from pathlib import Path
from typing import Callable, Iterator, Optional, Sequence, Tuple

import numpy as np
import torch

# Leave room for the workers, the allocator and everybody else on the machine.
_USABLE = 0.9
# The rest is for weights, activations and other processes on the GPU.
_USABLE_ON_DEVICE = 0.5


def _read_number(path: Path) -> Optional[int]:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such control group, or the word 'max'
        return None


def _cgroup_free(folder: Path, limit: str, usage: str, reclaimable: str) -> Optional[int]:
    total, used = _read_number(folder / limit), _read_number(folder / usage)
    if total is None or used is None:
        return None
    try:
        for line in (folder / 'memory.stat').read_text().splitlines():
            key, _, value = line.partition(' ')
            if key == reclaimable:  # file cache, given back when somebody needs the memory
                used -= int(value)
    except (OSError, ValueError):
        pass
    return max(0, total - max(0, used))


def _cgroup_folders() -> Iterator[Tuple[Path, bool]]:
    """Control groups of this process from its own up to the root, with whether they are v2."""
    try:
        lines = Path('/proc/self/cgroup').read_text().splitlines()
    except OSError:
        lines = []
    mount = Path('/sys/fs/cgroup')
    for line in lines:
        number, controllers, path = line.split(':', 2)
        is_v2 = number == '0' and not controllers
        if not is_v2 and 'memory' not in controllers.split(','):
            continue
        base = mount if is_v2 else mount / 'memory'
        folder = base / path.lstrip('/')
        for candidate in (folder, *folder.parents):
            yield candidate, is_v2
            if candidate == base:
                break


def available_memory() -> int:
    """Bytes this process can still use without swapping, control-group limits included."""
    candidates = []
    try:
        for line in Path('/proc/meminfo').read_text().splitlines():
            if line.startswith('MemAvailable:'):
                candidates.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError, IndexError):
        pass
    if not candidates:  # not Linux: the whole machine is the best guess there is
        candidates.append(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))
    for folder, is_v2 in _cgroup_folders():
        if is_v2:
            free = _cgroup_free(folder, 'memory.max', 'memory.current', 'inactive_file')
        else:
            free = _cgroup_free(
                folder, 'memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'
            )
        if free is not None:
            candidates.append(free)
    return min(candidates)


def local_processes() -> int:
    """Training processes on this machine, as torchrun or Slurm says; 1 when neither does."""
    for name in ('LOCAL_WORLD_SIZE', 'SLURM_NTASKS_PER_NODE', 'SLURM_STEP_TASKS_PER_NODE'):
        number = re.match(r'\s*(\d+)', os.environ.get(name, ''))  # Slurm writes '4(x2),3'
        if number and int(number[1]):
            return int(number[1])
    return 1


def require_memory(needed: int, what: str, next_step: str) -> None:
    """Raise MemoryError when ``needed`` bytes, once per local process, would not fit.

    Args:
        needed (int): Bytes of one process.
        what (str): What needs them, for the message.
        next_step (str): What the reader can change.
    """
    processes = local_processes()
    available = available_memory()
    if needed * processes > available * _USABLE:
        each = f' in each of {processes} processes' if processes > 1 else ''
        raise MemoryError(
            f'{what} needs {needed / 2**30:.2f} GiB{each}, and {available / 2**30:.2f} GiB are '
            f'free. {next_step}'
        )


def require_device_memory(needed: int, device: torch.device, what: str) -> None:
    """MemoryError when ``needed`` bytes for ``what`` would not leave a GPU enough to train with.

    Only CUDA devices can be asked.
    """
    if device.type != 'cuda':
        return
    free, _ = torch.cuda.mem_get_info(device)
    if needed > free * _USABLE_ON_DEVICE:
        raise MemoryError(
            f'{what} needs {needed / 2**30:.2f} GiB on {device}, of which {free / 2**30:.2f} GiB '
            f"are free; at most half goes to images. Set cache='ram' (and num_workers), or put "
            "dict(type='FitCellPatch', out_size=...) with a smaller size first in the pipeline"
        )


class PixelCache:
    """Decoded uint8 images in one array that forked loader workers share.

    Args:
        shapes (Sequence[tuple[int, int, int]]): (H, W, C) of every image.
    """

    def __init__(self, shapes: Sequence[Tuple[int, int, int]]):
        self.shapes = np.asarray(shapes, dtype=np.int32).reshape(-1, 3)
        sizes = self.shapes.astype(np.int64).prod(axis=1)
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        self.pixels = np.empty(int(self.starts[-1]), dtype=np.uint8)

    def _view(self, slot: int) -> np.ndarray:
        flat = self.pixels[self.starts[slot] : self.starts[slot + 1]]
        return flat.reshape(self.shapes[slot])

    def fill(self, slot: int, load: Callable[[], np.ndarray]) -> None:
        """Store the image that ``load`` returns."""
        image = load()
        if image.shape != tuple(self.shapes[slot]):
            raise ValueError(f'image of shape {image.shape}, expected {self.shapes[slot]}')
        self._view(slot)[...] = image

    def __getitem__(self, slot: int) -> np.ndarray:
        view = self._view(slot)
        view.flags.writeable = False  # a transform that works in place must copy
        return view

    def __len__(self) -> int:
        return len(self.shapes)

    def __deepcopy__(self, memo: dict) -> 'PixelCache':
        return self  # read-only once filled: a subset of the data set shares it
