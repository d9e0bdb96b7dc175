"""Pictures: sheets and curves."""

from .contact_sheet import image_grid
from .curves import draw_curves

__all__ = ['draw_curves', 'image_grid']
