import os
import runpy
import signal
import sys
import time

import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from programs import start_program

from cellgan_plugin.datasets.manifest import read_manifest
from cellgan_plugin.files import ABOUT_FOLDER
from cellgan_plugin.synthesis.folder import SynthesisFolder
from cellgan_plugin.synthesis.synthesize import synthesize

from .conftest import REPO, run_on_two_ranks, run_tool


@pytest.fixture(scope='module')
def run(tiny):
    """Config and checkpoint of an untrained model with the classes of the phantom set."""
    init_default_scope('mmagic')
    torch.manual_seed(0)
    config = Config.fromfile(tiny.config)
    checkpoint = tiny.root / 'untrained' / 'iter_1.pth'
    checkpoint.parent.mkdir()
    torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), checkpoint)
    return tiny.config, checkpoint


@pytest.fixture(scope='module')
def made(run, tiny):
    out = tiny.root / 'one_process'
    synthesize(*run, out, per_class=5, classes=dict(NILM=0, HSIL=7))
    return out


def images(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.glob('*/*')
        if path.name[0] != '.' and path.parent.name != ABOUT_FOLDER
    }


def test_two_ranks_make_the_images_of_one(run, made, tmp_path):
    options = ['--per-class', '5', '--classes', 'NILM=0', 'HSIL=7', '--out', tmp_path / 'out']
    result = run_on_two_ranks('tools/synthesize.py', *run, *options, '--launcher', 'pytorch')
    assert '22 images, 22 new' in result.stdout
    assert len(images(made)) == 22 and images(tmp_path / 'out') == images(made)
    manifest = (tmp_path / 'out' / 'manifest.csv').read_text()
    assert manifest == (made / 'manifest.csv').read_text()


def test_a_killed_run_is_continued_by_the_same_command(run, made, tmp_path):
    out, number = tmp_path / 'out', 4000
    command = ['tools/synthesize.py', *run, '--per-class', number, '--out', out]
    with open(tmp_path / 'said', 'w+') as said:
        process = start_program(*command, output=said, errors=said)
        try:
            limit = time.monotonic() + 240
            while len(images(out)) < 40:
                assert process.poll() is None, (tmp_path / 'said').read_text()
                assert time.monotonic() < limit, 'no images'
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    there = images(out)
    assert 40 <= len(there) < 5 * number and not (out / 'manifest.csv').exists()

    result = run_tool('tools/synthesize.py', *run, '--per-class', '9', '--out', out)
    assert f'{len(images(out))} images' in result.stdout
    found = images(out)
    assert {name: found[name] for name in there} == there
    shared = {name: content for name, content in images(made).items() if name in found}
    assert shared and all(found[name] == content for name, content in shared.items())
    rows = read_manifest(out / 'manifest.csv')
    assert {row['file'] for row in rows} == set(found)
    for name in ('NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL'):
        assert f'{name}/{name}_000008.png' in found


@pytest.mark.parametrize(
    'words, message',
    [
        (['--seeds', '3-1'], 'error: seeds'),
        (['--per-class', '1', '--classes', 'SCC=1'], "error: class 'SCC': the model knows NILM"),
        (['--per-class', '1', '--format', 'gif'], "error: format 'gif': must be one of png"),
        (['--per-class', '1', '--device', 'cuda'], 'finds no GPU'),
    ],
)
def test_mistakes_end_in_one_line(run, tmp_path, monkeypatch, capsys, words, message):
    if 'cuda' in words:
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    arguments = ['synthesize.py', *map(str, run), '--out', str(tmp_path / 'out'), *words]
    monkeypatch.setattr(sys, 'argv', arguments)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(REPO / 'tools' / 'synthesize.py'), run_name='__main__')
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_ctrl_c_says_how_to_go_on(run, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(SynthesisFolder, 'write_image', interrupted)
    command = ['synthesize.py', *map(str, run), '--out', str(tmp_path / 'out'), '--per-class', '1']
    monkeypatch.setattr(sys, 'argv', command)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(REPO / 'tools' / 'synthesize.py'), run_name='__main__')
    assert stopped.value.code == 130
    assert 'the same command continues' in capsys.readouterr().err
