"""Which versions of the packages below this one work, and the complaint about any other."""

import importlib.metadata
import platform
import re
from typing import Dict, List, Optional, Tuple

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

# Distribution names, the versions known to work, and what to type when they are not there.
SUPPORTED: Dict[str, Tuple[str, str]] = {
    'torch': ('>=2.4,<2.16', 'pip install "torch==2.11.0" "torchvision==0.26.0"'),
    'numpy': ('<2', 'pip install "numpy<2"'),
    'setuptools': ('<82', 'pip install "setuptools<82"'),
    'mmengine': ('==0.10.7', 'pip install "mmengine==0.10.7"'),
    'mmcv': ('>=2.0,<2.2', 'pip install "mmcv-lite==2.1.0"'),
    'mmagic': ('==1.2.0', 'pip install "mmagic==1.2.0"'),
    'mmpretrain': ('==1.2.0', 'pip install "mmpretrain==1.2.0"'),
    'diffusers': ('<0.29', 'pip install "diffusers==0.28.2"'),
    'huggingface-hub': ('<0.26', 'pip install "huggingface-hub==0.25.2"'),
    'scipy': ('<1.18', 'pip install "scipy<1.18"'),
    # From 4.49 on it refuses to be imported with this huggingface-hub.
    'transformers': ('<4.49', 'pip install "transformers==4.48.3"'),
    # Imported by mmagic, which does not declare them; no version is known not to work.
    'albumentations': ('', 'pip install albumentations'),
    'imageio': ('', 'pip install imageio'),
    'requests': ('', 'pip install requests'),
}
SUPPORTED_PYTHON = '>=3.10,<3.13'  # as in setup.py
# mmcv is published under three distribution names with one import name.
_DISTRIBUTIONS = {'mmcv': ('mmcv', 'mmcv-lite', 'mmcv-full')}


class UnsupportedVersionError(ImportError):
    """An upstream package is missing or outside the supported versions."""


def installed_version(package: str) -> Optional[str]:
    """Version of an installed package by its key in :data:`SUPPORTED`, or None."""
    for name in _DISTRIBUTIONS.get(package, (package,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _fits(version: str, window: str) -> bool:
    try:
        return SpecifierSet(window).contains(Version(version).public, prereleases=True)
    except InvalidVersion:
        return False


def _torchvision_for(torch_version: Optional[str]) -> Tuple[str, str]:
    """Window and fix of torchvision: 0.(N + 15) belongs to torch 2.N, and loads with no other."""
    release = re.match(r'2\.(\d+)', torch_version or '')
    if release is None:  # torch itself is complained about
        return '', SUPPORTED['torch'][1]
    window = f'==0.{int(release[1]) + 15}.*'
    return window, f'pip install "torch=={release[0]}.*" "torchvision{window}"'


def check_versions() -> None:
    """Raise :class:`UnsupportedVersionError` naming everything that does not fit, and the fix.

    For: Python itself, the packages and windows of :data:`SUPPORTED`, and torchvision, which has
    to be of the release that belongs to torch. A local suffix (``2.11.0+cu130``) is ignored.
    """
    problems: List[str] = []
    python = platform.python_version()
    if not _fits(python, SUPPORTED_PYTHON):
        problems.append(
            f'  Python {python} is not supported (needs {SUPPORTED_PYTHON}): make an environment '
            'with a supported one, e.g. python3.11 -m venv .venv'
        )
    windows = dict(SUPPORTED, torchvision=_torchvision_for(installed_version('torch')))
    for package, (window, fix) in windows.items():
        found = installed_version(package)
        if found is None:
            needs = f' (needs {window})' if window else ''
            problems.append(f'  {package} is not installed{needs}: {fix}')
        elif not _fits(found, window):
            problems.append(f'  {package} {found} is not supported (needs {window}): {fix}')
    if problems:
        raise UnsupportedVersionError(
            'cellgan_plugin cannot run with the packages installed here:\n'
            + '\n'.join(problems)
            + '\nThe exact set known to work is requirements/constraints.txt '
            '(pip install --no-deps -r requirements/constraints.txt).'
        )
