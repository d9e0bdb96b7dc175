import os

import pytest
import torch

from cellgan_plugin import checkpoint_files
from cellgan_plugin.checkpoint_files import (
    best_checkpoints,
    files_of_a_run,
    find_checkpoint,
    find_chosen,
    find_resumable,
    numbered_checkpoints,
    own_file,
)


def test_the_last_checkpoint_comes_first_then_higher_numbers_whatever_the_times(tmp_path):
    names = ('iter_24.pth', 'iter_9.pth', 'iter_16.pth', 'best_iter_30.pth', 'iter_x.pth', 'a.pth')
    for second, name in enumerate(names):
        (tmp_path / name).write_bytes(b'')
        os.utime(tmp_path / name, (second, second))
    assert [path.name for path in numbered_checkpoints(tmp_path)] == [
        'iter_24.pth', 'iter_16.pth', 'iter_9.pth',
    ]  # fmt: skip
    # The path of the folder that this one was copied from; only the name counts.
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/run/iter_16.pth')
    assert [path.name for path in numbered_checkpoints(tmp_path)] == [
        'iter_16.pth', 'iter_24.pth', 'iter_9.pth',
    ]  # fmt: skip
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/run/iter_20.pth')
    assert numbered_checkpoints(tmp_path)[0].name == 'iter_24.pth'
    (tmp_path / 'last_checkpoint').write_bytes(b'\xff\xfe')
    assert numbered_checkpoints(tmp_path)[0].name == 'iter_24.pth'


@pytest.mark.parametrize('damage', ['cut', 'empty', 'flipped', 'directory'])
def test_damaged_checkpoints_are_passed_over_and_said(tmp_path, monkeypatch, damage):
    messages = []
    monkeypatch.setattr(checkpoint_files, 'print_log', lambda text, **_: messages.append(text))
    for name in ('iter_2.pth', 'iter_4.pth', 'best_iter_2.pth', 'best_iter_4.pth'):
        torch.save({'a': torch.arange(5000)}, tmp_path / name)
        data = bytearray((tmp_path / name).read_bytes())
        if '4' not in name:
            continue
        if damage == 'cut':
            data = data[: len(data) // 2]
        elif damage == 'empty':
            data = b''
        elif damage == 'flipped':
            data[len(data) // 2] ^= 0xFF
        else:
            data[-40] ^= 0xFF
        (tmp_path / name).write_bytes(data)
    assert find_resumable(tmp_path) == tmp_path / 'iter_2.pth'
    assert find_chosen(tmp_path) == tmp_path / 'best_iter_2.pth'
    said = '\n'.join(messages)
    assert 'iter_4.pth is damaged' in said and 'best_iter_4.pth is damaged' in said
    assert 'best_iter_2.pth is taken' in said


def test_why_later_checkpoints_are_not_taken_is_said(tmp_path, monkeypatch):
    messages = []
    monkeypatch.setattr(checkpoint_files, 'print_log', lambda text, **_: messages.append(text))
    for number in (2, 4, 8):
        torch.save({'a': torch.arange(500)}, tmp_path / f'iter_{number}.pth')
    (tmp_path / 'iter_6.pth').write_bytes((tmp_path / 'iter_4.pth').read_bytes()[:900])
    (tmp_path / 'last_checkpoint').write_text('iter_4.pth')
    assert find_resumable(tmp_path) == tmp_path / 'iter_4.pth'
    assert [text.split(' ', 1)[0] for text in messages] == [
        str(tmp_path / f'iter_{number}.pth') for number in (8, 6)
    ]
    assert 'higher iteration than iter_4.pth' in messages[0] and 'damaged' in messages[1]


def test_a_folder_and_a_file_name_a_checkpoint(tmp_path):
    assert find_resumable(tmp_path) is None
    with pytest.raises(FileNotFoundError, match='has no checkpoint: train first'):
        find_checkpoint(tmp_path)
    torch.save({}, tmp_path / 'iter_2.pth')
    assert find_checkpoint(tmp_path) == tmp_path / 'iter_2.pth'
    assert find_checkpoint(tmp_path / 'iter_2.pth') == tmp_path / 'iter_2.pth'
    with pytest.raises(FileNotFoundError, match='does not exist'):
        find_checkpoint(tmp_path / 'none')


def test_the_best_of_the_latest_iteration_is_chosen(tmp_path):
    for second, name in enumerate(('best_mean_iter_10.pth', 'best_iter_9.pth', 'best_x.pth')):
        torch.save({}, tmp_path / name)
        os.utime(tmp_path / name, (second, second))
    assert [path.name for path in best_checkpoints(tmp_path)] == [
        'best_mean_iter_10.pth', 'best_iter_9.pth',
    ]  # fmt: skip


def test_only_a_folders_own_best_checkpoints_may_be_replaced(tmp_path):
    folder, other = tmp_path / 'copy', tmp_path / 'original'
    for place in (folder, other):
        place.mkdir()
        (place / 'best_iter_4.pth').write_bytes(b'')
    (folder / 'thesis.txt').write_text('')
    own = folder / 'best_iter_4.pth'
    assert own_file(folder, str(other / 'best_iter_4.pth')) == own
    assert own_file(folder, 'best_iter_4.pth') == own
    assert own_file(folder, r'C:\run\best_iter_4.pth') == own
    for stored in ('thesis.txt', str(other), '..', '', 'best_iter_9.pth', 4, None, ['a'], b'a'):
        assert own_file(folder, stored) is None


def test_the_files_of_a_run(tmp_path):
    assert files_of_a_run(tmp_path) == []
    for name in ('iter_2.pth', 'best_iter_2.pth', 'final.pth', 'last_checkpoint', 'weights.pth'):
        (tmp_path / name).write_bytes(b'')
    assert [path.name for path in files_of_a_run(tmp_path)] == [
        'iter_2.pth', 'best_iter_2.pth', 'final.pth', 'last_checkpoint',
    ]  # fmt: skip
