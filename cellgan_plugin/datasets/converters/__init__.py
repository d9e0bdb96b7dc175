"""Converters from somebody's archive to class folders with a manifest."""

from cellgan_plugin.datasets.converters.common import ConversionResult, ConverterError
from cellgan_plugin.datasets.converters.cric import CricResult, convert_cric
from cellgan_plugin.datasets.converters.folder_rules import parse_class_map
from cellgan_plugin.datasets.converters.folders import convert_folders
from cellgan_plugin.datasets.converters.pcam import convert_pcam

__all__ = [
    'ConversionResult',
    'ConverterError',
    'CricResult',
    'convert_cric',
    'convert_folders',
    'convert_pcam',
    'parse_class_map',
]
