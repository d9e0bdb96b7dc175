"""From the parts of a comparison to its tables, its picture and its record."""

import math
import statistics
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.comparison.evaluate import IMAGES
from cellgan_plugin.comparison.parts import Evaluation
from cellgan_plugin.comparison.plan import ComparisonPlan
from cellgan_plugin.engine.training_cost import TrainingCost
from cellgan_plugin.evaluation.table_distances import distance_of_value
from cellgan_plugin.randomness import rng_for
from cellgan_plugin.visualization import image_grid
from cellgan_plugin.visualization.report_tables import Column, ReportTable


def _frechet(name: str) -> bool:
    return name.startswith(('FID', 'FD('))


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


class ComparisonResults:
    """The finished parts of the comparison, by model.

    Args:
        plan (ComparisonPlan): The comparison.
        parts (Sequence[Evaluation]): All of them.
        failures (Mapping[str, str]): Name of a job to what went wrong.
    """

    def __init__(
        self, plan: ComparisonPlan, parts: Sequence[Evaluation], failures: Mapping[str, str]
    ):
        self.plan = plan
        self.parts = parts
        self.failures = dict(failures)
        self.found = {part.job: part.result for part in parts}

    def of(self, model: str) -> List[Tuple[Evaluation, Dict[str, Any]]]:
        """The finished trainings of a model with what was found."""
        parts = [part for part in self.parts if part.model == model]
        return [(part, self.found[part.job]) for part in parts if self.found[part.job]]

    def missing(self, model: str) -> List[str]:
        """Why trainings of a model are not in the table, one text each."""
        why = []
        for part in self.parts:
            if part.model != model or self.found[part.job]:
                continue
            jobs = [training.job for training in part.trainings] + [part.job]
            failed = next((self.failures[job] for job in jobs if job in self.failures), None)
            why.append(failed or 'not done yet')
        return why

    @property
    def reports(self) -> List[Dict[str, Any]]:
        """The evaluation of any model that has one: names, classes, real images."""
        return next((found['reports'] for found in self.found.values() if found), [])

    @property
    def classes(self) -> List[str]:
        """Rows of the evaluation that are classes."""
        if not self.reports:
            return []
        return [r['row'] for r in self.reports[0]['rows'] if r['row'] not in ('mean', 'pooled')]

    @property
    def distance(self) -> str:
        """Name of the Frechet distance of the table: ``FID`` or ``FD(<extractor>)``."""
        names = [n for n in self._values(self.reports[0], 'mean') if _frechet(n)]
        return names[0] if names else next(iter(self._values(self.reports[0], 'mean')), 'distance')

    @staticmethod
    def _values(report: Mapping[str, Any], row: str) -> Dict[str, float]:
        return next((r['values'] for r in report['rows'] if r['row'] == row), {})

    @property
    def digits(self) -> int:
        """After the point: two as in the paper, more where distances are small."""
        values = [
            self.value(found, 0, row, self.distance)
            for found in self.found.values()
            if found
            for row in [*self.classes, 'mean']
        ]
        smallest = min((abs(v) for v in values if v), default=1.0)
        return min(6, max(2, 1 - math.floor(math.log10(smallest))))

    def further(self) -> List[Tuple[int, str]]:
        """(report, name) of the values beside the distance; their means are shown."""
        names = []
        for number, report in enumerate(self.reports):
            for name in self._values(report, 'mean'):
                if (number, name) != (0, self.distance):
                    names.append((number, name))
        return names

    def value(self, found: Mapping[str, Any], number: int, row: str, name: str) -> Optional[float]:
        """One number of one training; None where it could not be computed."""
        return self._values(found['reports'][number], row).get(name)

    def costs(self, part: Evaluation, found: Mapping[str, Any]) -> List[TrainingCost]:
        """Cost of every stage that is known."""
        reports = [training.report for training in part.trainings]
        costs = [r['cost'] for r in reports if r] if part.trainings else [found['cost']]
        return [TrainingCost.from_dict(cost) for cost in costs if cost]


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
    row['device_hours'] = pooled([sum(c.device_hours for c in of) for of in costs])
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
        note = f'Budget: {plan.budget_text()}. Training seeds: {seeds}'
        notes.append(note + ('; mean ± standard deviation.' if len(plan.seeds) > 1 else '.'))
    return notes


def _cost_note(results: ComparisonResults) -> str:
    devices = Counter(found['samples']['device'] for found in results.found.values() if found)
    batch = next(f['samples']['batch_size'] for f in results.found.values() if f)
    return (
        f'Sampling: batches of {batch} on {", ".join(devices)}; parameters and images/s of a model '
        'in stages are those of its last stage, trained parameters and hours those of all. Hours '
        'and images/s of training: data and steps, without validation, saving and pictures.'
    )


def tables(results: ComparisonResults, remarks: Sequence[str] = ()) -> Dict[str, ReportTable]:
    """The tables of a comparison by file name.

    Args:
        results (ComparisonResults): The finished parts.
        remarks (Sequence[str]): Further notes.

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
    head = [Column('model', 'Model')]
    head += [Column(f'setting/{title}', title) for title in _setting_titles(plan)]
    distances = _distance_columns(results)
    title = f'{plan.title}: {results.distance} per class'
    notes = [*_notes(results), *remarks]
    full = [*head, *distances, *_further_columns(results), *_cost_columns(hours)]
    return dict(
        table=ReportTable(title, full, rows, [*notes, _cost_note(results)]),
        distances=ReportTable(title, [*head, *distances], rows, notes),
    )


def _all_costs(results: ComparisonResults, part: Evaluation) -> List[TrainingCost]:
    found = results.found[part.job]
    return results.costs(part, found) if found else []


def real_samples(dataset, classes: int, count: int, seed: int) -> List[List[np.ndarray]]:
    """``count`` real images of each class by lot, uint8 (H, W, C); fewer where there are fewer."""
    by_class: List[List[int]] = [[] for _ in range(classes)]
    for index in range(len(dataset)):
        by_class[dataset.get_data_info(index)['gt_label']].append(index)
    images = []
    for label, indices in enumerate(by_class):
        order = rng_for(seed, 'compare_real', label).permutation(len(indices))[:count]
        chosen = [indices[i] for i in order]
        images.append([dataset[i]['inputs']['img'].permute(1, 2, 0).numpy() for i in chosen])
    return images


def _cell(images: Sequence[np.ndarray], count: int, columns: int) -> np.ndarray:
    """One cell of the picture: up to ``count`` images in rows of ``columns``."""
    blank = np.full_like(images[0], 255)
    filled = [*images, *[blank] * (count - len(images))]
    return image_grid([filled[i : i + columns] for i in range(0, count, columns)], pad=1)


def figure(results: ComparisonResults, real: Any) -> Optional[np.ndarray]:
    """Rows models, columns classes, the same noise in the same place of every row (Figs. 2, 3).

    Args:
        results (ComparisonResults): The finished parts; of several trainings the first is shown.
        real (BaseDataset): The real images of the evaluation; shown on top where the figure's
            options say so.

    Returns:
        np.ndarray | None: uint8 RGB (H, W, 3); None when no model is finished.
    """
    options = results.plan.figure
    count = options.samples_per_class
    columns = options.columns or int(np.ceil(np.sqrt(count)))
    rows, titles = [], []
    for model in results.plan.models:
        done = results.of(model.name)
        if done:
            with np.load(Path(done[0][0].folder) / IMAGES, allow_pickle=False) as archive:
                rows.append(list(archive['images']))
            titles.append(model.name)
    if not rows:
        return None
    if options.real:
        found = real_samples(real, len(results.classes), count, options.seed)
        blank = next(images[0] for images in found if images)
        rows.insert(0, [images or [np.full_like(blank, 255)] for images in found])
        titles.insert(0, 'real')
    cells = [[_cell(images, count, columns) for images in row] for row in rows]
    return image_grid(
        cells, row_titles=titles, column_titles=results.classes, pad=4, scale=options.scale
    )
