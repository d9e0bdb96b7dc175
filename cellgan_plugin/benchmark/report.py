"""Tables and pictures of a benchmark."""

import json
from pathlib import Path
from typing import Any, Dict, List, Sequence

from cellgan_plugin.benchmark.collect import Results, Row
from cellgan_plugin.benchmark.figures import (
    draw_boxes,
    draw_confusions,
    draw_learning_curves,
)
from cellgan_plugin.benchmark.job_files import CURVES_NAME
from cellgan_plugin.benchmark.plan import Cell
from cellgan_plugin.benchmark.protocol import REAL, Protocol
from cellgan_plugin.benchmark.rows import slug
from cellgan_plugin.benchmark.sweep_figure import draw_sweep
from cellgan_plugin.benchmark.tables import (
    TITLES,
    class_table,
    main_table,
    results_dict,
    statistics_table,
)
from cellgan_plugin.files import write_json
from cellgan_plugin.visualization.report_tables import write_report_table

RESULTS_NAME = 'results.json'
TABLE = 'table'


def write_report(
    out: Path, protocol: Protocol, results: Results, cells: Sequence[Cell]
) -> List[Path]:
    """Write tables and pictures of what is done.

    Args:
        out (Path): Work directory of the benchmark.
        protocol (Protocol): The benchmark.
        results (Results): Its results.
        cells (Sequence[Cell]): All trainings of classifiers.

    Returns:
        list[Path]: The files, the Markdown table first.
    """
    files = write_report_table(out, TABLE, main_table(results))
    files += write_report_table(out, 'statistics', statistics_table(results))
    files += write_report_table(out, 'per_class', class_table(results))
    files.append(write_json(out / RESULTS_NAME, results_dict(results)))
    # The points of a sweep have a figure of their own.
    points = {row.name for row in protocol.sweep.rows()} if protocol.sweep else set()
    rows = [row for row in results.rows if row.setting not in points]
    values: Dict[str, Dict[str, Dict[str, Any]]] = {metric: {} for metric in results.metrics}
    for row in rows:
        for metric in results.metrics:
            by_setting = values[metric].setdefault(row.classifier, {})
            by_setting[results.shown[row.setting]] = row.values[metric]
    files.append(draw_boxes(out / 'boxes.png', values, TITLES, results.title))
    matrices = {(row.classifier, results.shown[row.setting]): row.confusion for row in rows}
    classes = results.plan.classes
    files.append(draw_confusions(out / 'confusion.png', matrices, classes, results.title))
    curves = _curves(results, [cell for cell in cells if cell.setting not in points])
    files.append(draw_learning_curves(out / 'learning_curves.png', curves, results.title))
    if protocol.sweep:
        files += _sweeps(out, protocol, results)
    return files


def _curves(results: Results, cells: Sequence[Cell]) -> Dict[str, Dict[str, List[dict]]]:
    curves: Dict[str, Dict[str, List[dict]]] = {}
    for cell in cells:
        path = cell.work_dir / CURVES_NAME
        if path.is_file():
            by_setting = curves.setdefault(cell.classifier, {})
            found = json.loads(path.read_text(encoding='utf-8'))
            by_setting.setdefault(results.shown[cell.setting], []).append(found)
    return curves


def _sweeps(out: Path, protocol: Protocol, results: Results) -> List[Path]:
    """One figure per classifier: ``sweep.png``, or ``sweep_<classifier>.png`` of several."""
    sweep, files = protocol.sweep, []
    metric = results.metrics[0]
    for classifier in protocol.classifiers:
        own: Dict[str, Row] = {r.setting: r for r in results.rows if r.classifier == classifier}

        def values(setting: str, own: Dict[str, Row] = own) -> List[float]:
            return [v for v in own[setting].values[metric] if v is not None]

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
                f'{TITLES[metric]} (%)',
                results.shown[REAL],
            )
        )
    return files
