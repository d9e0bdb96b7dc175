"""Scores three images on two ranks, under torchrun: rank 0 has two of them, rank 1 one."""

import numpy as np
from mmengine.dist import get_rank, get_world_size

from cellgan_plugin.compat import start_cpu_process_group
from cellgan_plugin.evaluation import SegmentationScores
from cellgan_plugin.randomness import rng_for

start_cpu_process_group('pytorch')
assert get_world_size() == 2


def sample(index):
    true = np.zeros((20, 24), dtype=np.uint8)
    true[3:12, 2 + index : 9 + index] = 1
    pred = true ^ (rng_for(0, 'errors', index).random(true.shape) < 0.1)
    names = dict(img_path=f'{index}.png', sample_idx=index)
    return dict(names, pred_sem_seg=pred.astype(np.uint8), gt_sem_seg=true, gt_instances=true)


def evaluate(indices):
    metric = SegmentationScores()
    metric.dataset_meta = dict(classes=('stroma', 'gland'))
    for index in indices:
        metric.process(None, [sample(index)])
    return metric.evaluate(3), len(metric.images)


# Every rank has all images: each is counted once.
everywhere, count = evaluate([0, 1, 2])
divided = evaluate([0, 2] if get_rank() == 0 else [1])
assert count == 3 and divided == (everywhere, 3), (everywhere, divided)
print('ranks agree')
