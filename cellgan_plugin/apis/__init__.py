"""The verbs: one function for each, as the tools use them and a notebook may.

Each is imported from its room when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, List

if TYPE_CHECKING:
    from cellgan_plugin.benchmark.run import benchmark
    from cellgan_plugin.comparison.compare import compare
    from cellgan_plugin.datasets.checks import check_dataset
    from cellgan_plugin.reader_study.make import make_reader_study
    from cellgan_plugin.reader_study.score import score_reader_study
    from cellgan_plugin.reporting.write import write_report
    from cellgan_plugin.runs.evaluate_folders import evaluate_folders
    from cellgan_plugin.runs.generator_export import export_generator, load_generator
    from cellgan_plugin.runs.test import test
    from cellgan_plugin.runs.train import load_config, train
    from cellgan_plugin.runs.trained_model import load_model
    from cellgan_plugin.segmentation.benchmark import segmentation_benchmark
    from cellgan_plugin.segmentation.evaluate_masks import evaluate_masks
    from cellgan_plugin.segmentation.segment import segment
    from cellgan_plugin.selection.select import select
    from cellgan_plugin.study.study import study
    from cellgan_plugin.synthesis.attention import attention_maps
    from cellgan_plugin.synthesis.interpolate import interpolate
    from cellgan_plugin.synthesis.synthesize import synthesize
    from cellgan_plugin.synthesis.tissue import synthesize_tissue

_MODULES = {
    'attention_maps': 'synthesis.attention',
    'benchmark': 'benchmark.run',
    'check_dataset': 'datasets.checks',
    'compare': 'comparison.compare',
    'evaluate_folders': 'runs.evaluate_folders',
    'evaluate_masks': 'segmentation.evaluate_masks',
    'export_generator': 'runs.generator_export',
    'interpolate': 'synthesis.interpolate',
    'load_config': 'runs.train',
    'load_generator': 'runs.generator_export',
    'load_model': 'runs.trained_model',
    'make_reader_study': 'reader_study.make',
    'score_reader_study': 'reader_study.score',
    'segment': 'segmentation.segment',
    'segmentation_benchmark': 'segmentation.benchmark',
    'select': 'selection.select',
    'study': 'study.study',
    'synthesize': 'synthesis.synthesize',
    'synthesize_tissue': 'synthesis.tissue',
    'test': 'runs.test',
    'train': 'runs.train',
    'write_report': 'reporting.write',
}

__all__ = [
    'attention_maps',
    'benchmark',
    'check_dataset',
    'compare',
    'evaluate_folders',
    'evaluate_masks',
    'export_generator',
    'interpolate',
    'load_config',
    'load_generator',
    'load_model',
    'make_reader_study',
    'score_reader_study',
    'segment',
    'segmentation_benchmark',
    'select',
    'study',
    'synthesize',
    'synthesize_tissue',
    'test',
    'train',
    'write_report',
]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'cellgan_plugin.{_MODULES[name]}'), name)


def __dir__() -> List[str]:
    return __all__
