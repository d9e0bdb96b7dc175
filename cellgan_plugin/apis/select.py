"""Keep the synthetic images worth training on: ``tools/select_images.py``, for a notebook."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log

from cellgan_plugin.apis.inference import config_classes, find_checkpoint, settle_classes
from cellgan_plugin.apis.selection_folder import (
    LINKS,
    SCORES_NAME,
    ImageTree,
    SelectionError,
    SelectionFolder,
    now,
    output_names,
    read_tree,
)
from cellgan_plugin.apis.synthesis_folder import explained_output_errors
from cellgan_plugin.apis.test import git_revision
from cellgan_plugin.apis.train import load_config
from cellgan_plugin.compat import load_tensors
from cellgan_plugin.evaluation.neighbours import nearest_training_neighbours
from cellgan_plugin.files import atomic_write
from cellgan_plugin.randomness import derive_seed
from cellgan_plugin.selection.centroids import Centroids
from cellgan_plugin.selection.extractor import McDropoutClassifier
from cellgan_plugin.selection.rules import SelectionRule, build_rule, images_asked
from cellgan_plugin.selection.scoring import (
    compute_centroids,
    pooled_features,
    score_candidates,
)
from cellgan_plugin.selection.stream import ImageStream
from cellgan_plugin.selection.table import MEMORISED, SelectionTable, apply_rule, require_pool
from cellgan_plugin.version import __version__
from cellgan_plugin.visualization.selection_figures import draw_best_worst, draw_tsne, embed

Folder = Union[str, Path]
_SCORES_FOLDER = '_scores'  # data sets skip names with an underscore
_COLUMNS = 4  # of each block of best_worst.png


@dataclass(frozen=True)
class ScoreSettings:
    """What the scores depend on besides images and network.

    Attributes:
        passes (int): K of Eq. (6).
        seed (int): Of masks, draws and ties.
        layers (tuple[int] | None): Stages in the distance, from 1; None: all.
    """

    passes: int = 5
    seed: int = 0
    layers: Optional[Tuple[int, ...]] = None


def select(
    candidates: Folder,
    real: Folder,
    config: Union[str, Path, Config],
    checkpoint: Folder,
    out: Folder,
    rule: Union[str, dict, SelectionRule] = 'selective',
    ratio: float = 0.5,
    passes: int = 5,
    dropout: Optional[float] = None,
    layers: Optional[Sequence[int]] = None,
    seed: int = 0,
    link: Optional[str] = None,
    drop_memorised: bool = False,
    input_size: Optional[Union[int, Sequence[int]]] = None,
    batch_size: int = 32,
    device: Optional[str] = None,
    cache_dir: Optional[Folder] = None,
    tsne_images: int = 100,
    options: Optional[dict] = None,
) -> Dict[str, Any]:
    """Select round(r N_i) candidates of every class (HistoGAN, Sec. 3.2, Algorithm 1).

    Writes ``<out>/<class>/<file>``, ``manifest.csv`` (of what was kept), ``scores.csv`` (every
    candidate, every score, why), ``selection.json`` (the protocol), ``best_worst.png``,
    ``tsne.png``, and carries ``training_images.txt`` over. Candidates come from any generator.

    Scores are saved while they are computed: the same call continues what was interrupted, and
    another rule or ratio on the same candidates scores nothing again. An image is decoded once
    (once more for ``drop_memorised``, and a few hundred for the pictures). Classes without
    candidates are left alone.

    Args:
        candidates (str | Path): Class folders or a manifest, e.g. of ``tools/synthesize.py``;
            the paper makes 4 r N_i of each class.
        real (str | Path): The real training images, ``DIR`` or ``DIR:SPLIT``: they give N_i and
            the centroids.
        config (str | Path | Config): An MMPretrain classifier, ResNet or DenseNet.
        checkpoint (str | Path): Its weights; a file or a work directory.
        out (str | Path): New folder, or that of an earlier selection from these candidates, whose
            images are replaced.
        rule (str | dict | SelectionRule): See :mod:`cellgan_plugin.selection.rules`. Defaults to
            'selective'.
        ratio (float): r. Defaults to 0.5 (best in Sec. 4.3).
        passes (int): K, of Monte-Carlo dropout. Defaults to 5 (Sec. 4.2.2).
        dropout (float, optional): Defaults to None: as trained, else 0.5 (Sec. 4.2.2).
        layers (Sequence[int], optional): Stages in the distance, from 1. Defaults to None: all.
        seed (int): Of masks, draws and ties. Defaults to 0.
        link (str, optional): 'hard' or 'symbolic' links in place of copies. Defaults to None.
        drop_memorised (bool): First drop candidates that are copies of real images
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

    Returns:
        dict: ``table`` (:class:`~cellgan_plugin.selection.SelectionTable`), ``classes`` (a row of
        counts and medians per class), ``protocol``, ``out``, ``manifest``, ``seconds``.

    Raises:
        FileNotFoundError: No such folder, config or checkpoint.
        SelectionError: Classes disagree, or a setting cannot be.
        PoolError: Fewer candidates than the rule needs.
        ScoreError: A score is NaN or infinite.
    """
    began = time.perf_counter()
    settings = ScoreSettings(int(passes), int(seed), None if layers is None else tuple(layers))
    chosen_rule = build_rule(rule)
    _check_settings(settings, ratio, link)
    config = load_config(config, options=options)
    checkpoint = find_checkpoint(checkpoint)
    classes = _classifier_classes(config, checkpoint)
    pool = read_tree(candidates, classes, 'candidates')
    training = read_tree(real, classes, 'real images', need_split=True)
    asked = _asked(chosen_rule, ratio, pool, training, classes)
    output_names(pool.files, pool.labels, classes)
    folder = SelectionFolder(out)
    folder.check(pool)
    network = McDropoutClassifier(config, checkpoint, dropout, input_size=input_size)
    settle_classes(config, list(classes), network.num_classes)
    if settings.layers and max(settings.layers) > network.num_stages:
        raise SelectionError(f'layers {settings.layers}: there are {network.num_stages} stages')
    network.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))

    protocol = dict(
        rule=rule if isinstance(rule, (str, dict)) else type(rule).__name__,
        ratio=ratio,
        **asdict(settings),
        classes=list(classes),
        classifier=network.describe(),
        classifier_fingerprint=network.fingerprint,
        drop_memorised=drop_memorised,
        cellgan_plugin=__version__,
        git=git_revision(),
        torch=torch.__version__,
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
    folder.write_record(record)  # makes the folder ours, before anything else is written there
    streams = [
        ImageStream(tree.reader, tree.files, network.input_size, batch_size)
        for tree in (pool, training)
    ]
    save_dir = _save_dir(
        cache_dir or folder.root / _SCORES_FOLDER, network, settings, pool, training
    )
    with explained_output_errors(save_dir):
        scores = score_candidates(
            network,
            _saved_centroids(network, streams[1], training, settings, save_dir),
            streams[0],
            pool.labels,
            settings.passes,
            settings.seed,
            None if settings.layers is None else [layer - 1 for layer in settings.layers],
            save_dir,
        )
        memorised = None
        if drop_memorised:
            memorised = _memorised(network, streams, pool, training, classes, save_dir)
    table = apply_rule(
        chosen_rule, pool.files, pool.labels, classes, scores, asked, settings.seed, memorised
    )
    rows = class_rows(table, training.counts(len(classes)), asked)
    names = folder.write_images(table, pool, link)
    with explained_output_errors(folder.root):
        table.write(folder.root / SCORES_NAME)
        _draw_best_worst(folder.root / 'best_worst.png', table, chosen_rule, streams[0])
        if tsne_images:
            _draw_tsne(
                folder.root / 'tsne.png', network, table, training, streams, tsne_images, settings
            )
    folder.carry_training_images(pool)
    seconds = round(time.perf_counter() - began, 3)
    record.update(rows=rows, finished=now(), seconds=seconds)
    folder.write_record(record)
    manifest = folder.write_manifest(table, names, pool)
    print_log(f'{folder.root}: {int(table.kept.sum())} of {len(names)} kept\n{_text(rows)}')
    return dict(
        table=table, classes=rows, protocol=protocol, out=str(folder.root),
        manifest=str(manifest), seconds=seconds,
    )  # fmt: skip


def _check_settings(settings: ScoreSettings, ratio: float, link: Optional[str]) -> None:
    if not 0 < ratio < float('inf'):
        raise SelectionError(f'ratio {ratio}: must be above 0 (the paper tries 0.4 to 1.0)')
    if settings.passes < 1:
        raise SelectionError(f'passes {settings.passes}: at least one')
    if link is not None and link not in LINKS:
        raise SelectionError(f"link {link!r}: must be 'hard' or 'symbolic', or None for copies")
    if settings.layers is not None and (not settings.layers or min(settings.layers) < 1):
        raise SelectionError(f'layers {settings.layers}: stages count from 1, at least one')


def _classifier_classes(config: Config, checkpoint: Path) -> Tuple[str, ...]:
    state = load_tensors(checkpoint, 'cpu')
    meta = state.get('meta') or {} if isinstance(state, dict) else {}
    in_checkpoint = (meta.get('dataset_meta') or {}).get('classes')
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


def _save_dir(
    cache_dir: Folder,
    network: McDropoutClassifier,
    settings: ScoreSettings,
    pool: ImageTree,
    training: ImageTree,
) -> Path:
    """A folder named by the hash of everything the scores depend on."""
    parts = [network.fingerprint, network.input_size, asdict(settings)]
    text = json.dumps([*parts, pool.listing(), training.listing()], default=str)
    return Path(cache_dir).expanduser() / hashlib.sha256(text.encode()).hexdigest()[:16]


def _saved_centroids(
    network: McDropoutClassifier,
    stream: ImageStream,
    training: ImageTree,
    settings: ScoreSettings,
    save_dir: Path,
) -> Callable[[], Centroids]:
    """Centroids that are computed, or read, when they are first asked for."""
    found: List[Centroids] = []
    path = save_dir / 'centroids.npz'

    def centroids() -> Centroids:
        if not found and path.is_file():
            with np.load(path, allow_pickle=False) as arrays:
                stages = [
                    torch.from_numpy(arrays[f'stage_{i}']) for i in range(len(arrays.files) - 1)
                ]
                counts = torch.from_numpy(arrays['counts'])
            found.append(Centroids(stages, counts).to(network.device))
        if not found:
            found.append(compute_centroids(network, stream, training.labels, settings.seed))
            arrays = {f'stage_{i}': m.cpu().numpy() for i, m in enumerate(found[0].maps)}
            with atomic_write(path) as file:
                np.savez(file, counts=found[0].counts.cpu().numpy(), **arrays)
        return found[0]

    return centroids


def _memorised(
    network: McDropoutClassifier,
    streams: Sequence[ImageStream],
    pool: ImageTree,
    training: ImageTree,
    classes: Sequence[str],
    save_dir: Path,
) -> np.ndarray:
    """Which candidates are copies of real images of their class."""
    path = save_dir / 'memorised.npz'
    if path.is_file():
        with np.load(path, allow_pickle=False) as arrays:
            return arrays['memorised']
    fake, real = (
        pooled_features(network, stream, f'Features, {what}')
        for stream, what in zip(streams, ('candidates', 'real'), strict=True)
    )
    found = np.zeros(len(fake), dtype=bool)
    for label in np.unique(pool.labels):
        own, base = pool.labels == label, real[training.labels == label]
        if len(base) < 2:
            raise SelectionError(
                f'class {classes[label]} has {len(base)} real image: copies of training images '
                'are found from two on. Leave --drop-memorised out, or add images'
            )
        found[own] = nearest_training_neighbours(fake[own], base).memorised
    with atomic_write(path) as file:
        np.savez(file, memorised=found)
    return found


def class_rows(
    table: SelectionTable, real: Sequence[int], asked: Dict[int, int]
) -> List[Dict[str, Any]]:
    """Per class: counts, and medians of pool and kept images."""
    rows = []
    for label in sorted(asked):
        everyone = np.flatnonzero(table.labels == label)
        kept = everyone[table.kept[everyone]]
        row: Dict[str, Any] = dict(
            label=table.classes[label],
            real=int(real[label]),
            candidates=len(everyone),
            asked=asked[label],
            kept=len(kept),
        )
        if table.memorised is not None:
            row[MEMORISED] = int(table.memorised[everyone].sum())
        for name, index in (('pool', everyone), ('kept', kept)):
            if len(index):
                agrees = table.scores.predicted[index] == label
                row[f'median_entropy_{name}'] = float(np.median(table.scores.entropy[index]))
                row[f'median_distance_{name}'] = float(np.median(table.scores.distance[index]))
                row[f'predicted_as_label_{name}'] = float(agrees.mean())
        rows.append(row)
        if row.get('predicted_as_label_kept', 1.0) < 0.5:
            print_log(
                f'{row["label"]}: the classifier takes only '
                f'{row["predicted_as_label_kept"]:.0%} of the kept images for this class. A rule '
                'ranks what there is: candidates that do not show their class cannot be mended by '
                'it. Look at best_worst.png, train the generator longer, or try --rule confidence',
                level=30,
            )
        if row['kept'] < row['asked']:
            print_log(
                f'{row["label"]}: {row["kept"]} of {row["asked"]} asked were kept, no more passed '
                'the rule. Synthesise more candidates for more',
                level=30,
            )
    return rows


def _text(rows: Sequence[Dict[str, Any]]) -> str:
    """The rows as a table of text."""
    head = ['class', 'real', 'pool', 'kept', 'entropy', 'distance', 'predicted as label']
    lines = [head]
    for row in rows:
        cells = [row['label'], *(str(row[key]) for key in ('real', 'candidates', 'kept'))]
        for key, form in (('median_entropy', '.3f'), ('median_distance', '.3f'),
                          ('predicted_as_label', '.0%')):  # fmt: skip
            after = row.get(f'{key}_kept')
            shown = '-' if after is None else format(after, form)
            cells.append(f'{row[f"{key}_pool"]:{form}} -> {shown}')
        lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return '\n'.join(
        '  '.join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:],
                                                                          strict=True))])
        for line in lines
    )  # fmt: skip


def _draw_best_worst(
    path: Path, table: SelectionTable, rule: SelectionRule, stream: ImageStream
) -> None:
    """The best that were kept, and the worst by each criterion that dropped some."""
    shows = dict(rule.shows)
    if table.memorised is not None and table.memorised.any():
        shows[MEMORISED] = '-distance'  # the most typical copies first
    titles = {'kept': 'kept: nearest', MEMORISED: 'copies'}
    groups = []
    for reason, score in [('kept', '-distance'), *shows.items()]:
        block = {}
        for label in np.unique(table.labels):
            worst = table.sorted_by(table.of(int(label), reason), score)[::-1][:_COLUMNS]
            block[table.classes[label]] = [stream.read(table.files[i]) for i in worst]
        if any(block.values()):
            groups.append((titles.get(reason, f'out: {reason}'), block))
    draw_best_worst(path, groups, _COLUMNS)


def _draw_tsne(
    path: Path,
    network: McDropoutClassifier,
    table: SelectionTable,
    training: ImageTree,
    streams: Sequence[ImageStream],
    limit: int,
    settings: ScoreSettings,
) -> None:
    """Real images, with as many candidates of any kind, with as many kept ones (Figs. 10, 11)."""

    def drawn(files: Sequence[str], index: np.ndarray, count: int) -> List[int]:
        return sorted(index, key=lambda i: derive_seed(settings.seed, 'tsne', files[i]))[:count]

    real: List[int] = []
    any_kind: List[int] = []
    kept: List[int] = []
    for label in np.unique(table.labels):
        real += drawn(training.files, np.flatnonzero(training.labels == label), limit)
        best = drawn(table.files, table.of(int(label)), limit)
        kept += best
        any_kind += drawn(table.files, np.flatnonzero(table.labels == label), len(best))
    shown = sorted(set(any_kind) | set(kept))
    if len(real) + len(shown) < 10:
        print_log('too few images for tsne.png', level=30)
        return
    pictured = []
    for stream, files in (
        (streams[1], [training.files[i] for i in real]),
        (streams[0], [table.files[i] for i in shown]),
    ):
        part = ImageStream(stream.reader, files, None, stream.batch_size, stream.threads)
        part.fit = stream.fit
        pictured.append(pooled_features(network, part, 'Features for t-SNE'))
    points = embed(np.concatenate(pictured), settings.seed)
    labels = np.concatenate([training.labels[real], table.labels[shown]])
    is_real = np.arange(len(points)) < len(real)

    def synthetic(index: Sequence[int]) -> np.ndarray:
        return np.concatenate([np.zeros(len(real), bool), np.isin(shown, index)])

    panels = [
        (f'{len(real)} real images', is_real, np.zeros_like(is_real)),
        (f'+ {len(any_kind)} candidates, not selected', is_real, synthetic(any_kind)),
        (f'+ {len(kept)} kept candidates', is_real, synthetic(kept)),
    ]
    draw_tsne(path, points, labels, table.classes, panels)
