"""Phantoms, whose truth is known: the benchmark says helps, harms, or that it has no evidence."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from benchmark_helpers import CLASSES, CLASSIFIER, write_classifier

from cellgan_plugin.benchmark.verdict import HARMS, HELPS

TOOL = Path(__file__).parents[2] / 'tools' / 'benchmarks' / 'controls.py'
BACKBONE = """
model['backbone'].update(
    stem_channels=16, base_channels=16, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
    out_indices=(2,))
model['head']['in_channels'] = 64
train_dataloader['batch_size'] = 16
"""


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """Accuracies and verdicts of the controls: four folds, four real images per class, 40 added."""
    root = tmp_path_factory.mktemp('science')
    classifier = write_classifier(
        root,
        CLASSIFIER + BACKBONE,
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.05)),
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=100, by_epoch=True)],
    )
    controls = runpy.run_path(str(TOOL))['controls']
    return controls(
        root / 'out', classifier, size=24, real=4, added=40, tested=30, folds=4, steps=80,
        classes=CLASSES,
    )  # fmt: skip


def outcome(found, name):
    accuracy, verdicts = found
    return verdicts[name].outcome, f'{verdicts[name].sentence} {accuracy}'


def test_images_of_the_true_process_help(found):
    said, why = outcome(found, 'true process')
    assert said == HELPS, why


def test_images_with_shuffled_labels_harm(found):
    said, why = outcome(found, 'shuffled labels')
    assert said == HARMS, why


def test_copies_of_training_images_are_no_evidence(found):
    said, why = outcome(found, 'copies')
    assert said not in (HELPS, HARMS), why


def test_more_steps_alone_are_no_evidence(found):
    """In as many epochs, the rows above take eleven times the steps of the real images alone.

    Equal steps give these to the baseline, so that they are no difference; without them a part of
    any gain would be theirs.
    """
    accuracy, verdicts = found
    said, why = outcome(found, 'more steps')
    assert said not in (HELPS, HARMS), why
    few, many = accuracy['real images, their own epochs'], accuracy['real images']
    assert np.mean(many) > np.mean(few), accuracy
