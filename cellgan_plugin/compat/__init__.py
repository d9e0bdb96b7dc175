"""Work-arounds for upstream packages, inert where upstream is fine, one job per file.

Only this package reaches into another package's private names. :func:`apply_repairs` runs what
has to stand before MMagic is imported, when :mod:`cellgan_plugin` is imported.
"""

import importlib

from cellgan_plugin.compat.averaged_models import keep_averages_attached
from cellgan_plugin.compat.checkpoints import (
    TRUST_VARIABLE,
    UntrustedCheckpointError,
    load_tensors,
    make_checkpoint_loading_safe,
)
from cellgan_plugin.compat.config_text import format_configs_once
from cellgan_plugin.compat.dataset_copies import forget_earlier_copies
from cellgan_plugin.compat.lazy_imports import (
    EAGER_VARIABLE,
    make_grids_lazy,
    make_mmagic_lazy,
    make_mmengine_lazy,
)
from cellgan_plugin.compat.mmcv_ops import stub_mmcv_ops
from cellgan_plugin.compat.noise import drop_file_client_warnings, quiet_upstream
from cellgan_plugin.compat.process_groups import start_cpu_process_group
from cellgan_plugin.compat.versions import (
    SUPPORTED,
    SUPPORTED_PYTHON,
    UnsupportedVersionError,
    check_versions,
    installed_version,
)


def apply_repairs() -> None:
    """Apply every repair that has to stand before MMagic is imported. Safe to call again."""
    check_versions()
    stub_mmcv_ops()
    with quiet_upstream():
        make_mmengine_lazy()
        make_grids_lazy()
        make_mmagic_lazy()
        importlib.import_module('mmagic.models.base_models')
    make_checkpoint_loading_safe()
    format_configs_once()
    keep_averages_attached()
    forget_earlier_copies()


__all__ = [
    'EAGER_VARIABLE',
    'SUPPORTED',
    'SUPPORTED_PYTHON',
    'TRUST_VARIABLE',
    'UnsupportedVersionError',
    'UntrustedCheckpointError',
    'apply_repairs',
    'check_versions',
    'drop_file_client_warnings',
    'forget_earlier_copies',
    'format_configs_once',
    'installed_version',
    'keep_averages_attached',
    'load_tensors',
    'make_checkpoint_loading_safe',
    'make_grids_lazy',
    'make_mmagic_lazy',
    'make_mmengine_lazy',
    'quiet_upstream',
    'start_cpu_process_group',
    'stub_mmcv_ops',
]
