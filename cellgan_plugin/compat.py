"""Work-arounds for upstream packages: one function each, inert where upstream is fine.

Only this module reaches into another package's private names. :func:`apply_repairs` runs all of
them once, when :mod:`cellgan_plugin` is imported.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
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
}
# mmcv is published under three distribution names with one import name.
_DISTRIBUTIONS = {'mmcv': ('mmcv', 'mmcv-lite', 'mmcv-full')}

TRUST_VARIABLE = 'CELLGAN_TRUST_CHECKPOINT'


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


def check_versions() -> None:
    """Raise :class:`UnsupportedVersionError` naming every package that does not fit, and the fix.

    For: torch, numpy, setuptools, mmengine, mmcv, mmagic, mmpretrain, diffusers, huggingface-hub
    and scipy, with the windows of :data:`SUPPORTED`. A local suffix (``2.11.0+cu130``) is ignored.
    """
    problems: List[str] = []
    for package, (window, fix) in SUPPORTED.items():
        found = installed_version(package)
        if found is None:
            problems.append(f'  {package} is not installed (needs {window}): {fix}')
            continue
        try:
            fits = SpecifierSet(window).contains(Version(found).public, prereleases=True)
        except InvalidVersion:
            fits = False
        if not fits:
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
    import pickle

    import torch

    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        if os.environ.get(TRUST_VARIABLE) == '1':
            return torch.load(path, map_location=map_location, weights_only=False)
        reason = str(error).split('Check the documentation')[0].strip().splitlines()
        detail = next((line for line in reason if 'GLOBAL' in line or 'class' in line), reason[-1])
        raise UntrustedCheckpointError(
            f'{path} holds more than tensors and plain containers and was not loaded, because '
            f'loading it would run code from the file ({detail.strip()}). If you made the file '
            'yourself or trust who did, pass --trust-checkpoint to the tool (or set '
            f'{TRUST_VARIABLE}=1).'
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # bytes that are no checkpoint make the unpickler fail anyhow
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f'{path} is damaged or not a PyTorch checkpoint ({first_line}); it may have been cut '
            'off while it was copied or written'
        ) from error


def make_checkpoint_loading_safe() -> None:
    """Make MMEngine read local and downloaded checkpoints with ``weights_only=True``.

    For: mmengine 0.10.7, whose ``load_from_local`` calls :func:`torch.load` with the default of the
    installed torch: running foreign code before torch 2.6, refusing MMEngine's own checkpoints
    from 2.6 on. Ours hold only tensors and plain containers (engine/hooks/checkpoint_hook.py).
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    def load_from_local(filename, map_location=None):
        return load_tensors(filename, map_location)

    def load_from_http(filename, map_location=None, model_dir=None, progress=False):
        import torch
        from mmengine.dist import barrier, get_dist_info

        if get_dist_info()[0] != 0:
            barrier()
        state = torch.hub.load_state_dict_from_url(
            filename, model_dir, map_location, progress, weights_only=True
        )
        if get_dist_info()[0] == 0:
            barrier()
        return state

    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointLoader.register_scheme(['http://', 'https://'], load_from_http, force=True)


def drop_file_client_warnings(record: logging.LogRecord) -> bool:
    """Logging filter: False for MMEngine's warnings about its own use of its FileClient.

    For: mmengine 0.10.7, whose ``save_checkpoint`` makes one whatever it is asked.
    """
    message = record.getMessage()
    return not ('will be deprecated' in message and ('FileClient' in message or 'alias' in message))


def start_cpu_process_group(launcher: str) -> bool:
    """Start ``gloo`` before the Runner does, where there is no accelerator.

    For: mmengine 0.10.7, whose ``init_dist`` calls ``torch.cuda.set_device`` unconditionally, but
    is skipped by the Runner when a process group exists.

    Args:
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``, as of the tools.

    Returns:
        bool: Whether a process group was started here.
    """
    import torch
    import torch.distributed as dist

    if launcher == 'none' or torch.cuda.is_available() or dist.is_initialized():
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
