"""mmcv-lite in the place of mmcv, which has no compiled operators."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


class _MissingOps(ModuleType):
    """Stands in for ``mmcv._ext``: every attribute is a function that says what is missing."""

    def __getattr__(self, name: str):
        if name.startswith('__'):
            raise AttributeError(name)

        def missing_op(*args, **kwargs):
            raise NotImplementedError(
                f'mmcv op {name!r} needs the compiled mmcv; mmcv-lite has none. '
                'Install it with: pip uninstall mmcv-lite && mim install "mmcv>=2.0,<2.2"'
            )

        missing_op.__name__ = name
        return missing_op


def stub_mmcv_ops() -> bool:
    """Let MMagic import with mmcv-lite, whose compiled module ``mmcv._ext`` is missing.

    For: mmcv-lite 2.x. Does nothing where a real ``mmcv._ext`` can be found.

    Returns:
        bool: Whether the stand-in is in place.
    """
    existing = sys.modules.get('mmcv._ext')
    if existing is not None:
        return isinstance(existing, _MissingOps)
    if importlib.util.find_spec('mmcv._ext') is not None:
        return False
    stub = _MissingOps('mmcv._ext')
    stub.__spec__ = ModuleSpec('mmcv._ext', None)
    sys.modules['mmcv._ext'] = stub
    return True
