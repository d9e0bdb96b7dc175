import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from cellgan_plugin.files import (
    atomic_write,
    is_temporary,
    remove_temporary,
)


def test_the_file_is_there_only_when_the_block_ends(tmp_path):
    path = tmp_path / 'new' / 'file.bin'
    with atomic_write(path) as file:
        file.write(b'abc')
        assert not path.exists()
    assert path.read_bytes() == b'abc'
    assert os.listdir(path.parent) == ['file.bin']


def test_an_error_leaves_the_former_content_and_no_litter(tmp_path):
    path = tmp_path / 'file.txt'
    path.write_text('old')
    with pytest.raises(ZeroDivisionError), atomic_write(path, 'w') as file:
        file.write('new')
        raise ZeroDivisionError
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['file.txt']


def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    with atomic_write(tmp_path / 'a', 'w') as file:
        file.write('')
    (tmp_path / 'b').write_text('')
    assert (tmp_path / 'a').stat().st_mode == (tmp_path / 'b').stat().st_mode


def test_only_whole_writes_are_offered(tmp_path):
    with (
        pytest.raises(ValueError, match="'wb' or 'w'|'w' or 'wb'"),
        atomic_write(tmp_path / 'a', 'a'),
    ):
        pass


def test_threads_that_write_at_once_leave_the_permissions_of_ordinary_files(tmp_path):
    def write(number):
        with atomic_write(tmp_path / f'{number}', 'w') as file:
            file.write(str(number))

    mask = os.umask(0o027)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(200)))
        now = os.umask(0o027)
    finally:
        os.umask(mask)
    assert now == 0o027
    assert {(tmp_path / str(n)).stat().st_mode & 0o777 for n in range(200)} == {0o640}
    assert all((tmp_path / str(n)).read_text() == str(n) for n in range(200))


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / 'inner').mkdir()
    context = atomic_write(tmp_path / 'inner' / 'b.csv')
    context.__enter__()
    (left,) = (tmp_path / 'inner').iterdir()
    assert is_temporary(left)
    others = ('.hidden', 'a.tmp', '.a.tmp', '.a.0123456789ab.tmp.txt', 'a.0123456789ab.tmp')
    for name in others:
        (tmp_path / name).write_text('')
        assert not is_temporary(name)
    assert remove_temporary(tmp_path) == 0
    assert remove_temporary(tmp_path, deep=True) == 1
    assert not list((tmp_path / 'inner').iterdir())
    assert sorted(os.listdir(tmp_path)) == sorted([*others, 'inner'])
    assert remove_temporary(tmp_path / 'none') == 0
