"""The tables of a benchmark."""

from dataclasses import asdict
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

from cellgan_plugin.benchmark.collect import REPLICATES, BenchmarkResults, ResultRow
from cellgan_plugin.benchmark.protocol import REAL
from cellgan_plugin.benchmark.score_registry import SCORES
from cellgan_plugin.benchmark.statistics import (
    FEWEST_FOLDS,
    corrected_resampled_t_test,
    mean_and_std,
)
from cellgan_plugin.visualization.noise import mark_undecided
from cellgan_plugin.visualization.report_tables import Column, ReportTable

_NO_INTERVAL = (
    'no interval: too few groups in a test part, or they differ so much that it would hold every '
    'possible gain'
)


def _percent(value: Optional[float]) -> Optional[float]:
    return None if value is None else 100 * value


def _cell(values: Sequence[Optional[float]]) -> Optional[Tuple[float, Optional[float]]]:
    found = mean_and_std(values)
    return None if found.mean is None else (100 * found.mean, _percent(found.std))


def _interval(low: Optional[float], high: Optional[float]) -> Optional[str]:
    return None if low is None or high is None else f'[{100 * low:+.2f}, {100 * high:+.2f}]'


def _p(value: Optional[float]) -> Optional[str]:
    if value is None:
        return None
    return '< 0.001' if value < 0.001 else f'{value:.3f}'


def _steps(row: ResultRow) -> Union[int, str]:
    steps = sorted({outcome.iterations for outcome in row.outcomes})
    return steps[0] if len(steps) == 1 else f'{steps[0]} to {steps[-1]}'


def _recall_note(results: BenchmarkResults) -> str:
    """What stands beside the column of recall."""
    counts = results.plan.class_counts()
    note = 'recall is the mean over the classes'
    if (counts == counts[:, :1]).all():
        note += (
            ': with as many test images of every class it is the accuracy, by identity. A paper '
            'whose two columns differ there has another arithmetic'
        )
    return note


def _mark_best(
    results: BenchmarkResults, rows: Sequence[Dict[str, Any]], columns: Sequence[Column]
) -> str:
    """Leave in bold what is beyond chance; a note that says so."""
    values = {id(cells): row.values for cells, row in zip(rows, results.rows, strict=True)}
    train, test = (results.plan.class_counts(part).sum(axis=1) for part in ('train', 'test'))

    def differs(a: Dict[str, Any], b: Dict[str, Any], metric: str) -> bool:
        pairs = list(zip(values[id(a)][metric], values[id(b)][metric], strict=True))
        common = [fold for fold, pair in enumerate(pairs) if None not in pair]
        if results.one_split or len(common) < FEWEST_FOLDS:
            return False
        sides = zip(*(pairs[fold] for fold in common), strict=True)
        found = corrected_resampled_t_test(*sides, train[common], test[common])
        return found.p is None or found.p < 0.05

    if mark_undecided(rows, columns, differs):
        return 'Bold: better than every other row by the corrected t-test over folds (p < 0.05)'
    why = 'runs of one split share all images' if results.one_split else 'corrected t-test'
    return f'Nothing is bold: no best row is beyond chance of every other one ({why})'


def main_table(results: BenchmarkResults) -> ReportTable:
    """The table: mean and standard deviation over folds, in percent, and the gain in accuracy."""
    rows = []
    recall = _recall_note(results) if 'recall' in results.metrics else None
    for row in results.rows:
        cells: Dict[str, Any] = dict(
            group=row.classifier,
            classifier=row.classifier,
            arm=results.shown[row.arm],
            steps=_steps(row),
            synthetic=round(results.synthetic[row.arm]),
            jobs=f'{len(row.done)}/{len(row.outcomes)}',
        )
        for metric in results.metrics:
            cells[metric] = _cell(row.values[metric])
        if recall:
            cells['recall_why'] = recall
        if row.why_incomplete:
            cells['jobs_why'] = row.why_incomplete
        found = results.comparisons.get((row.classifier, 'accuracy'), {}).get(row.arm)
        if found is not None:
            cells['difference'] = _percent(found.difference)
            cells['interval'] = _interval(found.low, found.high)
            cells['p'], cells['p_holm'] = _p(found.p), _p(found.p_holm)
            if results.one_split:
                drawn = results.intervals[row.classifier][row.arm]
                drawn = drawn.get('accuracy')
                if drawn is not None:
                    cells['interval'] = _interval(drawn.difference_low, drawn.difference_high)
            elif found.reason:
                cells['p_why' if found.p is None else 'interval_why'] = found.reason
            if cells['interval'] is None and 'p_why' not in cells:
                cells.setdefault('interval_why', _NO_INTERVAL)
        rows.append(cells)
    tests = [Column('p', 'p'), Column('p_holm', 'p (Holm)')]
    columns = [
        Column('classifier', 'Classifier'),
        Column('arm', 'Training images'),
        *(Column(metric, SCORES[metric].title, better='higher') for metric in results.metrics),
        *(
            [Column('difference', 'Gain in accuracy'), Column('interval', '95 % interval')]
            if 'accuracy' in results.metrics
            else []
        ),
        *([] if results.one_split else tests),
        Column('synthetic', 'Synthetic images'),
        Column('steps', 'Steps'),
        Column('jobs', 'Jobs'),
    ]
    notes = [*results.notes]
    if len(results.rows) > 1:
        notes.append(_mark_best(results, rows, columns))
    if results.one_split:
        drawn = 'groups' if results.plan.grouped else 'images'
        notes.append(
            'One split: the deviation is over runs that differ in their initial weights and the '
            f'order of images; the interval is over test {drawn} drawn again (bootstrap), given '
            'the trained classifiers. Neither is about other training images; folds are '
            '(--folds 5)'
        )
    return ReportTable(results.title, columns, rows, notes)


def per_class_table(results: BenchmarkResults) -> ReportTable:
    """Scores of every class, mean and standard deviation over folds."""
    rows = []
    metrics = ('precision', 'recall', 'f1', 'specificity', 'auc')
    support = results.plan.class_counts().sum(axis=0)
    for row in results.rows:
        for label, name in enumerate(results.plan.classes):
            cells: Dict[str, Any] = dict(
                group=f'{row.classifier} {row.arm}',
                classifier=row.classifier,
                arm=results.shown[row.arm],
                label=name,
                support=int(support[label]),
            )
            for metric in metrics:
                cells[metric] = _cell(row.per_run(lambda s, k=label, m=metric: s.per_class[k][m]))
            rows.append(cells)
    columns = [
        Column('classifier', 'Classifier'),
        Column('arm', 'Training images'),
        Column('label', 'Class'),
        Column('support', 'Test images'),
        *(Column(metric, SCORES[metric].title) for metric in metrics),
    ]
    return ReportTable(f'{results.title}: classes', columns, rows, results.notes)


def statistics_table(results: BenchmarkResults) -> ReportTable:
    """Every metric against the real images alone: tests, intervals, effect sizes."""
    rows = []
    for row in results.rows:
        if row.arm == REAL:
            continue
        for metric in results.metrics:
            found = results.comparisons.get((row.classifier, metric), {}).get(row.arm)
            if found is None:
                continue
            drawn = results.intervals[row.classifier][row.arm][metric]
            cells: Dict[str, Any] = dict(
                group=f'{row.classifier} {row.arm}',
                classifier=row.classifier,
                arm=results.shown[row.arm],
                metric=SCORES[metric].title,
                folds=found.folds,
                difference=_percent(found.difference),
                interval=_interval(found.low, found.high),
                p=_p(found.p),
                p_holm=_p(found.p_holm),
                d=found.cohens_d,
                bootstrap=_interval(drawn.difference_low, drawn.difference_high),
            )
            if found.reason:
                cells['p_why' if found.p is None else 'interval_why'] = found.reason
            if cells['bootstrap'] is None:
                cells['bootstrap_why'] = _NO_INTERVAL
            rows.append(cells)
    columns = [
        Column('classifier', 'Classifier'),
        Column('arm', 'Training images'),
        Column('metric', 'Metric'),
        Column('folds', 'Folds'),
        Column('difference', 'Difference'),
        Column('interval', '95 % interval (t-test)'),
        Column('p', 'p'),
        Column('p_holm', 'p (Holm)'),
        Column('d', "Cohen's d"),
        Column('bootstrap', '95 % interval (bootstrap)'),
    ]
    notes = [
        'Difference from the real images alone, in percentage points. t-test: paired over folds, '
        'variance corrected for their common training images (Nadeau and Bengio 2003): would '
        'other images of the kind show it? Bootstrap: of the test images, given the trained '
        f'classifiers ({"whole groups" if results.plan.grouped else "images"} drawn, '
        f'{REPLICATES} replicates): would other test images show it? Holm: adjusted for the '
        'number of arms.',
        *results.notes,
    ]
    return ReportTable(f'{results.title}: differences', columns, rows, notes)


def results_dict(results: BenchmarkResults, verdict: Mapping[str, Any]) -> Dict[str, Any]:
    """Everything as plain containers, for ``results.json``."""
    rows = []
    for row in results.rows:
        compared = {
            metric: asdict(results.comparisons[row.classifier, metric][row.arm])
            for metric in results.metrics
            if row.arm in results.comparisons.get((row.classifier, metric), {})
        }
        drawn = results.intervals.get(row.classifier, {}).get(row.arm, {})
        rows.append(
            dict(
                classifier=row.classifier,
                arm=row.arm,
                per_fold=row.values,
                against_real=compared,
                bootstrap={metric: asdict(value) for metric, value in drawn.items()},
                jobs=[
                    dict(
                        fold=outcome.fold + 1,
                        seed=outcome.seed,
                        iterations=outcome.iterations,
                        scores=outcome.scores.to_dict() if outcome.scores else None,
                        message=outcome.message,
                    )
                    for outcome in row.outcomes
                ],
            )
        )
    return dict(title=results.title, verdict=dict(verdict), notes=results.notes, rows=rows)
