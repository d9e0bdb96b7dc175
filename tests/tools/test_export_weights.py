import runpy
import sys
from pathlib import Path

import torch
from tiny_generators import CLASSES, write_run

from cellgan_plugin.checkpoint_reading import load_tensors

TOOL = Path(__file__).parents[2] / 'tools' / 'model_converters' / 'export_weights.py'


def test_the_newest_weights_of_a_work_directory_are_exported(tmp_path, monkeypatch):
    _, checkpoint = write_run(tmp_path)
    out = tmp_path / 'weights.safetensors'
    monkeypatch.setattr(sys, 'argv', [str(TOOL), str(tmp_path), str(out)])
    runpy.run_path(str(TOOL), run_name='__main__')
    found, expected = load_tensors(out), load_tensors(checkpoint)
    assert found['meta'] == dict(iter=5, dataset_meta=dict(classes=CLASSES))
    key = next(k for k, v in expected['state_dict'].items()
               if k.startswith('generator_ema.module.') and v.ndim >= 2)  # fmt: skip
    assert torch.equal(found['state_dict'][key], expected['state_dict'][key].half().float())
