"""Training and synthesis where Python lacks modules of Unix, and without packages of other runs."""

import os
import sys

import pytest

from .conftest import run_tool

# Run by every Python that finds it on its path.
WITHOUT = """
import importlib.metadata
import importlib.util
import sys

missing = {missing!r}


def asked_by_mmengine():  # which asks platform.system() before it asks for resource
    frame = sys._getframe(1)
    while frame and frame.f_globals['__name__'].startswith(('importlib', 'sitecustomize')):
        frame = frame.f_back
    return frame and frame.f_globals['__name__'] == 'mmengine.runner.runner'


class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition('.')[0] in missing and not asked_by_mmengine():
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)


def distribution_version(name):
    if name.replace('-', '_') in missing:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)


def find_spec(name, package=None):
    return None if name in missing else original(name, package)


version, importlib.metadata.version = importlib.metadata.version, distribution_version
original, importlib.util.find_spec = importlib.util.find_spec, find_spec
sys.meta_path.insert(0, Missing)
"""
UNIX = {'fcntl', 'resource'}
OPTIONAL = {'albumentations', 'diffusers', 'huggingface_hub', 'imageio', 'transformers'}


@pytest.fixture
def environment(tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(WITHOUT.format(missing=UNIX | OPTIONAL))
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get('PYTHONPATH')]))
    return dict(PYTHONPATH=path)


def test_a_model_is_trained_and_sampled(tiny, tmp_path, environment):
    asked = 'import resource'
    refused = run_tool(sys.executable, '-c', asked, env=environment, check=False)
    assert "No module named 'resource'" in refused.stderr
    work_dir = tmp_path / 'run'
    train = run_tool(
        'tools/train.py', tiny.config, '--work-dir', work_dir, '--cfg-options',
        'train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=2', env=environment,
    )  # fmt: skip
    assert 'Iter(train)' in train.stdout + train.stderr
    out = tmp_path / 'made'
    run_tool(
        'tools/synthesize.py', tiny.config, work_dir / 'iter_2.pth', '--per-class', '1',
        '--out', out, env=environment,
    )  # fmt: skip
    assert len(list(out.rglob('*.png'))) >= 5
