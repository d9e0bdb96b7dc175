import subprocess
import sys
import zipfile
from pathlib import Path

from .conftest import REPO, run_tool


def test_a_wheel_carries_configs_and_tools_for_mim(tmp_path):
    # From a copy, so that the build leaves nothing in the tree.
    source = tmp_path / 'source'
    listed = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout.split('\0')
    for name in filter(None, listed):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((REPO / name).read_bytes())
    subprocess.run(
        [
            sys.executable,
            '-m',
            'pip',
            'wheel',
            '--quiet',
            '--no-deps',
            '--no-build-isolation',
            '--disable-pip-version-check',
            '-w',
            tmp_path,
            source,
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    (wheel,) = tmp_path.glob('*.whl')
    assert wheel.name.startswith('cellgan_plugin-')
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        'configs/cellgan_tct.py',
        'configs/_base_/default_runtime.py',
        'tools/train.py',
        'tools/dist_train.sh',
        'model-index.yml',
    ):
        assert f'cellgan_plugin/.mim/{name}' in names
    assert 'cellgan_plugin/models/cellgan/generator.py' in names
    assert not any(name.startswith(('tests/', 'tools/')) for name in names)


def test_mim_train(tiny):
    mim = Path(sys.executable).with_name('mim')
    work_dir = tiny.root / 'mim'
    result = run_tool(
        mim,
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


def test_mim_finds_the_configs_of_the_package(tmp_path):
    # The data root does not exist: the run must get as far as saying so, in one message.
    mim = Path(sys.executable).with_name('mim')
    result = run_tool(
        mim,
        'train',
        'cellgan_plugin',
        'cellgan_phantom.py',
        '--gpus',
        '0',
        '--work-dir',
        tmp_path / 'run',
        env=dict(CELLGAN_PHANTOM_ROOT=str(tmp_path / 'nowhere')),
        check=False,
    )
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert 'configs/cellgan_phantom.py' in output
    assert 'nowhere' in output and 'tools/dataset_converters/phantom.py' in output
