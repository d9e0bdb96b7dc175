"""Training runs and their work directories, in this process: what is refused, and why."""

import copy
import errno
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from cellgan_plugin.checkpoint_reading import checksum_fits, load_tensors
from cellgan_plugin.errors import ConfigError, FolderInUseError, LostProcessError, OutputError
from cellgan_plugin.locks import folder_lock, processes_of
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.runs import training_errors
from cellgan_plugin.runs.train import settle_batch, train
from cellgan_plugin.runs.training_errors import explained_training_errors

CONFIGS = Path(__file__).parents[2] / 'configs'
CLASSES = ['NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL']
TINY = """
_base_ = {base!r}
model = dict(
    generator=dict(out_size=32, base_channels=1, sgc_fusion='modulate'),
    discriminator=dict(in_size=32, base_channels=1, decoder_channels=(4, 4)),
    ema_config=dict(start_iter=2))
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root={data!r},
        pipeline=[dict(type='FitCellPatch', out_size=32), dict(type='PackCellInputs')]))
train_cfg = dict(max_iters=2)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1), logger=dict(interval=1))
custom_hooks = [dict(type='PreemptionHook')]
"""


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp('train')
    write_phantom_dataset(root / 'data', size=32, counts=1, seed=0)
    path = root / 'tiny.py'
    base = str(CONFIGS / 'cellgan_phantom.py')
    path.write_text(TINY.format(base=base, data=str(root / 'data')))
    return path


@pytest.fixture(scope='module')
def finished(tiny):
    with DefaultScope.overwrite_default_scope('mmagic'):
        train(tiny, tiny.parent / 'finished')
    return tiny.parent / 'finished'


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run of two iterations."""
    return Path(shutil.copytree(finished, tmp_path / 'run'))


def planted(path, out, **changes):
    """A checkpoint with something changed in it; ``part__key`` sets a key of a part."""
    state = copy.deepcopy(torch.load(path, weights_only=True))
    for name, value in changes.items():
        part, _, key = name.partition('__')
        if key:
            state[part][key] = value
        else:
            state[part] = value
    torch.save(state, out)
    return out


MORE = dict(options={'train_cfg.max_iters': 3})


def test_checkpoints_have_a_checksum_and_the_name_of_the_last_one(finished):
    assert all(checksum_fits(finished / f'iter_{i}.pth') for i in (1, 2))
    assert not list(finished.glob('.*'))


@pytest.mark.parametrize('how', ['by its path', 'found in the work directory'])
def test_a_program_in_a_checkpoint_is_not_run(tiny, run, tmp_path, how):
    owned = tmp_path / 'owned'
    program = f'import pathlib\npathlib.Path({str(owned)!r}).mkdir()\nx = 1\n'
    checkpoint = run / 'iter_2.pth'
    planted(checkpoint, checkpoint, meta__config=program, meta__cfg=program)
    if how == 'by its path':
        train(tiny, tmp_path / 'other', resume=checkpoint, **MORE)
        saved = tmp_path / 'other' / 'iter_3.pth'
    else:
        train(tiny, run, resume=True, **MORE)
        saved = run / 'iter_3.pth'
    assert not owned.exists()
    # The text that goes on is that of this run.
    text = torch.load(saved, weights_only=True)['meta']['cfg']
    assert 'pathlib' not in text and 'max_iters=3' in text


def test_a_work_directory_with_a_run_is_not_trained_over_by_accident(tiny, run):
    before = {path.name: path.read_bytes() for path in run.glob('*.pth')}
    with pytest.raises(ValueError, match='holds a run already .iter_2.pth and 2 more') as error:
        train(tiny, run)
    assert '--resume' in str(error.value) and '--overwrite' in str(error.value)
    assert {path.name: path.read_bytes() for path in run.glob('*.pth')} == before
    train(tiny, run, overwrite=True, options={'train_cfg.max_iters': 1})
    assert [path.name for path in run.glob('*.pth')] == ['iter_1.pth']


def test_overwrite_removes_nothing_before_the_run_can_start(tiny, run):
    with pytest.raises(ValueError, match='num_classes'):
        train(tiny, run, overwrite=True, options={'model.num_classes': 3})
    assert len(list(run.glob('iter_*.pth'))) == 2


def _hold(folder, ready):
    with folder_lock(folder):
        ready.set()
        time.sleep(60)


def test_a_second_run_in_one_work_directory_is_refused(tiny, tmp_path):
    context = multiprocessing.get_context('fork')
    ready = context.Event()
    first = context.Process(target=_hold, args=(tmp_path / 'run', ready), daemon=True)
    first.start()
    assert ready.wait(20)
    try:
        with pytest.raises(FolderInUseError, match=f'process {first.pid} on'):
            train(tiny, tmp_path / 'run')
    finally:
        first.kill()
        first.join()


def test_a_run_is_not_resumed_with_its_classes_in_another_order(tiny, run):
    order = CLASSES[::-1]
    with pytest.raises(ValueError, match='labels would change their meaning') as error:
        train(tiny, run, resume=True,
              options={'train_dataloader.dataset.metainfo.classes': order})  # fmt: skip
    assert str(CLASSES) in str(error.value) and str(order) in str(error.value)


def test_weights_of_the_same_classes_in_another_order_are_refused(tiny, run, tmp_path):
    options = {
        'load_from': str(run / 'iter_2.pth'),
        'train_dataloader.dataset.metainfo.classes': CLASSES[::-1],
    }
    with pytest.raises(ValueError, match='the same ones in another order'):
        train(tiny, tmp_path / 'new', options=options)


@pytest.mark.parametrize('resume', [False, True])
def test_weights_of_another_model_are_refused_unless_told(tiny, run, tmp_path, resume):
    other = {'model.generator.base_channels': 2}
    if resume:
        with pytest.raises(ValueError, match='iter_2.pth is of another model: resume with the'):
            train(tiny, run, resume=True, options=other)
        return
    options = dict(other, load_from=str(run / 'iter_2.pth'))
    with pytest.raises(ValueError, match='is of another model') as error:
        train(tiny, tmp_path / 'new', options=options)
    assert 'size mismatch for generator' in str(error.value)
    assert 'partial_load_from=True' in str(error.value) and len(str(error.value)) < 2000
    options['default_hooks.checkpoint.partial_load_from'] = True
    train(tiny, tmp_path / 'new', options=dict(options, **{'train_cfg.max_iters': 1}))


@pytest.mark.parametrize(
    'changes, complaint',
    [
        (dict(meta=None), 'meta.iter'),
        (dict(meta__iter='two'), 'meta.iter'),
        (dict(state_dict=None), 'weights'),
        (dict(message_hub=None), 'message_hub'),
        (dict(message_hub__runtime_info=3), 'cannot be resumed'),
        (dict(optimizer='text'), 'cannot be resumed'),
        (dict(random_states=['text']), 'random_states'),
    ],
)
def test_odd_checkpoints_are_refused_by_what_is_odd(tiny, run, tmp_path, changes, complaint):
    odd = planted(run / 'iter_2.pth', tmp_path / 'odd.pth', **changes)
    with pytest.raises(ValueError, match=complaint):
        train(tiny, tmp_path / 'other', resume=odd, **MORE)


def test_a_copy_of_a_run_goes_on_without_the_original(tiny, run, finished, tmp_path):
    # What a killed run left: outdated by the newest checkpoint, not yet removed.
    planted(run / 'iter_2.pth', run / 'iter_2.pth')
    state = torch.load(run / 'iter_2.pth', weights_only=True)
    state['message_hub']['runtime_info']['outdated_ckpt_ids'] = [1, '../../finished/iter_1', -1]
    torch.save(state, run / 'iter_2.pth')
    mine = tmp_path / 'mine.txt'
    mine.write_text('')
    (run / '.iter_3.pth.0123456789ab.tmp').write_text('')
    assert (run / 'last_checkpoint').read_text() == str(finished / 'iter_2.pth')
    train(tiny, run, resume=True, **MORE)
    assert sorted(path.name for path in run.glob('*.pth')) == ['iter_2.pth', 'iter_3.pth']
    assert not list(run.glob('.*.tmp')) and mine.is_file()
    assert sorted(path.name for path in finished.glob('*.pth')) == ['iter_1.pth', 'iter_2.pth']
    assert (run / 'last_checkpoint').read_text() == str(run / 'iter_3.pth')
    assert load_tensors(run / 'iter_3.pth')['meta']['iter'] == 3


def test_a_full_disk_and_a_missing_permission_are_said(tiny, run, tmp_path, monkeypatch):
    real = os.fsync

    def full(descriptor):
        if '.iter_' in os.readlink(f'/proc/self/fd/{descriptor}'):
            raise OSError(errno.ENOSPC, 'No space left on device')
        real(descriptor)

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OutputError, match='no room is left on the disk') as error:
        train(tiny, run, resume=True, **MORE)
    assert str(run) in str(error.value)
    assert len(list(run.glob('iter_*.pth'))) == 2 and not list(run.glob('.*'))

    def refused(*args, **kwargs):
        raise PermissionError(errno.EACCES, 'Permission denied', str(tmp_path / 'new'))

    monkeypatch.setattr(Path, 'mkdir', refused)
    with pytest.raises(OutputError, match='new cannot be written'):
        train(tiny, tmp_path / 'new')


@pytest.mark.parametrize(
    'error, kind, complaint',
    [
        (RuntimeError('unable to write to file </torch_1_2_3>: No space left'), OutputError,
         'need shared memory'),
        (RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed. '), LostProcessError,
         'use fewer workers'),
        (RuntimeError('[gloo/transport/tcp/pair.cc:5] Connection closed by peer'),
         LostProcessError, 'another process of this run has ended'),
        (FileNotFoundError(2, 'No such file or directory'), OutputError, 'num_workers=0'),
    ],
)  # fmt: skip
def test_what_happens_around_a_run_is_said(monkeypatch, tmp_path, error, kind, complaint):
    monkeypatch.setattr(training_errors, 'is_distributed', lambda: True)
    monkeypatch.setattr(training_errors, 'SHARED_MEMORY', tmp_path / 'no shm')
    with pytest.raises(kind, match=complaint), explained_training_errors(tmp_path):
        raise error


@pytest.mark.parametrize('error', [RuntimeError('shape mismatch'), FileNotFoundError(2, 'x', 'y')])
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, explained_training_errors(tmp_path):
        raise error
    assert caught.value is error


def test_a_batch_is_shared_among_processes_or_its_growth_is_said(monkeypatch):
    said = []
    monkeypatch.setattr('cellgan_plugin.runs.train.print_log', lambda text, *_: said.append(text))

    def config():
        return Config(dict(train_dataloader=dict(batch_size=64)))

    shared = config()
    settle_batch(shared, 4, 64)
    assert shared.train_dataloader.batch_size == 16
    each = config()
    settle_batch(each, 1, None)
    assert not said
    settle_batch(each, 4, None)
    assert each.train_dataloader.batch_size == 64
    assert 'a step takes 256 at an unchanged learning rate. --global-batch 64' in said[0]
    with pytest.raises(ConfigError, match='--global-batch 65: 4 processes .* 64 is the nearest'):
        settle_batch(config(), 4, 65)
    with pytest.raises(ConfigError, match='has no batch_size'):
        settle_batch(Config(dict(train_dataloader=dict())), 2, 64)


def test_how_many_processes_a_launcher_started(monkeypatch):
    for name in ('WORLD_SIZE', 'SLURM_NTASKS'):
        monkeypatch.delenv(name, raising=False)
    assert [processes_of(launcher) for launcher in ('none', 'pytorch', 'slurm')] == [1, 1, 1]
    monkeypatch.setenv('WORLD_SIZE', '4')
    assert processes_of('pytorch') == 4 and processes_of('none') == 1
