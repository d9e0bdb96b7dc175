"""The page of a comparison, from what lies in its folder."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from cellgan_plugin.comparison.checks import COMPARISON
from cellgan_plugin.records import read_json
from cellgan_plugin.visualization.page import (
    PAGE_NAME,
    Picture,
    Section,
    picture_section,
    write_page,
)
from cellgan_plugin.visualization.report_tables import Column, ReportTable, read_report_table

FIGURE = 'figure.png'
# By construction about 1 % of new real images count as memorised.
MUCH_MEMORISED = 0.05
HEALTHY_GENERATOR = (
    'Healthy curves: both losses settle and keep moving, neither runs away nor sticks at zero; the '
    'mean logits of real and generated images come close to each other and stay apart. Logits that '
    'drift apart for good mean that the discriminator has won: more images, augmentation '
    '(DiffAugment) or a stop at the lowest distance help.'
)


def write_comparison_page(folder: Union[str, Path]) -> Path:
    """Write ``report.html`` into the folder of a comparison whose tables are written."""
    folder = Path(folder)
    record = read_json(folder / COMPARISON) or {}
    title = record.get('title') or folder.name
    return write_page(folder / PAGE_NAME, title, comparison_sections(folder))


def comparison_sections(folder: Union[str, Path]) -> List[Section]:
    """What a page says of a comparison.

    Args:
        folder (str | Path): Its folder, with ``comparison.json`` and the tables.

    Raises:
        FileNotFoundError: No ``comparison.json`` there.
        ValueError: A table is damaged.
    """
    folder = Path(folder)
    record = read_json(folder / COMPARISON)
    if record is None:
        raise FileNotFoundError(f'{folder} has no {COMPARISON}: run tools/compare.py first')
    missing = [f'{model["name"]}: {why}' for model in record['models'] for why in model['missing']]
    sections = [
        Section(
            'verdict',
            'Verdict',
            text=list(filter(None, [ranking(record), *_grey(record), *_copies(record)])),
        ),
        Section('warnings', 'Warnings', items=list(dict.fromkeys([*record['remarks'], *missing]))),
        Section('curves', 'Training', **_curves(folder, record)),
        Section('protocol', 'Protocol', facts=_facts(record)),
    ]
    if (folder / 'table.json').is_file():
        sections.append(
            Section('table', 'Table', tables=[read_report_table(folder / 'table.json')])
        )
    what = 'A row per model, a column per class; the same noise in the same place of every row.'
    sections.append(picture_section('images', 'Images', folder / FIGURE, what))
    floors = floor_table(record)
    if floors is not None:
        sections.append(Section('distances', 'Distances beside their floor', tables=[floors]))
    return sections


def _reports(model: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    """The first evaluation of every finished training of a model."""
    results = [training['result'] for training in model['trainings'] if training['result']]
    return [result['reports'][0] for result in results if result['reports']]


def _row(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((row for row in report['rows'] if row['row'] == name), dict(values={}))


def _means(record: Mapping[str, Any]) -> Tuple[str, Dict[str, List[float]]]:
    """Name of the distance, and its mean over classes in every training of every model."""
    found: Dict[str, List[float]] = {}
    name = ''
    for model in record['models']:
        for report in _reports(model):
            values = _row(report, 'mean')['values']
            name = name or next((k for k in values if k.startswith(('FID', 'FD('))), '')
            if name in values:
                found.setdefault(model['name'], []).append(values[name])
    return name, found


def _grey(record: Mapping[str, Any]) -> List[str]:
    return [f'{model}: {why}.' for model, why in (record.get('grey') or {}).items()]


def ranking(record: Mapping[str, Any]) -> Optional[str]:
    """Which model comes nearest to the real images, and how far that can be trusted.

    Args:
        record (Mapping): ``comparison.json``.

    Returns:
        str | None: None where no model was evaluated.
    """
    name, means = _means(record)
    grey = record.get('grey') or {}
    means = {model: values for model, values in means.items() if model not in grey} or means
    if not means:
        return None
    average = {model: sum(values) / len(values) for model, values in means.items()}
    order = sorted(average, key=average.__getitem__)
    best = order[0]
    said = f'{best} has a mean {name} of {average[best]:.4g} over the classes'
    if len(order) == 1:
        return f'{said}; there is no other model to compare it with.'
    second = order[1]
    said = f'{best} comes nearest to the real images. {said}; next is {second} with ' + (
        f'{average[second]:.4g}.'
    )
    if min(len(means[best]), len(means[second])) < 2:
        return f'{said} One training each: another seed may change the order (--seeds 0 1 2).'
    apart = max(means[best]) < min(means[second])
    return f'{said} ' + (
        'Every training of the one lies below every training of the other.'
        if apart
        else 'Their trainings overlap: the order may be chance.'
    )


def _copies(record: Mapping[str, Any]) -> List[str]:
    """A sentence for every model that copies training images."""
    said = []
    for model in record['models']:
        shares = [_row(r, 'pooled')['values'].get('memorised') for r in _reports(model)]
        found = [share for share in shares if share is not None]
        if found and max(found) > MUCH_MEMORISED:
            said.append(
                f'MEMORISED: {max(found):.0%} of the images of {model["name"]} are as near to a '
                'training image as copies are.'
            )
    return said


def floor_table(record: Mapping[str, Any]) -> Optional[ReportTable]:
    """The distance of every class beside that of real images from real images; None without."""
    name, _ = _means(record)
    rows: List[Dict[str, Any]] = []
    floors: Dict[str, float] = {}
    for model in record['models']:
        for report in _reports(model)[:1]:
            cells: Dict[str, Any] = dict(model=model['name'])
            for row in report['rows']:
                cells[row['row']] = row['values'].get(name)
                if name in row.get('floor', {}):
                    floors[row['row']] = row['floor'][name]
            rows.append(cells)
    if not rows or not floors:
        return None
    rows.append(dict(model='real against real', group='floor', **floors))
    columns = [Column('model', 'Images')]
    columns += [Column(key, key, 3) for key in rows[0] if key != 'model']
    return ReportTable(
        f'{name} of the first training, and what real images reach', columns, rows,
        ['No generator can be expected below the floor: it is the same distance between real '
         'images and other real images of the class.'],
    )  # fmt: skip


def _curves(folder: Path, record: Mapping[str, Any]) -> Dict[str, Any]:
    pictures = []
    for model in record['models']:
        for training in model['trainings'][:1]:
            for stage in training['stages']:
                # The record has the folder as it was named then; the comparison may have moved.
                own = folder / Path(*Path(stage['folder']).parts[-3:])
                pictures.append(Picture(own / 'curves.png', f'{model["name"]}: losses and logits.'))
    there = [picture for picture in pictures if Path(picture.source).is_file()]
    return dict(text=[HEALTHY_GENERATOR], pictures=there) if there else {}


def _facts(record: Mapping[str, Any]) -> List[Tuple[str, str]]:
    facts = [('Classes', ', '.join(record['classes']))]
    facts.append(('Generated images per class', str(record['samples_per_class'])))
    facts.append(('Seeds of the trainings', ', '.join(map(str, record['seeds']))))
    units = dict(minutes='minutes', cpu_minutes='processor minutes', iterations='iterations')
    for key, unit in units.items():
        if record.get(key):
            facts.append((f'Budget ({unit})', f'{record[key]:g}'))
    for model in record['models']:
        for training in model['trainings']:
            result = training['result']
            if result:
                weights = result['checkpoint']
                seed = '' if training['seed'] is None else f', seed {training["seed"]}'
                facts.append(
                    (
                        f'{model["name"]}{seed}',
                        f'iteration {weights["iteration"]}, SHA-256 {weights["sha256"]}',
                    )
                )
    for key in ('cellgan_plugin', 'git', 'torch', 'time'):
        if record.get(key):
            facts.append((key, str(record[key])))
    return facts
