"""Which versions of the packages below this one work, and the complaint about any other."""

import importlib.metadata
import platform
from typing import Dict, List, NamedTuple, Optional, Tuple

import packaging.requirements
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version


class Requirement(NamedTuple):
    """A package that every run imports.

    Attributes:
        distributions (Dict[str, str]): The names it is published under, and the versions of each
            that work (``''``: no version is known not to). One of them has to be installed.
        fix (str): What to type when none is.
    """

    distributions: Dict[str, str]
    fix: str


SUPPORTED: Dict[str, Requirement] = {
    'torch': Requirement({'torch': '>=2.4'}, 'pip install torch torchvision'),
    'numpy': Requirement({'numpy': '>=1.26'}, 'pip install "numpy>=1.26"'),
    'mmengine': Requirement(
        {'mmengine': '>=0.10.7,<0.11', 'onedl-mmengine': '>=0.10.8,<0.11'},
        'pip install "mmengine==0.10.7"',
    ),
    'mmcv': Requirement(
        {
            'mmcv-lite': '>=2.0,<2.2',
            'mmcv': '>=2.0,<2.2',
            'mmcv-full': '>=2.0,<2.2',
            'onedl-mmcv': '>=2.3,<2.4',
        },
        'pip install "mmcv-lite==2.1.0"',
    ),
    'mmagic': Requirement({'mmagic': '==1.2.0'}, 'pip install "mmagic==1.2.0"'),
    'mmpretrain': Requirement(
        {'mmpretrain': '==1.2.0', 'onedl-mmpretrain': '>=1.3,<1.4'},
        'pip install "mmpretrain==1.2.0"',
    ),
    'scipy': Requirement({'scipy': ''}, 'pip install scipy'),
    # Imported by mmagic, which does not declare it.
    'requests': Requirement({'requests': ''}, 'pip install requests'),
}
SUPPORTED_PYTHON = '>=3.10,<3.15'  # as in setup.py


class UnsupportedVersionError(ImportError):
    """An upstream package is missing, outside the supported versions, or installed twice."""


def installed_version(distribution: str) -> Optional[str]:
    """Version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def fits(version: str, window: str) -> bool:
    """Whether a version, its local suffix apart, is in a window; one that is no version is not."""
    try:
        return SpecifierSet(window).contains(Version(version).public, prereleases=True)
    except InvalidVersion:
        return False


def _torch_of_torchvision() -> str:
    """The versions of torch that the installed torchvision declares; '' where it says nothing."""
    declared = map(
        packaging.requirements.Requirement, importlib.metadata.requires('torchvision') or []
    )
    return next((str(x.specifier) for x in declared if x.name == 'torch'), '')


def _torchvision_problem() -> Optional[str]:
    """What is wrong with torchvision: most releases load with the one torch they are built for."""
    torch, torchvision = installed_version('torch'), installed_version('torchvision')
    if torchvision is None:
        return 'torchvision is not installed: pip install torch torchvision'
    if torch is None:  # which is complained about
        return None
    window, release = _torch_of_torchvision(), '.'.join(torch.split('.')[:2])
    patches = window.startswith(f'=={release}.')  # any patch of the release loads
    if patches or fits(torch, window):
        return None
    return (
        f'torchvision {torchvision} is not supported beside torch {torch} (needs torch{window}): '
        f'pip install --upgrade "torch=={release}.*" torchvision'
    )


def _problem(package: str, requirement: Requirement) -> Optional[str]:
    """What is wrong with one package, with its fix; None where it fits."""
    windows, fix = requirement
    installed: List[Tuple[str, str]] = [
        (name, version) for name in windows if (version := installed_version(name)) is not None
    ]
    if not installed:
        accepted = ' or '.join(f'{x}{window}' for x, window in windows.items() if window)
        needs = f' (needs {accepted})' if accepted else ''
        return f'{package} is not installed{needs}: {fix}'
    if len(installed) > 1:
        names = [name for name, _ in installed]
        found = ' and '.join(f'{name} {version}' for name, version in installed)
        return (
            f'{found} are installed into the same folder, {package}/, and overwrite each other: '
            f'pip uninstall -y {" ".join(names)}, then install one of them, e.g. {fix}'
        )
    ((name, version),) = installed
    if not fits(version, windows[name]):
        return f'{name} {version} is not supported (needs {windows[name]}): {fix}'
    return None


def check_versions() -> None:
    """Raise :class:`UnsupportedVersionError` naming everything that does not fit, and the fix.

    For: Python itself, the packages of :data:`SUPPORTED`, and torchvision, which has to be one for
    the installed torch. A local suffix (``2.11.0+cu130``) is ignored. What only some runs
    import is not asked for here: latent diffusion asks for diffusers when it is built.
    """
    problems: List[str] = []
    python = platform.python_version()
    if not fits(python, SUPPORTED_PYTHON):
        problems.append(
            f'Python {python} is not supported (needs {SUPPORTED_PYTHON}): make an environment '
            'with a supported one, e.g. python3.12 -m venv .venv'
        )
    found = [_problem(package, requirement) for package, requirement in SUPPORTED.items()]
    problems += filter(None, [*found, _torchvision_problem()])
    if problems:
        raise UnsupportedVersionError(
            'cellgan_plugin cannot run with the packages installed here:\n'
            + '\n'.join(f'  {problem}' for problem in problems)
            + '\nA complete set that works is requirements/constraints.txt '
            '(pip install --no-deps -r requirements/constraints.txt).'
        )
