import cv2
import numpy as np
import pytest
import torch
from tiny_pyramid import tiny_model
from tiny_segmenters import DarkIsGland

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.whole_images import MaskMeaning, list_whole_images, mask_at
from cellgan_plugin.evaluation.segmentation import ObjectRule
from cellgan_plugin.models.data_preprocessor import to_uint8
from cellgan_plugin.randomness import derive_seed
from cellgan_plugin.segmentation.segment import predict_masks
from cellgan_plugin.segmentation.sheets import draw_pairs, images_with_pairs
from cellgan_plugin.visualization.mask_colours import mask_picture

pytestmark = pytest.mark.usefixtures('mmagic_scope')


def differs(picture, cell):
    """Sum of squared differences where the picture is most like the cell."""
    return cv2.matchTemplate(picture, cell, cv2.TM_SQDIFF).min()


def test_pairs_show_both_networks_of_a_pyramid(tmp_path):
    """Fig. 5: each image, its predicted and true mask, and an image of the true mask."""
    rng = np.random.default_rng(0)
    for index in range(3):
        image = rng.integers(0, 256, (32, 48, 3)).astype(np.uint8)
        mask = np.zeros((32, 48, 1), np.uint8)
        mask[8 : 20 + index, 10:30] = 1
        write_png(tmp_path / 'images' / f'{index}.png', image)
        write_png(tmp_path / 'masks' / f'{index}.png', mask)
    images = list_whole_images(tmp_path / 'images', masks=tmp_path / 'masks')
    meaning = MaskMeaning(('stroma', 'gland'), None, None)
    model = tiny_model()
    model.enter_scale(2)
    predict_masks(model, images, tmp_path / 'out', ObjectRule(), overlays=False)
    picture = load_image(str(draw_pairs(model, tmp_path / 'out', images, meaning, count=2)))
    truth = meaning.read(images[0])[0]
    seeds = [derive_seed(0, 'pairs', images[0].name)]
    made = to_uint8(model.generate(torch.from_numpy(truth)[None], seeds))[0].permute(1, 2, 0)
    for cell in (load_image(str(images[0].image)), mask_picture(truth), made.numpy()):
        assert differs(picture, cell) < 2000  # it is in there; sums of squares round a little
    third = mask_picture(meaning.read(images[2])[0])
    assert differs(picture, third) > 1e5  # two columns were asked for

    with pytest.raises(ValueError, match='DarkIsGland generates no images from masks'):
        images_with_pairs(DarkIsGland(), images)
    with pytest.raises(ValueError, match='no image has a true mask'):
        images_with_pairs(model, list_whole_images(tmp_path / 'images'))


def test_a_mask_at_the_scale_of_a_model():
    mask = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20)
    found = mask_at(mask, 0.5, 4)
    assert found.shape == (4, 8)  # 6 x 10, cut to multiples of 4
    np.testing.assert_array_equal(found, mask[1::2, 1::2][:4, :8])
    np.testing.assert_array_equal(mask_at(mask, 1, 4), mask)
    with pytest.raises(ValueError, match='x.png: 20x12 px are 5x3 .*at least 4 a side'):
        mask_at(mask, 0.25, 4, 'x.png')
