"""Whole-slide images and annotations to patches at a known scale, with a manifest."""

from cellgan_plugin.converters.slides.convert import convert_slides
from cellgan_plugin.converters.slides.readers import SlideError, SlideReader
from cellgan_plugin.converters.slides.settings import PatchSettings, make_settings

__all__ = ['PatchSettings', 'SlideError', 'SlideReader', 'convert_slides', 'make_settings']
