"""How the scripts that start other processes end."""

import importlib.util
import os
import signal
import subprocess
from pathlib import Path

import pytest

from cellgan_plugin.errors import EXIT_STOPPED

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture(scope='module')
def launch():
    spec = importlib.util.spec_from_file_location('dist_launch', TOOLS / 'dist_launch.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    'codes, status, said',
    [
        ({0: 75, 1: 75}, 75, 'have saved'),
        ({1: 75, 0: -signal.SIGTERM}, 75, 'have saved'),
        (
            {0: -signal.SIGKILL, 1: -signal.SIGTERM},
            137,
            'process 0 of the run was ended by SIGKILL',
        ),
        ({1: 2, 0: 75}, 2, 'process 1 of the run ended with status 2'),
        ({0: -signal.SIGTERM}, 143, 'by SIGTERM'),
    ],
)
def test_the_status_of_processes_is_that_of_the_launcher(launch, codes, status, said):
    found, message = launch.how_they_ended(codes)
    assert found == status and said in message


def test_the_launcher_has_the_status_of_the_package(launch):
    assert launch.STOPPED == EXIT_STOPPED == 75
    assert f'STOPPED={EXIT_STOPPED}' in (TOOLS / 'slurm_train.sh').read_text()


def fake(folder, name, text):
    path = folder / name
    path.write_text(f'#!/usr/bin/env bash\n{text}\n')
    path.chmod(0o755)


@pytest.mark.parametrize(
    'statuses, left, calls', [('75 75 0', 0, 3), ('75 2 0', 2, 2), ('0', 0, 1)]
)
def test_slurm_submits_a_stopped_run_again(tmp_path, statuses, left, calls):
    (tmp_path / 'statuses').write_text('\n'.join(statuses.split()))
    fake(tmp_path, 'srun', f'cd {tmp_path}; echo "$@" >> calls; '
         'n=$(wc -l < calls); exit $(sed -n ${n}p statuses)')  # fmt: skip
    result = subprocess.run(
        ['bash', str(TOOLS / 'slurm_train.sh'), 'gpu', 'name', 'config.py', '--amp'],
        env=dict(PATH=f'{tmp_path}:{os.environ["PATH"]}'), timeout=60,
    )  # fmt: skip
    assert result.returncode == left
    lines = (tmp_path / 'calls').read_text().splitlines()
    assert len(lines) == calls
    assert all(line.endswith('config.py --launcher slurm --resume --amp') for line in lines)
    assert all('--signal=USR1@120' in line for line in lines)


def test_slurm_queues_the_job_again_that_it_runs_in(tmp_path):
    fake(tmp_path, 'srun', 'exit 75')
    fake(tmp_path, 'scontrol', f'echo "$@" > {tmp_path}/requeued')
    result = subprocess.run(
        ['bash', str(TOOLS / 'slurm_train.sh'), 'gpu', 'name', 'config.py'],
        env=dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', SLURM_JOB_ID='12'), timeout=60,
    )  # fmt: skip
    assert result.returncode == 75
    assert (tmp_path / 'requeued').read_text() == 'requeue 12\n'
