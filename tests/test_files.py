import os

import pytest

from cellgan_plugin.files import atomic_write


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
