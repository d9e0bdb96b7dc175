"""Print what a bug report needs: versions, device, config hash. No paths, names or users.

python -m cellgan_plugin.report
python -m cellgan_plugin.report configs/cellgan_tct.py --cfg-options train_cfg.max_iters=2000
"""

import argparse
import contextlib
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from mmengine.config import Config, DictAction

from cellgan_plugin.compat import (
    FAST_START_VARIABLE,
    SUPPORTED,
    TRUST_VARIABLE,
    installed_version,
)
from cellgan_plugin.engine.training_cost import device_name
from cellgan_plugin.errors import ConfigError
from cellgan_plugin.machine import usable_cores
from cellgan_plugin.records import digest_of
from cellgan_plugin.runs.config_file import merge_options
from cellgan_plugin.runs.test import git_revision
from cellgan_plugin.version import __version__

# Distributions beside those of SUPPORTED; several of one import name may be there at once.
_OTHERS = (
    *('torchvision', 'triton', 'opencv-python', 'opencv-python-headless'),
    *('opencv-contrib-python', 'pillow', 'matplotlib', 'scikit-learn', 'threadpoolctl'),
    *('torch-fidelity', 'h5py', 'submitit', 'openmim', 'pandas', 'setuptools'),
    *('diffusers', 'huggingface-hub', 'transformers', 'albumentations', 'imageio'),
)
# What changes numbers or speed, and tells nothing about anybody.
_SHOWN_VARIABLES = (
    *('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'CUDA_VISIBLE_DEVICES', 'CUDA_LAUNCH_BLOCKING'),
    *('CUBLAS_WORKSPACE_CONFIG', 'PYTORCH_CUDA_ALLOC_CONF', 'WORLD_SIZE', 'SLURM_NTASKS'),
    *(FAST_START_VARIABLE, TRUST_VARIABLE),
)
_PREFIX = 'CELLGAN_'  # of the plugin's own variables; the others are paths: only names are told


def package_versions() -> Dict[str, str]:
    """Versions of the installed packages that matter here, by distribution name, sorted."""
    needed = (name for package in SUPPORTED.values() for name in package.distributions)
    found = {name: installed_version(name) for name in sorted({*needed, *_OTHERS})}
    return {name: version for name, version in found.items() if version}


def device_lines() -> List[str]:
    """The processor, its memory, and each GPU with its own; CUDA, cuDNN and driver versions."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    cores = f'{usable_cores()} of {os.cpu_count()} cores'
    processor = device_name() if not torch.cuda.is_available() else platform.machine()
    lines = [f'CPU: {processor}, {cores}, {memory / 2**30:.1f} GiB']
    if not torch.cuda.is_available():
        built = f'built for CUDA {torch.version.cuda}' if torch.version.cuda else 'built without it'
        return [*lines, f'GPU: none that PyTorch can use ({built})']
    for number in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(number)
        lines.append(
            f'GPU {number}: {gpu.name}, {gpu.total_memory / 2**30:.1f} GiB, compute capability '
            f'{gpu.major}.{gpu.minor}'
        )
    driver = _driver_version()
    lines.append(
        f'CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, '
        f'driver {driver or "unknown"}'
    )
    return lines


def _driver_version() -> Optional[str]:
    if shutil.which('nvidia-smi') is None:
        return None
    command = ['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader']
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.split()), None)


@contextlib.contextmanager
def _without_own_variables() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith(_PREFIX)}
    try:
        yield
    finally:
        os.environ.update(kept)


def config_hash(config: Union[str, Path], cfg_options: Optional[Mapping[str, Any]] = None) -> str:
    """A hash of all values of a config, equal wherever these are equal.

    ``_base_`` files and options are in it; neither the file's name and comments, nor the order of
    keys, nor where the data lies: the plugin's own variables (``CELLGAN_DATA_ROOT``, ...) are taken
    as not set. A shipped config therefore has the same hash on every machine.

    Args:
        config (str | Path): Config file. As everywhere in MMEngine, reading it runs it.
        cfg_options (Mapping, optional): What ``--cfg-options`` overrides. Defaults to None.

    Returns:
        str: 32 hexadecimal digits.

    Raises:
        ConfigError: An option does not fit the config.
        FileNotFoundError: No such file.
    """
    if not Path(config).is_file():
        raise FileNotFoundError(f'there is no config {config}: give the path of a config file')
    with _without_own_variables():
        values = Config.fromfile(config, import_custom_modules=False)
    merge_options(values, cfg_options)
    return digest_of(values)


def environment_lines(environment: Optional[Mapping[str, str]] = None) -> List[str]:
    """Variables that change numbers or speed, with values; of the plugin's own the names alone."""
    environment = os.environ if environment is None else environment
    lines = [f'{name}={environment[name]}' for name in _SHOWN_VARIABLES if name in environment]
    own = sorted(
        name for name in environment if name.startswith(_PREFIX) and name not in _SHOWN_VARIABLES
    )
    return lines + ([f'set: {", ".join(own)}'] if own else [])


def report(
    config: Union[str, Path, None] = None, cfg_options: Optional[Mapping[str, Any]] = None
) -> str:
    """The text that the issue form asks for.

    Args:
        config (str | Path, optional): Config file that was used. Defaults to None.
        cfg_options (Mapping, optional): Its ``--cfg-options``. Defaults to None.

    Returns:
        str: Several lines.

    Raises:
        FileNotFoundError: No such config.
    """
    revision = git_revision()
    parts: List[Tuple[str, Sequence[str]]] = [
        (
            f'cellgan_plugin {__version__}' + (f' (git {revision})' if revision else ''),
            [f'Python {platform.python_version()}, {platform.platform()}'],
        ),
        ('packages', [f'{name} {version}' for name, version in package_versions().items()]),
        ('device', device_lines()),
        ('environment', environment_lines() or ['nothing of note']),
    ]
    if config is not None:
        options = f' with {len(cfg_options)} options' if cfg_options else ''
        digest = config_hash(config, cfg_options)
        parts.append(('config', [f'{Path(config).name}{options}: {digest}']))
    return '\n'.join(line for head, lines in parts for line in (head, *(f'  {x}' for x in lines)))


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog='python -m cellgan_plugin.report',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', nargs='?', help='config file that was used')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='the options given to the tool',
    )
    args = parser.parse_args(arguments)
    if args.cfg_options and args.config is None:
        parser.error('--cfg-options need the config that they override')
    try:
        print(report(args.config, args.cfg_options))
    except (ConfigError, FileNotFoundError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
