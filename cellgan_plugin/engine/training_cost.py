"""What a training run has cost so far: it travels in the checkpoints."""

import dataclasses
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Union

import torch

from cellgan_plugin.compat import load_tensors

try:
    import resource
except ImportError:  # Windows
    resource = None

# Key of MMEngine's message hub.
COST_KEY = 'training_cost'


@dataclass(frozen=True)
class TrainingCost:
    """Cost of a run, over all its resumes, up to a checkpoint.

    Attributes:
        seconds (float): Wall-clock time of waiting for data and of the training steps; without
            validation, logging, saving, pictures and starting up.
        cpu_seconds (float): Processor time of the first process and its threads in these seconds
            (not of loader workers): less than ``seconds`` where others had the processor too, more
            with several threads.
        iterations (int): That were counted.
        images (int): Training images seen, all processes together.
        peak_memory_mb (float): Largest memory of the first process in MiB: what CUDA had allocated
            while training, or the resident set of the process (data in RAM and libraries included).
        memory_kind (str): ``'CUDA'``, ``'process'``, or ``'not measured'`` where the system does
            not tell (Windows without CUDA; the memory is 0 then).
        device (str): Name of the device; several joined by ' + ' when the run moved.
        processes (int): The most that trained at a time.
        first_iteration (int): Where counting began; above 0 when an uncounted run was resumed.
    """

    seconds: float = 0.0
    iterations: int = 0
    images: int = 0
    peak_memory_mb: float = 0.0
    memory_kind: str = 'process'
    device: str = ''
    processes: int = 1
    first_iteration: int = 0
    cpu_seconds: float = 0.0

    @property
    def images_per_second(self) -> Optional[float]:
        """Training speed; None before the first iteration."""
        return self.images / self.seconds if self.seconds > 0 else None

    @property
    def device_hours(self) -> float:
        """Hours of all devices together (GPU hours, or CPU hours of a process)."""
        return self.seconds * self.processes / 3600

    @property
    def processor_hours(self) -> float:
        """Hours of processor time of the first process."""
        return self.cpu_seconds / 3600

    def as_dict(self) -> dict:
        """Plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> 'TrainingCost':
        """The inverse of :meth:`as_dict`; keys of a later version are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})


def device_name() -> str:
    """Name of the device that this process trains on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    cpu = Path('/proc/cpuinfo')
    if cpu.is_file():
        lines = cpu.read_text(encoding='utf-8', errors='replace').splitlines()
        names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
        name = next(iter(names), name)
    threads = torch.get_num_threads()
    return f'{name} ({threads} thread{"s" if threads > 1 else ""})'


def peak_memory() -> tuple:
    """(MiB, kind) of this process so far; see :class:`TrainingCost`."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20, 'CUDA'
    if resource is None:
        return 0.0, 'not measured'
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return peak / (2**20 if sys.platform == 'darwin' else 2**10), 'process'


def cost_in(state: Mapping[str, Any]) -> Optional[TrainingCost]:
    """The cost in a checkpoint that has been loaded; None where it says none."""
    info = (state.get('message_hub') or {}).get('runtime_info')
    values = info.get(COST_KEY) if isinstance(info, Mapping) else None
    return TrainingCost.from_dict(values) if isinstance(values, Mapping) else None


def read_training_cost(checkpoint: Union[str, 'os.PathLike[str]']) -> Optional[TrainingCost]:
    """What the training up to a checkpoint has cost; None when the checkpoint does not say.

    Raises:
        FileNotFoundError, UntrustedCheckpointError, ValueError: See :func:`load_tensors`.
    """
    return cost_in(load_tensors(checkpoint, 'cpu'))
