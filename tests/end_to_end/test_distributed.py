import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cellgan_plugin.errors import EXIT_STOPPED

from .conftest import REPO, free_port, logged_losses, run_on_two_ranks, run_tool


@pytest.fixture(scope='module')
def half_batch(tiny):
    config = tiny.root / 'half_batch.py'
    config.write_text(f'_base_ = {str(tiny.config)!r}\ntrain_dataloader = dict(batch_size=2)\n')
    return config


@pytest.fixture(scope='module')
def two_ranks(tiny, half_batch):
    work_dir = tiny.root / 'two_ranks'
    worker = Path(__file__).with_name('distributed_worker.py')
    result = run_on_two_ranks(worker, half_batch, work_dir)
    assert result.stdout.count('gradients agree') == 2
    assert result.stdout.count('ranks agree') == 2
    return work_dir


@pytest.fixture(scope='module')
def one_rank(tiny):
    work_dir = tiny.root / 'one_rank'
    run_tool('tools/train.py', tiny.config, '--work-dir', work_dir)
    return work_dir


def assert_same_run(found, expected, iteration):
    a = torch.load(expected / f'iter_{iteration}.pth', weights_only=True)['state_dict']
    b = torch.load(found / f'iter_{iteration}.pth', weights_only=True)['state_dict']
    assert a.keys() == b.keys()
    # Two ranks round differently. Where that turns the sign of an activation, the gradient jumps,
    # and Adam makes whole steps of it: a few weights then differ; a wrong gradient moves them all.
    outside, total = 0, 0
    for key in a:
        close = torch.isclose(b[key], a[key], rtol=2e-3, atol=2e-4)
        outside, total = outside + int((~close).sum()), total + close.numel()
        assert torch.allclose(b[key], a[key], rtol=0.05, atol=0.01), key
    assert outside <= 0.005 * total


def test_two_ranks_train_the_model_that_one_trains(one_rank, two_ranks):
    expected, found = logged_losses(one_rank), logged_losses(two_ranks)
    assert found.keys() == expected.keys()
    assert_same_run(two_ranks, one_rank, 8)


@pytest.mark.parametrize('ranks', [1, 2])
def test_a_distributed_run_resumes_on_any_number_of_ranks(
    tiny, half_batch, one_rank, two_ranks, tmp_path, ranks
):
    work_dir = tmp_path / 'resumed'
    work_dir.mkdir()
    shutil.copy(two_ranks / 'iter_4.pth', work_dir)
    if ranks == 2:
        command = ['tools/dist_train.sh', half_batch, '2']
    else:
        command = ['tools/train.py', tiny.config]
    result = run_tool(*command, '--work-dir', work_dir, '--resume', env=dict(PORT=str(free_port())))
    assert 'do not match' not in result.stdout
    assert '[8/8]' in result.stdout
    assert_same_run(work_dir, one_rank, 8)


def children(pid):
    return [int(word) for word in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]


def alive(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


@pytest.mark.parametrize('what', ['SIGUSR1', 'a rank is lost', 'torchrun is killed'])
def test_how_two_ranks_end(half_batch, tmp_path, what):
    process = subprocess.Popen(
        ['bash', 'tools/dist_train.sh', str(half_batch), '2', '--work-dir', str(tmp_path / 'run'),
         '--cfg-options', 'train_cfg.max_iters=100000',
         'default_hooks.checkpoint.interval=100000'],
        cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHON=sys.executable, PORT=str(free_port())),
    )  # fmt: skip
    said = []
    for line in process.stdout:
        said.append(line)
        if ' 3/100000]' in line:
            break
    ranks = children(process.pid)
    assert len(ranks) == 2, ''.join(said)
    if what == 'a rank is lost':
        os.kill(ranks[1], signal.SIGKILL)
    elif what == 'torchrun is killed':
        os.kill(process.pid, signal.SIGKILL)
    else:
        os.kill(process.pid, signal.SIGUSR1)
    said.append(process.communicate(timeout=300)[0])
    text = ''.join(said)
    deadline = time.monotonic() + 60
    while any(map(alive, ranks)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(map(alive, ranks)), 'ranks train on as orphans'
    saved = [path.name for path in (tmp_path / 'run').glob('iter_*.pth')]
    if what == 'a rank is lost':
        assert process.returncode == 128 + signal.SIGKILL, text
        assert 'was ended by SIGKILL' in text and '--resume goes on' in text
        assert not saved
    else:
        assert len(saved) == 1 and 'stopping; the same command with --resume goes on' in text
        expected = -signal.SIGKILL if what == 'torchrun is killed' else EXIT_STOPPED
        assert process.returncode == expected, text
