"""Phantoms: procedural images whose truth is known.

:func:`generate_phantom` makes a Papanicolaou-like patch of cells from a key,
:func:`generate_tissue_phantom` an image of squamous epithelium; :func:`write_phantom_dataset`
writes a folder of either kind, and :func:`draw_phantom_sheet` a picture of one.
:func:`write_phantom_slides` writes whole slides with annotations.
"""

from cellgan_plugin.phantom.kinds import PHANTOM_KINDS
from cellgan_plugin.phantom.patch import CellRecord, PhantomPatch, generate_phantom
from cellgan_plugin.phantom.sheet import draw_phantom_sheet
from cellgan_plugin.phantom.slide_writer import write_phantom_slides
from cellgan_plugin.phantom.tissue import TissuePatch, generate_tissue_phantom
from cellgan_plugin.phantom.writer import write_phantom_dataset

__all__ = [
    'PHANTOM_KINDS',
    'CellRecord',
    'PhantomPatch',
    'TissuePatch',
    'draw_phantom_sheet',
    'generate_phantom',
    'generate_tissue_phantom',
    'write_phantom_dataset',
    'write_phantom_slides',
]
