"""What a user did wrong is one message and status 2, never a traceback."""

import errno
import os
import subprocess
import sys

import pytest

from cellgan_plugin.errors import OutputError, explained_output_errors, output_error
from cellgan_plugin.runs.command_line import user_errors


@pytest.mark.parametrize(
    'number, words',
    [
        (errno.ENOSPC, 'no room is left on the disk'),
        (errno.EDQUOT, 'no room is left on the disk'),
        (errno.EACCES, 'out/file.png cannot be written (Permission denied)'),
        (errno.EROFS, 'out/file.png cannot be written (Read-only file system)'),
    ],
)
def test_an_output_that_cannot_be_written_is_a_message(number, words, capsys):
    with pytest.raises(SystemExit) as stop:
        with user_errors():
            raise OSError(number, os.strerror(number), 'out/file.png')
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith('\nerror: ') and words in said


def test_a_file_where_a_folder_would_be(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SystemExit), user_errors():
        (tmp_path / 'file' / 'out').mkdir(parents=True)
    assert f'{tmp_path / "file"}' in capsys.readouterr().err


def test_other_errors_of_the_system_are_not_hidden():
    with pytest.raises(OSError, match='Too many open files'), user_errors():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    with pytest.raises(OSError, match='Too many open files'), explained_output_errors('out'):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_an_interruption_says_how_to_go_on_where_that_is_so(capsys):
    with pytest.raises(SystemExit) as stop, user_errors(continues=True):
        raise KeyboardInterrupt
    assert stop.value.code == 130 and 'the same command continues' in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt), user_errors():
        raise KeyboardInterrupt


def test_an_explained_error_is_not_explained_again():
    error = OutputError(errno.ENOSPC, 'said already')
    assert output_error(error) is error
    with pytest.raises(OutputError, match='said already'), explained_output_errors('out'):
        raise error


def run_with_a_closed_output(lines):
    """Run a program whose output is closed at once, as ``| head`` does; status and its errors."""
    program = '\n'.join(
        [
            'import os, sys',
            'from cellgan_plugin.runs.command_line import user_errors',
            'sys.stdin.readline()',
            'with user_errors(continues=True):',
            *(f'    {line}' for line in lines),
        ]
    )
    process = subprocess.Popen(
        [sys.executable, '-c', program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    process.stdin.write('go\n')
    process.stdin.close()
    said = process.stderr.read()
    process.stderr.close()
    return process.wait(), said


@pytest.mark.parametrize('flushed', [True, False])
def test_a_reader_of_the_output_may_leave(flushed):
    status, said = run_with_a_closed_output([f'print("a line", flush={flushed})'])
    assert (status, said) == (141, 'the output was closed; the same command continues\n')


def test_a_training_goes_on_in_its_log_when_the_reader_leaves(tmp_path):
    status, said = run_with_a_closed_output(
        [
            'import logging',
            'log = logging.getLogger("training")',
            'log.addHandler(logging.StreamHandler(sys.stdout))',
            f'log.addHandler(logging.FileHandler({str(tmp_path / "log")!r}))',
            'log.warning("iteration 1")',
            'log.warning("iteration 2")',
        ]
    )
    assert (status, said) == (0, '')
    assert (tmp_path / 'log').read_text() == 'iteration 1\niteration 2\n'


def test_a_broken_pipe_to_another_process_stays_an_error():
    with pytest.raises(BrokenPipeError), user_errors():
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError), user_errors():
        os.write(writer, b'to a worker that is gone')
    os.close(writer)


def test_a_type_that_is_not_registered_is_a_message(capsys):
    from mmengine.registry import MODELS

    with pytest.raises(SystemExit), user_errors():
        MODELS.build(dict(type='NobodyHasThis'))
    said = capsys.readouterr().err
    assert 'NobodyHasThis is not registered as a model: ' in said
    assert '--import MODULE or by custom_imports' in said
    with pytest.raises(KeyError), user_errors():
        raise KeyError('a mistake of the program')
