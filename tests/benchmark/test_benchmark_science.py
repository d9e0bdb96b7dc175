"""Phantoms, whose truth is known: more of the truth helps a classifier, wrong labels harm it."""

import numpy as np
import pytest
from benchmark_helpers import CLASSES, CLASSIFIER, job_folder, write_classifier

from cellgan_plugin.benchmark.classifier_run import classifier_run, read_classifier
from cellgan_plugin.benchmark.job import run_job
from cellgan_plugin.benchmark.predictions import read_predictions
from cellgan_plugin.benchmark.scores import compute_scores
from cellgan_plugin.datasets.manifest import read_manifest, write_manifest
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.randomness import rng_for

SIZE, STEPS = 24, 80


@pytest.fixture(scope='module')
def accuracy(tmp_path_factory):
    """Accuracy with four real images per class alone, and with 40 added, rightly labelled or not.

    The same number of steps for each, so that none trains longer.
    """
    root = tmp_path_factory.mktemp('science')
    splits = {name: dict.fromkeys(CLASSES, n) for name, n in
              (('train', 4), ('val', 40), ('test', 30))}  # fmt: skip
    write_phantom_dataset(root / 'phantom', size=SIZE, splits=splits, seed=0)
    phantom = dict(data_root=str(root / 'phantom'), ann_file='manifest.csv')
    rows = [r for r in read_manifest(root / 'phantom/manifest.csv') if r['split'] == 'val']
    labels = [row['label'] for row in rows]
    shuffled = rng_for(0, 'shuffled').permutation(labels).tolist()
    added = {}
    for name, given in (('right labels', labels), ('shuffled labels', shuffled)):
        lines = [dict(file=r['file'], label=label) for r, label in zip(rows, given, strict=True)]
        path = write_manifest(root / f'{name}.csv', lines, ('file', 'label'))
        added[name] = [dict(phantom, ann_file=str(path))]
    config = read_classifier(
        write_classifier(
            root,
            CLASSIFIER,
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.05)),
            param_scheduler=[dict(type='CosineAnnealingLR', T_max=100, by_epoch=True)],
        )
    )
    config.model.backbone.update(
        stem_channels=16, base_channels=16, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
        out_indices=(2,),
    )  # fmt: skip
    config.model.head.in_channels = 64
    config.train_dataloader.batch_size = 16
    found = {}
    for name, parts in (('real only', []), *added.items()):
        train = [dict(phantom, split='train'), *parts]
        run = classifier_run(config, CLASSES, train, None, dict(phantom, split='test'), STEPS, 0)
        predicted = read_predictions(run_job(job_folder(root / name, run)), CLASSES)
        found[name] = compute_scores(predicted.probabilities, predicted.labels, CLASSES).accuracy
    return found


def test_images_of_the_true_process_help(accuracy):
    assert accuracy['right labels'] > accuracy['real only'] + 0.05, accuracy


def test_images_with_shuffled_labels_harm(accuracy):
    assert accuracy['shuffled labels'] < accuracy['real only'] - 0.05, accuracy
    assert np.isfinite(list(accuracy.values())).all()
