import numpy as np
import pytest

from cellgan_plugin.visualization.mask_colours import class_colour
from cellgan_plugin.visualization.mask_overlay import (
    draw_overlay,
    legend_text,
    object_borders,
    outline_colours,
    outlined_mask,
)


def touching():
    instances = np.zeros((7, 9), dtype=np.int32)
    instances[2:5, 1:4] = 7
    instances[2:5, 4:9] = 80000  # touches 7 and the border of the image
    return instances


def test_borders_lie_inside_of_objects_and_between_them():
    border = object_borders(touching())
    assert not border[touching() == 0].any()
    assert border[2, 1] and border[3, 3] and border[3, 4]  # outline, and where two touch
    assert not border[3, 2] and not border[3, 6]  # inside
    assert not border[3, 8]  # the image ends, the object need not
    assert object_borders(touching(), width=2)[touching() > 0].sum() > border.sum()
    assert not object_borders(np.ones((4, 4), int)).any()


def test_overlay_changes_outlines_alone():
    image = np.full((7, 9, 3), 200, dtype=np.uint8)
    semantic = (touching() > 0).astype(np.uint8)
    drawn = draw_overlay(image, semantic, touching(), width=1)
    border = object_borders(touching())
    assert (drawn[border] == outline_colours(1)).all() and (drawn[~border] == 200).all()
    assert (image == 200).all()
    true = np.zeros_like(touching())
    true[0:2, 6:8] = 1
    drawn = draw_overlay(image, semantic, touching(), true, width=1)
    assert (drawn[0, 6] == 0).all()
    with pytest.raises(ValueError, match='differ in size'):
        draw_overlay(image[1:], semantic, touching())


def test_masks_have_the_colours_that_the_legend_names():
    semantic = np.array([[0, 1], [2, 1]])
    picture = outlined_mask(semantic)
    assert tuple(picture[1, 0]) == class_colour(2)
    red, green, blue = class_colour(1)
    legend = legend_text(['stroma', 'gland'])
    assert (
        f'gland #{red:02x}{green:02x}{blue:02x}' in legend and 'overlays: gland #ffe100' in legend
    )
