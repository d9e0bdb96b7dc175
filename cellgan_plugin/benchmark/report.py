"""Tables and pictures of a benchmark."""

import json
from pathlib import Path
from typing import Any, Dict, List, Sequence

from cellgan_plugin.benchmark.collect import BenchmarkResults, ResultRow
from cellgan_plugin.benchmark.convergence import still_rising
from cellgan_plugin.benchmark.figures import (
    draw_boxes,
    draw_confusions,
    draw_learning_curves,
)
from cellgan_plugin.benchmark.job_files import CURVES_NAME
from cellgan_plugin.benchmark.plan import ClassifierRun
from cellgan_plugin.benchmark.protocol import REAL, Protocol
from cellgan_plugin.benchmark.rows import slug
from cellgan_plugin.benchmark.score_registry import SCORES
from cellgan_plugin.benchmark.sweep_figure import draw_sweep
from cellgan_plugin.benchmark.tables import (
    main_table,
    per_class_table,
    results_dict,
    statistics_table,
)
from cellgan_plugin.files import write_json
from cellgan_plugin.visualization.report_tables import write_report_table

RESULTS_NAME = 'results.json'
TABLE = 'table'


def write_report(
    out: Path, protocol: Protocol, results: BenchmarkResults, planned_runs: Sequence[ClassifierRun]
) -> List[Path]:
    """Write tables and pictures of what is done.

    Args:
        out (Path): Work directory of the benchmark.
        protocol (Protocol): The benchmark.
        results (BenchmarkResults): Its results.
        planned_runs (Sequence[ClassifierRun]): All trainings of classifiers.

    Returns:
        list[Path]: The files, the Markdown table first.
    """
    curves = _curves(results, planned_runs)
    results.notes += baseline_warnings(results, curves)
    files = write_report_table(out, TABLE, main_table(results))
    files += write_report_table(out, 'statistics', statistics_table(results))
    files += write_report_table(out, 'per_class', per_class_table(results))
    files.append(write_json(out / RESULTS_NAME, results_dict(results)))
    # The points of a sweep have a figure of their own.
    points = {row.name for row in protocol.sweep.rows()} if protocol.sweep else set()
    rows = [row for row in results.rows if row.arm not in points]
    values: Dict[str, Dict[str, Dict[str, Any]]] = {metric: {} for metric in results.metrics}
    for row in rows:
        for metric in results.metrics:
            by_arm = values[metric].setdefault(row.classifier, {})
            by_arm[results.shown[row.arm]] = row.values[metric]
    titles = {metric: SCORES[metric].title for metric in results.metrics}
    files.append(draw_boxes(out / 'boxes.png', values, titles, results.title))
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
    return files


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
