"""Pictures: sheets and curves."""

from .contact_sheet import image_grid
from .curves import draw_curves
from .mask_colours import class_colour, mask_picture

__all__ = ['class_colour', 'draw_curves', 'image_grid', 'mask_picture']
