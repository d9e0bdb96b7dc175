"""Views of an image: the eight are different, and a pipeline's are those that it shows."""

import numpy as np
import pytest
import torch
from mmengine.config import Config

from cellgan_plugin.datasets.transforms import RandomCellFlip, RandomTissueFlip
from cellgan_plugin.datasets.views import (
    ALL_VIEWS,
    apply_view,
    check_views,
    views_of_config,
    views_of_config_text,
    views_of_pipeline,
)

FLIPS = ('identity', 'horizontal', 'vertical', 'rotate180')
IMAGE = torch.arange(2 * 3 * 3).view(2, 3, 3)


def seen(transform, times=300):
    """What a transform makes of an image, by name of the view."""
    names = {apply_view(IMAGE, view).numpy().tobytes(): view for view in ALL_VIEWS}
    found = set()
    for position in range(times):
        results = dict(img=IMAGE.permute(1, 2, 0).numpy(), sample_position=position)
        image = transform.transform(results)['img']
        found.add(names[np.ascontiguousarray(np.moveaxis(image, 2, 0)).tobytes()])
    return tuple(view for view in ALL_VIEWS if view in found)


def test_the_eight_views():
    assert len({apply_view(IMAGE, view).numpy().tobytes() for view in ALL_VIEWS}) == 8
    assert torch.equal(apply_view(IMAGE, 'rotate90'), torch.rot90(IMAGE, 1, (1, 2)))
    assert torch.equal(apply_view(IMAGE, 'rotate270'), torch.rot90(IMAGE, 3, (1, 2)))
    assert apply_view(torch.zeros(3, 4, 6), 'transverse').shape == (3, 6, 4)


@pytest.mark.parametrize(
    'kind, options',
    [
        (RandomCellFlip, dict(horizontal=0.5, vertical=0.0)),
        (RandomCellFlip, dict()),
        (RandomCellFlip, dict(horizontal=0.0, vertical=0.0)),
        (RandomCellFlip, dict(diagonal=0.5)),
        (RandomTissueFlip, dict(vertical=0.0, turn=0.0)),
        (RandomTissueFlip, dict()),
    ],
)
def test_the_views_of_a_pipeline_are_those_that_it_shows(kind, options):
    pipeline = [dict(type='FitCellPatch', out_size=3), dict(type=kind.__name__, **options)]
    assert views_of_pipeline(pipeline) == seen(kind(**options))


@pytest.mark.parametrize(
    'transform, expected',
    [
        (dict(type='RandomFlip', prob=0.5, direction='horizontal'), FLIPS[:2]),
        (dict(type='mmpretrain.RandomFlip', prob=[0.2, 0.3], direction=['horizontal', 'vertical']),
         FLIPS),
        (dict(type='Flip', flip_ratio=0, direction='vertical'), FLIPS[:1]),
        (dict(type='mmcv.RandomFlip', direction='diagonal'), ('identity', 'rotate180')),
        (dict(type='torchvision/RandomVerticalFlip'), ('identity', 'vertical')),
        (dict(type='RandomApply', transforms=[dict(type='RandomTransposeHW')]),
         ('identity', 'transpose')),
        (dict(type='PackCellInputs'), FLIPS[:1]),
    ],
)  # fmt: skip
def test_flips_of_other_packages(transform, expected):
    assert views_of_pipeline([transform]) == expected


def test_a_turn_and_a_flip_reach_all_views():
    steps = [dict(type='RandomTransposeHW'), dict(type='RandomHorizontalFlip')]
    assert views_of_pipeline(steps) == ALL_VIEWS


def test_the_text_of_a_config_is_read_and_not_run(tmp_path):
    flip = dict(type='RandomCellFlip', vertical=0.0)
    config = Config(dict(
        val_dataloader=dict(dataset=dict(pipeline=[dict(type='RandomCellFlip')])),
        train_dataloader=dict(dataset=dict(
            type='RepeatDataset', dataset=dict(pipeline=[flip, dict(type='PackCellInputs')]))),
    ))  # fmt: skip
    assert views_of_config_text(config.pretty_text) == FLIPS[:2] == views_of_config(config)
    assert views_of_config_text('train_dataloader = None') is None
    assert views_of_config_text('model = dict()') is None
    assert views_of_config_text('train_dataloader = dict(') is None
    touched = tmp_path / 'run'
    program = f'open({str(touched)!r}, "w")'
    said = f'train_dataloader = dict(x={program}, dataset=dict(pipeline=[{program}]))\n{program}'
    assert views_of_config_text(said) == FLIPS[:1] and not touched.exists()


def test_views_by_name():
    assert check_views(['vertical']) == ('identity', 'vertical')
    for wrong in (['mirrored'], 'vertical'):
        with pytest.raises(ValueError, match='views='):
            check_views(wrong)
