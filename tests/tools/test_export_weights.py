import runpy
import sys
from pathlib import Path

import torch
from tiny_generators import CLASSES, write_run
from tiny_pyramid import tiny_model, tissue_batch

from cellgan_plugin.checkpoint_reading import load_tensors
from cellgan_plugin.runs.test import load_weights
from cellgan_plugin.safetensors_files import save_safetensors

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


def test_a_pyramid_is_exported_without_its_discriminators(tmp_path, mmagic_scope):
    model, other = tiny_model(), tiny_model()
    model.begin_scale(2)
    with torch.no_grad():
        for parameter in model.generators.parameters():
            parameter.copy_(parameter.half() + 0.25)
    path = tmp_path / 'pyramid.safetensors'
    save_safetensors(path, dict(state_dict=model.state_dict()))
    assert not [key for key in load_tensors(path)['state_dict'] if 'discriminator' in key]
    load_weights(other, path)
    assert other.scale == 2
    masks = tissue_batch(2)['inputs']['mask']
    torch.testing.assert_close(other.generate(masks), model.generate(masks), atol=1e-2, rtol=0)
