"""What a selection tells and shows: counts and medians per class, best and worst, t-SNE."""

from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np
from mmengine.logging import print_log

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.randomness import derive_seed
from cellgan_plugin.selection.figures import draw_tsne, embed
from cellgan_plugin.selection.rules import SelectionRule
from cellgan_plugin.selection.saved_scores import PoolScorer
from cellgan_plugin.selection.scoring import pooled_features
from cellgan_plugin.selection.stream import ImageStream
from cellgan_plugin.selection.table import MEMORISED, SelectionTable
from cellgan_plugin.visualization.block_sheet import block_sheet
from cellgan_plugin.visualization.tables import aligned

_COLUMNS = 4  # of each block of best_worst.png


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


def rows_text(rows: Sequence[Dict[str, Any]]) -> str:
    """The rows as a table of text."""
    lines = [['class', 'real', 'pool', 'kept', 'entropy', 'distance', 'predicted as label']]
    for row in rows:
        cells = [row['label'], *(str(row[key]) for key in ('real', 'candidates', 'kept'))]
        for key, form in (('median_entropy', '.3f'), ('median_distance', '.3f'),
                          ('predicted_as_label', '.0%')):  # fmt: skip
            after = row.get(f'{key}_kept')
            shown = '-' if after is None else format(after, form)
            cells.append(f'{row[f"{key}_pool"]:{form}} -> {shown}')
        lines.append(cells)
    return '\n'.join(aligned(lines))


def picture_best_worst(
    path: Path, table: SelectionTable, rule: SelectionRule, stream: ImageStream
) -> None:
    """A row per class: the best that were kept, and the worst by each criterion."""
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
    write_png(path, block_sheet(groups, _COLUMNS))


def picture_tsne(path: Path, table: SelectionTable, scorer: PoolScorer, limit: int) -> None:
    """Real images, with as many candidates of any kind, with as many kept ones (Figs. 10, 11)."""
    training, seed = scorer.training, scorer.settings.seed

    def drawn(files: Sequence[str], index: np.ndarray, count: int) -> List[int]:
        return sorted(index, key=lambda i: derive_seed(seed, 'tsne', files[i]))[:count]

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
        (scorer.real, [training.files[i] for i in real]),
        (scorer.candidates, [table.files[i] for i in shown]),
    ):
        pictured.append(pooled_features(scorer.network, stream.part(files), 'Features for t-SNE'))
    points = embed(np.concatenate(pictured), seed)
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
