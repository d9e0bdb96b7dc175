import sys
from pathlib import Path

import pytest
import torch

from .conftest import logged_losses, run_tool


@pytest.fixture(scope='module')
def half_batch(tiny):
    config = tiny.root / 'half_batch.py'
    config.write_text(f'_base_ = {str(tiny.config)!r}\ntrain_dataloader = dict(batch_size=2)\n')
    return config


@pytest.fixture(scope='module')
def two_ranks(tiny, half_batch):
    work_dir = tiny.root / 'two_ranks'
    result = run_tool(
        sys.executable,
        '-m',
        'torch.distributed.run',
        '--nproc_per_node=2',
        '--master_port=29611',
        Path(__file__).with_name('distributed_worker.py'),
        half_batch,
        work_dir,
    )
    assert result.stdout.count('ranks agree') == 2
    return work_dir


def test_two_ranks_train_the_model_that_one_trains(tiny, two_ranks):
    one = tiny.root / 'one_rank'
    run_tool('tools/train.py', tiny.config, '--work-dir', one)
    expected, found = logged_losses(one), logged_losses(two_ranks)
    assert found.keys() == expected.keys()
    a = torch.load(one / 'iter_8.pth', weights_only=True)['state_dict']
    b = torch.load(two_ranks / 'iter_8.pth', weights_only=True)['state_dict']
    b = {
        key.replace('.module.', '.', 1)
        if key.startswith(('generator.module', 'discriminator.module'))
        else key: value
        for key, value in b.items()
    }
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(
            b[key], a[key], rtol=2e-3, atol=2e-4, msg=lambda m, k=key: f'{k}: {m}'
        )


def test_dist_train_script_resumes_on_two_processes(tiny, half_batch, two_ranks):
    result = run_tool(
        'tools/dist_train.sh',
        half_batch,
        '2',
        '--work-dir',
        two_ranks,
        '--resume',
        '--cfg-options',
        'train_cfg.max_iters=10',
        env=dict(PORT='29612'),
    )
    assert '[10/10]' in result.stdout
    assert (two_ranks / 'iter_10.pth').is_file()
