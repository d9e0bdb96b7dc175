import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

from cellgan_plugin import __version__

from .conftest import REPO, run_tool

# What of the repository a user has no use for, or what was made by working in it.
NOT_IN_A_WHEEL = ('tests', 'tools', 'docs', '.venv', '.git', '.github', 'work_dirs', 'demo', 'data')


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Of the files under version control, built in a copy of them to leave the tree as it is."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    listed = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout.split('\0')
    for name in filter(None, listed):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((REPO / name).read_bytes())
    run_tool(
        *(sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation'),
        *('--disable-pip-version-check', '-w', folder, source),
    )
    (path,) = folder.glob('*.whl')
    return path


def test_a_wheel_carries_configs_and_tools_for_mim(wheel):
    assert wheel.name == f'cellgan_plugin-{__version__}-py3-none-any.whl'
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = f'cellgan_plugin-{__version__}.dist-info'
        words = archive.read(f'{metadata}/METADATA').decode()
        assert archive.read(f'{metadata}/licenses/LICENSE') == (REPO / 'LICENSE').read_bytes()
    assert 'License-Expression: Apache-2.0' in words
    top = {name.split('/')[0] for name in names}
    assert top == {'cellgan_plugin', metadata}
    assert not {name.split('/')[1] for name in names} & set(NOT_IN_A_WHEEL)
    assert 'cellgan_plugin/models/cellgan/generator.py' in names
    for kind in ('configs', 'tools'):
        files = [path for path in (REPO / kind).rglob('*') if path.suffix in ('.py', '.sh')]
        assert len(files) > 20
        for path in files:
            assert f'cellgan_plugin/.mim/{path.relative_to(REPO).as_posix()}' in names
    assert 'cellgan_plugin/.mim/model-index.yml' in names
    for name in ('cellgan_phantom.safetensors', 'cellgan_phantom.md'):
        assert f'cellgan_plugin/.mim/weights/{name}' in names
    assert not [name for name in names if name.endswith('.pyc') or '__pycache__' in name]


def test_an_installed_wheel_trains_outside_of_the_checkout(wheel, tiny, tmp_path):
    """In an environment of its own, which sees the packages of this one but not this checkout."""
    home = tmp_path / 'venv'
    venv.create(home, symlinks=True)
    (site,) = home.glob('lib/python3*/site-packages')
    # With its own .pth files, of which setuptools' one brings distutils, which MMEngine imports.
    others = sysconfig.get_path('purelib')
    (site / 'other_packages.pth').write_text(f'import site; site.addsitedir({others!r})\n')
    python = home / 'bin' / 'python'
    pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check', '--python', python)
    run_tool(*pip, 'install', '--quiet', '--no-deps', '--no-index', wheel)
    outside = dict(cwd=tmp_path, env=dict(PYTHONPATH='', CELLGAN_PHANTOM_ROOT=str(tiny.data)))
    sizes = (
        *('model.generator.out_size=32', 'model.generator.base_channels=1'),
        *('model.discriminator.in_size=32', 'model.discriminator.base_channels=1'),
        *('train_dataloader.dataset.pipeline.0.out_size=32', 'train_dataloader.batch_size=4'),
        'train_cfg.max_iters=2',
    )
    result = run_tool(
        *(python, '-m', 'cellgan_plugin.mim', 'train', 'cellgan_plugin', 'cellgan_phantom.py'),
        *('--gpus', '0', '--work-dir', 'run', '--cfg-options', *sizes),
        **outside,
    )
    assert f'{site}/cellgan_plugin/.mim/tools/train.py' in result.stdout
    assert f'{site}/cellgan_plugin/.mim/configs/cellgan_phantom.py' in result.stdout
    assert (tmp_path / 'run' / 'iter_2.pth').is_file()
    report = run_tool(python, '-m', 'cellgan_plugin.report', **outside).stdout
    assert f'cellgan_plugin {__version__}' in report


def test_mim_train(tiny):
    work_dir = tiny.root / 'mim'
    result = run_tool(
        sys.executable,
        '-m',
        'cellgan_plugin.mim',
        'train',
        'cellgan_plugin',
        tiny.config,
        '--gpus',
        '0',
        '--work-dir',
        work_dir,
        '--cfg-options',
        'train_cfg.max_iters=2',
    )
    assert '.mim/tools/train.py' in result.stdout
    assert (work_dir / 'iter_2.pth').is_file()
