"""Upstream's messages that a user of this plugin can do nothing about."""

import contextlib
import logging
import os
import warnings
from typing import Iterator


@contextlib.contextmanager
def quiet_upstream() -> Iterator[None]:
    """Silence upstream's warnings inside the block.

    For: mmcv 2.1, mmengine 0.10, diffusers 0.28, transformers 4.48 (deprecations of their own
    internals, missing optional packages, their own deprecated calls), which a user of this plugin
    can do nothing about. Log messages up to WARNING are dropped too, so keep the block short.
    """
    transformers_verbosity = os.environ.get('TRANSFORMERS_VERBOSITY')
    os.environ.setdefault('TRANSFORMERS_VERBOSITY', 'error')
    os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')
    previous_disable = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(previous_disable)
        if transformers_verbosity is None:
            os.environ.pop('TRANSFORMERS_VERBOSITY', None)
