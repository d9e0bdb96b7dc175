"""MMEngine: checkpoints, averaged weights, copies of data sets, process groups, newer Pythons."""

import atexit
import functools
import importlib.metadata
import importlib.util
import inspect
import logging
import os
import pkgutil
import sys
import urllib.parse
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional, Tuple

from cellgan_plugin.checkpoint_reading import load_tensors


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


def keep_averages_attached() -> None:
    """Let averages with ``update_buffers=True`` reach the averaged model, wherever it has moved.

    For: mmengine 0.10.7, whose ``BaseAveragedModel`` remembers the tensors of its module's
    ``state_dict()`` from construction. Moving the model to a GPU (or to another memory format)
    gives it other tensors: the averages then go on in the forgotten ones, and the averaged model
    stays as it was before, without an error. Safe to call again.
    """
    from mmengine.model import BaseAveragedModel

    original = BaseAveragedModel.update_parameters
    if hasattr(original, '__wrapped__'):
        return

    @functools.wraps(original)
    def update_parameters(self, model) -> None:
        if self.update_buffers:
            self.avg_parameters = self.module.state_dict()
        original(self, model)

    BaseAveragedModel.update_parameters = update_parameters


def forget_earlier_copies() -> None:
    """Give every copy of a data set a memory of its own.

    For: mmengine 0.10.7, whose ``BaseDataset._copy_without_annotation(memo=dict())`` remembers
    every copy it has ever made in one default argument, by the address of the original. Where a new
    object lies at the address of one that is gone, ``get_subset`` puts the old copy in its place:
    a data set for a pipeline, say. Inert where the default is no dict. Safe to call again.
    """
    from mmengine.dataset import BaseDataset

    original = BaseDataset._copy_without_annotation
    memo = inspect.signature(original, follow_wrapped=False).parameters.get('memo')
    if memo is None or not isinstance(memo.default, dict):
        return

    @functools.wraps(original)
    def copy_without_annotation(self, memo=None):
        return original(self, {} if memo is None else memo)

    BaseDataset._copy_without_annotation = copy_without_annotation


def format_configs_once() -> None:
    """Let MMEngine remember the formatted text of a config.

    For: mmengine 0.10.7, whose ``Config.pretty_text`` runs yapf (0.1 s for a config of this
    repository) each time it is read: six times before the first iteration, and once per
    checkpoint. Inert where MMEngine does not use yapf. Safe to call again.
    """
    from mmengine.config import config

    original = getattr(config, 'FormatCode', None)
    if original is None or hasattr(original, '__wrapped__'):
        return

    @functools.lru_cache(maxsize=16)
    def format_code(text: str, style: Tuple[Tuple[str, Any], ...], **options: Any):
        return original(text, style_config=dict(style), **options)

    @functools.wraps(original)
    def remembered(text: str, style_config: dict, **options: Any):
        return format_code(text, tuple(sorted(style_config.items())), **options)

    config.FormatCode = remembered


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


def drop_file_client_warnings(record: logging.LogRecord) -> bool:
    """Logging filter: False for MMEngine's warnings about its own use of its FileClient.

    For: mmengine 0.10.7, whose ``save_checkpoint`` makes one whatever it is asked.
    """
    message = record.getMessage()
    return not ('will be deprecated' in message and ('FileClient' in message or 'alias' in message))


def _find_loader(name: str) -> Any:
    """What ``pkgutil.find_loader`` returned: the loader of a module, or None."""
    spec = importlib.util.find_spec(name)
    return None if spec is None else spec.loader


def restore_find_loader() -> None:
    """Let MMEngine and MMCV look for MMCV's compiled operators on Python 3.14.

    For: mmengine 0.10.7 and mmcv up to 2.3, which call ``pkgutil.find_loader``. The standard
    library is left as it is. Inert where it has the function. Safe to call again.
    """
    if hasattr(pkgutil, 'find_loader'):
        return
    for name in ('mmengine.utils.dl_utils.misc', 'mmcv.utils.ext_loader'):
        module = importlib.import_module(name)
        if getattr(module, 'pkgutil', None) is pkgutil:
            module.pkgutil = SimpleNamespace(find_loader=_find_loader)


def _is_installed(package: str) -> bool:
    """``mmengine.utils.is_installed``: whether there is a distribution or a module of the name."""
    try:
        importlib.metadata.distribution(package)
        return True
    except importlib.metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None


def _installed_path(package: str) -> str:
    """``mmengine.utils.get_installed_path``: the folder of a distribution's or a module's code."""
    module = package
    if importlib.util.find_spec(package) is None:  # mmcv-lite has the module mmcv
        text = importlib.metadata.distribution(package).read_text('top_level.txt')
        if not text:
            raise ValueError(f'can not infer the module name of {package}')
        # Some distributions list their folders docs and tests, too.
        module = next((name for name in text.split() if name in package), text.split()[0])
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise RuntimeError(f'{package} has no folder of its own (a namespace package?)')
    return str(Path(spec.origin).parent)


def find_packages_without_pkg_resources() -> None:
    """Let a config inherit from ``mmagic::...`` and ``mmpretrain::...`` without pkg_resources.

    For: mmengine 0.10.7, which looks for the package's folder with ``pkg_resources``, which
    setuptools 82 no longer has. Inert where it can be found, and where MMEngine does not use it.
    Safe to call again.
    """
    from mmengine.utils import package_utils

    uses = 'pkg_resources' in package_utils.get_installed_path.__code__.co_names
    if not uses or importlib.util.find_spec('pkg_resources') is not None:
        return
    names = ('mmengine.utils.package_utils', 'mmengine.utils', 'mmengine.config.config')
    for module in filter(None, map(sys.modules.get, (*names, 'mmengine.hub.hub'))):
        module.is_installed = _is_installed
        module.get_installed_path = _installed_path
