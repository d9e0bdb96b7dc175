"""From the scores of single trainings to the tables and curves of a segmentation benchmark."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.segmentation.protocol import LOWER_IS_BETTER
from cellgan_plugin.visualization.noise import differ_by_noise, mark_undecided, noise_of_trainings
from cellgan_plugin.visualization.report_tables import Column, ReportTable

TITLES = dict(
    mIoU='mIoU',
    OPA='overall pixel accuracy',
    SMA='standard mean accuracy',
    NLL='negative log-likelihood (nats a pixel)',
    ECE='expected calibration error',
    object_dice='object Dice',
    object_f1='object F1',
    object_hausdorff='object Hausdorff distance (px)',
)
DIGITS = dict(object_hausdorff=1)


@dataclass
class Trained:
    """What became of one training.

    Attributes:
        method (str): As shown.
        ratio (float): Share of labelled training images.
        seed (int): Of the training.
        fold (int | None): From 0.
        size (int | None): Input size, where sizes are compared.
        scores (dict | None): Part -> name -> value, all images last, as of
            :func:`~cellgan_plugin.evaluation.segmentation.part_scores`; None when not done.
        iterations (int | None): Optimizer steps.
        generation (dict | None): Of ``GenerationScores``, where images were evaluated.
        message (str): Why it is not done.
    """

    method: str
    ratio: float
    seed: int
    fold: Optional[int] = None
    size: Optional[int] = None
    scores: Optional[Dict[str, Dict[str, Any]]] = None
    iterations: Optional[int] = None
    generation: Optional[Dict[str, Any]] = None
    message: str = ''

    def value(self, metric: str, part: Optional[str] = None) -> Optional[float]:
        """A score of a part, or of all images; None where there is none."""
        if not self.scores:
            return None
        own = self.scores.get(part) if part else self.scores[list(self.scores)[-1]]
        value = (own or {}).get(metric)
        return None if value is None or not np.isfinite(value) else float(value)


@dataclass
class SegmentationResults:
    """All trainings of a benchmark.

    Attributes:
        trained (list[Trained]): In the order of the protocol.
        title (str): Of the tables.
        notes (list[str]): Below every table.
        ratios (tuple[float]): Shares of labelled images.
        sizes (tuple[int]): Input sizes, or none.
        classes (tuple[str]): Class names.
        spread (str): What the standard deviations are over, e.g. ``'3 seeds'``; '' with one.
    """

    trained: List[Trained]
    title: str
    notes: List[str]
    ratios: Tuple[float, ...]
    sizes: Tuple[int, ...]
    classes: Tuple[str, ...]
    spread: str = ''
    methods: List[str] = field(default_factory=list)

    def __post_init__(self):
        self.methods = list(dict.fromkeys(one.method for one in self.trained))

    def of(
        self, method: str, ratio: Optional[float] = None, size: Optional[int] = None
    ) -> List[Trained]:
        """Trainings of a method."""
        return [
            one
            for one in self.trained
            if one.method == method
            and (ratio is None or one.ratio == ratio)
            and (size is None or one.size == size)
        ]

    def cell(
        self, metric: str, trained: Sequence[Trained]
    ) -> Optional[Tuple[float, Optional[float]]]:
        """Mean and standard deviation (of the sample) over trainings; None when none is done."""
        values = [value for one in trained if (value := one.value(metric)) is not None]
        return _mean_and_spread(values)

    @property
    def parts(self) -> List[str]:
        """Parts of the test set, without all images together."""
        scored = [one.scores for one in self.trained if one.scores]
        return list(scored[0])[:-1] if scored else []

    def why(self, trained: Sequence[Trained]) -> Optional[str]:
        """What failed, in one sentence; None when nothing did."""
        failed = Counter(
            one.message or 'not run yet'
            for one in trained
            if one.scores is None and one.generation is None
        )
        if not failed:
            return None
        said = '; '.join(f'{text} ({n} jobs)' if n > 1 else text for text, n in failed.items())
        return f'{sum(failed.values())} of {len(trained)} trainings are not done: {said}'


def _mean_and_spread(values: Sequence[float]) -> Optional[Tuple[float, Optional[float]]]:
    """Mean and standard deviation of the sample (None with one value); None of none."""
    if not values:
        return None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


Key = Tuple[str, str]  # method, column


def _table(
    results: SegmentationResults,
    title: str,
    columns: Sequence[Column],
    rows: List[Dict[str, Any]],
    values: Mapping[Key, Sequence[Optional[float]]],
    notes: Optional[Sequence[str]] = None,
) -> ReportTable:
    """A table in which bold is beyond the spread over trainings; ``values`` are of these."""
    noise = {key: noise_of_trainings(found) for key, found in values.items()}
    notes = _said(results) if notes is None else list(notes)
    if len(rows) > 1:
        decided = mark_undecided(rows, columns, differ_by_noise(noise, 'method'))
        over = results.spread or 'trainings'
        notes.append(
            f"Bold: better than every other method by Welch's test over {over} (p < 0.05)"
            if decided
            else 'Nothing is bold: no best method is beyond the spread over trainings of every '
            'other one'
            + ('' if results.spread else '; with one training of each nothing says what that is')
        )
    return ReportTable(title, columns, rows, notes)


def _better(metric: str) -> str:
    return 'lower' if metric in LOWER_IS_BETTER else 'higher'


def _said(results: SegmentationResults) -> List[str]:
    spread = f'mean ± standard deviation over {results.spread}' if results.spread else ''
    return [*filter(None, [spread]), *results.notes]


def _by_metric(
    results: SegmentationResults,
    metric: str,
    title: str,
    names: Mapping[str, str],
    trained: Callable[[str], Sequence[Sequence[Trained]]],
) -> ReportTable:
    """One metric, a column per entry of ``names``: of a method, the trainings of each column."""
    digits, better = DIGITS.get(metric, 3), _better(metric)
    columns = [Column('method', 'method')]
    columns += [Column(key, name, digits, better) for key, name in names.items()]
    rows: List[Dict[str, Any]] = []
    values: Dict[Key, List[Optional[float]]] = {}
    for method in results.methods:
        row: Dict[str, Any] = dict(method=method)
        for key, of_column in zip(names, trained(method), strict=True):
            row[key] = results.cell(metric, of_column)
            values[method, key] = [one.value(metric) for one in of_column]
            if of_column and (why := results.why(of_column)):
                row[f'{key}_why'] = why
        rows.append(row)
    return _table(results, title, columns, rows, values)


def ratio_table(results: SegmentationResults, metric: str) -> ReportTable:
    """Methods x shares of labelled images (Tables 4 to 8 of Li et al. 2022)."""
    return _by_metric(
        results,
        metric,
        f'{TITLES[metric]}: {results.title}',
        {f'{ratio:g}': f'{ratio:.0%}' for ratio in results.ratios},
        lambda method: [results.of(method, ratio) for ratio in results.ratios],
    )


def size_table(results: SegmentationResults, metric: str, ratio: float) -> ReportTable:
    """Methods x input sizes (Fig. 7)."""
    return _by_metric(
        results,
        metric,
        f'{TITLES[metric]} by input size, {ratio:.0%} of the masks: {results.title}',
        {str(size): f'{size} px' for size in results.sizes},
        lambda method: [results.of(method, ratio, size) for size in results.sizes],
    )


Score = Callable[[Trained], Optional[float]]


def _at_ratio(
    results: SegmentationResults, ratio: float, scores: Mapping[str, Score]
) -> Tuple[List[Dict[str, Any]], Dict[Key, List[Optional[float]]]]:
    """Rows of the methods that have trainings at one share, and the values of single trainings."""
    rows: List[Dict[str, Any]] = []
    values: Dict[Key, List[Optional[float]]] = {}
    for method in results.methods:
        trained = results.of(method, ratio)
        if not trained:
            continue
        row: Dict[str, Any] = dict(method=method, method_why=results.why(trained))
        for key, score in scores.items():
            values[method, key] = [score(one) for one in trained]
            row[key] = _mean_and_spread([v for v in values[method, key] if v is not None])
        rows.append(row)
    return rows, values


def parts_table(results: SegmentationResults, ratio: float) -> ReportTable:
    """The GlaS metrics of all test images and of each part, at one share (Table 2)."""
    columns: List[Column] = [Column('method', 'method')]
    scores: Dict[str, Score] = {}
    for metric in ('object_dice', 'object_f1', 'object_hausdorff'):
        for part in (None, *results.parts):
            key, shown = f'{metric}/{part or "all"}', f'{TITLES[metric]} {part or "all"}'
            columns.append(Column(key, shown, DIGITS.get(metric, 3), _better(metric)))
            scores[key] = partial(Trained.value, metric=metric, part=part)
    title = f'GlaS challenge metrics, {ratio:.0%} of the masks: {results.title}'
    return _table(results, title, columns, *_at_ratio(results, ratio, scores))


def per_class_table(results: SegmentationResults, ratio: float) -> ReportTable:
    """Jaccard index of every class, mIoU, OPA and SMA at one share (Table 3)."""
    metrics = [f'J/{name}' for name in results.classes] + ['mIoU', 'OPA', 'SMA']
    columns = [Column('method', 'method')]
    columns += [Column(name, name.replace('J/', 'J '), 3, 'higher') for name in metrics]
    scores = {metric: partial(Trained.value, metric=metric) for metric in metrics}
    title = f'Pixel scores, {ratio:.0%} of the masks: {results.title}'
    return _table(results, title, columns, *_at_ratio(results, ratio, scores))


def generation_table(results: SegmentationResults, ratio: float) -> ReportTable:
    """Frechet distance and MS-SSIM of images made from masks (Table 1, Sec. 4.2.2)."""
    evaluated = [one.generation for one in results.trained if one.generation]
    name = evaluated[0]['distance'] if evaluated else 'FD'
    columns = [
        Column('method', 'method'),
        Column('fd', name, 3, 'lower'),
        Column('to_original', 'MS-SSIM to the original', 3),
        Column('among', 'MS-SSIM among samples', 3),
    ]

    def score(one: Trained, key: str) -> Optional[float]:
        return one.generation[key] if one.generation else None

    scores = {column.key: partial(score, key=column.key) for column in columns[1:]}
    rows, values = _at_ratio(results, ratio, scores)
    notes = _said(results)
    if evaluated:
        own = evaluated[0]
        rows.append(dict(method='original images', fd=own['fd_originals'], group='originals'))
        notes = [
            f'{name} of {own["images"]} images, one per mask, against the real ones of the masks; '
            'original images: two random halves of the real ones, half as many a side',
            f'MS-SSIM with {own["scales"]} scales, {own["samples"]} samples of each of '
            f'{own["masks"]} masks',
            *notes,
        ]
    title = f'Images made from masks: {results.title}'
    return _table(results, title, columns, rows, values, notes)


def with_published(table: ReportTable, published: Mapping[str, Any], name: str) -> ReportTable:
    """A table with the numbers of a paper below the rows that were trained here.

    Args:
        table (ReportTable): Of this benchmark; it is changed.
        published (Mapping): Of :class:`SegmentationProtocol`.
        name (str): Which of ``published['tables']``.

    Returns:
        ReportTable: The same; its notes name the source. Methods without a number in the table's
        columns are left out.
    """
    keys = {column.key for column in table.columns}
    shown = False
    for method, cells in (published.get('tables') or {}).get(name, {}).items():
        cells = {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in cells.items()}
        cells = {key: cell for key, cell in cells.items() if key in keys}
        if any(cell is not None for cell in cells.values()):
            table.rows.append(dict(cells, method=f'{method}, published', group='published'))
            shown = True
    if shown:
        note = f'Published: copied from {published["source"]}; not trained or scored here'
        table.notes = [note, *table.notes]
    return table


def normalised_improvements(
    results: SegmentationResults, metric: str, baseline: Sequence[str]
) -> Dict[float, Optional[Tuple[float, float]]]:
    """How much of the way from the single scale to the full method each step makes (Fig. 6).

    delta_1 = (pyramid - single) / (full - single) and delta_2 = (full - pyramid) / (full - single),
    of means over trainings; they sum to 1. Where the full method is not better than the single
    scale the shares mean nothing: None.

    Args:
        results (SegmentationResults): Of the benchmark.
        metric (str): Of its metrics.
        baseline (Sequence[str]): Names of the single scale, the pyramid and the full method.

    Returns:
        dict: Ratio -> (delta_1, delta_2) or None.
    """
    sign = -1 if metric in LOWER_IS_BETTER else 1
    found: Dict[float, Optional[Tuple[float, float]]] = {}
    for ratio in results.ratios:
        means = [results.cell(metric, results.of(name, ratio)) for name in baseline]
        found[ratio] = None
        if all(mean is not None for mean in means):
            single, pyramid, full = (sign * mean[0] for mean in means)
            if full > single:
                gap = full - single
                found[ratio] = (pyramid - single) / gap, (full - pyramid) / gap
    return found
