"""From the parts of a comparison to its tables, its picture and its record."""

import statistics
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from cellgan_plugin.comparison.parts import Evaluation
from cellgan_plugin.comparison.plan import ComparisonPlan
from cellgan_plugin.comparison.results import ComparisonResults
from cellgan_plugin.engine.training_cost import TrainingCost
from cellgan_plugin.evaluation.table_distances import distance_of_value
from cellgan_plugin.visualization.noise import (
    Noise,
    differ_by_noise,
    mark_undecided,
    noise_of_intervals,
    noise_of_trainings,
)
from cellgan_plugin.visualization.report_tables import Column, ReportTable


def _short(name: str) -> str:
    """``FD`` of ``FD(resnet18)``: the note below the table says which features."""
    return name.partition('(')[0]


def pooled(values: Sequence[Optional[float]]) -> Any:
    """The cell of several trainings: a number, or (mean, standard deviation); None without any."""
    values = [value for value in values if value is not None]
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    return statistics.fmean(values), statistics.stdev(values)


def _whole(value: Any) -> Any:
    """Counts stay whole numbers where they are all the same."""
    if isinstance(value, tuple) and value[1] == 0:
        value = value[0]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _distance_columns(results: ComparisonResults) -> List[Column]:
    name = results.distance
    titles = [f'{_short(name)} {row}' for row in results.classes] + [f'{_short(name)} mean']
    keys = [f'{name}/{row}' for row in [*results.classes, 'mean']]
    digits = results.digits
    return [Column(k, t, digits, better='lower') for k, t in zip(keys, titles, strict=True)]


def _further_columns(results: ComparisonResults) -> List[Column]:
    columns = []
    for number, name in results.further():
        distance = distance_of_value(name)
        better = 'lower' if distance is None else distance.better
        digits = 3 if name == 'memorised' else 2 if distance is None else distance.digits
        key = f'{name}/mean' + (f' {number + 1}' if number else '')
        columns.append(Column(key, f'{name} mean', digits, better))
    return columns


def _cost_columns(hours: str) -> List[Column]:
    return [
        Column('iterations', 'Iterations', digits=0),
        Column('generator_parameters', 'Sampling parameters (M)'),
        Column('trained_parameters', 'Trained parameters (M)'),
        Column('sampling_images_per_second', 'Sampling (images/s)', digits=1),
        Column('training_images_per_second', 'Training (images/s)', digits=1),
        Column('peak_memory_gb', 'Peak memory (GiB)'),
        Column('device_hours', hours, digits=3),
    ]


def _setting_titles(plan: ComparisonPlan) -> List[str]:
    return list(dict.fromkeys(title for model in plan.models for title in model.settings))


def _row(results: ComparisonResults, model) -> Dict[str, Any]:
    row: Dict[str, Any] = dict(model=model.name)
    row.update({f'setting/{t}': model.settings.get(t) for t in _setting_titles(results.plan)})
    done, missing = results.of(model.name), results.missing(model.name)
    why = '; '.join(dict.fromkeys(missing))
    if not done:
        for column in [*_distance_columns(results), *_further_columns(results), *_cost_columns('')]:
            row[f'{column.key}_why'] = why
        return row
    if missing:
        row['model_why'] = f'{len(done)} of {len(done) + len(missing)} trainings; {why}'
    for name in [*results.classes, 'mean']:
        key = f'{results.distance}/{name}'
        row[key] = pooled([results.value(f, 0, name, results.distance) for _, f in done])
        if row[key] is None:
            row[f'{key}_why'] = 'not computable'
    for column, (number, name) in zip(_further_columns(results), results.further(), strict=True):
        row[column.key] = pooled([results.value(f, number, 'mean', name) for _, f in done])
    row.update(_costs(results, model, done))
    return row


def _costs(results: ComparisonResults, model, done) -> Dict[str, Any]:
    row: Dict[str, Any] = {}
    row['generator_parameters'] = done[0][1]['parameters']['generator'] / 1e6
    row['trained_parameters'] = done[0][1]['parameters']['trained'] / 1e6
    speeds = [found['samples']['images_per_second'] for _, found in done]
    row['sampling_images_per_second'] = pooled(speeds)
    if model.trained:
        reports = [[t.report['iterations'] for t in part.trainings] for part, _ in done]
    else:
        reports = [[found['checkpoint']['iteration']] for _, found in done]
    stages = [_whole(pooled(list(of_stage))) for of_stage in zip(*reports, strict=True)]
    if len(stages) == 1:
        row['iterations'] = stages[0]
    else:
        row['iterations'] = ' + '.join(
            str(round(s[0]) if isinstance(s, tuple) else s) for s in stages
        )
    costs = [results.costs(part, found) for part, found in done]
    if not all(costs):
        for key in ('training_images_per_second', 'peak_memory_gb', 'device_hours'):
            row[key], row[f'{key}_why'] = None, 'the checkpoint does not say'
        return row
    row['training_images_per_second'] = pooled([c[-1].images_per_second for c in costs])
    if any(c.memory_kind == 'not measured' for of in costs for c in of):
        row['peak_memory_gb'], row['peak_memory_gb_why'] = None, 'the system does not tell'
    else:
        row['peak_memory_gb'] = pooled([max(c.peak_memory_mb for c in of) / 1024 for of in costs])
    in_time = 'device_hours' if results.plan.cpu_minutes is None else 'processor_hours'
    row['device_hours'] = pooled([sum(getattr(c, in_time) for c in of) for of in costs])
    late = max(c.first_iteration for of in costs for c in of)
    if late:
        row['device_hours_why'] = f'counted from iteration {late} on'
    return row


def _notes(results: ComparisonResults) -> List[str]:
    plan = results.plan
    if not results.reports:
        return []
    report = results.reports[0]
    rows = [r for r in report['rows'] if r['row'] in results.classes]
    source = report['protocol']['extractor']
    name = results.distance
    notes = [
        f'{_short(name)}: {name}, the Frechet distance of features of '
        f'{source.get("name") or source.get("type") or name}; lower is better.'
        + ('' if name.startswith('FID') else ' Not comparable with FID.'),
        'Real / generated images: '
        + ', '.join(f'{r["row"]} {r["real"]} / {r["fake"]}' for r in rows)
        + '.',
    ]
    by_text: Dict[str, List[str]] = {}
    for row in rows:
        for text in row['notes']:
            by_text.setdefault(text, []).append(row['row'])
    notes += [f'{", ".join(names)}: {text}.' for text, names in by_text.items()]
    if any(model.trained for model in plan.models):
        seeds = ', '.join(map(str, plan.seeds))
        given = any(not model.trained for model in plan.models)
        of = f' of {", ".join(m.name for m in plan.models if m.trained)}' if given else ''
        note = f'Budget{of}: {plan.budget_text()}. Training seeds: {seeds}'
        notes.append(note + ('; mean ± standard deviation.' if len(plan.seeds) > 1 else '.'))
    for model in plan.models:
        if not model.trained:
            weights = [found['checkpoint'] for _, found in results.of(model.name)]
            long = [
                f'{Path(w["path"]).name}'
                + ('' if w['iteration'] is None else f', iteration {w["iteration"]}')
                for w in weights
            ]
            if long:
                notes.append(f'{model.name}: given weights ({long[0]}), trained before.')
    return notes


def _noise(results: ComparisonResults) -> Dict[Tuple[str, str], Optional[Noise]]:
    """Noise of every number that has a best one, by model and column."""
    found = {}
    further = list(zip(_further_columns(results), results.further(), strict=True))
    for model in results.plan.models:
        done = results.of(model.name)

        def noise(number: int, row: str, name: str, done: List = done) -> Optional[Noise]:
            if len(done) > 1:
                return noise_of_trainings([results.value(f, number, row, name) for _, f in done])
            rows = results.classes if row == 'mean' else [row]
            reports = [f['reports'][number]['rows'] for _, f in done]
            return noise_of_intervals([
                (r.get('intervals') or {}).get(name)
                for of in reports
                for r in of
                if r['row'] in rows
            ])  # fmt: skip

        for row in [*results.classes, 'mean']:
            name = results.distance
            found[model.name, f'{name}/{row}'] = noise(0, row, name)
        for column, (number, name) in further:
            found[model.name, column.key] = noise(number, 'mean', name)
    return found


def _bold_note(results: ComparisonResults, decided: bool) -> str:
    """What bold means in this table."""
    most = max((len(results.of(model.name)) for model in results.plan.models), default=0)
    beyond = 'seeds' if most > 1 else 'the evaluation'
    note = (
        f'Bold: better than every other row by more than the noise of {beyond} (5 %).'
        if decided
        else 'Nothing is bold: no row is better than all others by more than the noise of '
        f'{beyond}.'
    )
    if most == 1:
        note += ' With one training of each model, what another seed gives is not known (--seeds).'
    return note


def _cost_note(results: ComparisonResults) -> str:
    devices = Counter(found['samples']['device'] for found in results.found.values() if found)
    batch = next(f['samples']['batch_size'] for f in results.found.values() if f)
    return (
        f'Sampling: batches of {batch} on {", ".join(devices)}; parameters and images/s of a model '
        'in stages are those of its last stage, trained parameters and hours those of all. Hours '
        'and images/s of training: data and steps, without validation, saving and pictures.'
    )


def tables(
    results: ComparisonResults,
    remarks: Sequence[str] = (),
    grey: Optional[Mapping[str, str]] = None,
) -> Dict[str, ReportTable]:
    """The tables of a comparison by file name.

    Args:
        results (ComparisonResults): The finished parts.
        remarks (Sequence[str]): Further notes.
        grey (Mapping[str, str], optional): Models whose images are grey frames, see
            :func:`~cellgan_plugin.comparison.grey_frames.grey_frames`. Defaults to None: none.

    Returns:
        dict[str, ReportTable]: ``table``: everything, a row per model. ``distances``: what the
        paper prints (Table 1; Table 2 where models have ``settings``). Empty without any result.
    """
    if not results.reports:
        return {}
    plan = results.plan
    rows = [_row(results, model) for model in plan.models]
    kinds = {c.memory_kind for p in results.parts for c in _all_costs(results, p)}
    hours = 'GPU hours' if kinds == {'CUDA'} else 'CPU hours' if kinds == {'process'} else 'Hours'
    if plan.cpu_minutes is not None:
        hours = 'Processor hours'
    head = [Column('model', 'Model')]
    head += [Column(f'setting/{title}', title) for title in _setting_titles(plan)]
    distances = _distance_columns(results)
    title = f'{plan.title}: {results.distance} per class'
    full = [*head, *distances, *_further_columns(results), *_cost_columns(hours)]
    grey = grey or {}
    for row in rows:
        if row['model'] in grey:
            row['model_why'] = '; '.join(filter(None, [row.get('model_why'), grey[row['model']]]))
    differs = differ_by_noise(_noise(results), 'model')
    decided = mark_undecided(rows, full, differs, lambda row: row['model'] in grey)
    notes = [*_notes(results), *remarks]
    if len(rows) > 1:
        notes.append(_bold_note(results, decided))
    return dict(
        table=ReportTable(title, full, rows, [*notes, _cost_note(results)]),
        distances=ReportTable(title, [*head, *distances], rows, notes),
    )


def _all_costs(results: ComparisonResults, part: Evaluation) -> List[TrainingCost]:
    found = results.found[part.job]
    return results.costs(part, found) if found else []
