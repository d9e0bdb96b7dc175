import numpy as np
import pytest
import torch
from tiny_pyramid import tiny_model, tissue_batch

from cellgan_plugin.engine.hooks import PyramidSheetHook
from cellgan_plugin.engine.hooks.pyramid_sheet_hook import labelled_tiles

pytestmark = pytest.mark.usefixtures('mmagic_scope')


class Tiles:
    """Tiles of which only every third has a mask, and only every sixth one of two classes."""

    def __len__(self):
        return 60

    def __getitem__(self, index):
        img = torch.full((3, 32, 32), index, dtype=torch.uint8)
        mask = torch.zeros(32, 32, dtype=torch.uint8)
        mask[:8] = int(index % 6 == 0)
        if index % 3:
            mask[:] = 255
        return dict(inputs=dict(img=img, mask=mask, labelled=torch.tensor(index % 3 == 0)))


def test_tiles_with_a_mask_of_several_classes_are_shown():
    img, masks = labelled_tiles(Tiles(), 5, seed=0)
    assert {int(x[0, 0, 0]) % 6 for x in img} == {0} and len(img) == len(masks) == 5
    assert torch.equal(img, labelled_tiles(Tiles(), 5, seed=0)[0])
    assert not torch.equal(img, labelled_tiles(Tiles(), 5, seed=1)[0])
    every = labelled_tiles(Tiles(), 15, seed=0)[0]
    assert {int(x[0, 0, 0]) % 3 for x in every} == {0} and len(every) == 15


@pytest.mark.parametrize(
    'parts, columns',
    [
        (dict(), 2 + 1 + 1 + 1 + 1),  # mask, real, 8 px, generated, again, segmented
        (dict(segmenter=None), 2 + 1 + 1 + 1),
        (dict(generator=None, discriminator=None), 2 + 1),
    ],
)
def test_columns_follow_what_the_model_has(parts, columns):
    model = tiny_model(**parts)
    model.begin_scale(1)
    model.train()
    inputs = tissue_batch(2)['inputs']
    hook = PyramidSheetHook(10, variants=2)
    sheet = hook.sheet(model, inputs['img'], inputs['mask'])
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    assert sheet.shape[1] // (128 + 2 * 2) == columns, '16 px are shown at 128'
    assert np.array_equal(sheet, hook.sheet(model, inputs['img'], inputs['mask']))
    assert model.training
