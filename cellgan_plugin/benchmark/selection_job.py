"""The job of a benchmark that chooses synthetic images for the rows of its table."""

import json
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import torch
from mmengine.logging import print_log

from cellgan_plugin.benchmark.job_files import KEPT_NAME, WEIGHTS_NAME
from cellgan_plugin.datasets.manifest import write_manifest
from cellgan_plugin.datasets.views import ALL_VIEWS
from cellgan_plugin.records import digest_of
from cellgan_plugin.runs.job_program import CONFIG_NAME
from cellgan_plugin.runs.provenance import training_images_of, training_views_of
from cellgan_plugin.selection.extractor import McDropoutClassifier
from cellgan_plugin.selection.folder import SCORES_NAME
from cellgan_plugin.selection.image_tree import ImageTree, SelectionError, list_tree
from cellgan_plugin.selection.report import class_rows, picture_best_worst, picture_tsne, rows_text
from cellgan_plugin.selection.rules import build_rule
from cellgan_plugin.selection.saved_scores import PoolScorer, ScoreSettings
from cellgan_plugin.selection.table import apply_rule

_BATCH_SIZE = 32
_TSNE_IMAGES = 100  # of each class


def choose(work_dir: Path, job: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Score a pool once, and write the choice of every row.

    Args:
        work_dir (Path): Of the job; scores are saved there.
        job (dict): ``classes``, ``pool`` and ``real`` (``data_root``, ``ann_file``), ``baseline``
            (work directory of the classifier), ``trained_on`` (digest of the contents of the
            fold's training images), ``selection``, and ``rows``: each with ``name``, ``rule``,
            ``pool`` and ``asked`` (images per class), ``out``, ``pictures``.

    Returns:
        list[dict]: Per row its name, counts and medians.

    Raises:
        SelectionError: The classifier was trained on other images than the fold's training
            images, or the pool is smaller than a row needs.
        ScoreError: A score is NaN or infinite.
    """
    classes = tuple(job['classes'])
    options = dict(job['selection'])
    dropout, drop_memorised = options.pop('dropout', None), options.pop('drop_memorised', False)
    if options.get('layers') is not None:
        options['layers'] = tuple(options['layers'])
    settings = ScoreSettings(**options)
    baseline = Path(job['baseline'])
    named = json.loads((baseline / WEIGHTS_NAME).read_text(encoding='utf-8'))
    checkpoint = baseline / named['checkpoint']
    check_trained_on(checkpoint, job['trained_on'])

    pool = _tree(job['pool'], classes, 'candidates')
    most = np.max([row['pool'] for row in job['rows']], axis=0)
    _check_size(pool, classes, most)
    pool = pool.part(pool.first(dict(enumerate(most.tolist()))))
    training = _tree(job['real'], classes, 'real images')
    network = McDropoutClassifier(baseline / CONFIG_NAME, checkpoint, dropout)
    settings.check_network(network)
    network.to('cuda' if torch.cuda.is_available() else 'cpu')
    views = training_views_of(pool.root) or ALL_VIEWS
    scorer = PoolScorer(network, pool, training, settings, _BATCH_SIZE, work_dir / 'scores', views)
    scores = scorer.scores()
    memorised = scorer.memorised(classes) if drop_memorised else None

    found = []
    for row in job['rows']:
        index = pool.first(dict(enumerate(row['pool'])))
        asked = dict(enumerate(row['asked']))
        rule = build_rule(row['rule'])
        table = apply_rule(
            rule,
            [pool.files[i] for i in index],
            pool.labels[index],
            classes,
            scores.rows(index),
            asked,
            settings.seed,
            None if memorised is None else memorised[index],
            scorer.features()[index] if rule.uses_features else None,
        )
        rows = class_rows(table, training.counts(len(classes)), asked)
        print_log(f'{row["name"]}: {int(table.kept.sum())} of {len(index)} kept\n{rows_text(rows)}')
        out = Path(row['out'])
        table.write(out / SCORES_NAME)
        if row['pictures']:
            picture_best_worst(out / 'best_worst.png', table, rule, scorer.candidates)
            picture_tsne(out / 'tsne.png', table, scorer, _TSNE_IMAGES)
        kept = [table.row(i) for i in np.flatnonzero(table.kept)]
        write_manifest(
            out / KEPT_NAME, [dict(file=r['file'], label=r['label']) for r in kept],
            ('file', 'label'),
        )  # fmt: skip
        found.append(dict(name=row['name'], kept=len(kept), classes=rows))
    return found


def check_trained_on(checkpoint: Path, wanted: str) -> None:
    """SelectionError when a classifier was not trained on exactly the images of a digest.

    A classifier that has seen test images would choose images that resemble them.
    """
    trained_on = training_images_of(checkpoint)
    if trained_on is None:
        print_log(
            f'{checkpoint} does not say which images it was trained on (it starts from weights of '
            'which nobody knows); that it was trained on the training images of the fold is not '
            'checked again',
            level=30,
        )
    elif digest_of(sorted(trained_on)) != wanted:
        raise SelectionError(
            f'{checkpoint} was trained on {len(trained_on)} images that are not the training '
            'images of this fold: delete its folder, and it is trained again'
        )


def _tree(part: Dict[str, Any], classes: tuple, what: str) -> ImageTree:
    root, ann_file = part['data_root'], part['ann_file']
    return list_tree(
        root,
        classes,
        str(Path(root) / ann_file) if ann_file else '',  # an absolute one stays as it is
        what,
        follow_links=bool(part.get('follow_links')),
    )


def _check_size(pool: ImageTree, classes: tuple, most: np.ndarray) -> None:
    there = pool.counts(len(classes))
    for name, count, wanted in zip(classes, there, most.tolist(), strict=True):
        if count < wanted:
            raise SelectionError(
                f'the pool in {pool.root} has {count} candidates of {name}, and {wanted} are '
                'needed: delete the folder, and it is made again'
            )
