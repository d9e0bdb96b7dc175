"""A tiny extractor with fixed random weights, small data sets and models, and MMagic's own loop."""

import cv2
import numpy as np
import torch
from mmagic.registry import EVALUATORS, MODELS
from torch import nn

from cellgan_plugin.evaluation import FeatureExtractor
from cellgan_plugin.randomness import rng_for
from cellgan_plugin.runs.evaluate_folders import folder_dataset

CLASSES = ['NILM', 'LSIL', 'HSIL']


class TinyFeatures(FeatureExtractor):
    """A random convolution; float64 inside, so that batches make no difference worth a test."""

    def __init__(self, seed=0, feature_dim=6, bad=False):
        super().__init__()
        self.name = f'tiny{seed}'
        self.seed, self.bad, self.calls, self.authors = seed, bad, 0, False
        self.conv = nn.Conv2d(3, feature_dim, 3, stride=2).double()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.conv.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self.finish(16)
        self.calls = 0

    def describe(self):
        return dict(kind='tiny', seed=self.seed, authors=self.authors)

    def use_authors_arithmetic(self):
        self.authors = True
        self.finish(16)

    def features(self, images):
        self.calls += len(images)
        found = self.conv(images.double() / 255).relu().mean(dim=(2, 3))
        return found * torch.nan if self.bad else found


def write_images(folder, counts, size=16, seed=0, spread=60):
    """Class folders of smooth random images, each class with its own colour."""
    for label, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            rng = rng_for(seed, 'tests/images', label, index)
            image = rng.integers(0, spread, (size, size, 3)) + 60 * label
            cv2.imwrite(str(folder / name / f'{index}.png'), image.astype(np.uint8))
    return folder


def dataset_of(folder, classes=CLASSES, size=None):
    return folder_dataset(folder, classes, size)


def loader_of(dataset, batch_size=4):
    return torch.utils.data.DataLoader(dataset, batch_size, collate_fn=list)


def tiny_gan(num_classes=3, **kwargs):
    """A CellGAN of 16 px; needs MMagic's scope."""
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='CellGAN',
            num_classes=num_classes,
            noise_size=8,
            generator=dict(type='CellGANGenerator', out_size=32, base_channels=1),
            discriminator=dict(type='CellGANDiscriminator', in_size=32, base_channels=1),
            adversarial_loss=dict(type='HingeGANLoss'),
            reconstruction_loss=dict(type='ReconstructionLoss'),
            r1_loss=dict(type='R1Penalty', loss_weight=0.01),
            ema_config=dict(type='ExponentialMovingAverage'),
            **kwargs,
        )
    ).eval()


@torch.no_grad()
def evaluate(model, metrics, loader):
    """What ``MultiValLoop`` does between its hooks."""
    evaluator = EVALUATORS.build(dict(type='Evaluator', metrics=metrics))
    evaluator.prepare_metrics(model, loader)
    passes = 0
    for group, sampler in evaluator.prepare_samplers(model, loader):
        passes += 1
        for data in sampler:
            evaluator.process(model.val_step(data), data, group)
    return evaluator.evaluate(), passes
