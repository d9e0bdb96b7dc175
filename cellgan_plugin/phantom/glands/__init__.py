"""Phantom glands: procedural H&E images of colon glands whose instance masks are known.

:func:`generate_gland_phantom` makes one image (or its masks alone) from a key,
:func:`write_gland_phantom` a folder, :func:`draw_gland_sheet` a picture of one.
"""

from .grades import GLAND_CATEGORIES
from .patch import GLAND_CLASSES, GlandPatch, generate_gland_phantom
from .sheet import draw_gland_sheet
from .writer import write_gland_phantom

__all__ = [
    'GLAND_CATEGORIES',
    'GLAND_CLASSES',
    'GlandPatch',
    'draw_gland_sheet',
    'generate_gland_phantom',
    'write_gland_phantom',
]
