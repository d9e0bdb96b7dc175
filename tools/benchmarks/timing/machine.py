"""Description of the machine, its number of threads, and waiting for a GPU."""

import importlib.util
import os
import platform
from importlib.metadata import version
from typing import Any, Dict, Union

import torch

from cellgan_plugin.machine import usable_cores

_THREAD_VARIABLES = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')


def synchronize(device: Union[str, torch.device] = 'cpu') -> None:
    """Wait until a device has done what it was given; nothing to do on a CPU."""
    device = torch.device(device)
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    elif device.type == 'mps':
        torch.mps.synchronize()


def limit_threads(threads: int) -> None:
    """Let every library use so many CPU threads, in this process and in those it starts.

    Libraries that are loaded later read the environment; those that are loaded by now are told.

    Args:
        threads (int): Of each library; at least 1.
    """
    if threads < 1:
        raise ValueError(f'limit_threads: threads must be positive, got {threads}')
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)
    torch.set_num_threads(threads)
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(threads)
    threadpool_limits(threads)  # the linear algebra of numpy and SciPy


def describe_machine(device: Union[str, torch.device] = 'cpu', threads: int = 0) -> Dict[str, Any]:
    """The machine, the versions and how busy it is, for a report.

    Args:
        device (str | torch.device): What was measured on. Defaults to 'cpu'.
        threads (int): Threads that the libraries were limited to; 0: those torch has now.

    Returns:
        dict: Plain values; ``load_average`` is that of the last minute, of all processes.
    """
    device = torch.device(device)
    is_cuda = device.type == 'cuda'
    packages = ('torch', 'numpy', 'scipy', 'opencv-python-headless', 'mmengine', 'mmagic')
    return dict(
        device=torch.cuda.get_device_name(device) if is_cuda else device.type,
        device_memory=torch.cuda.get_device_properties(device).total_memory if is_cuda else None,
        processor=platform.processor() or platform.machine(),
        cores=usable_cores(),
        threads=threads or torch.get_num_threads(),
        python=platform.python_version(),
        versions={name: _version(name) for name in packages},
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, 'getloadavg') else None,
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except importlib.metadata.PackageNotFoundError:
        return 'not installed'
