"""Segmenters of one or two numbers, and images that they segment nearly right."""

import csv

import numpy as np
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.model import BaseModel
from torch.nn.functional import binary_cross_entropy_with_logits

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.randomness import rng_for


@MODELS.register_module()
class DarkIsGland(BaseModel):
    """Two classes by a threshold on brightness; counts how many images it has seen."""

    def __init__(self, num_classes=2, threshold=0.0):
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer('threshold', torch.tensor(float(threshold)))
        self.seen = 0

    def segment_whole(self, image):
        self.seen += 1
        dark = self.threshold - image.mean(dim=0)
        return torch.stack([-dark, dark]).softmax(dim=0)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        raise NotImplementedError


@MODELS.register_module()
class LearnsDarkness(BaseModel):
    """Logistic regression on brightness, from the images that have a mask."""

    def __init__(self, num_classes=2, bias=-3.0):
        super().__init__()
        self.num_classes = num_classes
        self.weight = torch.nn.Parameter(torch.tensor([-1.0, bias]))

    def logits(self, images):
        return self.weight[0] * images.mean(dim=1) + self.weight[1]

    def segment_whole(self, image):
        gland = self.logits(image[None])[0].sigmoid()
        return torch.stack([1 - gland, gland])

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.logits(inputs['img'].float() / 127.5 - 1)
        known = inputs['mask'] != 255
        truth = inputs['mask'][known].float()
        return dict(loss=binary_cross_entropy_with_logits(logits[known], truth))


def training_config(bias=-3.0, iterations=8, semi=False):
    """A run of :class:`LearnsDarkness` on tiles of any pairs."""
    sampler = dict(type='ResumableInfiniteSampler', shuffle=True)
    if semi:
        sampler = dict(type='LabelledBatchSampler', labelled=2, unlabelled=2)
    return Config(
        dict(
            default_scope='mmagic',
            custom_imports=dict(imports=['cellgan_plugin', 'tiny_segmenters']),
            model=dict(type='LearnsDarkness', bias=bias),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                sampler=sampler,
                collate_fn=dict(type='stack_tissue_batch'),
                dataset=dict(
                    type='TissueMaskDataset', tile=32, pipeline=[dict(type='PackTissueInputs')]
                ),
            ),
            val_cfg=dict(),
            val_dataloader=None,
            val_evaluator=None,
            train_cfg=dict(type='ResumableTrainLoop', max_iters=iterations),
            optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.5)),
            default_hooks=dict(
                checkpoint=dict(type='SafeCheckpointHook', interval=4, by_epoch=False),
                sampler_seed=None,
            ),
            custom_hooks=[dict(type='PreemptionHook')],
            log_processor=dict(by_epoch=False),
        )
    )


def write_pairs(folder, count=5, manifest=True):
    """Images of different sizes with dark squares; masks hold the squares' ids."""
    rows = []
    for index in range(count):
        rng = rng_for(0, 'pairs', index)
        height, width = int(rng.integers(40, 60)), int(rng.integers(52, 64))
        mask = np.zeros((height, width), dtype=np.uint16)
        for number in range(3):
            y, x = int(rng.integers(0, height - 12)), 4 + 18 * number
            mask[y : y + 11, x : x + 9] = 300 + number
        image = np.where(mask[..., None] > 0, 60, 200) + rng.integers(-20, 21, (height, width, 3))
        image[:3, :3] = 10  # a speck that is no gland
        part = 'testA_' if index % 2 else 'testB_'
        split = 'train' if index == count - 1 else 'test'
        name = f'{part}{index}.png' if split == 'test' else f'train_{index}.png'
        write_png(folder / 'images' / name, image.astype(np.uint8))
        write_png(folder / 'masks' / name, mask[..., None])
        rows.append([f'images/{name}', f'masks/{name}', split, f'p{index}', 'benign'])
    if manifest:
        with open(folder / 'manifest.csv', 'w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file)
            writer.writerow(['file', 'mask', 'split', 'group', 'label'])
            writer.writerows(rows)
    return folder
