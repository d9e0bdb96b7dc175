"""Phantoms, whose truth is known: the benchmark says helps, harms, or that it has no evidence."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmark_helpers import CLASSIFIER, write_classifier

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
    sizes = dict(size=24, real=4, added=40, tested=30, folds=4, steps=80)
    arguments = [f'--{name}={value}' for name, value in sizes.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, 'argv', [str(TOOL), f'--out={root}/out', f'--classifier={classifier}', *arguments]
        )
        assert runpy.run_path(str(TOOL))['main']() == 0
    return json.loads((root / 'out' / 'controls.json').read_text())


def outcome(found, name):
    verdict = found['verdicts'][name]
    return verdict['outcome'], f'{verdict["sentence"]} {found["accuracy"]}'


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
    said, why = outcome(found, 'more steps')
    assert said not in (HELPS, HARMS), why
    # In as many epochs the rows above take eleven times the steps of the real images alone: equal
    # steps give these to the baseline; else a part of any gain would be theirs.
    accuracy = found['accuracy']
    few, many = accuracy['real images, as many epochs'], accuracy['real images']
    assert np.mean(many) > np.mean(few), accuracy
