"""Repairs of upstream packages, one file per package, inert where upstream is fine.

Only this package reaches into another package's private names. :func:`apply_repairs` runs what
has to stand before MMagic is imported, when :mod:`cellgan_plugin` is imported.
"""

import importlib

from cellgan_plugin.checkpoint_reading import TRUST_VARIABLE, UntrustedCheckpointError, load_tensors
from cellgan_plugin.compat.diffusers import diffusers_class
from cellgan_plugin.compat.fast_start import FAST_START_VARIABLE, fast_start_wanted, start_fast
from cellgan_plugin.compat.lazy_packages import UnavailableError
from cellgan_plugin.compat.mim import mim_command
from cellgan_plugin.compat.mmagic import importable_mmagic, make_mmagic_lazy
from cellgan_plugin.compat.mmcv import stub_mmcv_ops
from cellgan_plugin.compat.mmengine import (
    drop_file_client_warnings,
    find_packages_without_pkg_resources,
    forget_earlier_copies,
    keep_averages_attached,
    make_checkpoint_loading_safe,
    restore_find_loader,
    start_cpu_process_group,
)
from cellgan_plugin.compat.quiet import quiet_upstream
from cellgan_plugin.compat.versions import (
    SUPPORTED,
    SUPPORTED_PYTHON,
    UnsupportedVersionError,
    check_versions,
    installed_version,
)
from cellgan_plugin.compat.visualizers import make_mlflow_names_valid, show_image
from cellgan_plugin.safetensors_files import load_safetensors, save_safetensors


def apply_repairs() -> None:
    """Apply every repair that has to stand before MMagic is imported. Safe to call again."""
    check_versions()
    stub_mmcv_ops()
    restore_find_loader()
    find_packages_without_pkg_resources()
    with quiet_upstream(), importable_mmagic():
        if fast_start_wanted():
            start_fast()
        else:
            make_mmagic_lazy(everything=False)
        importlib.import_module('mmagic.models.base_models')
    make_checkpoint_loading_safe()
    keep_averages_attached()
    forget_earlier_copies()
    make_mlflow_names_valid()


__all__ = [
    'FAST_START_VARIABLE',
    'SUPPORTED',
    'SUPPORTED_PYTHON',
    'TRUST_VARIABLE',
    'UnavailableError',
    'UnsupportedVersionError',
    'UntrustedCheckpointError',
    'apply_repairs',
    'check_versions',
    'diffusers_class',
    'drop_file_client_warnings',
    'installed_version',
    'load_safetensors',
    'load_tensors',
    'make_mlflow_names_valid',
    'mim_command',
    'quiet_upstream',
    'save_safetensors',
    'show_image',
    'start_cpu_process_group',
]
