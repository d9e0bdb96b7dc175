"""Phantom cytology: procedural Papanicolaou-like patches whose truth is known.

:func:`generate_phantom` makes one patch from a key, :func:`write_phantom_dataset` a folder, and
:func:`draw_phantom_sheet` a picture of one.
"""

from cellgan_plugin.datasets.phantom.patch import CellRecord, PhantomPatch, generate_phantom
from cellgan_plugin.datasets.phantom.sheet import draw_phantom_sheet
from cellgan_plugin.datasets.phantom.writer import write_phantom_dataset

__all__ = [
    'CellRecord',
    'PhantomPatch',
    'draw_phantom_sheet',
    'generate_phantom',
    'write_phantom_dataset',
]
