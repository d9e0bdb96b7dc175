"""Small classifiers and pools for the tests of selection."""

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from cellgan_plugin.datasets.image_io import DEFAULT_MAX_PIXELS
from cellgan_plugin.datasets.inspection import Reader
from cellgan_plugin.randomness import rng_for
from cellgan_plugin.selection import CandidateScores, ClassPool, McDropoutClassifier

CLASSES = ('NILM', 'LSIL', 'HSIL')
RESNET = """dict(type='ResNet', depth=18, stem_channels=8, base_channels=8)"""
DENSENET = """dict(type='DenseNet',
    arch=dict(growth_rate=4, depths=[1, 2, 2, 3], init_channels=8))"""
FEATURES = {RESNET: 64, DENSENET: 19}
CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone={backbone},
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels={features}, topk=(1,)),
    data_preprocessor=dict(mean=[127.5] * 3, std=[60.0] * 3, to_rgb=False, num_classes=3))
train_dataloader = dict(dataset=dict(
    type='mmagic.CellPatchDataset',
    metainfo=dict(classes={classes!r}),
    pipeline=[dict(type='FitCellPatch', out_size=32)]))
"""


def write_config(folder, backbone=RESNET, dropout=None, classes=CLASSES):
    """A config; ``dropout`` wraps the backbone for training."""
    features = FEATURES[backbone]
    if dropout is not None:
        backbone = f"dict(type='mmagic.MCDropoutBackbone', p={dropout}, backbone={backbone})"
    path = folder / 'tiny_classifier.py'
    path.write_text(CONFIG.format(backbone=backbone, features=features, classes=list(classes)))
    return path


def build_network(config):
    """The classifier of a config with random weights and statistics that are no identity."""
    from mmpretrain.registry import MODELS

    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(Config.fromfile(config).model)
    for name, buffer in network.named_buffers():
        if name.endswith('running_var'):
            buffer.uniform_(0.5, 2)
    return network


def save(network, path, classes=CLASSES):
    meta = dict(dataset_meta=dict(classes=list(classes)))
    torch.save(dict(state_dict=network.state_dict(), meta=meta), path)
    return path


def random_classifier(folder, backbone=RESNET, **kwargs):
    """(config, checkpoint) of an untrained classifier."""
    config = write_config(folder, backbone, kwargs.pop('trained_with', None))
    network = build_network(config)
    return config, save(network, folder / 'random.pth')


def classifier(folder, backbone=RESNET, **kwargs):
    return McDropoutClassifier(*random_classifier(folder, backbone), **kwargs)


def random_images(count, seed=0, size=32):
    rng = rng_for(seed, 'tests/selection')
    return torch.from_numpy(rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8))


def pool_of(label=0, **scores):
    """A pool of one class with the scores given; the others are zero, lots ascend."""
    count = len(next(iter(scores.values())))
    columns = dict(
        entropy=np.zeros(count),
        entropy_of_mean=np.zeros(count),
        confidence=np.zeros(count),
        predicted=np.zeros(count, int),
        distance=np.zeros(count),
        plain_distance=np.zeros(count),
        nearest=np.zeros(count, int),
        nearest_distance=np.zeros(count),
    )
    columns.update({name: np.asarray(values) for name, values in scores.items()})
    return ClassPool(label, CandidateScores(**columns), np.arange(count), np.arange(count))


def reader_of(folder):
    return Reader(str(folder), str(folder.resolve()), 3, DEFAULT_MAX_PIXELS)
