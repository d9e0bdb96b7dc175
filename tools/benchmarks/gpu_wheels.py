"""Collect what ``gpu.py`` imports, as pure-Python wheels, for a GPU machine without a network.

Run the first command here, with a network, and the second on the GPU machine::

    python tools/benchmarks/gpu_wheels.py --out wheels --python 3.12
    python -m pip install --no-index --no-deps wheels/*.whl

Versions are those of ``requirements/constraints.txt``. Packages with compiled parts (``COMPILED``)
must be on that machine; ``--compiled NAME ...`` adds missing ones, for Linux on x86-64. Nothing
depends on the version of torch, which the machine already has.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import List, Sequence

from packaging.requirements import Requirement

REPO = Path(__file__).resolve().parents[2]
LIMIT = 60 * 2**20
PURE = (
    'addict', 'anyio', 'certifi', 'click', 'cycler', 'diffusers', 'einops', 'filelock',
    'fonttools', 'fsspec', 'h11', 'httpcore', 'httpcore2', 'httpx', 'httpx2', 'huggingface-hub',
    'idna', 'importlib-metadata', 'jinja2', 'joblib', 'lightning-utilities', 'lpips',
    'markdown-it-py', 'mat4py', 'mdurl', 'mmagic', 'mmcv-lite', 'mmengine', 'mmpretrain',
    'modelindex', 'packaging', 'platformdirs', 'pygments', 'pyparsing', 'python-dateutil',
    'requests', 'resize-right', 'rich', 'termcolor', 'threadpoolctl', 'torch-fidelity',
    'torchmetrics', 'tqdm', 'transformers', 'truststore', 'typing-extensions', 'urllib3',
    'yapf', 'zipp',
)  # fmt: skip
COMPILED = (
    'torch', 'torchvision', 'numpy', 'scipy', 'opencv-python-headless', 'pillow', 'matplotlib',
    'contourpy', 'kiwisolver', 'pyyaml', 'scikit-learn', 'h5py', 'safetensors', 'simplejpeg',
    'markupsafe', 'charset-normalizer', 'regex', 'tokenizers',
)  # fmt: skip


def pinned(names: Sequence[str], python: str) -> List[str]:
    """``name==version`` of each, as the list of this repository has them for a Python.

    Raises:
        ValueError: The list does not have one of them.
    """
    found, known = {}, set()
    for line in (REPO / 'requirements' / 'constraints.txt').read_text('utf-8').splitlines():
        if not line or line.startswith('#'):
            continue
        requirement = Requirement(line)
        known.add(requirement.name.lower())
        environment = dict(
            python_version=python,
            python_full_version=f'{python}.0',
            sys_platform='linux',
            platform_machine='x86_64',
        )
        if requirement.marker is None or requirement.marker.evaluate(environment):
            found[requirement.name.lower()] = f'{requirement.name}{requirement.specifier}'
    missing = sorted(set(names) - known)
    if missing:
        raise ValueError(f'requirements/constraints.txt has no {", ".join(missing)}')
    return [found[name] for name in names if name in found]  # some are for other Pythons


def download(requirements: Sequence[str], out: Path, options: Sequence[str]) -> None:
    """Wheels of exactly these, nothing they depend on."""
    common = ['--no-deps', '--only-binary=:all:', '--dest', str(out)]
    command = [sys.executable, '-m', 'pip', 'download', *common, *options, *requirements]
    subprocess.run(command, check=True)


def main() -> None:
    """Download and say how much it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', required=True, metavar='DIR')
    parser.add_argument(
        '--python', default='3.12', help='Python version of the GPU machine (default: 3.12)'
    )
    parser.add_argument('--compiled', nargs='+', default=[], choices=COMPILED, metavar='NAME')
    args = parser.parse_args()
    out = Path(args.out)
    download(pinned(PURE, args.python), out, ['--platform', 'any', '--python-version', args.python])
    if args.compiled:
        platforms = [f'--platform=manylinux_2_{minor}_x86_64' for minor in (17, 24, 27, 28)]
        platforms += ['--platform=manylinux2014_x86_64', '--platform=any']
        options = [*platforms, '--python-version', args.python]
        download(pinned(args.compiled, args.python), out, options)
    wheels = sorted(out.glob('*.whl'))
    size = sum(path.stat().st_size for path in wheels)
    print(f'{out}: {len(wheels)} wheels, {size / 2**20:.1f} MiB')
    others = sorted(set(COMPILED) - set(args.compiled))
    print(f'have to be there: {", ".join(others)}')
    if size > LIMIT:
        raise SystemExit(f'more than {LIMIT / 2**20:.0f} MiB')


if __name__ == '__main__':
    main()
