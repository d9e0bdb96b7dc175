"""Small labelled image folders and a small classifier for the tests of the benchmark."""

import json
from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image

from cellgan_plugin.benchmark.classifier_run import write_run
from cellgan_plugin.benchmark.plan import listed_name
from cellgan_plugin.benchmark.predictions import Predictions, write_predictions
from cellgan_plugin.datasets.manifest import write_manifest
from cellgan_plugin.randomness import rng_for

CLASSES = ('NILM', 'LSIL', 'HSIL')
SIZE = 16

# Ten thousand weights; batch norm, since that is what real ones have.
CLASSIFIER = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4, num_stages=2,
                  strides=(1, 2), dilations=(1, 1), out_indices=(1,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=8,
              loss=dict(type='CrossEntropyLoss'), topk=(1, 5), cal_acc=True))
data_preprocessor = dict(
    num_classes=1000, mean=[127.5] * 3, std=[64.0] * 3, to_rgb=True)
train_dataloader = dict(
    batch_size=8, num_workers=0,
    dataset=dict(type='ImageNet', data_root='nowhere', pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='PackInputs')]),
    sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(
    batch_size=8, num_workers=0,
    dataset=dict(type='ImageNet', data_root='nowhere', pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='PackInputs')]),
    sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = dict(type='Accuracy', topk=(1, 5))
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4))
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[60, 90], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
"""


def write_images(root, counts, seed=0, noise=60.0, classes=CLASSES, groups=None, manifest=True):
    """Class folders of images whose mean colour tells the class, and their manifest.

    ``groups`` images after each other are of one group.
    """
    root = Path(root)
    counts = dict.fromkeys(classes, counts) if isinstance(counts, int) else counts
    rows = []
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        colour = rng_for(0, 'colour', name).uniform(90, 170, 3)
        for index in range(count):
            pixels = rng_for(seed, 'image', name, index).normal(colour, noise, (SIZE, SIZE, 3))
            file = f'{name}/{seed}_{index:03d}.png'
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / file)
            row = dict(file=file, label=name)
            if groups:
                row['group'] = f'{name}_{seed}_{index // groups}'
            rows.append(row)
    if manifest:
        write_manifest(root / 'manifest.csv', rows, list(rows[0]))
    return root


def write_classifier(folder, text=CLASSIFIER, name='tiny.py', **values):
    """The small classifier's config file; ``values`` replace top-level entries."""
    path = Path(folder) / name
    Path(folder).mkdir(parents=True, exist_ok=True)
    path.write_text(text + ''.join(f'{key} = {value!r}\n' for key, value in values.items()))
    return path


def job_folder(folder, run: Config, **job):
    """A work directory with ``run.py`` and ``job.json``; path of the latter."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_run(run, folder / 'run.py')
    (folder / 'job.json').write_text(json.dumps(dict(kind='classifier', **job)))
    return folder / 'job.json'


def write_made_up_predictions(found, right, seed=0):
    """Predictions of every run of a ``Benchmark``, as if its jobs had been run.

    ``right`` gives the probability that an image is classified rightly, by arm; each fold has its
    own, a little apart.
    """
    found.jobs()
    for planned in found.runs:
        rng = rng_for(seed, 'predictions', planned.arm, planned.fold, planned.seed)
        samples = [found.plan.samples[i] for i in found.plan.folds[planned.fold].test]
        labels = np.array([sample.label for sample in samples])
        count = len(found.plan.classes)
        hit = rng.random(len(labels)) < right[planned.arm]
        taken = np.where(hit, labels, (labels + rng.integers(1, count, len(labels))) % count)
        write_predictions(
            planned.work_dir / 'predictions.csv',
            Predictions(
                files=[listed_name(sample, found.protocol.data) for sample in samples],
                labels=labels,
                probabilities=0.7 * np.eye(count)[taken] + 0.3 / count,
                classes=found.plan.classes,
            ),
        )
        steps = [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
        accuracy = [100 * right[planned.arm] * (1 - 0.5 ** (s / 8)) for s in steps]
        curves = dict(
            train={
                'loss': dict(iteration=steps, value=[0.4 + 1.2 * 0.5 ** (s / 8) for s in steps]),
                'accuracy_top-1': dict(iteration=steps, value=accuracy),
            },
            val={},
        )
        (planned.work_dir / 'curves.json').write_text(json.dumps(curves))
