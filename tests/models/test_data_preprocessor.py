import pytest
import torch
from mmagic.structures import DataSample

from cellgan_plugin.models import CellDataPreprocessor
from cellgan_plugin.models.data_preprocessor import (
    generated_pixels,
    to_grey_levels,
    to_model_range,
    to_uint8,
)


def labelled(label):
    sample = DataSample()
    sample.set_gt_label(label)
    return sample


def test_every_grey_level_survives_the_round_trip():
    levels = torch.arange(256, dtype=torch.uint8)
    floats = to_model_range(levels)
    assert floats.dtype == torch.float32
    assert floats[0] == -1 and floats[255] == 1
    assert (floats.diff() > 0).all()
    assert torch.equal(to_uint8(floats), levels)
    torch.testing.assert_close(to_grey_levels(floats), levels.float(), rtol=0, atol=1e-4)


def test_values_outside_are_clamped_and_rounded():
    given = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0])
    assert to_grey_levels(given).tolist() == [0, 0, 127.5, 255, 255]
    assert to_uint8(given).tolist() == [0, 0, 128, 255, 255]
    assert torch.equal(given, torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]))


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('form', ['list', 'tensor', 'list of dicts'])
def test_batches_of_any_form(form, channels):
    images = torch.arange(2 * channels * 16).reshape(2, channels, 4, 4).to(torch.uint8)
    inputs = {
        'list': dict(img=list(images)),
        'tensor': dict(img=images),
        'list of dicts': [dict(img=img) for img in images],
    }[form]
    samples = [labelled(3), labelled(1)]
    out = CellDataPreprocessor()(dict(inputs=inputs, data_samples=samples), training=True)
    assert torch.equal(to_uint8(out['inputs']['img']), images)
    labels = out['data_samples'].gt_label.label
    assert labels.shape == (2,) and labels.tolist() == [3, 1] and labels.dtype == torch.int64
    assert out['data_samples'].gt_img is out['inputs']['img']


def test_stacked_samples_lose_the_extra_axis():
    stacked = DataSample.stack([labelled(3), labelled(1)])
    assert stacked.gt_label.label.shape == (2, 1)  # what MMagic hands over
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    out = CellDataPreprocessor()(dict(inputs=dict(img=images), data_samples=stacked))
    assert out['data_samples'].gt_label.label.tolist() == [3, 1]


def test_what_is_no_image_passes_through():
    noise, floats = torch.randn(2, 8), torch.rand(2, 3, 4, 4)
    inputs = dict(
        noise=noise, num_batches=2, sample_model='ema', sample_kwargs=dict(truncation=0.5)
    )
    out = CellDataPreprocessor()(dict(inputs=inputs, data_samples=None))
    assert torch.equal(out['inputs'].pop('noise'), noise) and out['data_samples'] is None
    assert out['inputs'] == dict(
        num_batches=2, sample_model='ema', sample_kwargs=dict(truncation=0.5)
    )
    assert torch.equal(CellDataPreprocessor()(dict(inputs=noise))['inputs'], noise)
    out = CellDataPreprocessor()(dict(inputs=dict(img=floats), data_samples=[]))
    assert torch.equal(out['inputs']['img'], floats)


def test_inputs_are_not_changed():
    images = torch.full((2, 3, 4, 4), 7, dtype=torch.uint8)
    inputs = dict(img=images)
    CellDataPreprocessor()(dict(inputs=inputs, data_samples=[labelled(0), labelled(1)]))
    assert inputs['img'] is images and (images == 7).all()


@pytest.mark.parametrize('channels', [1, 3])
def test_destruct_gives_grey_levels_in_bgr_and_generated_pixels_turns_them_back(channels):
    levels = torch.arange(2 * channels * 4).reshape(2, channels, 2, 2).to(torch.uint8)
    grey = CellDataPreprocessor().destruct(to_model_range(levels))
    assert grey.dtype == torch.float32
    assert torch.equal(grey.round().to(torch.uint8), levels.flip(1))
    samples = [DataSample(fake_img=img) for img in grey]
    assert torch.equal(generated_pixels(samples), levels)
