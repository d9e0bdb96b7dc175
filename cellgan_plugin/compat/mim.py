"""OpenMMLab's ``mim``, which is a program of its own."""

import importlib
import importlib.util
import sys
from typing import Callable

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
            return importlib.import_module('mim.cli').cli
    except ImportError as error:
        raise UnavailableError(
            f'mim cannot be imported ({error}): pip install openmim "setuptools<82"'
        ) from error
