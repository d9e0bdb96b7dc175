"""Converters from somebody's archive to class folders with a manifest."""

from cellgan_plugin.datasets.converters.common import ConverterError
from cellgan_plugin.datasets.converters.cric import CricResult, convert_cric
from cellgan_plugin.datasets.converters.folder_rules import parse_class_map
from cellgan_plugin.datasets.converters.folders import FoldersResult, convert_folders

__all__ = [
    'ConverterError',
    'CricResult',
    'FoldersResult',
    'convert_cric',
    'convert_folders',
    'parse_class_map',
]
