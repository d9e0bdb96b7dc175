"""Keep the synthetic images worth training on: ``tools/select_images.py``, for a notebook."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log

from cellgan_plugin.compat import load_tensors
from cellgan_plugin.datasets.content_hash import from_hex
from cellgan_plugin.datasets.views import ALL_VIEWS
from cellgan_plugin.errors import explained_output_errors
from cellgan_plugin.files import SCORES_FOLDER
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.records import plain
from cellgan_plugin.runs.provenance import (
    classes_in_checkpoint,
    training_images_of,
    training_views_of,
)
from cellgan_plugin.runs.test import software
from cellgan_plugin.runs.train import load_config
from cellgan_plugin.runs.trained_model import config_classes, find_checkpoint, settle_classes
from cellgan_plugin.selection.extractor import McDropoutClassifier
from cellgan_plugin.selection.folder import LINKS, SCORES_NAME, SelectionFolder, now, output_names
from cellgan_plugin.selection.image_tree import ImageTree, SelectionError, read_tree
from cellgan_plugin.selection.report import class_rows, picture_best_worst, picture_tsne, rows_text
from cellgan_plugin.selection.rules import SelectionRule, build_rule, images_asked
from cellgan_plugin.selection.saved_scores import PoolScorer, ScoreSettings
from cellgan_plugin.selection.table import apply_rule, require_pool

Folder = Union[str, Path]


@writes_folder('out', deep=True)
def select(
    candidates: Folder,
    real: Union[Folder, ImageTree],
    config: Union[str, Path, Config],
    checkpoint: Folder,
    out: Folder,
    rule: Union[str, dict, SelectionRule] = 'selective',
    ratio: float = 0.5,
    passes: int = 5,
    dropout: Optional[float] = None,
    layers: Optional[Sequence[Union[int, str]]] = None,
    seed: int = 0,
    link: Optional[str] = None,
    drop_memorised: bool = False,
    input_size: Optional[Union[int, Sequence[int]]] = None,
    batch_size: int = 32,
    device: Optional[str] = None,
    cache_dir: Optional[Folder] = None,
    tsne_images: int = 100,
    options: Optional[dict] = None,
    overwrite: bool = False,
) -> Dict[str, Any]:
    """Select round(r N_i) candidates of every class (HistoGAN, Sec. 3.2, Algorithm 1).

    Writes ``<out>/<class>/<file>``, ``manifest.csv`` (of what was kept), ``scores.csv`` (every
    candidate, every score, why), ``selection.json`` (the protocol), ``best_worst.png``,
    ``tsne.png``, and ``training_images.txt``: what trained the generator, as the candidates say it,
    the real images, and what trained the classifier, for the benchmark's leak check. Candidates
    come from any generator.

    Scores are saved while they are computed: the same call continues what was interrupted, and
    another rule or ratio on the same candidates scores nothing again (``overwrite``, or
    ``cache_dir``). An image is decoded once
    (once more for ``drop_memorised``, and a few hundred for the pictures). Classes without
    candidates are left alone.

    Args:
        candidates (str | Path): Class folders or a manifest, e.g. of ``tools/synthesize.py``;
            the paper makes 4 r N_i of each class.
        real (str | Path | ImageTree): The real training images, ``DIR`` or ``DIR:SPLIT``, or of a
            list that lies elsewhere: they give N_i and the centroids.
        config (str | Path | Config): An MMPretrain classifier, ResNet or DenseNet.
        checkpoint (str | Path): Its weights; a file or a work directory.
        out (str | Path): New folder, or that of the same selection.
        rule (str | dict | SelectionRule): See :mod:`cellgan_plugin.selection.rules`. Defaults to
            'selective'.
        ratio (float): r. Defaults to 0.5 (best in Sec. 4.3).
        passes (int): K, of Monte-Carlo dropout. Defaults to 5 (Sec. 4.2.2).
        dropout (float, optional): Defaults to None: as trained, else 0.5 (Sec. 4.2.2).
        layers (Sequence[int | str], optional): Stages (3) or residual blocks ('3.2', 'blocks') in
            the distance, from 1. Defaults to None: all stages.
        seed (int): Of masks, draws and ties. Defaults to 0.
        link (str, optional): 'hard' or 'symbolic' links in place of copies. Defaults to None.
        drop_memorised (bool): First drop candidates that are copies of real images, flipped or
            turned as the generator's training showed them, in all eight views where the folder of
            the candidates does not say it
            (:func:`~cellgan_plugin.evaluation.neighbours.nearest_training_neighbours`, per class).
            Keeps the features of all candidates in memory. Defaults to False.
        input_size (int | Sequence[int], optional): What images are fitted to. Defaults to None: as
            the classifier's config says.
        batch_size (int): Images at a time. Defaults to 32.
        device (str, optional): Defaults to None: a GPU where there is one.
        cache_dir (str | Path, optional): Where scores are saved. Defaults to None:
            ``<out>/_scores``. One folder can serve many selections.
        tsne_images (int): Real images, and as many candidates, of each class in ``tsne.png``; 0
            for no picture. Defaults to 100.
        options (dict, optional): Overrides of the config. Defaults to None.
        overwrite (bool): Delete what ``out`` holds of another selection, but for its scores, which
            are known by what they were computed from. Defaults to False.

    Returns:
        dict: ``table`` (:class:`~cellgan_plugin.selection.SelectionTable`), ``classes`` (a row of
        counts and medians per class), ``protocol``, ``out``, ``manifest``, ``seconds``.

    Raises:
        FileNotFoundError: No such folder, config or checkpoint.
        RecordError: A folder of something else, or of another selection.
        SelectionError: Classes disagree, or a setting cannot be.
        PoolError: Fewer candidates than the rule needs.
        ScoreError: A score is NaN or infinite.
    """
    began = time.perf_counter()
    settings = ScoreSettings(int(passes), int(seed), None if layers is None else tuple(layers))
    chosen_rule = build_rule(rule)
    _check_settings(ratio, link)
    config = load_config(config, options=options)
    checkpoint = find_checkpoint(checkpoint)
    classes = _classifier_classes(config, checkpoint)
    pool = read_tree(candidates, classes, 'candidates')
    training = real
    if not isinstance(real, ImageTree):
        training = read_tree(real, classes, 'real images', need_split=True)
    asked = _asked(chosen_rule, ratio, pool, training, classes)
    output_names(pool.files, pool.labels, classes)
    folder = SelectionFolder(out)
    folder.check(pool)
    network = McDropoutClassifier(config, checkpoint, dropout, input_size=input_size)
    settle_classes(config, list(classes), network.num_classes)
    settings.check_network(network)
    network.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))

    protocol = dict(
        rule=rule if isinstance(rule, (str, dict)) else type(rule).__name__,
        ratio=ratio,
        **asdict(settings),
        classes=list(classes),
        classifier=network.describe(),
        classifier_fingerprint=network.fingerprint,
        drop_memorised=drop_memorised,
        **software(),
        device=network.device.type,
    )
    record: Dict[str, Any] = dict(
        candidates=str(pool.root),
        candidates_split=pool.split,
        real=str(training.root),
        real_split=training.split,
        config=str(config.filename),
        checkpoint=str(checkpoint),
        protocol=protocol,
        started=now(),
        finished=None,
    )
    cache = cache_dir or folder.root / SCORES_FOLDER
    views = training_views_of(pool.root) or ALL_VIEWS
    scorer = PoolScorer(network, pool, training, settings, batch_size, cache, views)
    record['made_from'] = dict(
        scorer.made_from,
        rule=plain(vars(chosen_rule) | dict(rule=type(chosen_rule).__name__)),
        ratio=ratio,
        drop_memorised=list(views) if drop_memorised else False,
    )
    folder.record.check(dict(made_from=record['made_from']), overwrite=overwrite)
    folder.record.write(record)  # makes the folder ours, before anything else is written there
    scores = scorer.scores()
    memorised = scorer.memorised(classes) if drop_memorised else None
    features = scorer.features() if chosen_rule.uses_features else None
    table = apply_rule(
        chosen_rule, pool.files, pool.labels, classes, scores, asked, settings.seed, memorised,
        features,
    )  # fmt: skip
    rows = class_rows(table, training.counts(len(classes)), asked)
    names = folder.write_images(table, pool, link)
    with explained_output_errors(folder.root):
        table.write(folder.root / SCORES_NAME)
        picture_best_worst(folder.about / 'best_worst.png', table, chosen_rule, scorer.candidates)
        if tsne_images:
            picture_tsne(folder.about / 'tsne.png', table, scorer, tsne_images)
    folder.write_training_images(pool, lambda: _behind_the_choice(scorer, checkpoint))
    seconds = round(time.perf_counter() - began, 3)
    record.update(rows=rows, finished=now(), seconds=seconds)
    folder.record.write(record)
    manifest = folder.write_manifest(table, names, pool, record)
    print_log(f'{folder.root}: {int(table.kept.sum())} of {len(names)} kept\n{rows_text(rows)}')
    return dict(
        table=table, classes=rows, protocol=protocol, out=str(folder.root),
        manifest=str(manifest), seconds=seconds,
    )  # fmt: skip


def _behind_the_choice(scorer: PoolScorer, checkpoint: Path) -> List[np.ndarray]:
    """Hashes of the images that made the centroids, and of those that trained the classifier."""
    trained_on = training_images_of(checkpoint)
    if trained_on is None:
        print_log(
            f'{checkpoint} does not say which images it was trained on; that none of them tests '
            'what is trained on this selection cannot be checked',
            level=30,
        )
    return [scorer.real_hashes(), from_hex(sorted(trained_on or ()))]


def _check_settings(ratio: float, link: Optional[str]) -> None:
    if not 0 < ratio < float('inf'):
        raise SelectionError(f'ratio {ratio}: must be above 0 (the paper tries 0.4 to 1.0)')
    if link is not None and link not in LINKS:
        raise SelectionError(f"link {link!r}: must be 'hard' or 'symbolic', or None for copies")


def _classifier_classes(config: Config, checkpoint: Path) -> Tuple[str, ...]:
    state = load_tensors(checkpoint, 'cpu')
    in_checkpoint = classes_in_checkpoint(state) if isinstance(state, dict) else None
    if not in_checkpoint and not config_classes(config):
        raise SelectionError(
            f'neither {config.filename} nor {checkpoint} names the classes of the classifier; say '
            'train_dataloader.dataset.metainfo.classes in the config, in the order of its outputs'
        )
    return settle_classes(config, in_checkpoint, None)


def _asked(
    rule: SelectionRule,
    ratio: float,
    pool: ImageTree,
    training: ImageTree,
    classes: Sequence[str],
) -> Dict[int, int]:
    """Images to keep of every class that has candidates, once all pools are large enough."""
    real, there = training.counts(len(classes)), pool.counts(len(classes))
    asked = {}
    for label, name in enumerate(classes):
        if not there[label]:
            if real[label]:
                print_log(f'there are no candidates of {name}: nothing is kept of it', level=30)
            continue
        if not real[label]:
            raise SelectionError(
                f'class {name} has {there[label]} candidates and no real image in {training.root}'
                f'{":" + training.split if training.split else ""}: its centroid and its N_i are '
                'of the real training images. Add some, or take the class out of the candidates'
            )
        asked[label] = images_asked(ratio, real[label])
        where = f'class {name} (ratio {ratio:g} of {real[label]} real images)'
        require_pool(rule, asked[label], there[label], where)
    if not any(asked.values()):
        raise SelectionError(f'ratio {ratio:g} asks for no image at all: raise it')
    return asked
