"""CellGAN and its companions for MMagic: importing this package registers everything it has."""

from cellgan_plugin.compat import apply_repairs
from cellgan_plugin.version import __version__

apply_repairs()

from cellgan_plugin import datasets, engine, evaluation, models  # noqa: E402

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'models']
