"""Packaging: the plugin, with configs, tools and model-index.yml beside it for mim."""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_ENTRIES = ('configs', 'tools', 'weights', 'model-index.yml')


class BuildWithMim(build_py):
    """Puts what ``mim`` looks for into ``cellgan_plugin/.mim``.

    A wheel gets copies. An editable install gets links in the source tree, so that an edited config
    is the one that mim runs.
    """

    def run(self):
        super().run()
        if getattr(self, 'editable_mode', False):
            target = ROOT / 'cellgan_plugin' / '.mim'
        else:
            target = Path(self.build_lib) / 'cellgan_plugin' / '.mim'
        target.mkdir(parents=True, exist_ok=True)
        for name in MIM_ENTRIES:
            entry = target / name
            if entry.is_symlink() or entry.is_file():
                entry.unlink()
            elif entry.is_dir():
                shutil.rmtree(entry)
            if getattr(self, 'editable_mode', False):
                entry.symlink_to(os.path.relpath(ROOT / name, target))
            elif (ROOT / name).is_dir():
                ignore = shutil.ignore_patterns('__pycache__', '*.pyc')
                shutil.copytree(ROOT / name, entry, ignore=ignore)
            else:
                shutil.copy2(ROOT / name, entry)


def requirements(name):
    lines = (ROOT / 'requirements' / name).read_text(encoding='utf-8').splitlines()
    return [line for line in map(str.strip, lines) if line and not line.startswith('#')]


version = {}
exec((ROOT / 'cellgan_plugin' / 'version.py').read_text(encoding='utf-8'), version)

setup(
    name='cellgan_plugin',
    version=version['__version__'],
    description='Labelled cell and tissue images for computational pathology: a plugin for MMagic',
    license_expression='Apache-2.0',
    license_files=['LICENSE'],
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    packages=find_packages(include=['cellgan_plugin', 'cellgan_plugin.*']),
    package_data={'cellgan_plugin': ['*/templates/*']},
    python_requires='>=3.10,<3.15',
    install_requires=requirements('runtime.txt'),
    extras_require={
        'tests': requirements('tests.txt'),
        'backbones': ['timm'],
        'segmenters': ['segmentation-models-pytorch'],
        'slides': ['openslide-python', 'openslide-bin', 'shapely', 'tifffile', 'imagecodecs'],
        'dicom': ['wsidicom'],
        'stain': ['torch-staintools'],
    },
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
