import os
import signal
import time
from pathlib import Path

import pytest
import torch
from programs import run_program, start_program
from tensorboard.backend.event_processing import event_accumulator

from cellgan_plugin.errors import EXIT_STOPPED

from .conftest import logged_losses, run_tool

KILLED_WHILE_WRITING = """
import os, signal, sys
import cellgan_plugin.files as files
from cellgan_plugin.runs.train import train

real_fsync = os.fsync

def killed(descriptor):
    name = os.readlink(f'/proc/self/fd/{descriptor}')
    if '.iter_6.pth.' in name:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    real_fsync(descriptor)

files.os.fsync = killed
train(sys.argv[1], work_dir=sys.argv[2])
"""


def assert_same_tensors(a, b, path=''):
    assert type(a) is type(b), path
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same_tensors(a[key], b[key], f'{path}.{key}')
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same_tensors(x, y, f'{path}[{i}]')
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    else:
        assert a == b, path


@pytest.fixture(scope='module')
def straight(tiny):
    work_dir = tiny.root / 'straight'
    result = run_tool('tools/train.py', tiny.config, '--work-dir', work_dir)
    return work_dir, result


def test_a_run_leaves_what_a_person_looks_for(straight):
    work_dir, result = straight
    assert (work_dir / 'iter_8.pth').is_file()
    assert (work_dir / 'sheets' / 'iter_00000004.png').is_file()
    assert (work_dir / 'sheets' / 'iter_00000008.png').is_file()
    assert (work_dir / 'curves.png').is_file()
    # 20 images, and the four groups (slides) that they are of.
    assert len((work_dir / 'training_images.txt').read_text().splitlines()) == 20 + 4
    logged = sorted(work_dir.glob('*/vis_data'))
    assert list(logged[0].glob('events.out.tfevents*'))
    events = event_accumulator.EventAccumulator(str(logged[0])).Reload()
    assert 'sheet' in events.Tags()['images'] and 'loss_disc' in str(events.Tags()['scalars'])
    assert not list(work_dir.glob('*/vis_data/vis_image'))  # no second copy as a file
    line = next(line for line in result.stdout.splitlines() if '[4/8]' in line)
    for word in (
        'eta: ',
        'it_per_s: ',
        'img_per_s: ',
        'memory',
        'loss_recon',
        'loss_disc_real',
        'loss_disc_fake',
        'loss_r1',
        'loss_gen',
        'disc_real',
        'disc_fake',
    ):
        assert word in line
    assert 'Warning' not in result.stderr and 'WARNING' not in result.stdout


def test_killed_while_writing_then_resumed_gives_the_same_numbers(tiny, straight):
    work_dir = tiny.root / 'killed'
    program = tiny.root / 'killed.py'
    program.write_text(KILLED_WHILE_WRITING)
    killed = run_program(program, tiny.config, work_dir, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (work_dir / 'iter_4.pth').is_file()
    assert not (work_dir / 'iter_6.pth').exists()
    assert list(work_dir.glob('.iter_6.pth.*.tmp'))
    # A file system that lost the tail of a file gives the same picture as this copy.
    whole = (work_dir / 'iter_4.pth').read_bytes()
    (work_dir / 'iter_6.pth').write_bytes(whole[: len(whole) // 2])

    resumed = run_tool('tools/train.py', tiny.config, '--work-dir', work_dir, '--resume')
    assert 'iter_6.pth is damaged or only half written; passed over' in resumed.stdout
    assert f'--resume: from {work_dir / "iter_4.pth"}' in resumed.stdout
    assert not list(work_dir.glob('.iter_*.tmp'))

    expected = logged_losses(straight[0])
    found = logged_losses(work_dir)
    assert set(expected) == set(range(1, 9))
    assert found == expected
    a = torch.load(straight[0] / 'iter_8.pth', weights_only=True)
    b = torch.load(work_dir / 'iter_8.pth', weights_only=True)
    for part in ('state_dict', 'optimizer', 'random_states', 'training_images'):
        assert_same_tensors(a[part], b[part], part)


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGUSR1'])
def test_preemption_of_all_processes_saves_and_says_that_it_goes_on(tiny, name):
    # As Slurm and torchrun do, the signal goes to the loader's workers as well.
    work_dir = tiny.root / f'preempted_{name}'
    reading, writing = os.pipe()
    with open(reading) as said:
        with open(writing, 'w') as output:
            process = start_program(
                'tools/train.py', tiny.config, '--work-dir', work_dir, '--cfg-options',
                'train_cfg.max_iters=100000', 'default_hooks.checkpoint.interval=100000',
                'train_dataloader.num_workers=2', output=output, errors=output,
            )  # fmt: skip
        lines = []
        for line in said:
            lines.append(line)
            if ' 3/100000]' in line:
                os.killpg(process.pid, signal.Signals[name])
                break
        rest = said.read()
    assert process.wait() == EXIT_STOPPED, ''.join(lines) + rest
    assert f'{name}: saved' in rest and '--resume goes on' in rest
    saved = list(Path(work_dir).glob('iter_*.pth'))
    assert len(saved) == 1
    iteration = torch.load(saved[0], weights_only=True)['meta']['iter']
    assert saved[0].name == f'iter_{iteration}.pth'


def test_resuming_starts_at_once(tiny, straight):
    # From far along: MMEngine's own loop would draw a hundred thousand batches first.
    work_dir = tiny.root / 'far'
    work_dir.mkdir()
    checkpoint = torch.load(straight[0] / 'iter_8.pth', weights_only=True)
    checkpoint['meta']['iter'] = 100_000
    torch.save(checkpoint, work_dir / 'iter_100000.pth')
    started = time.monotonic()
    result = run_tool(
        'tools/train.py',
        tiny.config,
        '--work-dir',
        work_dir,
        '--resume',
        '--cfg-options',
        'train_cfg.max_iters=100002',
    )
    assert '100002/100002]' in result.stdout
    assert time.monotonic() - started < 200
    assert 'Advance dataloader' not in result.stdout
