import json
import multiprocessing
import os
import signal
import time

import pytest

from cellgan_plugin.errors import FolderInUseError
from cellgan_plugin.locks import LOCK_NAME, folder_lock, writes_folder


def _hold(folder, ready):
    with folder_lock(folder):
        ready.set()
        time.sleep(60)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds ``tmp_path / 'out'``."""
    context = multiprocessing.get_context('fork')
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path / 'out', ready), daemon=True)
    process.start()
    assert ready.wait(20)
    yield process
    process.kill()
    process.join()


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path, holder):
    with pytest.raises(FolderInUseError) as error, folder_lock(tmp_path / 'out'):
        pass
    message = str(error.value)
    assert str(tmp_path / 'out') in message and f'process {holder.pid} on ' in message
    assert ' since 20' in message and 'choose another folder' in message
    with folder_lock(tmp_path / 'other'):
        pass


def test_the_lock_ends_with_its_process_and_leaves_nothing(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert (tmp_path / 'out' / LOCK_NAME).is_file()
    with folder_lock(tmp_path / 'out'):
        says = json.loads((tmp_path / 'out' / LOCK_NAME).read_text())
        assert says['pid'] == os.getpid()
        (tmp_path / 'out' / 'a.txt').write_text('')
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['a.txt']


def test_a_process_may_take_its_lock_again(tmp_path):
    with folder_lock(tmp_path):
        with folder_lock(tmp_path):
            pass
        assert (tmp_path / LOCK_NAME).is_file()
    assert not list(tmp_path.iterdir())


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    context = multiprocessing.get_context('fork')
    with folder_lock(tmp_path):
        child = context.Process(target=time.sleep, args=(60,), daemon=True)
        child.start()
        with folder_lock(tmp_path / 'inner'):
            pass
    try:
        # Held by nobody: the child closed what it inherited.
        process = context.Process(target=_take, args=(tmp_path,))
        process.start()
        process.join(20)
        assert process.exitcode == 0
    finally:
        child.kill()
        child.join()


def _take(folder):
    with folder_lock(folder):
        pass


def test_an_empty_folder_that_was_made_for_the_lock_goes_again(tmp_path):
    with pytest.raises(ZeroDivisionError), folder_lock(tmp_path / 'a' / 'b' / 'c'):
        raise ZeroDivisionError
    assert not (tmp_path / 'a').exists()
    with folder_lock(tmp_path / 'a'):
        (tmp_path / 'a' / 'file').write_text('')
    assert (tmp_path / 'a' / 'file').is_file()


def test_what_is_no_folder_is_left_to_who_writes_there(tmp_path):
    (tmp_path / 'file').write_text('')
    for place in (tmp_path / 'file', tmp_path / 'file' / 'inner'):
        with folder_lock(place):
            pass
    assert (tmp_path / 'file').is_file()


def test_a_function_holds_the_folder_that_its_argument_names(tmp_path, monkeypatch):
    seen = []

    @writes_folder('out', deep=True)
    def make(name, out=None, launcher='none'):
        """Made."""
        seen.append(out is not None and (out / LOCK_NAME).is_file())
        return name

    left = tmp_path / 'inner' / '.a.png.0123456789ab.tmp'
    left.parent.mkdir()
    left.write_text('')
    assert make('a', tmp_path) == 'a' and make.__doc__ == 'Made.'
    assert not left.exists()
    make('b')
    monkeypatch.setenv('RANK', '1')
    make('c', tmp_path)
    make('d', out=tmp_path, launcher='pytorch')
    assert seen == [True, False, True, False]
