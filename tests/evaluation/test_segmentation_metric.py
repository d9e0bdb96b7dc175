import pickle

import numpy as np
import pytest
import torch
from mmagic.registry import METRICS
from mmagic.structures import DataSample
from mmengine.structures import PixelData

from cellgan_plugin.evaluation.metrics import segmentation
from cellgan_plugin.evaluation.segmentation import (
    ObjectRule,
    object_statistics,
    part_name,
    part_scores,
    pixel_scores,
    pooled,
    score_image,
    split_instances,
)
from cellgan_plugin.randomness import rng_for

CLASSES = ('stroma', 'gland')


def images(count=5):
    """(name, predicted classes, true classes, true instances) of images of different sizes."""
    found = []
    for index in range(count):
        rng = rng_for(3, 'masks', index)
        height, width = rng.integers(18, 26, 2)
        true = np.zeros((height, width), dtype=np.int32)
        for name in range(1, 5):
            y, x = rng.integers(0, height - 6), rng.integers(0, width - 6)
            true[y : y + rng.integers(3, 9), x : x + rng.integers(3, 9)] = name
        pred = np.roll(true > 0, 1, axis=index % 2) & (rng.random(true.shape) < 0.95)
        part = 'testA_' if index % 2 else 'testB_'
        pairs = pred.astype(np.uint8), (true > 0).astype(np.uint8)
        found.append((f'data/images/{part}{index}.png', *pairs, true))
    return found


def sample(index, name, pred, true, instances=None):
    data = DataSample(metainfo=dict(img_path=name, sample_idx=index))
    data.set_data(dict(pred_sem_seg=torch.from_numpy(pred)))
    data.gt_sem_seg = PixelData(data=torch.from_numpy(true)[None])
    if instances is not None:
        data.set_data(dict(gt_instances=torch.from_numpy(instances)))
    return data.to_dict()


def metric(**kwargs):
    made = METRICS.build(dict(type='SegmentationScores', **kwargs))
    made.dataset_meta = dict(classes=CLASSES)
    return made


def test_metric_pools_the_pixels_and_objects_of_whole_images():
    own = metric(parts=dict(A='testA_', B='testB_'), rule=dict(min_area=3), prefix='test')
    data = images()
    own.process(None, [sample(i, *image) for i, image in enumerate(data[:3])])
    own.process(None, [sample(i + 3, *image) for i, image in enumerate(data[3:])])
    values = own.evaluate(5)

    rule = ObjectRule(min_area=3)
    statistics = [object_statistics(rule.predicted(p), t) for _, p, _, t in data]
    both = pooled(statistics)
    expected = np.zeros((2, 2), dtype=np.int64)
    for _, pred, true, _ in data:
        for t in range(2):
            for p in range(2):
                expected[t, p] += ((true == t) & (pred == p)).sum()
    scores = pixel_scores(expected)
    assert values['test/mIoU'] == scores.mean_iou and values['test/OPA'] == scores.overall_accuracy
    assert values['test/J/gland'] == scores.jaccard[1]
    assert values['test/object_f1'] == both.f1 and values['test/object_dice'] == both.dice
    assert values['test/object_hausdorff'] == pytest.approx(both.hausdorff)
    assert values['test/A/object_dice'] == pytest.approx(pooled(statistics[1::2]).dice)
    assert values['test/B/object_hausdorff'] == pytest.approx(pooled(statistics[::2]).hausdorff)
    assert len(own.images) == 5 and not own.results


def test_every_image_counts_once_on_any_number_of_ranks(monkeypatch):
    data = [sample(i, *image) for i, image in enumerate(images())]
    alone = metric()
    alone.process(None, data)
    expected = alone.evaluate(5)

    # Two ranks of 3 and 2 images, and three whose sampler repeats the first image.
    for ranks in ([[0, 2, 4], [1, 3]], [[0, 3], [1, 4], [2, 0]]):
        parts = []
        for rank in ranks:
            own = metric()
            for index in rank:
                own.process(None, [data[index]])
            parts.append(pickle.loads(pickle.dumps(own.results)))
        monkeypatch.setattr(segmentation, 'all_gather_object', lambda _, parts=parts: parts)
        assert own.evaluate(5) == expected
        assert own.evaluate(5) == expected  # nothing is left of the first time


def test_objects_may_be_left_out():
    own = metric(objects=False)
    own.process(None, [sample(i, *image) for i, image in enumerate(images(2))])
    assert set(own.evaluate(2)) == {'mIoU', 'OPA', 'SMA', 'J/stroma', 'J/gland'}


def test_what_the_metric_cannot_score():
    name, pred, true, _ = images(1)[0]
    own = metric(parts=dict(A='testA_'))
    with pytest.raises(ValueError, match="testB_0.png: is of no part.*'testA_' \\(A\\)"):
        own.process(None, [sample(0, name, pred, true)])
    own = metric()
    with pytest.raises(ValueError, match='testB_0.png: the true mask has shape'):
        own.process(None, [sample(0, name, pred[:-1], true)])
    data = sample(0, name, pred, true)
    del data['pred_sem_seg']
    with pytest.raises(ValueError, match='has no pred_sem_seg'):
        own.process(None, [data])
    own.dataset_meta = {}
    with pytest.raises(ValueError, match='does not name its classes'):
        own.process(None, [sample(0, name, pred, true)])


def test_pixels_without_a_class_count_for_nothing():
    _, pred, true, instances = images(1)[0]
    cut = true.copy()
    cut[:, 10:] = 255
    found = score_image('a', pred, cut, 2, instances=instances, rule=ObjectRule())
    expected = score_image(
        'b', pred[:, :10], true[:, :10], 2, instances=instances[:, :10], rule=ObjectRule()
    )
    assert (found.confusion == expected.confusion).all()
    # Objects of the mask as a whole, without the pixels that count for nothing.
    split = split_instances(pred)
    split[:, 10:] = 0
    where = np.where(np.arange(true.shape[1]) < 10, instances, 0)
    assert found.objects == object_statistics(split, where)
    assert not found.notes
    assert 'connected components' in score_image('a', pred, true, 2, rule=ObjectRule()).notes[0]


def test_parts_of_a_test_set():
    parts = dict(A='testA_', B='testB_')
    assert part_name('some/folder/testB_7.png', parts) == 'B'
    assert part_name('testB_7.png', {}) == ''
    assert part_name('ab_1', dict(x='a', y='ab')) == 'y'
    scores = [
        score_image(n, p, t, 2, part_name(n, parts), i, ObjectRule()) for n, p, t, i in images()
    ]
    table = part_scores(scores, CLASSES)
    assert list(table) == ['A', 'B', 'together'] and table['together']['images'] == 5
    assert list(part_scores(scores[1::2], CLASSES)) == ['A']
    for one in scores:
        one.part = ''
    assert list(part_scores(scores, CLASSES)) == ['together']
    assert part_scores([]) == {}
