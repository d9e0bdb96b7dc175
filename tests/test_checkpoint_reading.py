import io
import random
import zipfile

import pytest
import torch

from cellgan_plugin.checkpoint_reading import (
    checksum_fits,
    is_whole,
    known_holes,
    load_tensors,
    with_checksum,
)

CHECKPOINT = dict(
    meta=dict(iter=3, epoch=0),
    state_dict={f'layer{i}.weight': torch.arange(100.0) + i for i in range(4)},
    message_hub=dict(runtime_info={}, log_scalars={}, resumed_keys={}),
)


def saved(value):
    data = io.BytesIO()
    torch.save(value, data)
    return data.getvalue()


def write(path, data):
    path.write_bytes(b''.join(bytes(piece) for piece in with_checksum(data)))
    return path


def test_a_checksum_travels_with_the_file_and_other_readers_pass_over_it(tmp_path):
    data = saved(CHECKPOINT)
    path = write(tmp_path / 'a.pth', data)
    assert checksum_fits(path) is True and is_whole(path)
    assert len(path.read_bytes()) == len(data) + len('cellgan_plugin sha256=') + 64
    for loaded in (load_tensors(path), torch.load(path, weights_only=True)):
        assert loaded['state_dict']['layer3.weight'].tolist() == (torch.arange(100.0) + 3).tolist()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b'cellgan_plugin sha256=')
    # Once is enough, and what is no archive stays as it is.
    once = path.read_bytes()
    assert b''.join(with_checksum(once)) == once
    assert b''.join(with_checksum(b'text')) == b'text'


def test_every_changed_byte_of_the_content_is_found(tmp_path):
    whole = write(tmp_path / 'whole.pth', saved(CHECKPOINT)).read_bytes()
    content = len(whole) - len('cellgan_plugin sha256=') - 64 - 2
    draw = random.Random(0)
    for number, place in enumerate(draw.sample(range(content), 300)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draw.randrange(8)
        path = tmp_path / f'{number}.pth'
        path.write_bytes(damaged)
        assert not is_whole(path), place
    with pytest.raises(ValueError, match='not that of the checksum written with it'):
        load_tensors(path)


def test_a_file_without_a_checksum_is_whole_exactly_when_it_loads(tmp_path):
    data = saved(CHECKPOINT)
    path = tmp_path / 'old.pth'
    path.write_bytes(data)
    assert checksum_fits(path) is None and is_whole(path)
    assert load_tensors(path)['meta'] == dict(iter=3, epoch=0)
    draw = random.Random(1)
    expected = load_tensors(path)['state_dict']
    for number in range(300):
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path = tmp_path / f'{number}.pth'
        path.write_bytes(damaged)
        if not is_whole(path):
            continue
        found = load_tensors(path)
        # Only metadata of the archive was hit: what counts is as it was.
        if found.get('state_dict', {}).keys() == expected.keys():
            assert all(torch.equal(found['state_dict'][k], v) for k, v in expected.items())


def test_what_is_cut_empty_or_garbled_is_not_whole(tmp_path):
    data = write(tmp_path / 'a.pth', saved(CHECKPOINT)).read_bytes()
    for number, damaged in enumerate([data[:-1], data[: len(data) // 2], b'', b'PK', data[100:]]):
        path = tmp_path / f'{number}.pth'
        path.write_bytes(damaged)
        assert not is_whole(path)
    assert not is_whole(tmp_path / 'none.pth')


def test_a_changed_file_is_looked_at_again(tmp_path):
    path = write(tmp_path / 'a.pth', saved(CHECKPOINT))
    assert is_whole(path)
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.unlink()
    path.write_bytes(damaged)
    assert not is_whole(path)


@pytest.mark.parametrize(
    'value, complaint',
    [
        ([1, 2], 'holds a list'),
        ('text', 'holds a str'),
        (torch.ones(3), 'holds a Tensor'),
        (7, 'holds a int'),
        (None, 'holds a NoneType'),
        ({'meta': 'text', 'state_dict': {}}, 'meta is a str'),
        ({'meta': {}, 'state_dict': [1]}, 'state_dict is a list'),
        ({'state_dict': torch.ones(2)}, 'state_dict is a Tensor'),
        ({'state_dict': {}, 'message_hub': 'text'}, 'message_hub is a str'),
    ],
)
def test_odd_but_plain_files_are_refused_by_what_they_hold(tmp_path, value, complaint):
    path = write(tmp_path / 'odd.pth', saved(value))
    with pytest.raises(ValueError, match=complaint) as error:
        load_tensors(path)
    assert str(path) in str(error.value) and 'a checkpoint is a dictionary' in str(error.value)


def test_programs_in_a_checkpoint_are_left_out(tmp_path):
    program = 'import os\nos.mkdir("owned")\n'
    state = dict(
        CHECKPOINT,
        meta=dict(iter=3, config=program, cfg=program),
        message_hub=dict(runtime_info=dict(cfg=program, seed=0), log_scalars={}, resumed_keys={}),
    )
    loaded = load_tensors(write(tmp_path / 'a.pth', saved(state)))
    # What is left to read stands where nobody looks for a program.
    assert loaded['meta'] == dict(iter=3, config_text=program)
    assert loaded['message_hub']['runtime_info'] == dict(seed=0)


def test_an_archive_that_grows_in_memory_is_refused(tmp_path):
    path = tmp_path / 'bomb.pth'
    with zipfile.ZipFile(io.BytesIO(saved({'a': torch.zeros(10_000)}))) as archive:
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as bomb:
            for name in archive.namelist():
                bomb.writestr(name, archive.read(name))
    with pytest.raises(ValueError, match='compressed'):
        load_tensors(path)


def test_versions_of_torch_with_known_holes():
    both = ['CVE-2025-32434', 'CVE-2026-24747']
    assert known_holes('2.4.1+cu121') == known_holes('2.5.0') == both
    assert known_holes('2.6.0') == known_holes('2.9.1') == both[1:]
    assert known_holes('2.10.0') == known_holes('2.11.0+cpu') == known_holes('3.0') == []
