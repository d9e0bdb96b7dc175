import os

import pytest
import torch

from .conftest import run_tool


def test_a_missing_data_root_says_how_to_get_one(tiny, tmp_path):
    result = run_tool(
        'tools/train.py',
        'configs/cellgan_tct.py',
        '--work-dir',
        tmp_path / 'run',
        env=dict(CELLGAN_DATA_ROOT=str(tmp_path / 'nowhere')),
        check=False,
    )
    assert result.returncode == 2
    assert 'Traceback' not in result.stderr
    assert 'nowhere' in result.stderr and 'tools/dataset_converters/' in result.stderr


def test_a_loss_that_explodes_stops_the_run(tiny):
    work_dir = tiny.root / 'explodes'
    result = run_tool(
        'tools/train.py',
        tiny.config,
        '--work-dir',
        work_dir,
        '--cfg-options',
        'optim_wrapper.discriminator.optimizer.lr=1e30',
        check=False,
    )
    assert result.returncode == 2
    assert 'is not finite' in result.stderr and 'loss' in result.stderr
    assert 'Last good checkpoint' in result.stderr


def test_a_checkpoint_with_foreign_code_is_refused(tiny, tmp_path):
    class RunsCode:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'owned'),)

    path = tmp_path / 'foreign.pth'
    torch.save({'state_dict': {}, 'meta': RunsCode()}, path)
    result = run_tool(
        'tools/train.py', tiny.config, '--work-dir', tmp_path / 'run', '--resume', path, check=False
    )
    assert result.returncode == 2
    assert '--trust-checkpoint' in result.stderr and 'Traceback' not in result.stderr
    assert not (tmp_path / 'owned').exists()


def test_amp_changes_the_precision_and_says_so(tiny):
    work_dir = tiny.root / 'amp'
    result = run_tool(
        'tools/train.py',
        tiny.config,
        '--work-dir',
        work_dir,
        '--amp',
        '--cfg-options',
        'train_cfg.max_iters=2',
    )
    assert '--amp: bfloat16 autocast for generator, discriminator' in result.stdout
    plain = tiny.root / 'plain'
    run_tool(
        'tools/train.py', tiny.config, '--work-dir', plain, '--cfg-options', 'train_cfg.max_iters=2'
    )
    a = torch.load(work_dir / 'iter_2.pth', weights_only=True)['state_dict']
    b = torch.load(plain / 'iter_2.pth', weights_only=True)['state_dict']
    assert all(value.dtype == b[key].dtype for key, value in a.items())
    assert any(not torch.equal(value, b[key]) for key, value in a.items())


def test_an_update_that_spoils_the_weights_is_not_saved(tiny):
    work_dir = tiny.root / 'spoilt'
    result = run_tool(
        'tools/train.py',
        tiny.config,
        '--work-dir',
        work_dir,
        '--cfg-options',
        'optim_wrapper.generator.optimizer.lr=inf',
        'default_hooks.checkpoint.interval=1',
        check=False,
    )
    assert result.returncode == 2
    assert 'not finite, so nothing was saved' in result.stderr
    assert not list(work_dir.glob('iter_*.pth'))


@pytest.mark.parametrize(
    'options, complaint',
    [
        (['model.num_classes=3'], 'model.num_classes=3 but the training set has 5 classes'),
        (
            ['model.generator.out_size=64', 'model.discriminator.in_size=64'],
            'model.generator.out_size=64 but FitCellPatch of the training set makes out_size=32',
        ),
        (['max_iters=50'], "nothing reads 'max_iters'; did you mean train_cfg.max_iters?"),
        (['model.scales=[dict(size=64)]'], 'a dict cannot be given here'),
    ],
)
def test_a_model_that_does_not_fit_the_data_is_refused(tiny, tmp_path, options, complaint):
    result = run_tool(
        'tools/train.py',
        tiny.config,
        '--work-dir',
        tmp_path,
        '--cfg-options',
        *options,
        check=False,
    )
    assert result.returncode == 2
    assert complaint in result.stderr and 'Traceback' not in result.stderr


def test_resume_without_a_checkpoint_keeps_load_from(tiny, tmp_path):
    result = run_tool(
        'tools/train.py',
        tiny.config,
        '--work-dir',
        tmp_path / 'run',
        '--resume',
        '--cfg-options',
        f'load_from={tmp_path / "weights.pth"}',
        check=False,
    )
    assert 'starting from the weights of' in result.stdout
    assert result.returncode == 2 and 'weights.pth does not exist' in result.stderr


def test_a_scheduler_of_the_config_is_followed(tiny):
    work_dir = tiny.root / 'scheduled'
    result = run_tool(
        'tools/train.py',
        tiny.config,
        '--work-dir',
        work_dir,
        '--cfg-options',
        'train_cfg.max_iters=3',
        'param_scheduler.type=MultiStepLR',
        'param_scheduler.by_epoch=False',
        'param_scheduler.milestones=[1]',
        'param_scheduler.gamma=0.1',
    )
    rates = [
        line.split('generator.lr: ')[1].split()[0]
        for line in result.stdout.splitlines()
        if 'Iter(train)' in line
    ]
    assert float(rates[0]) == 10 * float(rates[-1])
