"""Work-arounds for upstream packages: one function each, inert where upstream is fine.

Only this module reaches into another package's private names. :func:`apply_repairs` runs all of
them once, when :mod:`cellgan_plugin` is imported.
"""

import atexit
import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import pickle
import platform
import re
import sys
import urllib.parse
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Dict, Iterator, List, Optional, Tuple, Union

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

# Distribution names, the versions known to work, and what to type when they are not there.
SUPPORTED: Dict[str, Tuple[str, str]] = {
    'torch': ('>=2.4,<2.16', 'pip install "torch==2.11.0" "torchvision==0.26.0"'),
    'numpy': ('<2', 'pip install "numpy<2"'),
    'setuptools': ('<82', 'pip install "setuptools<82"'),
    'mmengine': ('==0.10.7', 'pip install "mmengine==0.10.7"'),
    'mmcv': ('>=2.0,<2.2', 'pip install "mmcv-lite==2.1.0"'),
    'mmagic': ('==1.2.0', 'pip install "mmagic==1.2.0"'),
    'mmpretrain': ('==1.2.0', 'pip install "mmpretrain==1.2.0"'),
    'diffusers': ('<0.29', 'pip install "diffusers==0.28.2"'),
    'huggingface-hub': ('<0.26', 'pip install "huggingface-hub==0.25.2"'),
    'scipy': ('<1.18', 'pip install "scipy<1.18"'),
    # From 4.49 on it refuses to be imported with this huggingface-hub.
    'transformers': ('<4.49', 'pip install "transformers==4.48.3"'),
    # Imported by mmagic, which does not declare them; no version is known not to work.
    'albumentations': ('', 'pip install albumentations'),
    'imageio': ('', 'pip install imageio'),
    'requests': ('', 'pip install requests'),
}
SUPPORTED_PYTHON = '>=3.10,<3.13'  # as in setup.py
# mmcv is published under three distribution names with one import name.
_DISTRIBUTIONS = {'mmcv': ('mmcv', 'mmcv-lite', 'mmcv-full')}

TRUST_VARIABLE = 'CELLGAN_TRUST_CHECKPOINT'
# What torch's safe unpickler says of a sound file that holds other objects, torch 2.4 to 2.15;
# anything else it says is of bytes that are no checkpoint.
_FOREIGN_OBJECT = re.compile(
    r'.*(?:unsupported (?:GLOBAL|global|class)\b|Unsupported (?:global|class)\b'
    r'|Trying to (?:call|instantiate)|Can only (?:build|create)'
    r'|must be imported to load).*'
)


class UnsupportedVersionError(ImportError):
    """An upstream package is missing or outside the supported versions."""


class UntrustedCheckpointError(RuntimeError):
    """A checkpoint holds something other than tensors and plain containers."""


def installed_version(package: str) -> Optional[str]:
    """Version of an installed package by its key in :data:`SUPPORTED`, or None."""
    for name in _DISTRIBUTIONS.get(package, (package,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _fits(version: str, window: str) -> bool:
    try:
        return SpecifierSet(window).contains(Version(version).public, prereleases=True)
    except InvalidVersion:
        return False


def _torchvision_for(torch_version: Optional[str]) -> Tuple[str, str]:
    """Window and fix of torchvision: 0.(N + 15) belongs to torch 2.N, and loads with no other."""
    release = re.match(r'2\.(\d+)', torch_version or '')
    if release is None:  # torch itself is complained about
        return '', SUPPORTED['torch'][1]
    window = f'==0.{int(release[1]) + 15}.*'
    return window, f'pip install "torch=={release[0]}.*" "torchvision{window}"'


def check_versions() -> None:
    """Raise :class:`UnsupportedVersionError` naming everything that does not fit, and the fix.

    For: Python itself, the packages and windows of :data:`SUPPORTED`, and torchvision, which has
    to be of the release that belongs to torch. A local suffix (``2.11.0+cu130``) is ignored.
    """
    problems: List[str] = []
    python = platform.python_version()
    if not _fits(python, SUPPORTED_PYTHON):
        problems.append(
            f'  Python {python} is not supported (needs {SUPPORTED_PYTHON}): make an environment '
            'with a supported one, e.g. python3.11 -m venv .venv'
        )
    windows = dict(SUPPORTED, torchvision=_torchvision_for(installed_version('torch')))
    for package, (window, fix) in windows.items():
        found = installed_version(package)
        if found is None:
            needs = f' (needs {window})' if window else ''
            problems.append(f'  {package} is not installed{needs}: {fix}')
        elif not _fits(found, window):
            problems.append(f'  {package} {found} is not supported (needs {window}): {fix}')
    if problems:
        raise UnsupportedVersionError(
            'cellgan_plugin cannot run with the packages installed here:\n'
            + '\n'.join(problems)
            + '\nThe exact set known to work is requirements/constraints.txt '
            '(pip install --no-deps -r requirements/constraints.txt).'
        )


@contextlib.contextmanager
def quiet_upstream() -> Iterator[None]:
    """Silence upstream's warnings inside the block.

    For: mmcv 2.1, mmengine 0.10, diffusers 0.28, transformers 4.48 (deprecations of their own
    internals, missing optional packages, their own deprecated calls), which a user of this plugin
    can do nothing about. Log messages up to WARNING are dropped too, so keep the block short.
    """
    transformers_verbosity = os.environ.get('TRANSFORMERS_VERBOSITY')
    os.environ.setdefault('TRANSFORMERS_VERBOSITY', 'error')
    os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')
    previous_disable = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(previous_disable)
        if transformers_verbosity is None:
            os.environ.pop('TRANSFORMERS_VERBOSITY', None)


class _MissingOps(ModuleType):
    """Stands in for ``mmcv._ext``: every attribute is a function that says what is missing."""

    def __getattr__(self, name: str):
        if name.startswith('__'):
            raise AttributeError(name)

        def missing_op(*args, **kwargs):
            raise NotImplementedError(
                f'mmcv op {name!r} needs the compiled mmcv; mmcv-lite has none. '
                'Install it with: pip uninstall mmcv-lite && mim install "mmcv>=2.0,<2.2"'
            )

        missing_op.__name__ = name
        return missing_op


def stub_mmcv_ops() -> bool:
    """Let MMagic import with mmcv-lite, whose compiled module ``mmcv._ext`` is missing.

    For: mmcv-lite 2.x. Does nothing where a real ``mmcv._ext`` can be found.

    Returns:
        bool: Whether the stand-in is in place.
    """
    existing = sys.modules.get('mmcv._ext')
    if existing is not None:
        return isinstance(existing, _MissingOps)
    if importlib.util.find_spec('mmcv._ext') is not None:
        return False
    stub = _MissingOps('mmcv._ext')
    stub.__spec__ = ModuleSpec('mmcv._ext', None)
    sys.modules['mmcv._ext'] = stub
    return True


def load_tensors(path: Union[str, Path], map_location=None) -> dict:
    """Load a checkpoint that may come from anywhere, without running code from it.

    Args:
        path (str | Path): A file written by :func:`torch.save`.
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


def make_checkpoint_loading_safe() -> None:
    """Make MMEngine read every checkpoint, local or downloaded, with :func:`load_tensors`.

    For: mmengine 0.10.7, whose loaders call :func:`torch.load` with the default of the installed
    torch: running foreign code before torch 2.6, refusing MMEngine's own checkpoints from 2.6 on.
    Ours hold only tensors and plain containers (engine/hooks/checkpoint_hook.py).

    Replaced: local files, ``http(s)://``, ``open-mmlab://`` and what builds on them
    (``torchvision://``, ``modelzoo://``, ``mmcls://``). Refused: ``pavi://``, ``s3://``,
    ``petrel://``.
    """
    from mmengine.runner import checkpoint

    def load_from_local(filename, map_location=None):
        return load_tensors(filename, map_location)

    def load_from_http(filename, map_location=None, model_dir=None, progress=False):
        return load_tensors(_download(filename, model_dir, progress), map_location)

    def load_from_openmmlab(filename, map_location=None):
        name = filename.partition('://')[2]
        name = checkpoint.get_deprecated_model_names().get(name, name)
        urls = checkpoint.get_external_models()
        if name not in urls:
            raise ValueError(f'{filename}: MMEngine knows no model of this name')
        if urls[name].startswith(('http://', 'https://')):
            return load_from_http(urls[name], map_location)
        return load_tensors(Path(checkpoint._get_mmengine_home()) / urls[name], map_location)

    def load_from_refused(filename, map_location=None):
        raise ValueError(
            f'{filename}: checkpoints are not read from this kind of address, because MMEngine '
            'would run code from them. Download the file and name its path'
        )

    # The loaders of torchvision:// and mmcls:// find load_from_http in their module.
    checkpoint.load_from_http = load_from_http
    register = checkpoint.CheckpointLoader.register_scheme
    register('', load_from_local, force=True)
    register(['http://', 'https://'], load_from_http, force=True)
    register(['open-mmlab://', 'openmmlab://'], load_from_openmmlab, force=True)
    refused = ['pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://']
    register(refused, load_from_refused, force=True)


def _download(url: str, folder: Optional[str] = None, progress: bool = False) -> Path:
    """Download a file once, on rank 0 first, to torch's cache; its path."""
    import torch
    from mmengine.dist import barrier, get_dist_info

    folder = Path(folder or os.path.join(torch.hub.get_dir(), 'checkpoints'))
    target = folder / Path(urllib.parse.urlparse(url).path).name
    rank = get_dist_info()[0]
    if rank != 0:  # another node may not see the disk of rank 0, and downloads after it
        barrier()
    try:
        if not target.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(target), progress=progress)
    finally:
        if rank == 0:
            barrier()
    return target


def drop_file_client_warnings(record: logging.LogRecord) -> bool:
    """Logging filter: False for MMEngine's warnings about its own use of its FileClient.

    For: mmengine 0.10.7, whose ``save_checkpoint`` makes one whatever it is asked.
    """
    message = record.getMessage()
    return not ('will be deprecated' in message and ('FileClient' in message or 'alias' in message))


def _close_process_group() -> None:
    # Threads of a group that is still open when the interpreter ends can abort the process, and
    # with it a run that was complete (torch 2.11, gloo).
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def start_cpu_process_group(launcher: str) -> bool:
    """Start ``gloo`` before the Runner does, where there is no accelerator; close any at exit.

    For: mmengine 0.10.7, whose ``init_dist`` calls ``torch.cuda.set_device`` unconditionally, but
    is skipped by the Runner when a process group exists.

    Args:
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``, as of the tools.

    Returns:
        bool: Whether a process group was started here.
    """
    import torch
    import torch.distributed as dist

    if launcher == 'none':
        return False
    atexit.register(_close_process_group)
    if torch.cuda.is_available() or dist.is_initialized():
        return False
    if launcher != 'pytorch':
        raise ValueError(
            f'--launcher {launcher} needs GPUs; on CPUs start the processes with torchrun '
            '(tools/dist_train.sh), which is --launcher pytorch'
        )
    dist.init_process_group('gloo')
    return True


def apply_repairs() -> None:
    """Apply every repair that has to stand before MMagic is imported. Safe to call again."""
    check_versions()
    stub_mmcv_ops()
    with quiet_upstream():
        importlib.import_module('mmagic.models')
    make_checkpoint_loading_safe()
