import enum
import io

import numpy as np
import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.logging import HistoryBuffer
from mmengine.model import StochasticWeightAverage

from cellgan_plugin.checkpoint_reading import checksum_fits
from cellgan_plugin.engine.checkpoint import from_plain, to_plain, without_wrappers


class Colour(enum.IntEnum):
    RED = 3


def test_plain_values_load_with_weights_only(tmp_path):
    value = {
        'history': HistoryBuffer([1.0, 0.5], [1, 2], 100),
        'array': np.arange(3),
        'number': np.float32(0.5),
        'flag': np.bool_(True),
        'enum': Colour.RED,
        'path': tmp_path,
        'nested': [(1, 'a', None, True), {'x': torch.ones(2)}],
        'set': {3, 1},
    }
    torch.save(to_plain(value), tmp_path / 'a.pth')
    loaded = from_plain(torch.load(tmp_path / 'a.pth', weights_only=True))
    history = loaded['history']
    assert isinstance(history, HistoryBuffer) and history.max_length == 100
    assert history.data[0].tolist() == [1.0, 0.5] and history.data[1].tolist() == [1, 2]
    assert loaded['array'].tolist() == [0, 1, 2]
    assert loaded['number'] == 0.5 and type(loaded['number']) is float
    assert loaded['flag'] is True
    assert loaded['enum'] == 3 and type(loaded['enum']) is int
    assert loaded['path'] == str(tmp_path)
    assert loaded['nested'][0] == (1, 'a', None, True)
    assert loaded['set'] == [1, 3]


def test_a_restored_history_counts_on():
    history = HistoryBuffer([1.0], [1])
    restored = from_plain(to_plain({'h': history}))['h']
    for buffer in (history, restored):
        buffer.update(3.0)
    assert restored.mean(2) == history.mean(2) == 2.0


def test_an_object_without_a_plain_form_is_named():
    with pytest.raises(TypeError, match='object'):
        to_plain({'a': object()})


def test_the_backend_writes_whole_files(tmp_path):
    backend = get_file_backend(backend_args=dict(backend='cellgan_atomic'))
    backend.put(b'abc', tmp_path / 'x' / 'a.bin')
    backend.put_text('abc', tmp_path / 'b.txt')
    assert (tmp_path / 'x' / 'a.bin').read_bytes() == b'abc'
    assert (tmp_path / 'b.txt').read_text() == 'abc'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['b.txt', 'x']


def test_the_backend_gives_checkpoints_a_checksum(tmp_path):
    data = io.BytesIO()
    torch.save({'a': torch.arange(3)}, data)
    backend = get_file_backend(backend_args=dict(backend='cellgan_atomic'))
    backend.put(data.getvalue(), tmp_path / 'a.pth')
    assert checksum_fits(tmp_path / 'a.pth') is True
    assert torch.load(tmp_path / 'a.pth', weights_only=True)['a'].tolist() == [0, 1, 2]


def test_weights_of_wrapped_networks_are_named_as_in_one_process():
    model = torch.nn.Module()
    model.generator = torch.nn.Linear(1, 1, bias=False)
    model.generator_ema = StochasticWeightAverage(model.generator)
    plain = model.state_dict()
    assert list(plain) == ['generator.weight', 'generator_ema.steps', 'generator_ema.module.weight']
    wrapped = {key.replace('generator.', 'generator.module.'): x for key, x in plain.items()}
    assert list(wrapped)[0] == 'generator.module.weight'
    assert without_wrappers(model, wrapped) == without_wrappers(model, plain) == plain
