"""Tools x moments: killed there (SIGKILL), run again, and nothing shows.

Each run is the tool's own function in a process forked from this one, which has imported what they
need: a matrix of subprocesses would spend its minutes importing. The moments are atomic writes,
counted: while one is half written, and when one has just got its name.
"""

import importlib
import json
import multiprocessing
import os
import signal
import sys
import traceback

import pytest
import torch
from mmengine.config import Config

from cellgan_plugin.converters import convert_folders
from cellgan_plugin.files import is_temporary
from cellgan_plugin.locks import LOCK_NAME
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.phantom.glands import write_gland_phantom
from cellgan_plugin.runs.train import train
from cellgan_plugin.segmentation.segment import segment
from cellgan_plugin.selection.select import select
from cellgan_plugin.synthesis.interpolate import interpolate
from cellgan_plugin.synthesis.synthesize import synthesize

from .conftest import REPO, TINY_CONFIG

sys.path.insert(0, str(REPO / 'tests' / 'selection'))
from selection_helpers import CLASSES, random_classifier  # noqa: E402
from tiny_generators import write_run  # noqa: E402
from tiny_segmenters import DarkIsGland, write_pairs  # noqa: E402

CONTEXT = multiprocessing.get_context('fork')
# Of the atomic writes of the undisturbed run: which one, and whether it is half written then.
MOMENTS = {
    'writing the first': (0.0, True),
    'after one in the middle': (0.5, False),
    'writing the last': (1.0, True),
}
SECONDS = 600  # for one run, which takes one or two: only what hangs is ended
# Hold times, paths and speeds, which differ between any two runs.
RECORDS = ('.json', '.jsonl', '.log', '.pth', '.py')


def _run(work, kill_at, half, counted):
    """In the child: do the work; count its atomic writes, and die at one of them."""
    os.setsid()
    count, fsync, replace = [0], os.fsync, os.replace

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def counting_fsync(descriptor):
        if (
            half
            and count[0] == kill_at
            and is_temporary(os.readlink(f'/proc/self/fd/{descriptor}'))
        ):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            die()
        fsync(descriptor)

    def counting_replace(source, target, **kwargs):
        replace(source, target, **kwargs)
        if is_temporary(source):
            count[0] += 1
            counted.value = count[0]
            if not half and count[0] - 1 == kill_at:
                die()

    os.fsync, os.replace = counting_fsync, counting_replace
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def run_in_child(work, kill_at=None, half=False):
    """(exit code, atomic writes) of some work in a process of its own."""
    counted = CONTEXT.Value('i', 0, lock=False)
    process = CONTEXT.Process(target=_run, args=(work, kill_at, half, counted))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
    return process.exitcode, counted.value


class Tool:
    """Some work on a folder, and what it leaves there."""

    def __init__(self, root, name, work):
        self.root, self.name, self.work = root, name, work

    def run(self, name, **kill):
        return run_in_child(lambda: self.work(self.root / self.name / name), **kill)

    def result(self, name):
        folder, found = self.root / self.name / name, {}
        for path in sorted(folder.rglob('*')):
            place = str(path.relative_to(folder))
            assert not is_temporary(path) and path.name != LOCK_NAME, place
            if not path.is_file() or place[:2] == '20' or 'events.out' in place:
                continue  # logs, each run's in a folder named by its time
            if path.suffix == '.pth':
                state = torch.load(path, weights_only=True)
                parts = ('state_dict', 'optimizer', 'random_states', 'training_images')
                found[place] = {key: repr_of(state[key]) for key in parts if key in state}
            else:
                told = path.suffix in RECORDS or path.name in ('last_checkpoint', 'curves.png')
                found[place] = None if told else path.read_bytes()
                if place == 'README.md':  # its title is the name of the folder
                    found[place] = found[place].replace(name.encode(), b'NAME')
        return found


def repr_of(value):
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: repr_of(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [repr_of(item) for item in value]
    return value


@pytest.fixture(scope='module')
def tools(tmp_path_factory):
    """Every tool with small inputs; they are made in children, so that this process stays small."""
    root = tmp_path_factory.mktemp('matrix')
    torch.set_num_threads(1)
    for module in ('matplotlib.pyplot', 'mmpretrain.models', 'torch.utils.tensorboard'):
        importlib.import_module(module)  # once, not in every child

    def inputs():
        write_phantom_dataset(root / 'data', size=32, counts=3, seed=0)
        write_phantom_dataset(root / 'few', size=32, counts=dict.fromkeys(CLASSES, 3), seed=1)
        write_pairs(root / 'pairs', count=4)
        write_run(root / 'gan')
        (root / 'classifier').mkdir()
        random_classifier(root / 'classifier')
        (root / 'segmenter').mkdir()
        dataset = dict(
            type='TissueMaskDataset', metainfo=dict(classes=['stroma', 'gland']),
            instances='binary',
        )  # fmt: skip
        Config(
            dict(
                model=dict(type='DarkIsGland'),
                default_scope='mmagic',
                train_dataloader=dict(dataset=dataset),
            )  # fmt: skip
        ).dump(root / 'segmenter' / 'run.py')
        torch.save(
            dict(state_dict=DarkIsGland().state_dict(), meta={}), root / 'segmenter' / 'iter_1.pth'
        )
        text = TINY_CONFIG.format(
            base=str(REPO / 'configs' / 'cellgan_phantom.py'), data=str(root / 'data')
        )
        text += 'train_dataloader.update(num_workers=0, persistent_workers=False)\n'
        text = text.replace('max_keep_ckpts=-1', 'max_keep_ckpts=1')
        (root / 'train.py').write_text(text.replace('max_iters=8', 'max_iters=4'))

    assert run_in_child(inputs)[0] == 0
    gan = (root / 'gan' / 'cellgan.py', root / 'gan' / 'iter_5.pth')
    segmenter = (root / 'segmenter' / 'run.py', root / 'segmenter' / 'iter_1.pth')
    (classifier,) = (root / 'classifier').glob('*.py')
    cpu = dict(device='cpu')
    works = dict(
        train=lambda out: train(root / 'train.py', out, resume=True),
        synthesize=lambda out: synthesize(*gan, out, per_class=3, sheet=2, workers=1, **cpu),
        interpolate=lambda out: interpolate(
            *gan, out, classes=['NILM', 'HSIL'], seeds=[0, 1], steps=3, strip_steps=2, **cpu
        ),
        select=lambda out: select(
            root / 'few', root / 'few', classifier, root / 'classifier' / 'random.pth', out,
            ratio=0.3, passes=2, dropout=0.5, tsne_images=0, **cpu,
        ),
        segment=lambda out: segment(
            *segmenter, root / 'pairs', out, split='test', **cpu
        ),
        convert=lambda out: convert_folders(
            root / 'data', out, size=16, fractions=(0.5, 0.5, 0), progress=False
        ),
        phantom=lambda out: write_phantom_dataset(out, size=16, counts=1, seed=3),
        glands=lambda out: write_gland_phantom(out, dict(train=1), size=64, seed=3),
    )  # fmt: skip
    return {name: Tool(root, name, work) for name, work in works.items()}


@pytest.mark.parametrize('name', ['train', 'synthesize', 'interpolate', 'select', 'segment',
                                  'convert', 'phantom', 'glands'])  # fmt: skip
def test_a_killed_tool_ends_with_the_files_of_one_that_was_not_disturbed(tools, name):
    tool = tools[name]
    code, writes = tool.run('whole')
    assert code == 0 and writes >= 3
    expected = tool.result('whole')
    assert expected
    failed = {}
    for moment, (share, half) in MOMENTS.items():
        number = min(int(share * writes), writes - 1 if half else writes - 2)
        code, _ = tool.run(moment, kill_at=number, half=half)
        assert code == -signal.SIGKILL, f'{name}, {moment}: not killed at write {number}'
        code, _ = tool.run(moment)
        if code != 0:
            failed[moment] = f'does not go on (status {code})'
            continue
        found = tool.result(moment)
        different = [p for p in expected.keys() | found.keys() if expected.get(p) != found.get(p)]
        if different or expected.keys() != found.keys():
            failed[moment] = f'differs in {sorted(different)[:5]}'
    assert not failed, json.dumps(failed, indent=1)
