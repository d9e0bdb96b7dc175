"""Tables and pictures of a benchmark."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Sequence

from cellgan_plugin.benchmark.collect import BenchmarkResults, ResultRow
from cellgan_plugin.benchmark.convergence import still_rising
from cellgan_plugin.benchmark.figures import draw_boxes, draw_confusions, draw_learning_curves
from cellgan_plugin.benchmark.image_sheet import draw_image_sheet
from cellgan_plugin.benchmark.job_files import CURVES_NAME
from cellgan_plugin.benchmark.page import write_benchmark_page
from cellgan_plugin.benchmark.plan import ClassifierRun
from cellgan_plugin.benchmark.protocol import REAL, Protocol
from cellgan_plugin.benchmark.rows import slug
from cellgan_plugin.benchmark.score_registry import SCORES
from cellgan_plugin.benchmark.statistics import FEWEST_FOLDS, mean_and_std
from cellgan_plugin.benchmark.sweep_figure import draw_sweep
from cellgan_plugin.benchmark.synthetic import Arm
from cellgan_plugin.benchmark.tables import (
    main_table,
    per_class_table,
    results_dict,
    statistics_table,
)
from cellgan_plugin.benchmark.verdict import best_first, headline, overall, verdict_of
from cellgan_plugin.files import write_json
from cellgan_plugin.visualization.report_tables import write_report_table

RESULTS_NAME = 'results.json'
TABLE = 'table'


def write_report(
    out: Path,
    protocol: Protocol,
    results: BenchmarkResults,
    planned_runs: Sequence[ClassifierRun],
    arms: Sequence[Arm],
) -> List[Path]:
    """Write tables and pictures of what is done, and ``report.html`` with all of them.

    Args:
        out (Path): Work directory of the benchmark.
        protocol (Protocol): The benchmark.
        results (BenchmarkResults): Its results.
        planned_runs (Sequence[ClassifierRun]): All trainings of classifiers.
        arms (Sequence[Arm]): Where the images of the rows are.

    Returns:
        list[Path]: The files, the Markdown table first.
    """
    curves = _curves(results, planned_runs)
    results.notes += baseline_warnings(results, curves)
    files = write_report_table(out, TABLE, main_table(results))
    files += write_report_table(out, 'statistics', statistics_table(results))
    files += write_report_table(out, 'per_class', per_class_table(results))
    files.append(write_json(out / RESULTS_NAME, results_dict(results, verdicts_of(results, arms))))
    # The points of a sweep have a figure of their own.
    points = {row.name for row in protocol.sweep.rows()} if protocol.sweep else set()
    rows = [row for row in results.rows if row.arm not in points]
    values: Dict[str, Dict[str, Dict[str, Any]]] = {metric: {} for metric in results.metrics}
    for row in rows:
        for metric in results.metrics:
            by_arm = values[metric].setdefault(row.classifier, {})
            by_arm[results.shown[row.arm]] = row.values[metric]
    titles = {metric: SCORES[metric].title for metric in results.metrics}
    boxes = len(results.plan.folds) >= FEWEST_FOLDS
    files.append(draw_boxes(out / 'boxes.png', values, titles, results.title, boxes))
    matrices = {(row.classifier, results.shown[row.arm]): row.confusion for row in rows}
    classes = results.plan.classes
    files.append(draw_confusions(out / 'confusion.png', matrices, classes, results.title))
    shown = {results.shown[row.arm] for row in rows}
    curves = {
        classifier: {arm: found for arm, found in by_arm.items() if arm in shown}
        for classifier, by_arm in curves.items()
    }
    files.append(draw_learning_curves(out / 'learning_curves.png', curves, results.title))
    if protocol.sweep:
        files += _sweeps(out, protocol, results)
    sheet = draw_image_sheet(out, results.plan, arms, results.shown, results.shown[REAL])
    files += [sheet] if sheet else []
    return [*files, write_benchmark_page(out)]


def verdicts_of(results: BenchmarkResults, arms: Sequence[Arm]) -> Dict[str, Any]:
    """What the tests say of every row with real and synthetic images; else of every row.

    Rows of synthetic images in place of the real ones are another question: they stand in the
    table, and decide nothing here.

    Args:
        results (BenchmarkResults): Of the benchmark.
        arms (Sequence[Arm]): Its rows.

    Returns:
        dict: ``outcome``, ``headline``, and ``verdicts``, the decisive ones first; empty where
        there is no row beside the real images alone.
    """
    metric = 'accuracy' if 'accuracy' in results.metrics else results.metrics[0]
    beside = [arm.name for arm in arms if arm.name != REAL and arm.use != 'alone']
    synthetic = [name for name in beside if results.synthetic[name] > 0]
    units = 'groups' if results.plan.grouped else 'folds'
    verdicts = []
    for (classifier, of), found in results.comparisons.items():
        if of != metric:
            continue
        own = {row.arm: row for row in results.rows if row.classifier == classifier}
        baseline = mean_and_std(own[REAL].values[metric]).mean
        for arm in synthetic or beside:
            if arm in found:
                verdicts.append(
                    verdict_of(
                        found[arm],
                        classifier,
                        results.shown[arm],
                        SCORES[metric].title,
                        baseline or 0.0,
                        sum(one.p is not None for one in found.values()),  # as Holm counts
                        units,
                        results.one_split,
                    )
                )
    if not verdicts:
        return {}
    what = '' if synthetic else 'these rows'
    return dict(
        outcome=overall(verdicts),
        headline=headline(verdicts, units, what),
        verdicts=[asdict(verdict) for verdict in best_first(verdicts)],
    )


def baseline_warnings(
    results: BenchmarkResults, curves: Dict[str, Dict[str, List[dict]]]
) -> List[str]:
    """One sentence for every classifier whose baseline had not finished learning."""
    warnings = []
    for classifier, by_arm in curves.items():
        said = still_rising(by_arm.get(results.shown[REAL], []))
        if said is not None:
            warnings.append(
                f'THE BASELINE HAD NOT CONVERGED: {classifier}, {results.shown[REAL]}: {said}. '
                'More steps alone may raise it: give more --epochs or --steps before a gain is '
                'believed'
            )
    return warnings


def _curves(
    results: BenchmarkResults, planned_runs: Sequence[ClassifierRun]
) -> Dict[str, Dict[str, List[dict]]]:
    curves: Dict[str, Dict[str, List[dict]]] = {}
    for planned in planned_runs:
        path = planned.work_dir / CURVES_NAME
        if path.is_file():
            by_arm = curves.setdefault(planned.classifier, {})
            found = json.loads(path.read_text(encoding='utf-8'))
            by_arm.setdefault(results.shown[planned.arm], []).append(found)
    return curves


def _sweeps(out: Path, protocol: Protocol, results: BenchmarkResults) -> List[Path]:
    """One figure per classifier: ``sweep.png``, or ``sweep_<classifier>.png`` of several."""
    sweep, files = protocol.sweep, []
    metric = results.metrics[0]
    for classifier in protocol.classifiers:
        own: Dict[str, ResultRow] = {r.arm: r for r in results.rows if r.classifier == classifier}

        def values(arm: str, own: Dict[str, ResultRow] = own) -> List[float]:
            return [v for v in own[arm].values[metric] if v is not None]

        points = {
            pool: {ratio: values(sweep.row(pool, ratio).name) for ratio in sweep.ratios}
            for pool in sweep.pools
        }
        name = 'sweep.png' if len(protocol.classifiers) == 1 else f'sweep_{slug(classifier)}.png'
        files.append(
            draw_sweep(
                out / name,
                points,
                values(REAL),
                f'{results.title}: {classifier}',
                f'{SCORES[metric].title} (%)',
                results.shown[REAL],
            )
        )
    return files
