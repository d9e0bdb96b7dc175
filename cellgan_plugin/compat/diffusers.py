"""Diffusers, which latent diffusion alone needs, whatever its version."""

import importlib

from cellgan_plugin.compat.lazy_packages import UnavailableError
from cellgan_plugin.compat.quiet import quiet_upstream


def diffusers_class(name: str) -> type:
    """A class of diffusers; of the package only what it needs is imported.

    Args:
        name (str): As diffusers itself exports it, which stays where modules move between versions.

    Raises:
        UnavailableError: Diffusers is missing or does not import, with what to install.
    """
    try:
        with quiet_upstream():
            return getattr(importlib.import_module('diffusers'), name)
    except (ImportError, RuntimeError, AttributeError) as error:
        raise UnavailableError(
            f'latent diffusion needs {name} of diffusers, which cannot be imported here ({error}): '
            'pip install -U diffusers'
        ) from error
