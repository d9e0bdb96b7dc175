"""OpenMMLab's ``mim``, which is a program of its own."""

import functools
import importlib
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any, Callable

from cellgan_plugin.compat.lazy_packages import UnavailableError
from cellgan_plugin.compat.quiet import quiet_upstream


def mim_command() -> Callable:
    """The command line of ``mim``, wherever ``pkg_resources`` comes from.

    For: openmim 0.3.9, which imports ``pkg_resources``, which setuptools 82 no longer has. The copy
    of it that pip brings is lent in its place for this process. Inert where it can be found.

    Raises:
        UnavailableError: ``mim`` is not installed, or there is no ``pkg_resources`` at all.
    """
    try:
        with quiet_upstream():
            if importlib.util.find_spec('setuptools') is not None:
                importlib.import_module('setuptools')  # before pip, or its distutils is another
            if importlib.util.find_spec('pkg_resources') is None:
                sys.modules['pkg_resources'] = importlib.import_module('pip._vendor.pkg_resources')
            command = importlib.import_module('mim.cli').cli
            take_shipped_weights(Path(__file__).parents[1] / '.mim')
            return command
    except ImportError as error:
        raise UnavailableError(
            f'mim cannot be imported ({error}): pip install openmim "setuptools<82"'
        ) from error


def take_shipped_weights(folder: Path) -> None:
    """Let ``mim download`` copy weights that are installed with a package.

    For: openmim 0.3.9, which asks the network for whatever ``Weights`` of an index says, also for
    a path in the package's own ``.mim``. URLs are fetched as before. Safe to call again.

    Args:
        folder (Path): ``.mim`` of the package.
    """
    module = importlib.import_module('mim.commands.download')
    original = getattr(module.download_from_file, '__wrapped__', module.download_from_file)

    @functools.wraps(original)
    def download(url: str, dest_path: str, *args: Any, **kwargs: Any) -> None:
        shipped = folder / url
        if '://' not in url and shipped.is_file():
            shutil.copyfile(shipped, dest_path)
        else:
            original(url, dest_path, *args, **kwargs)

    module.download_from_file = download
