"""A folder of images as Hugging Face datasets loads it."""

import pytest


def load_with_datasets(folder, cache, *how, **options):
    """The only split of the folder; skipped where the library is not installed."""
    datasets = pytest.importorskip('datasets', reason='Hugging Face datasets is not installed')
    found = datasets.load_dataset(*(how or (str(folder),)), cache_dir=str(cache), **options)
    assert list(found) == ['train']
    return found['train']
