"""Converters from somebody's archive to class folders or pairs with a manifest."""

from cellgan_plugin.converters.common import ConversionResult, ConverterError
from cellgan_plugin.converters.cric import CricResult, convert_cric
from cellgan_plugin.converters.folder_rules import parse_class_map
from cellgan_plugin.converters.folders import convert_folders
from cellgan_plugin.converters.glas import GlasImage, read_glas
from cellgan_plugin.converters.glas_pairs import convert_glas
from cellgan_plugin.converters.glas_tiles import convert_glas_tiles
from cellgan_plugin.converters.images import SourceImage, convert_images
from cellgan_plugin.converters.pcam import convert_pcam

__all__ = [
    'ConversionResult',
    'ConverterError',
    'CricResult',
    'GlasImage',
    'SourceImage',
    'convert_cric',
    'convert_folders',
    'convert_glas',
    'convert_glas_tiles',
    'convert_images',
    'convert_pcam',
    'parse_class_map',
    'read_glas',
]
